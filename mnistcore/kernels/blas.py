"""The threads of NumPy's BLAS, on which the NumPy backend computes.

BLAS libraries have one number of threads for the whole process. The products of mini-batches are
small, and threads that wait for each other at the end of each product are slow where other
programs use the cores: an epoch of 784-128-64-10 took 0.6 s with one thread, and 10 to 20 s with
two of them on a busy machine with two cores. By default the NumPy backend therefore uses one
thread.
"""

import os
from contextlib import AbstractContextManager
from typing import Any

from .threads import get_num_threads, limited_threads

# Variables that BLAS libraries read once, when they are loaded.
VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)


def named_threads() -> int | None:
    """Return the number of BLAS threads that a variable of the environment names, if one does."""
    for variable in VARIABLES:
        first = os.environ.get(variable, "").split(",")[0].strip()
        if first.isdecimal() and int(first):
            return int(first)
    return None


def threads_of(backend: str, n: int = 0) -> int:
    """Return how many threads a backend uses at most, for a limit of ``n``, or 0 for none."""
    if backend == "numpy":
        return n or named_threads() or 1
    with limited_threads(n):
        return get_num_threads()


def limited(backend: str, n: int) -> AbstractContextManager[Any]:
    """Return a context in which a backend uses at most ``n`` threads; 0 is its default.

    The compiled backends are limited in the calling thread, as :func:`.limited_threads` does it.
    NumPy's BLAS is limited in the whole process, and by one of its threads at a time; its default
    is one thread, or the number that a variable of the environment names. Raises ValueError if
    ``n`` is negative.
    """
    if backend != "numpy":
        return limited_threads(n)
    if n < 0:
        raise ValueError(f"the number of threads must not be negative, got {n}")
    from threadpoolctl import threadpool_limits

    return threadpool_limits(threads_of(backend, n), "blas")
