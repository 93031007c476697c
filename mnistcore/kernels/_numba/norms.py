"""The norms of weights: those of each unit, which have a limit if the options give one."""

import numpy as np

from .functions import c_function, call, inner
from .machine import VL
from .memory import load_record, option
from .plan import Layer, layer_at
from .team import meet, share
from .vectors import fma, load, select_less, splat, sqrt, store, total


@c_function(5)
def limit_units(base, at, options, first, stop):
    """Shrink the weights of vectors of units, from ``first`` to ``stop``, to the largest norm.

    ``at`` and ``options`` are addresses, of a layer and of the options.
    """
    layer, limit = load_record(at, Layer), splat(np.float32(option(options, "max_norm")))
    width = layer.width
    for vector in range(first, stop):
        unit = vector * VL
        w = layer.weights + unit // width * layer.fan_in * width + unit % width
        end, squares = w + layer.fan_in * width, splat(0.0)
        for i in range(w, end, width):
            x = load(base, i)
            squares = fma(x, x, squares)
        norm = sqrt(squares)
        if total(select_less(limit, norm, splat(1.0), splat(0.0))) > 0.0:
            factor = select_less(limit, norm, limit / norm, splat(1.0))
            for i in range(w, end, width):
                store(base, i, load(base, i) * factor)


@inner
def limit_norms(functions, place, team):
    """Shrink the weights of each unit to the largest norm that the options allow.

    A thread owns whole units here, but not in the update before: the threads meet in between.
    Source: Srivastava et al. 2014, "Dropout", section 5.1.
    """
    meet(team)
    for number in range(place.n_layers):
        at = layer_at(place.net, number)
        vectors = -(-load_record(at, Layer).fan_out // VL)
        first, stop = share(vectors, team.thread, team.threads)
        call(functions.limit_units, (place.base, at, place.options, first, stop))


# The C functions of programs with such a limit.
FUNCTIONS = {"limit_units": limit_units}
