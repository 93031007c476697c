"""The moving average of the parameters, which is the last row of the state."""

import numpy as np

from ..layout import AVERAGE_EVERY
from .functions import c_function, call, inner
from .machine import VL
from .memory import option
from .team import meet, share
from .vectors import fma, load, splat, store


@inner
def average_share(decay, step):
    """Return the share of the parameters in their average after a step, counted from 1."""
    return 1.0 - min(decay, (1.0 + step) / (10.0 + step)) ** AVERAGE_EVERY


@c_function(6)
def move_average(base, average, options, step, first, stop):
    """Let packed parameters enter their average, from vector ``first`` to ``stop``.

    ``average`` is the distance from the parameters, ``options`` an address.
    """
    part = splat(np.float32(average_share(option(options, "ema_decay"), step)))
    for i in range(first * VL, stop * VL, VL):
        mean = load(base, average + i)
        store(base, average + i, fma(load(base, i) - mean, part, mean))


@inner
def average_parameters(functions, run, place, team, step):
    """Let the parameters enter their average, every AVERAGE_EVERY steps.

    All copies and their padding count as parameters. They have been updated by other threads: the
    threads meet before.
    """
    if step % AVERAGE_EVERY == 0:
        meet(team)
        first, stop = share(place.slot_size // VL, team.thread, team.threads)
        average = run.slots * place.slot_size
        call(functions.move_average, (place.base, average, place.options, step, first, stop))


# The C functions of programs with an average.
FUNCTIONS = {"move_average": move_average}
