"""The wording of error messages."""

import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from .text import one_line


def error_words(error: BaseException) -> str:
    """Return the message of an error, with the name of the file concerned if there is one."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {error}".removesuffix(": ")
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, FileNotFoundError) and error.strerror:  # of os.getcwd, without a name
        return "the working folder does not exist any more; change to another"
    return str(error)


def reason_of(error: BaseException) -> str:
    """Return what a library says of damaged input, short enough for a line."""
    words = " ".join(str(error)[:10_000].split()).strip("\"'") or type(error).__name__
    return one_line(words, 200)


def place_of(error: BaseException, file: str | Path) -> str:
    """Return the line of a file at which an exception left it, in words; "" if it was elsewhere."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    return f"{Path(file).name}, line {lines[-1]}" if lines else ""


def by(sizes: Iterable[int]) -> str:
    """Return sizes joined as in "28 x 28"."""
    return " x ".join(map(str, sizes))


def few(names: Sequence[str]) -> str:
    """Return the first names of a list in words, and how many there are if not all are named."""
    if len(names) <= 12:
        return ", ".join(names)
    return f"{', '.join(names[:3])} ... {names[-1]} ({len(names)})"


def did_you_mean(name: str, known: Iterable[str], kind: str) -> str:
    """Return a hint for an unknown name: the closest of the known names, or all of them."""
    known = list(known)
    return suggestion(name, known) or f"{kind} are {', '.join(known)}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the known name closest to an unknown one; "" if none is close."""
    import difflib

    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"did you mean {lower[close[0]]!r}?" if close else ""
