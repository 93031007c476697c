"""The number of threads of an estimator: its parameter, or its process's share of the cores."""

import multiprocessing
import os
from contextlib import AbstractContextManager
from typing import Any

from ..kernels.threads import available_cores, limited_threads


def share_of_cores() -> int:
    """Return the number of threads that this process may use: its cores, or fewer.

    joblib divides the cores among its worker processes by setting ``OMP_NUM_THREADS``, which
    scikit-learn's own loops obey too. A worker of a ``multiprocessing`` pool does not know the
    number of workers and uses one thread.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first):
        return min(available_cores(), int(first))
    return 1 if multiprocessing.current_process().daemon else available_cores()


def computing_on(n_threads: int | None, backend: str) -> AbstractContextManager[Any]:
    """Return a context manager that limits the threads of kernels called in this thread.

    The numpy backend uses BLAS, whose threads can only be limited for the whole process; this is
    done only if ``n_threads`` is a number.
    """
    if backend == "numpy" and n_threads is not None:
        from threadpoolctl import threadpool_limits

        return threadpool_limits(n_threads, "blas")
    return limited_threads(n_threads or share_of_cores())
