"""``python -m tests.fuzz [TARGET ...] [--executions N] [--seconds S] [--seed K] [--engine E]``."""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what tests share


def main():
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="by default all")
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--engine",
        choices=("random", "atheris"),
        default="random",
        help="atheris (pip install atheris) keeps files that reach code which no other has",
    )
    parser.add_argument("--again", type=Path, help="read the files in this folder and no other")
    arguments = parser.parse_args()
    if arguments.engine == "atheris":
        from .guided import installed

        if not installed():
            arguments.engine = "random"
            print("atheris is not installed; files are changed at random", file=sys.stderr)
    from .targets import TARGETS

    for name in arguments.targets or TARGETS:
        if name not in TARGETS:
            sys.exit(f"there is no target {name}; targets are {', '.join(TARGETS)}")
        _run(name, arguments)


def _run(name, arguments):
    from .driver import READ, Trial, fuzz, keeping, working

    kept = Path(f"fuzz-{name}-{arguments.seed}")
    if arguments.again:
        files = {
            str(path.relative_to(arguments.again)): path.read_bytes()
            for path in arguments.again.rglob("*")
            if path.is_file()
        }
        with keeping(kept) as folder, working():
            Trial(name, folder).run(files)
        return
    began, before = time.monotonic(), _processor()
    if arguments.engine == "atheris":
        from .guided import fuzz
    with keeping(kept) as folder:
        outcomes = fuzz(name, arguments.executions, folder, arguments.seed, arguments.seconds)
    seconds, read = time.monotonic() - began, outcomes.pop(READ, 0)
    print(
        f"{name}: {read + outcomes.total():,} executions in {seconds:,.0f} s"
        f" ({_processor() - before:,.0f} s of the processor); {read:,} were read, others refused in"
        f" {len(outcomes)} places",
        flush=True,
    )


def _processor():
    """The seconds of the processor that this process and its children have had."""
    return sum(os.times()[:4])


main()
