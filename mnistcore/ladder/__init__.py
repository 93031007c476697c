"""The ladder: one matrix product, from a naive triple loop to the kernel that training runs on.

``numba_steps.STEPS`` and ``cython_steps.STEPS`` are lists of :class:`Step`, each a plain function
``step(a, b, out)`` that computes ``out = a @ b`` in float32 for every shape. They are meant to be
read from top to bottom, and ``python -m mnistcore.ladder`` measures them on the reader's machine.
"""

from .command import main
from .measure import Ladder, Rung, run
from .step import BACKENDS, Step, steps

__all__ = ["BACKENDS", "Ladder", "Rung", "Step", "main", "run", "steps"]
