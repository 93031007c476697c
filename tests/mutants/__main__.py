"""Plant bugs one at a time in a copy of the working tree, and see whether tests catch them."""

import argparse
import shlex
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from .bugs import PAGE, bugs_about, page
from .copies import Copy


def main():
    parser = argparse.ArgumentParser("python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a bug's name or file")
    parser.add_argument("--list", action="store_true", help="show the bugs, and plant none")
    parser.add_argument("--markdown", action="store_true", help=f"write docs/{PAGE.name}")
    arguments = parser.parse_args()
    if arguments.markdown and arguments.words:
        parser.error("--markdown is about all bugs; give no WORD")
    try:
        bugs = bugs_about(arguments.words)
    except ValueError as error:
        parser.error(str(error))
    if arguments.list:
        print("\n".join(f"{bug.name:32} {bug.file}: {bug.what}" for bug in bugs))
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        check(bugs, copy)
        caught = sum(is_caught(bug, copy) for bug in bugs)
    print(f"{caught} of {len(bugs)} bugs caught in {time.monotonic() - began:.0f} s")
    if caught < len(bugs):
        return 1
    if arguments.markdown:
        PAGE.write_text(page(bugs))
    return 0


def check(bugs, copy):
    """End the command unless the tests pass without a bug; those of equal options run together."""
    groups = defaultdict(set)
    for bug in bugs:
        test, *options = shlex.split(bug.tests)
        groups[tuple(options)].add(test)
    for options, tests in groups.items():
        outcome = copy.run(shlex.join([*sorted(tests), *options]))
        if outcome.failure:
            sys.exit(f"{outcome.output}\nwithout a bug: {outcome.failure}")


def is_caught(bug, copy):
    """Plant a bug, and return whether its tests catch it."""
    with copy.with_bug(bug):
        outcome = copy.run(bug.tests)
    found = outcome.failure or f"NOT CAUGHT: {outcome.output.splitlines()[-1]}"
    print(f"{bug.name:30}{outcome.seconds:6.1f} s  {found}", flush=True)
    return bool(outcome.failure)


sys.exit(main())
