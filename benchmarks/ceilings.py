"""The limits of this machine, measured: multiply-adds a second and bytes a second.

Both loops are compiled by Numba with the vector type of its backend, and run on plain Python
threads, which compute side by side because compiled code lets go of the interpreter's lock.

``python -m benchmarks.ceilings`` prints them.
"""

import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import numpy as np

from mnistcore.kernels._threads import available_cores

from .sizes import CEILING_ITERATIONS, CEILING_RUNS, LARGEST_TRIAD

CHAINS = 12  # independent sums: an FMA takes 4 cycles and two may start in each, so 8 would do
SMALLEST_TRIAD = 1 << 16
DENORMAL_FREE = np.float32(1e-3)


@cache
def peak_gflops(threads: int) -> float:
    """The most float32 operations that so many threads do, in 1e9 a second: FMAs on registers."""
    loops = _loops()
    results = np.linspace(0, 1, threads * CHAINS * loops.lanes, dtype=np.float32)
    results = results.reshape(threads, -1)

    def work(thread: int) -> None:
        loops.fma_chains(CEILING_ITERATIONS, results[thread])

    seconds = _best_seconds(threads, work)
    return 2e-9 * threads * CHAINS * loops.lanes * CEILING_ITERATIONS / seconds


def bandwidth_gbs(threads: int, working_set: int | None = None) -> float:
    """The bytes that a loop ``a[i] = b[i] + s c[i]`` moves, in 1e9 a second.

    The triad of McCalpin's STREAM (1995), which counts three arrays. ``working_set`` is the size
    of all three in bytes, rounded up to a power of two: a kernel whose arrays fit into a cache is
    compared with a triad that fits into it too. None: far beyond all caches.
    """
    wanted = LARGEST_TRIAD if working_set is None else max(working_set, SMALLEST_TRIAD)
    return _triad_gbs(threads, min(1 << (wanted - 1).bit_length(), LARGEST_TRIAD))


@cache
def _triad_gbs(threads: int, working_set: int) -> float:
    loops = _loops()
    a, b, c = (np.full(working_set // 12, DENORMAL_FREE, np.float32) for _ in range(3))
    bounds = np.linspace(0, len(a), threads + 1).astype(int)
    repeats = max(1, (LARGEST_TRIAD >> 3) // working_set)

    def work(thread: int) -> None:
        part = slice(bounds[thread], bounds[thread + 1])
        loops.triad(repeats, a[part], b[part], c[part])

    return 1e-9 * repeats * 12 * len(a) / _best_seconds(threads, work)


def _best_seconds(threads: int, work: Callable[[int], None]) -> float:
    """The shortest of several runs, from the moment that all the threads stand ready."""
    return min(_run_seconds(threads, work) for _ in range(CEILING_RUNS))


def _run_seconds(threads: int, work: Callable[[int], None]) -> float:
    ready = threading.Barrier(threads)
    spans = np.zeros((threads, 2))

    def run(thread: int) -> None:
        ready.wait()
        began = time.perf_counter()
        work(thread)
        spans[thread] = began, time.perf_counter()

    team = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for member in team:
        member.start()
    for member in team:
        member.join()
    return float(spans[:, 1].max() - spans[:, 0].min())


@cache
def _loops() -> SimpleNamespace:
    """The compiled loops; numba is loaded and they are compiled on the first call."""
    from numba import njit

    from mnistcore.kernels._numba.simd import LANES, address, fma, splat, store

    @njit(nogil=True)
    def fma_chains(iterations: int, out: np.ndarray) -> None:
        # Factor and term keep each sum near 1: nothing overflows, nothing becomes denormal.
        factor, term = splat(np.float32(0.5)), splat(np.float32(0.5))
        # All start differently, or the compiler might compute equal chains once.
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
            store(base, i * LANES, s)

    @njit(nogil=True, fastmath={"contract"})
    def triad(repeats: int, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        for repeat in range(repeats):
            factor = np.float32(repeat)  # differs, so that no repeat can be left out
            for i in range(len(a)):
                a[i] = b[i] + factor * c[i]

    fma_chains(1, np.zeros(CHAINS * LANES, np.float32))
    triad(1, *np.zeros((3, 1), np.float32))
    return SimpleNamespace(fma_chains=fma_chains, triad=triad, lanes=LANES)


def measure_ceilings(threads: list[int]) -> dict[str, dict[str, float]]:
    """Peak and bandwidth by the number of threads, for a file of results."""
    return {
        str(n): {"gflops": peak_gflops(n), "gbs": bandwidth_gbs(n)} for n in sorted(set(threads))
    }


if __name__ == "__main__":
    for count, limits in measure_ceilings([1, available_cores()]).items():
        sys.stdout.write(
            f"{count} threads: {limits['gflops']:.0f} GFLOP/s, {limits['gbs']:.0f} GB/s\n"
        )
