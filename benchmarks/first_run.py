"""How long the first run takes with Numba: ``python -m benchmarks.first_run``.

The whole command ``mnistcore train --backend numba`` for one epoch, and the first fit of an
estimator, each in new processes: first with nothing compiled and no data unpacked, then with both
in the cache. MNIST must be in $MNISTCORE_DATA_DIR or ./data, or its download is timed too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

FIT = """
import numpy as np
from mnistcore.sklearn import MLPClassifier
x = np.random.default_rng(0).random((64, 784), np.float32)
MLPClassifier(backend="numba", max_iter=1).fit(x, np.arange(64) % 10)
"""
TRAIN = ["-m", "mnistcore.train", "--backend", "numba", "--epochs", "1", "--quiet"]
JOBS = {
    "default network": TRAIN,
    "no hidden layer": [*TRAIN, "--hidden", "none"],
    "1024-128": [*TRAIN, "--hidden", "1024", "128"],
    "fit of an estimator": ["-W", "ignore", "-c", FIT],
}


def seconds(arguments: Sequence[str], folder: str) -> float:
    """Return the time of a new process whose caches are in ``folder``."""
    environment = dict(os.environ, MNISTCORE_CACHE_DIR=folder)
    environment.pop("NUMBA_CACHE_DIR", None)
    with tempfile.TemporaryDirectory() as place:
        if "mnistcore.train" in arguments:
            arguments = [*arguments, "--output", str(Path(place, "run"))]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - began


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the jobs in turn, and print the shortest times."""
    parser = argparse.ArgumentParser("benchmarks.first_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of all jobs (default: 3)")
    rounds = parser.parse_args(argv).rounds
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in JOBS}
    for _ in range(rounds):
        for name, arguments in JOBS.items():
            with tempfile.TemporaryDirectory() as folder:
                times[name].append((seconds(arguments, folder), seconds(arguments, folder)))
    print(f"{'seconds, whole process':<24}{'first run':>12}{'second run':>12}")
    for name, measured in times.items():
        first, second = (min(column) for column in zip(*measured, strict=True))
        print(f"{name:<24}{first:12.2f}{second:12.2f}")


if __name__ == "__main__":
    main()
