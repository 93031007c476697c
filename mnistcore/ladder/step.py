"""What a step of the ladder is, and where the steps of a backend are."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..kernels import checks
from ..kernels.backends import BackendUnavailableError

__all__ = ["BACKENDS", "Product", "Step", "checked", "steps"]

BACKENDS = ("numba", "cython")

Product = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Step:
    """One step of the ladder.

    Attributes
    ----------
    name
        A few words, as a table shows them.
    idea
        What is done differently from the step before, in a paragraph.
    teaches
        What to take home, in a sentence.
    multiply
        ``multiply(a, b, out)`` computes ``out = a @ b``: a (M, K), b (K, N), out (M, N), all
        float32 and C-contiguous; ``out`` is written and never read. Raises ValueError or
        TypeError where shapes or types do not agree. Its docstring says what bounds it.
    threaded
        Whether it computes on all cores.
    """

    name: str
    idea: str
    teaches: str
    multiply: Product
    threaded: bool = False


def checked(product: Product) -> Product:
    """The same product behind the checks of the kernels: compiled loops believe what they get.

    They do not get empty arrays either: a sum of no terms is 0, and of no elements there is none.
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
    """The steps of a backend, the naive one first.

    Raises
    ------
    ValueError
        If there is no ladder for ``backend``.
    BackendUnavailableError
        If it cannot be loaded on this machine.
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
