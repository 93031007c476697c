"""Plant bugs one at a time in a copy of the working tree, and see whether tests catch them."""

import argparse
import sys
import tempfile
import time
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
        caught = plant(bugs, Copy(Path(folder)))
    print(f"{len(caught)} of {len(bugs)} bugs caught in {time.monotonic() - began:.0f} s")
    if len(caught) < len(bugs):
        return 1
    if arguments.markdown:
        PAGE.write_text(page(caught))
    return 0


def plant(bugs, copy):
    """Return pairs of a bug that was caught and the test that caught it."""
    caught = []
    for bug in bugs:
        before = copy.without_bug(bug.tests)
        if before.failure or not before.passed:
            sys.exit(f"{before.output}\n{bug.name}: {bug.tests}: does not pass without the bug")
        with copy.with_bug(bug):
            after = copy.run(bug.tests)
        caught += [(bug, after.failure)] if after.failure else []
        print(f"{bug.name:30}{after.seconds:6.1f} s  {after.failure or 'NOT CAUGHT'}", flush=True)
    return caught


sys.exit(main())
