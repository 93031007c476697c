"""The weight gradients, the third product of a layer, and how they change the parameters."""

import numpy as np

from .bits import WORD
from .functions import call, inner
from .inputs import Marks
from .machine import VL
from .memory import load_index, load_record, store_record
from .normalization import BIAS_SUM, GAIN_SUM, statistic
from .plan import Layer, layer_at, used_width
from .products import inputs_of
from .sparse import SparseProduct
from .team import share
from .tile import NR, SPARSE_VECTORS, SUM, TILE, Sum, multiply_panel, tile_height
from .updates import FUSED, UPDATED, Pending, fetch_weights
from .vectors import load, splat, store


@inner
def update_layer(functions, place, team, number, marks, batch):
    """Compute this thread's share of a weight gradient (x^T dz), and apply it.

    ``marks`` is the address of the inputs' marks, or 0.
    """
    layer = load_record(layer_at(place.net, number), Layer)
    fan_in = layer.fan_in
    store_record(place.sums, Sum(batch, batch, np.int64(0)))
    first, stop = share(layer.panels * fan_in, team.thread, team.threads)
    while first < stop:
        panel = first // fan_in
        low = first - panel * fan_in
        high = min(fan_in, low + stop - first)
        if marks:
            update_sparse(functions, place, number, marks, panel, low, high, batch)
        else:
            update_panel(functions, place, number, panel, low, high, batch)
        first += high - low


@inner
def update_panel(functions, place, number, panel, low, high, batch):
    """Compute the gradient of rows [low, high) of a panel of weights, and apply it.

    Each tile is applied while the next one is computed, if there are registers for both.
    """
    if FUSED:
        top = high - (high - low) % UPDATED
        update_while_multiplying(functions, place, number, panel, low, top, batch)
        low = top
    while low < high:
        rows = tile_height(high - low)
        update_tile(functions, place, number, panel, low, rows, batch)
        low += rows


@inner
def update_tile(functions, place, number, panel, low, rows, batch):
    """Compute the gradient of a few rows of a panel of weights, and apply it."""
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    base, width, used = place.base, layer.width, used_width(layer, panel)
    w, n = layer.weights + (panel * layer.fan_in + low) * width, rows * width
    for i in range(0, n, VL):
        fetch_weights(place.update, base, w + i, place.slot_size)
    multiply_panel(
        functions.multiply_tile, rows, used, width, base + 4 * (inputs.a + low), 1, inputs.ld,
        base + 4 * (layer.dz + panel * layer.capacity * width), place.sums,
        base + 4 * place.scratch,
    )  # fmt: skip
    # What is not used is not updated: row by row, or else all at once.
    row, run = (width, used) if used < width else (n, n)
    for i in range(0, n, row):
        g = place.scratch + i
        call(
            functions.update_vectors,
            (place.update, layer.decay, base, w + i, place.slot_size, g, run),
        )


@inner
def update_while_multiplying(functions, place, number, panel, low, high, batch):
    """Do what :func:`update_panel` does for a multiple of UPDATED rows.

    Two tiles of scratch take turns.
    """
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    base, width, at = place.base, layer.width, place.sums + 8 * SUM
    a, dz = base + 4 * inputs.a, base + 4 * (layer.dz + panel * layer.capacity * width)
    none, used = np.int64(0), used_width(layer, panel)
    for column in range(0, used, NR):
        columns, out = min(NR, used - column), place.scratch
        w = layer.weights + (panel * layer.fan_in + low) * width + column
        pending = Pending(place.update, layer.decay, base, w, place.slot_size, out, none, width)
        for row in range(low, high, UPDATED):
            store_record(at, pending)
            call(
                functions.multiply_and_update,
                (
                    columns, a + 4 * row, inputs.ld, dz + 4 * column, width, batch,
                    base + 4 * out, at,
                ),
            )  # fmt: skip
            pending = Pending(
                place.update, layer.decay, base, w, place.slot_size, out, np.int64(UPDATED), width
            )
            w, out = w + UPDATED * width, 2 * place.scratch + TILE - out
        for row in range(pending.rows):
            w, g = pending.w + row * width, pending.g + row * columns
            call(
                functions.update_vectors,
                (place.update, layer.decay, base, w, place.slot_size, g, columns),
            )


@inner
def update_sparse(functions, place, number, marks_at, panel, low, high, batch):
    """Do what :func:`update_panel` does, for inputs that are mostly zero."""
    layer, inputs = load_record(layer_at(place.net, number), Layer), inputs_of(place, number)
    base, marks, width = place.base, load_record(marks_at, Marks), layer.width
    product = SparseProduct(
        marks.columns + 8 * low * marks.row_words,
        marks.row_words,
        -(-batch // WORD),
        base + 4 * (inputs.a + low),
        np.int64(1),
        inputs.ld,
        base + 4 * (layer.dz + panel * layer.capacity * width),
        base + 4 * place.scratch,
        width,
        np.int64(0),
    )
    w, pending_at = layer.weights + (panel * layer.fan_in + low) * width, place.sums + 8 * SUM
    pending = Pending(
        place.update, layer.decay, base, w, place.slot_size, place.scratch, np.int64(0), width
    )
    store_record(place.product, product)
    store_record(pending_at, pending)
    call(
        load_index(functions.sparse, SPARSE_VECTORS + width // VL - 1),
        (high - low, place.product, pending_at),
    )


@inner
def update_biases(functions, place, team, number, batch):
    """Update this thread's panels of a bias, whose gradient is the sum of dz over the batch.

    That of a normalised layer has been summed already, and that of its gain.
    """
    base, layer = place.base, load_record(layer_at(place.net, number), Layer)
    width = layer.width
    first, stop = share(layer.panels, team.thread, team.threads)
    for panel in range(first, stop):
        column, g = panel * width, place.scratch
        if layer.normalized:
            g = statistic(layer, BIAS_SUM, column)
            gain, of_gain = layer.gain + column, statistic(layer, GAIN_SUM, column)
            call(
                functions.update_vectors,
                (place.update, 0, base, gain, place.slot_size, of_gain, width),
            )
        else:
            sum_dz(base, layer, panel, batch, g)
        w = layer.bias + column
        call(functions.update_vectors, (place.update, 0, base, w, place.slot_size, g, width))


@inner
def sum_dz(base, layer, panel, batch, out):
    """Sum a panel of dz over the rows of the batch."""
    dz = layer.dz + panel * layer.capacity * layer.width
    for c in range(0, layer.width, VL):
        gradient = splat(0.0)
        for b in range(batch):
            gradient = gradient + load(base, dz + b * layer.width + c)
        store(base, out + c, gradient)
