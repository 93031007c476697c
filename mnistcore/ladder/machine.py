"""Measure the limits of this machine: floating-point operations a second, and bytes a second.

Numba compiles the loops, with the vector type of its backend. It runs on plain Python threads,
which compute in parallel because compiled code releases the interpreter's lock.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import SimpleNamespace

import numpy as np

CHAINS = 12  # independent sums: an FMA takes 4 cycles and two may start in each, so 8 would do
ITERATIONS = 2_000_000  # in a run, which takes about 7 ms
RUNS = 15

SMALLEST_TRIAD = 1 << 14  # bytes
LARGEST_TRIAD = 1 << 28
DENORMAL_FREE = np.float32(2**-10)  # sums of it are exact


def peak_gflops(threads: int, iterations: int = ITERATIONS, runs: int = RUNS) -> float:
    """Return the peak of FMAs in registers on ``threads`` threads, in float32 GFLOP/s."""
    loop = _loop()
    results = np.linspace(0, 1, threads * CHAINS * loop.lanes, dtype=np.float32)
    results = results.reshape(threads, -1)
    seconds = best_seconds(threads, lambda t: loop.fma_chains(iterations, results[t]), runs)
    return 2e-9 * threads * CHAINS * loop.lanes * iterations / seconds


def best_seconds(threads: int, work: Callable[[int], None], runs: int = RUNS) -> float:
    """Return the shortest of ``runs`` parallel runs of ``work(thread)``, in seconds."""
    return min(_run_seconds(threads, work) for _ in range(runs))


def _run_seconds(threads: int, work: Callable[[int], None]) -> float:
    ready = threading.Barrier(threads)

    def run(thread: int) -> tuple[float, float]:
        ready.wait()
        began = time.perf_counter()
        work(thread)
        return began, time.perf_counter()

    with ThreadPoolExecutor(threads) as pool:
        try:
            began, ended = zip(*pool.map(run, range(threads)), strict=True)
        finally:  # after an interrupt, no thread waits for others that were never started
            ready.abort()
    return max(ended) - min(began)


@cache
def _loop() -> SimpleNamespace:
    """Return the compiled loop; the first call imports Numba and compiles it."""
    from numba import njit

    from ..kernels._numba.machine import VL
    from ..kernels._numba.memory import address
    from ..kernels._numba.vectors import fma, splat, store

    @njit(nogil=True)
    def fma_chains(iterations: int, out: np.ndarray) -> None:
        # Factor and term keep each sum near 1, so that none overflows or becomes denormal.
        factor, term = splat(np.float32(0.5)), splat(np.float32(0.5))
        # All chains start differently, or the compiler might compute equal ones only once.
        s0, s1, s2, s3 = splat(out[0]), splat(out[1]), splat(out[2]), splat(out[3])
        s4, s5, s6, s7 = splat(out[4]), splat(out[5]), splat(out[6]), splat(out[7])
        s8, s9, s10, s11 = splat(out[8]), splat(out[9]), splat(out[10]), splat(out[11])
        for _ in range(iterations):
            s0, s1, s2 = fma(s0, factor, term), fma(s1, factor, term), fma(s2, factor, term)
            s3, s4, s5 = fma(s3, factor, term), fma(s4, factor, term), fma(s5, factor, term)
            s6, s7, s8 = fma(s6, factor, term), fma(s7, factor, term), fma(s8, factor, term)
            s9, s10, s11 = fma(s9, factor, term), fma(s10, factor, term), fma(s11, factor, term)
        base = address(out)
        for i, s in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11)):
            store(base, i * VL, s)

    fma_chains(1, np.zeros(CHAINS * VL, np.float32))
    return SimpleNamespace(fma_chains=fma_chains, lanes=VL)


def bandwidth_gbs(
    threads: int,
    working_set: int,
    moved: int = LARGEST_TRIAD >> 3,
    runs: int = RUNS,
    *,
    in_place: bool = False,
) -> float:
    """Return the bandwidth of a loop ``a[i] = b[i] + s c[i]``, in GB/s.

    This is the triad of STREAM (McCalpin 1995), which counts three arrays. A line of a has to be
    read before a part of it can be written, which STREAM does not count.

    Parameters
    ----------
    threads
        How many share the arrays.
    working_set
        The size of all arrays in bytes, rounded up to a power of two from 16 KiB to 256 MiB, so
        that a kernel whose arrays fit into a cache is compared with a loop whose arrays do.
    moved
        The bytes that a run moves, at least once through the arrays.
    runs
        The best of so many counts.
    in_place
        Measure ``a[i] += c[i]`` instead, for kernels that read what they write: all that they
        move is counted.
    """
    size = 1 << (min(max(working_set, SMALLEST_TRIAD), LARGEST_TRIAD) - 1).bit_length()
    length = size // (8 if in_place else 12)
    a, b, c = (np.full(length, DENORMAL_FREE, np.float32) for _ in range(3))
    bounds = np.linspace(0, len(a), threads + 1).astype(int)
    repeats, triad, accumulate = max(1, moved // size), *_streams()

    def work(thread: int) -> None:
        part = slice(bounds[thread], bounds[thread + 1])
        if in_place:
            accumulate(repeats, a[part], c[part])
        else:
            triad(repeats, a[part], b[part], c[part])

    seconds = best_seconds(threads, work, runs)
    times = runs * repeats if in_place else repeats - 1
    np.testing.assert_allclose(a, b + np.float32(times) * c, 1e-4)  # the work was done
    return 1e-9 * repeats * 12 * len(a) / seconds


@cache
def _streams() -> tuple[Callable[..., None], Callable[..., None]]:
    """Return the compiled loops; the first call imports Numba and compiles them."""
    from numba import njit

    @njit(nogil=True, fastmath={"contract"})
    def triad(repeats: int, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        for repeat in range(repeats):
            factor = np.float32(repeat)  # differs, so that the compiler cannot drop a repeat
            for i in range(len(a)):
                a[i] = b[i] + factor * c[i]

    @njit(nogil=True, fastmath={"contract"})
    def accumulate(repeats: int, a: np.ndarray, c: np.ndarray) -> None:
        for _ in range(repeats):
            for i in range(len(a)):
                a[i] += c[i]

    triad(1, *np.zeros((3, 1), np.float32))
    accumulate(1, *np.zeros((2, 1), np.float32))
    return triad, accumulate
