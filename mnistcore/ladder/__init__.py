"""The ladder: one matrix product, from a naive triple loop to the kernel that training runs on.

``numba_steps.STEPS`` and ``cython_steps.STEPS`` are lists of :class:`Step`, each a plain function
``step(a, b, out)`` that computes ``out = a @ b`` in float32 for every shape. They are meant to be
read from top to bottom, and ``python -m mnistcore.ladder`` measures them on the reader's machine.
"""

import importlib

from ..backends import BackendUnavailableError
from .step import Step

__all__ = ["BACKENDS", "Step", "steps"]

BACKENDS = ("numba", "cython")


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
        raise ValueError(f"there is no ladder for {backend!r}; choose from {', '.join(BACKENDS)}")
    try:
        module = importlib.import_module(f".{backend}_steps", __package__)
    except ImportError as error:
        raise BackendUnavailableError(
            f"the ladder in {backend} is not available: {error}"
        ) from error
    found: list[Step] = module.STEPS
    return found
