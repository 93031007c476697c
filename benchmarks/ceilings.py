"""The limits of this machine, measured: multiply-adds a second and bytes a second.

Multiply-adds are measured by ``mnistcore.ladder.peak``, memory bandwidth here, in the same way.

``python -m benchmarks.ceilings`` prints both.
"""

import sys
from collections.abc import Callable
from functools import cache

import numpy as np

from mnistcore.kernels.threads import available_cores
from mnistcore.ladder import peak

from .sizes import CEILING_ITERATIONS, CEILING_RUNS, LARGEST_TRIAD

SMALLEST_TRIAD = 1 << 16
DENORMAL_FREE = np.float32(1e-3)


@cache
def peak_gflops(threads: int) -> float:
    """The peak of float32 operations on so many threads, in GFLOP/s: FMAs on registers."""
    return peak.peak_gflops(threads, CEILING_ITERATIONS, CEILING_RUNS)


def bandwidth_gbs(threads: int, working_set: int | None = None) -> float:
    """The bandwidth of a loop ``a[i] = b[i] + s c[i]``, in GB/s.

    This is the triad of STREAM (McCalpin 1995), which counts three arrays. ``working_set`` is the
    size of all three in bytes, rounded up to a power of two, so that a kernel whose arrays fit
    into a cache is compared with a triad that fits into it too. With None the arrays are far
    larger than all caches.
    """
    wanted = LARGEST_TRIAD if working_set is None else max(working_set, SMALLEST_TRIAD)
    return _triad_gbs(threads, min(1 << (wanted - 1).bit_length(), LARGEST_TRIAD))


@cache
def _triad_gbs(threads: int, working_set: int) -> float:
    triad = _triad()
    a, b, c = (np.full(working_set // 12, DENORMAL_FREE, np.float32) for _ in range(3))
    bounds = np.linspace(0, len(a), threads + 1).astype(int)
    repeats = max(1, (LARGEST_TRIAD >> 3) // working_set)

    def work(thread: int) -> None:
        part = slice(bounds[thread], bounds[thread + 1])
        triad(repeats, a[part], b[part], c[part])

    seconds = peak.best_seconds(threads, work, CEILING_RUNS)
    np.testing.assert_allclose(a, b + np.float32(repeats - 1) * c, 1e-6)  # the work was done
    return 1e-9 * repeats * 12 * len(a) / seconds


@cache
def _triad() -> Callable[[int, np.ndarray, np.ndarray, np.ndarray], None]:
    """The compiled loop. The first call loads Numba and compiles."""
    from numba import njit

    @njit(nogil=True, fastmath={"contract"})
    def triad(repeats: int, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        for repeat in range(repeats):
            factor = np.float32(repeat)  # differs, so that the compiler cannot drop a repeat
            for i in range(len(a)):
                a[i] = b[i] + factor * c[i]

    triad(1, *np.zeros((3, 1), np.float32))
    return triad


def measure_ceilings(threads: list[int]) -> dict[str, dict[str, float]]:
    """Peak and bandwidth by number of threads, for a file of results."""
    return {
        str(n): {"gflops": peak_gflops(n), "gbs": bandwidth_gbs(n)} for n in sorted(set(threads))
    }


if __name__ == "__main__":
    for count, limits in measure_ceilings([1, available_cores()]).items():
        sys.stdout.write(
            f"{count} threads: {limits['gflops']:.0f} GFLOP/s, {limits['gbs']:.0f} GB/s\n"
        )
