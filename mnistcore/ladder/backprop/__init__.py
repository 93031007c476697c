"""The mathematics of the ladder: back-propagation from one neuron to a trainer, each step checked.

``steps`` is to be read from top to bottom. ``python -m mnistcore.ladder.backprop`` measures the
derivatives of every step and trains with them; :func:`check` does that for a function of your own,
and :func:`check_solution` for the exercises of docs/backprop.md.
"""

from .command import main, run, train
from .differences import central_differences, check, compare
from .exercises import check_solution
from .lessons import STEPS, Step

__all__ = [
    "STEPS",
    "Step",
    "central_differences",
    "check",
    "check_solution",
    "compare",
    "main",
    "run",
    "train",
]
