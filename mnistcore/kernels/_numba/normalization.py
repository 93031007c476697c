"""Batch normalisation of a layer, forward and back, and its running statistics.

Source: Ioffe and Szegedy 2015, "Batch normalization", algorithm 1. A unit's sums over the batch
are taken by one thread, row by row, so their bits do not depend on the number of threads.
"""

import numpy as np

from .blocks import load_block, store_block, transpose
from .functions import c_function, call, inner
from .machine import VL
from .memory import load_record, load_scalar, option, store_scalar
from .plan import Layer, used_width
from .tile import MR
from .vectors import fma, load, splat, sqrt, store

# The rows of a layer's statistics, (STATISTICS, panels * width).
MEAN = 0
VARIANCE = 1
INVERSE = 2  # 1 / sqrt(variance + eps)
BIAS_SUM = 3  # the gradient of the bias
GAIN_SUM = 4  # the gradient of the gain


@inner
def statistic(layer, row, unit):
    """Return the place of a row of statistics for a unit."""
    return layer.statistics + row * layer.panels * layer.width + unit


@inner
def in_panels(layer, place, unit):
    """Return the place of a unit in panels over the batch that begin at ``place``: z, or dz."""
    width = layer.width
    return place + unit // width * layer.capacity * width + unit % width


@inner
def normalize_units(base, layer, unit, rows, eps):
    """Normalise a vector of units in place: z becomes (z - mean) / sqrt(variance + eps)."""
    share_of_row, z = splat(np.float32(1.0 / rows)), in_panels(layer, layer.z, unit)
    total, squares = splat(0.0), splat(0.0)
    for row in range(rows):
        total = total + load(base, z + row * layer.width)
    mean = total * share_of_row
    for row in range(rows):
        x = load(base, z + row * layer.width) - mean
        squares = fma(x, x, squares)
    squares = squares * share_of_row
    inverse = splat(1.0) / sqrt(squares + splat(eps))
    for row in range(rows):
        store(base, z + row * layer.width, (load(base, z + row * layer.width) - mean) * inverse)
    store(base, statistic(layer, MEAN, unit), mean)
    store(base, statistic(layer, VARIANCE, unit), squares)
    store(base, statistic(layer, INVERSE, unit), inverse)


@c_function(9)
def normalize_panels(base, at, first, stop, rows, options, masks, scratch, finish_tile):
    """Compute the outputs of panels [first, stop) of a layer from its products in z.

    They are dropout(activation(gain * normalised z + bias)). ``finish_tile`` is the pointer of
    :func:`.products.finish_tile`; ``at``, ``options`` and ``masks`` are addresses.
    """
    layer, eps = load_record(at, Layer), np.float32(option(options, "norm_eps"))
    width = layer.width
    for panel in range(first, stop):
        used = used_width(layer, panel)
        for c in range(0, used, VL):
            normalize_units(base, layer, panel * width + c, rows, eps)
        for top in range(0, rows, MR):
            height = min(MR, rows - top)
            for r in range(height):
                row = layer.z + (panel * layer.capacity + top + r) * width
                for c in range(0, used, VL):
                    gain = load(base, layer.gain + panel * width + c)
                    store(base, scratch + r * width + c, load(base, row + c) * gain)
            call(finish_tile, (base, at, panel, top, height, masks, scratch, width))


@inner
def differentiate_units(base, layer, unit, rows):
    """Turn the gradient of a vector of units' normalised outputs in dz into that of z, in place."""
    width, z, dz = layer.width, in_panels(layer, layer.z, unit), in_panels(layer, layer.dz, unit)
    share_of_row = splat(np.float32(1.0 / rows))
    bias_sum, gain_sum = splat(0.0), splat(0.0)
    for row in range(rows):
        dy = load(base, dz + row * width)
        bias_sum = bias_sum + dy
        gain_sum = fma(dy, load(base, z + row * layer.width), gain_sum)
    factor = load(base, layer.gain + unit) * load(base, statistic(layer, INVERSE, unit))
    bias_mean, gain_mean = bias_sum * share_of_row, gain_sum * share_of_row
    for row in range(rows):
        dy = load(base, dz + row * width)
        dy = dy - fma(load(base, z + row * layer.width), gain_mean, bias_mean)
        store(base, dz + row * width, factor * dy)
    store(base, statistic(layer, BIAS_SUM, unit), bias_sum)
    store(base, statistic(layer, GAIN_SUM, unit), gain_sum)


@inner
def transpose_units(base, layer, unit, rows, block):
    """Copy dz of a vector of units to dz^T, by way of a square block of scratch."""
    width, batch_width, dz = layer.width, layer.batch_width, in_panels(layer, layer.dz, unit)
    for row in range(0, rows, VL):
        within = row % batch_width
        out = layer.dzt + ((row - within) * layer.fan_out) + unit * batch_width + within
        store_block(transpose(load_block(base, dz + row * width, width)), base, block, VL)
        for i in range(min(layer.fan_out - unit, VL)):
            store(base, out + i * batch_width, load(base, block + i * VL))


@c_function(6)
def differentiate_layer(base, at, unit, end, rows, block):
    """Do the backward pass of normalisation for units [unit, end), on dz and dz^T.

    Their sums are the gradients of bias and gain. ``unit`` is a multiple of VL, and ``block``
    the place of a square block of scratch.
    """
    layer = load_record(at, Layer)
    for first in range(unit, end, VL):
        differentiate_units(base, layer, first, rows)
        if layer.number:
            transpose_units(base, layer, first, rows, block)


@c_function(8)
def update_running(base, at, first, stop, rows, options, buffers, n_normalized):
    """Let the statistics of panels [first, stop) enter the running ones at address ``buffers``.

    The running variances are unbiased, so a single row, which has none, enters nothing.
    """
    layer, momentum = load_record(at, Layer), np.float32(option(options, "norm_momentum"))
    if rows < 2:
        return
    unbiased = np.float32(rows / (rows - 1))
    for unit in range(first * layer.width, min(stop * layer.width, layer.fan_out)):
        mean = load_scalar(base, statistic(layer, MEAN, unit))
        variance = load_scalar(base, statistic(layer, VARIANCE, unit))
        at_mean = layer.norm_offset + unit
        at_variance = at_mean + n_normalized
        running = load_scalar(buffers, at_mean)
        store_scalar(buffers, at_mean, running + momentum * (mean - running))
        running = load_scalar(buffers, at_variance)
        store_scalar(buffers, at_variance, running + momentum * (unbiased * variance - running))


# The C functions of programs with a normalised layer.
FUNCTIONS = {
    "normalize_panels": normalize_panels,
    "differentiate_layer": differentiate_layer,
    "update_running": update_running,
}
