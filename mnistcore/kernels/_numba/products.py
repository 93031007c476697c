"""The outputs of a layer, and dz of the one before: two of its three products, and what follows.

Data are named by addresses and offsets, never by arrays: passing an array between functions
updates its reference count, and threads that update the same count wait for each other. Related
values form a record (a NamedTuple of int64), in registers or, for C functions, at an address
(``at``: that of a :class:`.plan.Layer`).
"""

from typing import NamedTuple

import numpy as np

from .bits import WORD
from .blocks import load_block, store_block, transpose
from .dropout import drop_row, keep_factor, row_key
from .elementwise import activate, derive
from .functions import c_function, call, inner
from .inputs import SPARSE, Marks
from .machine import VL
from .memory import load_index, load_record, store_record
from .plan import Layer, layer_at, used_width
from .sparse import SparseProduct
from .team import share
from .tile import MR, TILE, Sum, multiply_panel, tile_height
from .vectors import load, splat, store, store_first

WEIGHTS_AT_ONCE = 1 << 13  # floats of a panel that are multiplied together: 32 KiB, the L1 cache


class Functions(NamedTuple):
    """The pointers of the C functions that the programs call; 0 for those that one does not."""

    multiply_tile: int
    finish_tile: int
    pack: int
    gather: int = 0
    sparse: int = 0  # address of the pointers for each width: of products, and of updates
    mark_rows: int = 0
    mark_columns: int = 0
    unpack: int = 0
    loss_rows: int = 0
    derive_tile: int = 0
    update_vectors: int = 0
    multiply_and_update: int = 0
    mark_strips: int = 0  # these five are of a narrow first layer
    part_sums: int = 0
    update_part: int = 0
    pack_strips: int = 0
    unpack_strips: int = 0
    normalize_panels: int = 0  # these three are of normalised layers
    differentiate_layer: int = 0
    update_running: int = 0
    soft_rows: int = 0  # in place of loss_rows, for soft targets and smoothed labels
    limit_units: int = 0  # of a limit for the norms of weights
    move_average: int = 0  # of an average of the parameters
    sum_squares: int = 0  # these two are of clipped gradients
    apply_gradient: int = 0


class Place(NamedTuple):
    """Where a thread's data are: addresses, or offsets in floats from ``base``."""

    base: int
    net: int  # address of its copy of the layers
    n_layers: int
    rows_alone: int  # 1: what follows the first layer is divided by rows
    inputs: int
    ld: int  # leading dimension of the inputs
    source: int  # address of a Source
    marks: int  # address of Marks, or 0
    hidden: int  # the same, for the layer at work, if it is not the first
    product: int  # address of a SparseProduct
    strips: int  # address of Strips, or 0
    partial: int  # sums of the parts
    slot_size: int  # from the parameters to the first row of state
    scratch: int
    sums: int  # address of a Sum, and of a Pending after it
    masks: int  # address of Masks
    update: int  # address of an update
    losses: int  # address of float64, one for each row of a batch
    hits: int  # the same
    options: int  # address of one record


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


@c_function(8)
def finish_tile(base, at, panel, top, rows, masks_at, sums, sums_row):
    """Compute a = dropout(activation(sums + bias)) of a tile.

    The sums are at base + ``sums``, their rows ``sums_row`` floats apart; a may take their place.
    """
    layer, masks = load_record(at, Layer), load_record(masks_at, Masks)
    first, used = panel * layer.width, used_width(layer, panel)
    out = layer.a + top * layer.lda + first
    for r in range(rows):
        for c in range(0, used, VL):
            z = load(base, sums + r * sums_row + c) + load(base, layer.bias + first + c)
            store(base, out + c, activate(layer.activation, z))
        if layer.dropout:
            sample = load_index(masks.samples, top + r)
            key = row_key(masks.seed, masks.epoch, sample, layer.number)
            drop_row(base, out, used, first, key, layer.dropout, base, out)
        out += layer.lda


@inner
def mark_inputs(functions, place, number, low, high):
    """Mark what is not zero in rows [low, high) of a hidden layer's inputs, if it may be little.

    Returns the address of the :class:`.inputs.Marks`, or 0 if too little is zero.
    """
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    if not layer.skips:
        return 0
    a = place.base + 4 * inputs.a
    call(functions.mark_rows, (place.hidden, a, inputs.ld, layer.fan_in, low, high))
    return place.hidden if load_index(place.hidden, SPARSE) else 0


@inner
def forward_layer(functions, place, number, marks, batch, low, high, first, stop):
    """Compute a = dropout(activation(x w + b)) for rows of a batch and a share of (panel, row).

    Of a normalised layer, it computes z = x w alone.
    ``batch`` is the number of rows; those in question are [low, high) of each panel, the units
    [first, stop) panel by panel. ``marks`` is the address of the inputs' marks, or 0.
    """
    layer = load_record(layer_at(place.net, number), Layer)
    store_record(place.sums, Sum(layer.fan_in, layer.fan_in, np.int64(0)))
    for panel in range(layer.panels):
        start = max(low, first - panel * batch)
        end = min(high, stop - panel * batch)
        if start < end and marks:
            forward_sparse(functions, place, number, marks, panel, start, end)
        elif start < end:
            forward_panel(functions, place, number, panel, start, end)


@inner
def forward_panel(functions, place, number, panel, start, end):
    """Compute rows [start, end) of a panel of outputs, tile by tile."""
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    base, width = place.base, layer.width
    weights = base + 4 * (layer.weights + panel * layer.fan_in * width)
    while start < end:
        rows, a = tile_height(end - start), base + 4 * (inputs.a + start * inputs.ld)
        out = place.scratch
        if layer.normalized:
            out = layer.z + (panel * layer.capacity + start) * width
        multiply_panel(
            functions.multiply_tile, rows, used_width(layer, panel), width, a, inputs.ld, 1,
            weights, place.sums, base + 4 * out,
        )  # fmt: skip
        if not layer.normalized:
            at = layer_at(place.net, number)
            call(functions.finish_tile, (base, at, panel, start, rows, place.masks, out, width))
        start += rows


@inner
def forward_sparse(functions, place, number, marks_at, panel, start, end):
    """Compute rows [start, end) of a panel of outputs of mostly zero inputs, some words at a time.

    Those words' weights stay in the L1 cache.
    """
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    base, marks, width = place.base, load_record(marks_at, Marks), layer.width
    most, out, out_row = WEIGHTS_AT_ONCE // (WORD * width), layer.a + panel * width, layer.lda
    if layer.z:
        out, out_row = layer.z + panel * layer.capacity * width, width
    out += start * out_row
    for word in range(0, marks.words, most):
        column = word * WORD
        product = SparseProduct(
            marks.rows + 8 * (start * marks.words + word),
            marks.words,
            min(most, marks.words - word),
            base + 4 * (inputs.a + start * inputs.ld + column),
            inputs.ld,
            np.int64(1),
            base + 4 * (layer.weights + (panel * layer.fan_in + column) * width),
            base + 4 * out,
            out_row,
            min(word, 1),
        )
        store_record(place.product, product)
        call(load_index(functions.sparse, width // VL - 1), (end - start, place.product))
    if not layer.normalized:
        at, rows = layer_at(place.net, number), end - start
        call(functions.finish_tile, (base, at, panel, start, rows, place.masks, out, out_row))


@inner
def normalize_layer(functions, place, team, number, batch):
    """Compute the outputs of a normalised layer from z, for this thread's panels."""
    at = layer_at(place.net, number)
    first, stop = share(load_record(at, Layer).panels, team.thread, team.threads)
    call(
        functions.normalize_panels,
        (
            place.base, at, first, stop, batch, place.options, place.masks, place.scratch,
            functions.finish_tile,
        ),
    )  # fmt: skip


@inner
def add_parts(functions, place, parts, partial, batch):
    """Compute the first layer's outputs from the partial sums (parts, capacity, width)."""
    base, layer = place.base, load_record(place.net, Layer)
    width = layer.width
    for top in range(0, batch, MR):
        rows = min(MR, batch - top)
        for i in range(0, rows * width, VL):
            total = load(base, partial + top * width + i)
            for part in range(1, parts):
                total = total + load(base, partial + (part * layer.capacity + top) * width + i)
            store(base, place.scratch + i, total)
        call(
            functions.finish_tile,
            (base, place.net, 0, top, rows, place.masks, place.scratch, width),
        )


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------


@inner
def input_gradient(functions, place, number, low, high, first, stop):
    """Compute dz of the layer before from w dz^T, rows [low, high) and units [first, stop).

    The tile holds input units of this layer by samples: the weights are the broadcast operand,
    read straight from their panels; dzt is the vector operand. ``low`` begins a
    vector of rows.
    """
    layer = load_record(layer_at(place.net, number), Layer)
    before_width = load_record(layer_at(place.net, number - 1), Layer).width
    jump = (layer.fan_in - 1) * layer.width  # to the next panel
    store_record(place.sums, Sum(layer.fan_out, layer.width, jump))
    while first < stop:
        # Tiles end where a panel of the layer before does, so that dz is written in whole rows.
        end = min(stop, (first // before_width + 1) * before_width)
        while first < end:
            rows, start = tile_height(end - first), low
            while start < high:
                columns = layer.batch_width
                if start % layer.batch_width or high - start <= VL:
                    columns = np.int64(VL)
                input_gradient_tile(functions, place, layer, first, rows, start, high, columns)
                start += columns
            first += rows


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
        (rows, columns, weights, layer.width, 1, dzt, batch_width, place.sums, out, columns),
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
            if layer.number and not layer.normalized:  # its dz is transposed once it is final
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
