"""``python -m tests.fuzz TARGET ... [--executions N] [--seconds S] [--seed K]``."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what tests share

from .driver import fuzz, keeping
from .targets import TARGETS


def main():
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="+", choices=TARGETS)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.targets:
        began = time.monotonic()
        kept = Path(f"fuzz-{name}-{arguments.seed}")
        with tempfile.TemporaryDirectory() as folder, keeping(folder, kept):
            done = fuzz(name, arguments.executions, Path(folder), arguments.seed, arguments.seconds)
        print(f"{name}: {done:,} executions in {time.monotonic() - began:.0f} s", flush=True)


main()
