"""The ladder: a matrix product, step by step from a naive triple loop to the training kernel.

``numba_steps.STEPS`` and ``cython_steps.STEPS`` are lists of :class:`Step`, each with a function
``multiply(a, b, out)`` that computes ``out = a @ b`` in float32 for any shape. They are meant to
be read from top to bottom; ``python -m mnistcore.ladder`` measures them on your machine.
"""

from ..system.callable_module import make_callable
from .command import main
from .measure import Ladder, Rung, run
from .step import BACKENDS, Step, steps

__all__ = ["BACKENDS", "Ladder", "Rung", "Step", "main", "run", "steps"]

make_callable(__name__)
