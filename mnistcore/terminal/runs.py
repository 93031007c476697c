"""The runs that a command works on: those that are named, or the newest."""

import glob
import shlex
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from ..models.checkpoint import model_file
from ..runs.folder import is_run, is_run_file, newest_run
from ..system.files import check_target
from .command_line import Parser


def add_runs(parser: Parser, several: str = "") -> None:
    """Add the arguments RUN; ``several`` says what happens to more than one."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="a run folder or a .safetensors file (default: the newest run in runs/)" + several,
    )


def check_written(path: Path, *sources: Path) -> None:
    """Check that a command can write a file, which is none that it reads or that a run has written.

    Of a run folder among the ``sources`` the model is read.

    Raises
    ------
    ValueError
        If it is; or as :func:`.files.check_target`.
    """
    if path.exists() and is_run_file(path):
        raise ValueError(f"{path}: is a file of a run; give output another name")
    check_target(path, *(model_file(source) if is_run(source) else source for source in sources))


def runs_or_newest(runs: Sequence[str]) -> list[str]:
    """Return the runs that were named, or else the newest one, and say on stderr which it is.

    Raises
    ------
    FileNotFoundError
        If there is no finished run.
    """
    if runs:
        return list(runs)
    newest = str(newest_run())
    print(f"the newest run: {newest}", file=sys.stderr)
    return [newest]


def split_runs(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments ``[RUN ...] FILE ...`` into the runs, which come first, and the files.

    Raises
    ------
    FileNotFoundError
        If the first of several files does not exist and is no name of a picture.
    ValueError
        If there is no file, or a run among the files.
    """
    runs = list(takewhile(is_run, words))
    files = list(words[len(runs) :])
    if not files:
        raise ValueError(f"name a picture to read: mnistcore predict {shlex.join(runs)} IMAGE")
    first = Path(files[0])
    picture = first.suffix or files[0] == "-" or glob.has_magic(files[0])
    if len(files) > 1 and not (picture or first.exists()):
        raise FileNotFoundError(f"{first}: there is no such run or picture")
    for word in files:
        if is_run(word):
            raise ValueError(f"{word}: is a run; name runs before the pictures")
    return runs, files
