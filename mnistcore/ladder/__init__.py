"""The ladder: kernels, step by step from loops in Python to those that training runs on.

``load("matmul")`` is a :class:`Ladder`: one computation, and what each of its steps teaches.
``steps("matmul", "numba")`` are the steps in one language, functions to read from the slowest to
the fastest; ``python -m mnistcore.ladder matmul`` measures them on your machine. ``check(f)`` tests
a function of your own, and finds its place among them.
"""

from ..system.callable_module import make_callable
from .check import Place, check
from .command import main
from .measure import Climb, Rung, run
from .step import BACKENDS, LADDERS, Ladder, Lesson, Step, load, steps

__all__ = [
    "BACKENDS",
    "LADDERS",
    "Climb",
    "Ladder",
    "Lesson",
    "Place",
    "Rung",
    "Step",
    "check",
    "load",
    "main",
    "run",
    "steps",
]

make_callable(__name__)
