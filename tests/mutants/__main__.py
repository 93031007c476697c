"""``python -m tests.mutants [WORD ...] [--list] [--markdown]``: 1 if a bug is not caught."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .bugs import chosen_bugs
from .copies import Copy


def main():
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a bug's name or file")
    parser.add_argument("--list", action="store_true", help="show the bugs, and plant none")
    arguments = parser.parse_args()
    bugs = chosen_bugs(arguments.words)
    if arguments.list:
        for bug in bugs:
            print(f"{bug.name:32} {bug.file}: {bug.what}")
        return 0
    began, survivors = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        for bug in bugs:
            before = copy.unchanged(bug.tests)
            if before.failure or not before.passed:
                print(before.output)
                print(f"{bug.name}: its tests do not pass without it: {bug.tests}")
                return 2
            with copy.with_bug(bug):
                after = copy.run(bug.tests)
            print(
                f"{bug.name:32} {after.failure or 'SURVIVED':100} {after.seconds:.1f}", flush=True
            )
            if not after.failure:
                survivors.append(bug.name)
    caught = len(bugs) - len(survivors)
    print(f"{caught} of {len(bugs)} bugs caught in {time.monotonic() - began:.0f} s")
    return 1 if survivors else 0


sys.exit(main())
