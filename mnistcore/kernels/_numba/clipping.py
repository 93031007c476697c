"""Gradients that are written as a whole, clipped by their norm, and then applied.

Without a limit for the norm, a tile of a gradient is applied as soon as it is computed. With one,
the gradient goes to a further row of packed parameters, the *place* of the gradient, first.
"""

import math

import numpy as np

from .functions import c_function, call, inner
from .machine import VL
from .memory import (
    load_double,
    load_record,
    load_scalar,
    option,
    store_double,
    store_scalar,
)
from .plan import Layer, layer_at, used_width
from .team import meet, share
from .updates import FACTOR, constants_of, update_vector, write_update
from .vectors import fma, load, splat, total

CLIP_EPS = 1e-6  # added to the norm, as PyTorch does


@c_function(6)
def sum_squares(base, at, place, first, stop, out):
    """Sum the squares of a layer's gradient over each vector of units, from ``first`` to ``stop``.

    The sums are float64 at ``out``. How they are added depends on no panel and no thread.
    """
    layer = load_record(at, Layer)
    width = layer.width
    for vector in range(first, stop):
        unit = vector * VL
        w = place + layer.weights + unit // width * layer.fan_in * width + unit % width
        x = load(base, place + layer.bias + unit)
        squares = x * x
        if layer.normalized:
            x = load(base, place + layer.gain + unit)
            squares = fma(x, x, squares)
        for i in range(w, w + layer.fan_in * width, width):
            x = load(base, i)
            squares = fma(x, x, squares)
        store_double(out, vector, np.float64(total(squares)))


@inner
def clip_factor(squares, n, limit):
    """Return what a gradient is multiplied by, given n sums of squares; NaN if one of them is."""
    norm = 0.0
    for i in range(n):
        norm += load_double(squares, i)
    factor = limit / (math.sqrt(norm) + CLIP_EPS)
    return 1.0 if factor >= 1.0 else factor


@c_function(7)
def apply_gradient(base, at, update, place, slot_size, thread, threads):
    """Apply this thread's share of a layer's gradient, times the factor of the update."""
    layer, factor = load_record(at, Layer), splat(load_scalar(update, FACTOR))
    constants = constants_of(update, layer.decay)
    first, stop = share(layer.panels * layer.fan_in, thread, threads)
    for row in range(first, stop):
        w = layer.weights + row * layer.width
        for i in range(w, w + used_width(layer, row // layer.fan_in), VL):
            update_vector(constants, load(base, place + i) * factor, base, i, slot_size)
    constants = constants_of(update, 0)
    first, stop = share(-(-layer.fan_out // VL), thread, threads)
    for unit in range(first * VL, stop * VL, VL):
        i = layer.bias + unit
        update_vector(constants, load(base, place + i) * factor, base, i, slot_size)
        if layer.normalized:
            i = layer.gain + unit
            update_vector(constants, load(base, place + i) * factor, base, i, slot_size)


@inner
def clip_and_apply(functions, run, place, team, step):
    """Apply the gradient that all threads have written, clipped by its norm.

    Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural
    networks", algorithm 1.
    """
    gradient, vectors = gradient_place(run, place.slot_size), 0
    meet(team)
    for number in range(place.n_layers):
        at, sums = layer_at(place.net, number), run.squares + 8 * vectors
        of_layer = -(-load_record(at, Layer).fan_out // VL)
        first, stop = share(of_layer, team.thread, team.threads)
        call(functions.sum_squares, (place.base, at, gradient, first, stop, sums))
        vectors += of_layer
    meet(team)
    factor = clip_factor(run.squares, vectors, option(run.options, "clip_norm"))
    rate = load_double(run.learning_rates, step)
    write_update(run.options, 0, rate, run.first_step + step + 1, place.update)
    store_scalar(place.update, FACTOR, np.float32(factor))
    for number in range(place.n_layers):
        call(
            functions.apply_gradient,
            (
                place.base, layer_at(place.net, number), place.update, gradient, place.slot_size,
                team.thread, team.threads,
            ),
        )  # fmt: skip


@inner
def gradient_place(run, slot_size):
    """Return the distance from a packed parameter to its place in a gradient to be clipped."""
    return (run.slots + 1) * slot_size


# The C functions of programs that clip gradients.
FUNCTIONS = {"sum_squares": sum_squares, "apply_gradient": apply_gradient}
