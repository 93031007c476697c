"""The steps of the ladder: what a step is, and loading those of a backend."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..kernels import checks
from ..kernels.backends import BackendUnavailableError

__all__ = ["BACKENDS", "NUMBERS", "Product", "Step", "checked", "steps"]

BACKENDS = ("numba", "cython")

Product = Callable[[np.ndarray, np.ndarray, np.ndarray], None]

# The numbers of the steps in tables, figures and docs/ladder.md. A step of one backend only keeps
# its number to itself.
NUMBERS = {
    "naive loops": 1,
    "loop order": 2,
    "cache blocking": 3,
    "register tile": 4,
    "packing": 5,
    "instruction set": 6,
    "vector intrinsics": 7,
    "vector extensions": 7,
    "threads": 8,
    "production": 9,
}


@dataclass(frozen=True)
class Step:
    """One step of the ladder.

    Attributes
    ----------
    name
        A few words, for tables.
    idea
        A paragraph about what changes from the previous step.
    teaches
        The lesson of the step, in one sentence.
    multiply
        ``multiply(a, b, out)`` computes ``out = a @ b``: a (M, K), b (K, N), out (M, N), all
        float32 and C-contiguous; ``out`` is written and never read. Raises ValueError for wrong
        shapes and TypeError for wrong dtypes. Its docstring says what limits its speed.
    threaded
        Whether the step uses all cores.
    """

    name: str
    idea: str
    teaches: str
    multiply: Product
    threaded: bool = False

    @property
    def number(self) -> int:
        """The number of the step, from 1; only Cython has number 6."""
        return NUMBERS[self.name]


def checked(product: Product) -> Product:
    """Wrap a compiled product, which checks nothing itself, in the argument checks of the kernels.

    Empty operands do not reach the product either; their result is filled with 0.
    """

    @functools.wraps(product)
    def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        checks.check_matmul(product.__name__, (checks.FLOAT32,), a, b, out, ("MK", "KN"))
        if a.size and b.size:
            product(a, b, out)
        else:
            out.fill(0)

    return multiply


def steps(backend: str) -> list[Step]:
    """Return the steps of a backend, the naive one first.

    Raises
    ------
    ValueError
        If there is no ladder for ``backend``.
    BackendUnavailableError
        If the backend cannot be loaded on this machine.
    """
    if backend not in BACKENDS:
        raise ValueError(f"there is no ladder in {backend!r}; choose from {', '.join(BACKENDS)}")
    try:
        module = importlib.import_module(f".{backend}_steps", __package__)
    except ImportError as error:
        raise BackendUnavailableError(
            f"the ladder in {backend} is not available: {error}"
        ) from error
    found: list[Step] = module.STEPS
    return found
