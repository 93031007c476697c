"""How many threads an estimator computes on: its parameter, or the share of its process."""

import multiprocessing
import os
from contextlib import AbstractContextManager
from typing import Any

from ..kernels.threads import available_cores, limited_threads


def share_of_cores() -> int:
    """The threads that this process may use: its cores, or fewer.

    joblib shares the cores out among its worker processes by ``OMP_NUM_THREADS``, which
    scikit-learn's own loops obey too. A worker of a ``multiprocessing`` pool, which is not told
    how many there are, uses one.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first):
        return min(available_cores(), int(first))
    return 1 if multiprocessing.current_process().daemon else available_cores()


def computing_on(n_threads: int | None, backend: str) -> AbstractContextManager[Any]:
    """A block in which this thread's calls of the kernels use at most so many threads.

    The products of the numpy backend belong to a BLAS, whose threads are limited for the whole
    process, and only where ``n_threads`` is a number.
    """
    if backend == "numpy" and n_threads is not None:
        from threadpoolctl import threadpool_limits

        return threadpool_limits(n_threads, "blas")
    return limited_threads(n_threads or share_of_cores())
