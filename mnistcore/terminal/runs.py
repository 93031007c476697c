"""The run that a command works on: the one that is named, or the newest."""

import glob
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ..runs.folder import is_run, newest_run
from .command_line import Parser


def add_run(parser: Parser) -> None:
    """Add the argument RUN."""
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run folder or a .safetensors file (default: the newest run in runs/)",
    )


def run_or_newest(run: str | None) -> str:
    """Return ``run`` if it was named, or else the newest run, and say on stderr which it is.

    Raises
    ------
    FileNotFoundError
        If there is no finished run.
    """
    if run is not None:
        return run
    newest = str(newest_run())
    print(f"the newest run: {newest}", file=sys.stderr)
    return newest


def split_run(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split arguments ``[RUN] FILE ...`` into the run, if the first is one, and the files.

    Raises
    ------
    FileNotFoundError
        If the first does not exist and is no name of a picture.
    ValueError
        If there is no file, or a run among the files.
    """
    first = Path(words[0])
    picture = first.suffix or words[0] == "-" or glob.has_magic(words[0])
    if len(words) > 1 and not (picture or first.exists()):
        raise FileNotFoundError(f"{words[0]}: there is no such run or picture")
    run, files = (words[0], words[1:]) if is_run(words[0]) else (None, words)
    for word in files:
        if is_run(word):
            raise ValueError(f"{word}: is a run; name one run, before the pictures")
    if not files:
        raise ValueError(f"name a picture to read: mnistcore predict {shlex.quote(words[0])} IMAGE")
    return run, list(files)
