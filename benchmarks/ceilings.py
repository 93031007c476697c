"""The limits of this machine, measured: multiply-adds a second and bytes a second.

``python -m benchmarks.ceilings`` prints both.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import cache

from mnistcore.kernels.threads import available_cores
from mnistcore.ladder import machine

from .sizes import CEILING_ITERATIONS, CEILING_RUNS, LARGEST_TRIAD


@cache
def peak_gflops(threads: int) -> float:
    """The peak of float32 operations on so many threads, in GFLOP/s: FMAs on registers."""
    return machine.peak_gflops(threads, CEILING_ITERATIONS, CEILING_RUNS)


@cache
def bandwidth_gbs(threads: int, working_set: int = LARGEST_TRIAD) -> float:
    """The bandwidth of STREAM's triad, in GB/s; as a default its arrays are beyond the caches."""
    size = min(working_set, LARGEST_TRIAD)
    return machine.bandwidth_gbs(threads, size, LARGEST_TRIAD >> 3, CEILING_RUNS)


def measure_ceilings(threads: list[int]) -> dict[str, dict[str, float]]:
    """Peak and bandwidth by number of threads, for a file of results."""
    return {
        str(n): {"gflops": peak_gflops(n), "gbs": bandwidth_gbs(n)} for n in sorted(set(threads))
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the limits on one core and on all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ceilings", description=__doc__)
    parser.parse_args(argv)
    for count, limits in measure_ceilings([1, available_cores()]).items():
        sys.stdout.write(
            f"{count} thread{'s' if count > 1 else ''}:"
            f" {limits['gflops']:.0f} GFLOP/s, {limits['gbs']:.0f} GB/s\n"
        )


if __name__ == "__main__":
    main()
