"""The number of threads of an estimator: its parameter, or its process's share of the cores."""

from contextlib import AbstractContextManager
from typing import Any

from ..kernels.blas import limited
from ..kernels.threads import available_cores, default_threads


def share_of_cores() -> int:
    """Return the number of threads that this process may use: its cores, or fewer.

    joblib divides the cores among its worker processes by setting ``OMP_NUM_THREADS``, which
    scikit-learn's own loops obey too.
    """
    return min(available_cores(), default_threads())


def computing_on(n_threads: int | None, backend: str) -> AbstractContextManager[Any]:
    """Return a context manager that limits the threads of a backend: see :func:`.blas.limited`."""
    if backend == "numpy":
        return limited(backend, n_threads or 0)
    return limited(backend, n_threads or share_of_cores())
