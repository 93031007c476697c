"""The roofline of this machine: what it computes at most, for each byte that it loads.

Below the ridge a kernel is limited by the memory that its arrays lie in, beyond it by the
multiply-adds (Williams, Waterman and Patterson, Communications of the ACM 52, 2009).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..kernels.threads import get_num_threads
from .machine import LARGEST_TRIAD, bandwidth_gbs, peak_gflops
from .measure import run
from .step import load

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_TRIAD_BYTES, _RUNS = 1 << 26, 7


@dataclass(frozen=True)
class Roof:
    """The limits of a number of cores.

    Attributes
    ----------
    threads
        How many.
    peak
        GFLOP/s of multiply-adds in registers.
    bandwidths
        GB/s by the name of the memory that holds the arrays: "L1", ..., "memory". Of a triad or
        of a sum in place, which need not fetch what it only writes, whichever is faster.
    sizes
        The bytes of those arrays: half of each cache.
    """

    threads: int
    peak: float
    bandwidths: dict[str, float]
    sizes: dict[str, int]

    def limit(self, point: "Point") -> tuple[float, str]:
        """Return the most GFLOP/s for a step, and the limit: the peak, or what holds its arrays."""
        name = next((n for n, size in self.sizes.items() if point.moved <= 2 * size), "memory")
        most = self.bandwidths[name] * point.intensity
        return (self.peak, "the peak") if self.peak < most else (most, name)


@dataclass(frozen=True)
class Point:
    """A step on the roofline.

    Attributes
    ----------
    ladder, language, step
        Which one.
    intensity
        The operations for each byte that must be moved at least once.
    moved
        Those bytes.
    gflops
        1e9 operations per second.
    threads
        The cores that it may use.
    """

    ladder: str
    language: str
    step: str
    intensity: float
    moved: float
    gflops: float
    threads: int


@dataclass(frozen=True)
class Roofline:
    """The roofs of one core and of all, and the steps below them."""

    roofs: list[Roof]
    points: list[Point]


def measure_roofline(
    ladders: Sequence[str],
    backend: str = "both",
    seconds: float | None = None,
    *,
    quick: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> Roofline:
    """Measure the compiled steps of ladders, and the limits of this machine.

    Parameters
    ----------
    ladders
        Their names.
    backend, seconds, quick
        For each ladder: see :func:`run`.
    report
        Called with a line about the current activity.
    """
    points: list[Point] = []
    for name in ladders:
        ladder = load(name)
        shape = ladder.quick if quick else ladder.shape
        flops, moved = ladder.flops(shape), ladder.moved(shape)
        report(f"measuring {name}")
        climb = run(name, backend, shape, seconds, quick=quick)
        points += [
            Point(
                name, r.language, r.step, flops / moved, moved, 1e-9 * flops / r.seconds, r.threads
            )
            for r in climb.rungs
            if r.language != "python"
        ]
    report("measuring the limits of this machine")
    counts = sorted({1, get_num_threads(), *(point.threads for point in points)})
    return Roofline([_roof(threads) for threads in counts], points)


def _roof(threads: int) -> Roof:
    sizes = _working_sets(threads)
    bandwidths = {
        name: max(
            bandwidth_gbs(threads, size, max(size, _TRIAD_BYTES), runs=_RUNS, in_place=in_place)
            for in_place in (False, True)
        )
        for name, size in sizes.items()
    }
    return Roof(threads, peak_gflops(threads, runs=_RUNS), bandwidths, sizes)


def _working_sets(threads: int) -> dict[str, int]:
    """Return the bytes of arrays that fit into each cache, and of some that fit into none."""
    sets = {}
    for level, size in _cache_sizes().items():
        half = size // 2 * (threads if level < 3 else 1)  # L1 and L2 belong to a core
        if half < LARGEST_TRIAD // 2:
            sets[f"L{level}"] = half
    return sets | {"memory": LARGEST_TRIAD}


def _cache_sizes() -> dict[int, int]:
    """Return the bytes of the caches by level, where Linux tells them."""
    sizes = {}
    for cache in sorted(_CACHES.glob("index*")):
        try:
            level, kind, size = (
                (cache / name).read_text().strip() for name in ("level", "type", "size")
            )
            if kind in ("Data", "Unified"):
                sizes[int(level)] = int(size.removesuffix("K")) << 10
        except (OSError, ValueError):  # a virtual machine may leave them out
            continue
    return sizes
