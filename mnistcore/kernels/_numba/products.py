"""The products of a layer and what follows each: a thread's work between two meetings.

Data are named by addresses and offsets, never by arrays: passing an array between functions
updates its reference count, and threads that update the same count wait for each other. Related
values form a record (a NamedTuple of int64), in registers or, for C functions, at an address
(``at``: that of a :class:`.plan.Layer`).
"""

from typing import NamedTuple

import numpy as np

from .blocks import load_block, store_block, transpose
from .dropout import drop_row, keep_factor, row_key
from .elementwise import activate, derive
from .functions import c_function, call, inner
from .inputs import Lists, column_list, row_list
from .machine import VL
from .memory import load_index, load_int32, load_record, load_scalar, store_index
from .plan import Layer, layer_at
from .team import share
from .tile import BLOCK, TILE, single_run, tile_height
from .updates import DECAY, PLAIN, RULE
from .vectors import load, splat, store, store_first


class Functions(NamedTuple):
    """The pointers of the C functions that the programs call; 0 for those that one does not."""

    multiply_tile: int
    multiply_listed: int
    gather: int
    finish_tile: int
    pack: int
    unpack: int = 0
    list_rows: int = 0
    loss_rows: int = 0
    derive_tile: int = 0
    update_vectors: int = 0
    mark_strips: int = 0  # these five are of a narrow first layer
    part_sums: int = 0
    update_part: int = 0
    pack_strips: int = 0
    unpack_strips: int = 0


class Place(NamedTuple):
    """Where a thread's data are: addresses, or offsets in floats from ``base``."""

    base: int
    net: int  # address of its copy of the layers
    n_layers: int
    rows_alone: int  # 1: what follows the first layer is divided by rows
    inputs: int
    ld: int  # leading dimension of the inputs
    source: int  # address of a Source
    lists: int  # address of Lists, or 0
    strips: int  # address of Strips, or 0
    partial: int  # sums of the parts
    slot_size: int  # from the parameters to the first row of state
    scratch: int
    runs: int  # address of the runs of a product
    masks: int  # address of Masks
    update: int  # address of an update
    losses: int  # address of float64, one for each row of a batch
    hits: int  # the same


class Masks(NamedTuple):
    """What dropout's random numbers depend on, besides the layer and the unit."""

    seed: int
    epoch: int
    samples: int  # address of the numbers of a batch's rows


class Inputs(NamedTuple):
    """What a layer multiplies: rows of a matrix."""

    a: int
    ld: int


@inner
def inputs_of(place, number):
    """Return the inputs of a layer: those of the network, or the outputs of the layer before."""
    if number == 0:
        return Inputs(place.inputs, place.ld)
    before = load_record(layer_at(place.net, number - 1), Layer)
    return Inputs(before.a, before.lda)


@inner
def clear_gradient(layer, base):
    """Zero dz, so that its padding, which no unit writes, adds nothing to that of the weights."""
    for i in range(0, layer.panels * layer.capacity * layer.width, VL):
        store(base, layer.dz + i, splat(0.0))


# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------


@c_function(7)
def finish_tile(base, at, panel, top, rows, masks_at, scratch):
    """Compute a = dropout(activation(sums + bias)) of a tile whose sums are in the scratch."""
    layer, masks = load_record(at, Layer), load_record(masks_at, Masks)
    first = panel * layer.width
    out = layer.a + top * layer.lda + first
    for r in range(rows):
        for c in range(0, layer.width, VL):
            z = load(base, scratch + r * layer.width + c) + load(base, layer.bias + first + c)
            store(base, out + c, activate(layer.activation, z))
        if layer.dropout:
            sample = load_index(masks.samples, top + r)
            key = row_key(masks.seed, masks.epoch, sample, layer.number)
            drop_row(base, out, layer.width, first, key, layer.dropout, base, out)
        out += layer.lda


@inner
def forward_layer(functions, place, number, batch, low, high, first, stop):
    """Compute a = dropout(activation(x w + b)) for rows of a batch and a share of (panel, row).

    ``batch`` is the number of rows; those in question are [low, high) of each panel, the units
    [first, stop) panel by panel.
    """
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    base, width = place.base, layer.width
    single_run(place.runs, layer.fan_in)
    for panel in range(layer.panels):
        start = max(low, first - panel * batch)
        end = min(high, stop - panel * batch)
        height = tile_height(end - start)
        weights = base + 4 * (layer.weights + panel * layer.fan_in * width)
        for top in range(start, end, height):
            rows, a = min(height, end - top), base + 4 * (inputs.a + top * inputs.ld)
            out = base + 4 * place.scratch
            call(
                functions.multiply_tile,
                (rows, width, a, inputs.ld, 1, weights, width, place.runs, out, width),
            )
            at = layer_at(place.net, number)
            call(functions.finish_tile, (base, at, panel, top, rows, place.masks, place.scratch))


@inner
def listed_sums(functions, place, panel, top, rows, out):
    """Sum the listed columns in the first layer, for a block of rows and a panel."""
    layer, lists = load_record(place.net, Layer), load_record(place.lists, Lists)
    a = place.base + 4 * (place.inputs + top * place.ld)
    weights = place.base + 4 * (layer.weights + panel * layer.fan_in * layer.width)
    terms = column_list(lists, 0, top)
    call(
        functions.multiply_listed,
        (rows, layer.width, a, place.ld, 1, weights, layer.width, terms, out),
    )


@inner
def forward_listed(functions, place, team, batch):
    """Do a share of the first layer, skipping listed zeros: blocks of rows, panel by panel."""
    base, layer, blocks = place.base, load_record(place.net, Layer), -(-batch // BLOCK)
    first, stop = share(layer.panels * blocks, team.thread, team.threads)
    for unit in range(first, stop):
        panel, top = unit // blocks, unit % blocks * BLOCK
        rows = min(BLOCK, batch - top)
        listed_sums(functions, place, panel, top, rows, base + 4 * place.scratch)
        at = place.net
        call(functions.finish_tile, (base, at, panel, top, rows, place.masks, place.scratch))


@inner
def add_parts(functions, place, parts, partial, batch):
    """Compute the first layer's outputs from the partial sums (parts, capacity, width)."""
    base, layer = place.base, load_record(place.net, Layer)
    width = layer.width
    for top in range(0, batch, BLOCK):
        rows = min(BLOCK, batch - top)
        for i in range(0, rows * width, VL):
            total = load(base, partial + top * width + i)
            for part in range(1, parts):
                total = total + load(base, partial + (part * layer.capacity + top) * width + i)
            store(base, place.scratch + i, total)
        at = place.net
        call(functions.finish_tile, (base, at, 0, top, rows, place.masks, place.scratch))


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@inner
def write_panel_runs(runs, layer):
    """Write runs for multiply_tile: a sum over a layer's outputs, one run per panel."""
    store_index(runs, 0, layer.panels)
    for panel in range(layer.panels):
        column = panel * layer.width
        store_index(runs, 3 * panel + 1, column * layer.fan_in)
        store_index(runs, 3 * panel + 2, column * layer.batch_width)
        store_index(runs, 3 * panel + 3, min(layer.width, layer.fan_out - column))


@inner
def input_gradient(functions, place, number, low, high, first, stop):
    """Compute dz of the layer before from w dz^T, rows [low, high) and units [first, stop).

    The tile holds input units of this layer by samples: the weights are the broadcast operand,
    read straight from their panels, a run for each; dzt is the vector operand. ``low`` begins a
    vector of rows.
    """
    layer = load_record(layer_at(place.net, number), Layer)
    before_width = load_record(layer_at(place.net, number - 1), Layer).width
    write_panel_runs(place.runs, layer)
    while first < stop:
        # Tiles end where a panel of the layer before does, so that dz is written in whole rows.
        end = min(stop, (first // before_width + 1) * before_width)
        height = tile_height(end - first)
        for top in range(first, end, height):
            rows, start = min(height, end - top), low
            while start < high:
                columns = layer.batch_width
                if start % layer.batch_width or high - start <= VL:
                    columns = np.int64(VL)
                input_gradient_tile(functions, place, layer, top, rows, start, high, columns)
                start += columns
        first = end


@inner
def input_gradient_tile(functions, place, layer, top, rows, start, high, columns):
    """Compute one tile of it: units [top, top + rows), ``columns`` samples from ``start``."""
    base, batch_width = place.base, layer.batch_width
    within = start % batch_width
    weights = base + 4 * (layer.weights + top * layer.width)
    dzt = base + 4 * (layer.dzt + (start - within) * layer.fan_out + within)
    out = base + 4 * place.scratch
    call(
        functions.multiply_tile,
        (rows, columns, weights, layer.width, 1, dzt, batch_width, place.runs, out, columns),
    )
    before, n = layer_at(place.net, layer.number - 1), min(columns, high - start)
    call(
        functions.derive_tile,
        (base, before, top, rows, start, n, columns, place.masks, place.scratch),
    )


@c_function(9)
def derive_tile(base, at, top, rows, start, n, columns, masks_at, scratch):
    """Turn a tile of w dz^T, units [top, top + rows) by n samples from ``start``, into dz.

    Square blocks are transposed in registers, so that a sample's units lie side by side, as
    they do in a and dz; and back again into dzt, which the first layer does without. The rows of
    the tile are ``columns`` floats apart.
    """
    layer, masks = load_record(at, Layer), load_record(masks_at, Masks)
    block, batch_width = scratch + TILE, layer.batch_width
    within = start % batch_width
    undo = splat(np.float32(1.0) / keep_factor(layer.dropout))
    for upper in range(0, rows, VL):
        unit, units = top + upper, min(VL, rows - upper)
        for left in range(0, n, VL):
            tile = load_block(base, scratch + upper * columns + left, columns)
            store_block(transpose(tile), base, block, VL)
            for c in range(min(VL, n - left)):
                b, out = start + left + c, block + c * VL
                derive_row(base, layer, masks, undo, b, unit, units, out)
            if layer.number:
                store_block(transpose(load_block(base, block, VL)), base, block, VL)
                out = layer.dzt + (start - within) * layer.fan_out
                out += unit * batch_width + within + left
                for r in range(units):
                    store(base, out + r * batch_width, load(base, block + r * VL))


@inner(forceinline=True)
def derive_row(base, layer, masks, undo, b, unit, units, at):
    """Turn the values at base + at, units of sample b, into dz, there and in the layer's dz.

    ``undo`` is a vector of what undoes the factor of dropout.
    """
    a = load(base, layer.a + b * layer.lda + unit)
    if layer.dropout:
        # The derivative needs the output before dropout; the mask is drawn again.
        sample = load_index(masks.samples, b)
        key = row_key(masks.seed, masks.epoch, sample, layer.number)
        drop_row(base, at, units, unit, key, layer.dropout, base, at)
        a = a * undo
    gradient = derive(layer.activation, load(base, at), a)
    store(base, at, gradient)
    out = (unit // layer.width * layer.capacity + b) * layer.width + unit % layer.width
    store_first(base, layer.dz + out, gradient, units)


# ---------------------------------------------------------------------------------------------
# Weight gradients and updates
# ---------------------------------------------------------------------------------------------


@inner
def update_layer(functions, place, team, number, batch):
    """Compute this thread's share of a weight gradient (x^T dz), applying each tile at once."""
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    base, width, fan_in = place.base, layer.width, layer.fan_in
    single_run(place.runs, batch)
    first, stop = share(layer.panels * fan_in, team.thread, team.threads)
    while first < stop:
        panel = first // fan_in
        start = first - panel * fan_in
        end = min(fan_in, start + stop - first)
        height = tile_height(end - start)
        dz = base + 4 * (layer.dz + panel * layer.capacity * width)
        for top in range(start, end, height):
            rows, a, out = min(height, end - top), base + 4 * (inputs.a + top), place.scratch
            call(
                functions.multiply_tile,
                (rows, width, a, 1, inputs.ld, dz, width, place.runs, base + 4 * out, width),
            )
            w, n = layer.weights + (panel * fan_in + top) * width, rows * width
            call(
                functions.update_vectors,
                (place.update, layer.decay, base, w, place.slot_size, out, n),
            )
        first += end - start


@inner
def update_listed(functions, place, panel, block):
    """Do the same for one block of columns of the network's inputs, over its listed rows."""
    layer, lists = load_record(place.net, Layer), load_record(place.lists, Lists)
    base, width, top = place.base, layer.width, block * BLOCK
    rows, terms = min(BLOCK, layer.fan_in - top), row_list(lists, block)
    if load_int32(terms, 0) >= 0:
        a, out = base + 4 * (place.inputs + top), base + 4 * place.scratch
        dz = base + 4 * (layer.dz + panel * layer.capacity * width)
        call(functions.multiply_listed, (rows, width, a, 1, place.ld, dz, width, terms, out))
    elif load_index(place.update, RULE) == PLAIN and not (
        layer.decay and load_scalar(place.update, DECAY)
    ):
        return  # without decay and moments, a gradient of zero changes nothing
    else:
        for i in range(0, rows * width, VL):
            store(base, place.scratch + i, splat(0.0))
    w = layer.weights + (panel * layer.fan_in + top) * width
    call(
        functions.update_vectors,
        (place.update, layer.decay, base, w, place.slot_size, place.scratch, rows * width),
    )


@inner
def update_listed_share(functions, place, team):
    """Update this thread's share of (panel, block of columns)."""
    layer = load_record(place.net, Layer)
    blocks = -(-layer.fan_in // BLOCK)
    first, stop = share(layer.panels * blocks, team.thread, team.threads)
    for unit in range(first, stop):
        update_listed(functions, place, unit // blocks, unit % blocks)


@inner
def update_biases(functions, place, team, number, batch):
    """Update this thread's panels of a bias, whose gradient is the sum of dz over the batch."""
    base, layer = place.base, load_record(layer_at(place.net, number), Layer)
    width = layer.width
    first, stop = share(layer.panels, team.thread, team.threads)
    for panel in range(first, stop):
        dz = layer.dz + panel * layer.capacity * width
        for c in range(0, width, VL):
            gradient = splat(0.0)
            for b in range(batch):
                gradient = gradient + load(base, dz + b * width + c)
            store(base, place.scratch + c, gradient)
        w = layer.bias + panel * width
        call(
            functions.update_vectors,
            (place.update, 0, base, w, place.slot_size, place.scratch, width),
        )
