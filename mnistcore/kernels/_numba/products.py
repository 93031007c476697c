"""The products of a layer and what follows each: what a thread does between two meetings.

Everything is named by addresses and offsets, never by arrays: an array handed from function to
function counts its references, and threads that count the same one wait for each other.
``row`` is the address of a layer's row in the net of :mod:`.plan`.
"""

import numpy as np

from ..layout import ACTIVATION, BIAS_OFFSET, DECAY, DROPOUT, FAN_IN, FAN_OUT, SGD, WEIGHT_OFFSET
from .elementwise import L2, activate, backpropagate, drop_row, keep_factor, row_key
from .functions import c_function, inner
from .inputs import COLUMN_ROOM, COLUMNS, ROW_BLOCKS, ROW_ROOM, ROWS, fetch_row
from .plan import BIAS, DZ, DZT, LEADING, OUTPUT, PANELS, WEIGHTS, WIDTH
from .simd import (
    LANES,
    WORD,
    call,
    load,
    load_block,
    load_index,
    load_int32,
    load_scalar,
    splat,
    store,
    store_block,
    store_first,
    store_index,
    transpose,
)
from .team import share
from .tile import BLOCK, TILE, copy_row, single_run, tile_height

# ---------------------------------------------------------------------------------------------
# Packing: between the public row-major layout and the panels
# ---------------------------------------------------------------------------------------------


@inner
def pack_weights(row, flat, base, packed, thread, threads):
    """This thread's share of a layer's weights at ``flat``, into panels at base + packed."""
    fan_in, fan_out = load_index(row, FAN_IN), load_index(row, FAN_OUT)
    width, source = load_index(row, WIDTH), load_index(row, WEIGHT_OFFSET)
    first, stop = share(fan_in * load_index(row, PANELS), thread, threads)
    for unit in range(first, stop):
        column, i = unit // fan_in * width, unit % fan_in
        target = packed + load_index(row, WEIGHTS) + unit * width
        copy_row(flat, source + i * fan_out + column, fan_out - column, base, target, width)


@inner
def unpack_weights(row, base, packed, flat, thread, threads):
    """The way back."""
    fan_in, fan_out = load_index(row, FAN_IN), load_index(row, FAN_OUT)
    width, target = load_index(row, WIDTH), load_index(row, WEIGHT_OFFSET)
    first, stop = share(fan_in * load_index(row, PANELS), thread, threads)
    for unit in range(first, stop):
        column, i = unit // fan_in * width, unit % fan_in
        n = min(width, fan_out - column)
        source = packed + load_index(row, WEIGHTS) + unit * width
        copy_row(base, source, n, flat, target + i * fan_out + column, n)


@inner
def pack_bias(row, flat, base, packed):
    """A layer's bias, with zeros behind it to whole panels."""
    width = load_index(row, WIDTH) * load_index(row, PANELS)
    source, target = load_index(row, BIAS_OFFSET), packed + load_index(row, BIAS)
    copy_row(flat, source, load_index(row, FAN_OUT), base, target, width)


@inner
def unpack_bias(row, base, packed, flat):
    """The way back."""
    n = load_index(row, FAN_OUT)
    source, target = packed + load_index(row, BIAS), load_index(row, BIAS_OFFSET)
    copy_row(base, source, n, flat, target, n)


@inner
def clear_gradient(row, batch_size, base):
    """Zero dz: what no unit writes must add nothing to the padding of the weights."""
    size = load_index(row, PANELS) * batch_size * load_index(row, WIDTH)
    for i in range(0, size, LANES):
        store(base, load_index(row, DZ) + i, splat(0.0))


# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@c_function(11)
def finish_tile(base, row, panel, top, rows, dropped, seed, epoch, layer, samples, scratch):
    """a = dropout(activation(sums + bias)) of a tile whose sums stand in the scratch."""
    code, width = load_index(row, ACTIVATION), load_index(row, WIDTH)
    bias = load_index(row, BIAS) + panel * width
    leading = load_index(row, LEADING)
    out = load_index(row, OUTPUT) + top * leading + panel * width
    for r in range(rows):
        for c in range(0, width, LANES):
            z = load(base, scratch + r * width + c) + load(base, bias + c)
            store(base, out + c, activate(code, z))
        if dropped:
            threshold = load_index(row, DROPOUT)
            unit_key = row_key(seed, epoch, load_index(samples, top + r), layer)
            drop_row(base, out, width, panel * width, unit_key, threshold, base, out)
        out += leading


@inner
def forward_layer(
    multiply, finish, base, row, inputs, leading, batch, first_row, last_row, first, stop,
    dropped, key, samples, runs, scratch,
):  # fmt: skip
    """a = dropout(activation(x w + b)) for rows of a batch and a share of (panel, row).

    The rows are [first_row, last_row) of each panel, the units [first, stop) panel by panel.
    ``key`` is (seed, epoch, layer) of the dropout.
    """
    fan_in, width = load_index(row, FAN_IN), load_index(row, WIDTH)
    n_runs = single_run(runs, fan_in)
    for panel in range(load_index(row, PANELS)):
        start = max(first_row, first - panel * batch)
        end = min(last_row, stop - panel * batch)
        height = tile_height(end - start)
        for top in range(start, end, height):
            rows = min(height, end - top)
            call(multiply, (
                rows, width, base, inputs + top * leading, leading, 1, base,
                load_index(row, WEIGHTS) + panel * fan_in * width, width, runs, n_runs,
                base + 4 * scratch, width,
            ))  # fmt: skip
            call(finish, (base, row, panel, top, rows, dropped, *key, samples, scratch))


@inner
def listed_sums(
    multiply_listed, base, row, inputs, leading, listed, part, panel, top, rows, out
):  # fmt: skip
    """The sums of one block of rows and one panel over a part's listed columns, to ``out``."""
    fan_in, width = load_index(row, FAN_IN), load_index(row, WIDTH)
    index = part * load_index(listed, ROW_BLOCKS) + top // BLOCK
    terms = load_index(listed, COLUMNS) + 4 * index * load_index(listed, COLUMN_ROOM)
    call(multiply_listed, (
        rows, width, base, inputs + top * leading, leading, 1, base,
        load_index(row, WEIGHTS) + panel * fan_in * width, width, terms, out,
    ))  # fmt: skip


@inner
def forward_listed(
    multiply_listed, finish, base, row, inputs, leading, listed, batch, dropped, key, samples,
    scratch, thread, threads,
):  # fmt: skip
    """The first layer's share, around the zeros of its inputs: blocks of rows, panel by panel."""
    blocks = -(-batch // BLOCK)
    first, stop = share(load_index(row, PANELS) * blocks, thread, threads)
    for unit in range(first, stop):
        panel, top = unit // blocks, unit % blocks * BLOCK
        rows = min(BLOCK, batch - top)
        listed_sums(
            multiply_listed, base, row, inputs, leading, listed, 0, panel, top, rows,
            base + 4 * scratch,
        )  # fmt: skip
        call(finish, (base, row, panel, top, rows, dropped, *key, samples, scratch))


@inner
def partial_sums(multiply_listed, base, row, inputs, leading, listed, part, batch, partial):
    """The products of one part of the inputs with their weights, summed: (batch, width).

    A layer of one panel cannot be divided by units. Divided by parts of its inputs, a thread
    reads no weights but those that it updates, which stay in its own cache.
    """
    width = load_index(row, WIDTH)
    for top in range(0, batch, BLOCK):
        listed_sums(
            multiply_listed, base, row, inputs, leading, listed, part, 0, top,
            min(BLOCK, batch - top), base + 4 * (partial + top * width),
        )  # fmt: skip


@inner
def add_parts(
    finish, base, row, partial, parts, batch_size, batch, dropped, key, samples, scratch
):  # fmt: skip
    """The outputs of the first layer from the partial sums (parts, batch_size, width)."""
    width = load_index(row, WIDTH)
    for top in range(0, batch, BLOCK):
        rows = min(BLOCK, batch - top)
        for i in range(0, rows * width, LANES):
            total = load(base, partial + top * width + i)
            for part in range(1, parts):
                total = total + load(base, partial + (part * batch_size + top) * width + i)
            store(base, scratch + i, total)
        call(finish, (base, row, 0, top, rows, dropped, *key, samples, scratch))


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@inner
def input_gradient(
    multiply, derive, base, row, before, first, stop, low, high, capacity, batch_width,
    keep_transposed, key, samples, runs, scratch,
):  # fmt: skip
    """dz of the layer before, units [first, stop) and rows [low, high): (w dz^T) derived.

    The tile holds input units of this layer by samples: the weights are the broadcast operand,
    read straight from their panels, a run for each; dzt is the vector operand. ``low`` begins a
    vector of rows.
    """
    fan_in, fan_out = load_index(row, FAN_IN), load_index(row, FAN_OUT)
    width, panels = load_index(row, WIDTH), load_index(row, PANELS)
    before_width = load_index(before, WIDTH)
    for panel in range(panels):
        store_index(runs, 3 * panel, panel * fan_in * width)
        store_index(runs, 3 * panel + 1, panel * width * batch_width)
        store_index(runs, 3 * panel + 2, min(width, fan_out - panel * width))
    while first < stop:
        # Tiles end where a panel of the layer before does, so that dz is written in whole rows.
        end = min(stop, (first // before_width + 1) * before_width)
        height = tile_height(end - first)
        for top in range(first, end, height):
            rows, start = min(height, end - top), low
            while start < high:
                columns = batch_width
                if start % batch_width or high - start <= LANES:
                    columns = LANES
                within = start % batch_width
                dzt = load_index(row, DZT) + (start - within) * fan_out + within
                call(multiply, (
                    rows, columns, base, load_index(row, WEIGHTS) + top * width, width, 1, base,
                    dzt, batch_width, runs, panels, base + 4 * scratch, columns,
                ))  # fmt: skip
                call(derive, (
                    base, before, top, rows, start, min(columns, high - start), columns, capacity,
                    batch_width, keep_transposed, key[0], key[1], key[2], samples, scratch,
                ))  # fmt: skip
                start += columns
        first = end


@c_function(15)
def derive_tile(
    base, before, top, rows, start, n, columns, capacity, batch_width, keep_transposed, seed,
    epoch, layer, samples, scratch,
):  # fmt: skip
    """Turn a tile of w dz^T, units [top, top + rows) by n samples from ``start``, into dz.

    Square blocks are transposed in registers, so that a sample's units lie side by side, as
    they do in a and dz; and back again where dzt is wanted too.
    """
    code, threshold = load_index(before, ACTIVATION), load_index(before, DROPOUT)
    width, leading = load_index(before, WIDTH), load_index(before, LEADING)
    undo = splat(np.float32(1.0) / keep_factor(threshold))
    block, within = scratch + TILE, start % batch_width
    for upper in range(0, rows, LANES):
        unit, units = top + upper, min(LANES, rows - upper)
        for left in range(0, n, LANES):
            tile = load_block(base, scratch + upper * columns + left, columns)
            store_block(transpose(tile), base, block, LANES)
            for c in range(min(LANES, n - left)):
                b = start + left + c
                a = load(base, load_index(before, OUTPUT) + b * leading + unit)
                if threshold:
                    # The derivative wants the output before dropout; the mask is drawn again.
                    unit_key = row_key(seed, epoch, load_index(samples, b), layer)
                    at = block + c * LANES
                    drop_row(base, at, units, unit, unit_key, threshold, base, at)
                    a = a * undo
                gradient = backpropagate(code, load(base, block + c * LANES), a)
                store(base, block + c * LANES, gradient)
                out = (unit // width * capacity + b) * width + unit % width
                store_first(base, load_index(before, DZ) + out, gradient, units)
            if keep_transposed:
                store_block(transpose(load_block(base, block, LANES)), base, block, LANES)
                out = load_index(before, DZT) + (start - within) * load_index(before, FAN_OUT)
                out += unit * batch_width + within + left
                for r in range(units):
                    store(base, out + r * batch_width, load(base, block + r * LANES))


# ---------------------------------------------------------------------------------------------
# Weight gradients and updates
# ---------------------------------------------------------------------------------------------


@inner
def update_layer(
    multiply, update, base, row, inputs, leading, batch, capacity, slot, optimizer, nesterov,
    constants, runs, scratch, thread, threads,
):  # fmt: skip
    """This thread's share of a layer's weight gradient (x^T dz), each tile updated at once."""
    fan_in, width = load_index(row, FAN_IN), load_index(row, WIDTH)
    decayed, n_runs = load_index(row, DECAY) != 0, single_run(runs, batch)
    first, stop = share(load_index(row, PANELS) * fan_in, thread, threads)
    while first < stop:
        panel = first // fan_in
        start = first - panel * fan_in
        end = min(fan_in, start + stop - first)
        dz, height = load_index(row, DZ) + panel * capacity * width, tile_height(end - start)
        for top in range(start, end, height):
            rows = min(height, end - top)
            call(multiply, (
                rows, width, base, inputs + top, 1, leading, base, dz, width, runs, n_runs,
                base + 4 * scratch, width,
            ))  # fmt: skip
            call(update, (
                optimizer, nesterov, constants, decayed, base,
                load_index(row, WEIGHTS) + (panel * fan_in + top) * width, slot, scratch,
                rows * width,
            ))  # fmt: skip
        first += end - start


@inner
def update_listed(
    multiply_listed, update, base, row, inputs, leading, listed, panel, block, capacity, slot,
    optimizer, nesterov, constants, scratch,
):  # fmt: skip
    """The same for one block of columns of the inputs, summed over its listed rows."""
    fan_in, width = load_index(row, FAN_IN), load_index(row, WIDTH)
    decayed, top = load_index(row, DECAY) != 0, block * BLOCK
    rows = min(BLOCK, fan_in - top)
    terms = load_index(listed, ROWS) + 4 * block * load_index(listed, ROW_ROOM)
    if load_int32(terms, 0) >= 0:
        call(multiply_listed, (
            rows, width, base, inputs + top, 1, leading, base,
            load_index(row, DZ) + panel * capacity * width, width, terms, base + 4 * scratch,
        ))  # fmt: skip
    elif optimizer == SGD and slot == 0 and not (decayed and load_scalar(base, constants + L2)):
        return  # without decay and moments, a gradient of zero changes nothing
    else:
        for i in range(0, rows * width, LANES):
            store(base, scratch + i, splat(0.0))
    call(update, (
        optimizer, nesterov, constants, decayed, base,
        load_index(row, WEIGHTS) + (panel * fan_in + top) * width, slot, scratch, rows * width,
    ))  # fmt: skip


@inner
def update_listed_share(
    multiply_listed, update, base, row, inputs, leading, listed, capacity, slot, optimizer,
    nesterov, constants, scratch, thread, threads,
):  # fmt: skip
    """This thread's share of (panel, block of columns)."""
    blocks = -(-load_index(row, FAN_IN) // BLOCK)
    first, stop = share(load_index(row, PANELS) * blocks, thread, threads)
    for unit in range(first, stop):
        update_listed(
            multiply_listed, update, base, row, inputs, leading, listed, unit // blocks,
            unit % blocks, capacity, slot, optimizer, nesterov, constants, scratch,
        )  # fmt: skip


@inner
def update_parts(
    multiply_listed, update, base, row, inputs, leading, listed, parts, first_part, last_part,
    upcoming, capacity, slot, optimizer, nesterov, constants, scratch,
):  # fmt: skip
    """The blocks of columns of some parts of the inputs.

    With each block the memory is asked for an equal share of those parts in the upcoming rows.
    """
    fan_in = load_index(row, FAN_IN)
    shares = -(-fan_in // BLOCK) * (last_part - first_part) // parts
    asked, due = 0, 0  # of the upcoming rows; due is counted in 1 / shares
    for part in range(first_part, last_part):
        for first in range(part * WORD, fan_in, parts * WORD):
            for top in range(first, min(first + WORD, fan_in), BLOCK):
                due += upcoming.rows
                while due >= shares:
                    due -= shares
                    if asked < upcoming.rows:
                        fetch_row(upcoming, asked, fan_in, parts, first_part, last_part)
                        asked += 1
                update_listed(
                    multiply_listed, update, base, row, inputs, leading, listed, 0,
                    top // BLOCK, capacity, slot, optimizer, nesterov, constants, scratch,
                )  # fmt: skip


@inner
def update_biases(
    update, base, row, batch, capacity, slot, optimizer, nesterov, constants, scratch, thread,
    threads,
):  # fmt: skip
    """This thread's panels of a bias: the gradient is the sum of dz over the batch."""
    width = load_index(row, WIDTH)
    first, stop = share(load_index(row, PANELS), thread, threads)
    for panel in range(first, stop):
        dz = load_index(row, DZ) + panel * capacity * width
        for c in range(0, width, LANES):
            gradient = splat(0.0)
            for b in range(batch):
                gradient = gradient + load(base, dz + b * width + c)
            store(base, scratch + c, gradient)
        call(update, (
            optimizer, nesterov, constants, 0, base, load_index(row, BIAS) + panel * width, slot,
            scratch, width,
        ))  # fmt: skip
