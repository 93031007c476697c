"""The source of a step, and which lines of it are new."""

import difflib
import inspect
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .step import Ladder, Step


def sources(ladder: Ladder, step: Step) -> list[str]:
    """Return the text of each function that was written for a step.

    Raises
    ------
    ValueError
        If a function is in no file of Cython steps.
    OSError
        If a source file is not installed.
    """
    return [_source(ladder, part) for part in step.parts]


def _source(ladder: Ladder, part: Any) -> str:
    if isinstance(part, str):
        return _cython_source(ladder, part)
    function = inspect.unwrap(part)
    function = getattr(function, "py_func", None) or getattr(function, "_defn", function)
    if "cython" in type(function).__name__:
        return _cython_source(ladder, function.__name__)
    return textwrap.dedent(inspect.getsource(function)).rstrip()


def _cython_source(ladder: Ladder, name: str) -> str:
    """Return a function of the ladder's Cython steps, or of another ladder's."""
    folder = Path(__file__).parent
    for file in (folder / ladder.name / "steps.pxi", *sorted(folder.glob("*/steps.pxi"))):
        found = _function(file, name) if file.exists() else None
        if found:
            return found
    raise ValueError(f"no steps.pxi in {folder} has a function {name}")


def _function(file: Path, name: str) -> str | None:
    """Return a function of a file of Cython: to the next line that is not indented."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = re.compile(rf"(?:def|cpdef|cdef) (?:.*\W)?{re.escape(name)}\(")
    start = next((place for place, line in enumerate(lines) if head.match(line)), None)
    if start is None:
        return None
    end = start + 1
    while end < len(lines) and lines[end][:1] in ("", " ", ")"):
        end += 1
    return "\n".join(lines[start:end]).rstrip()


def new_lines(now: Sequence[str], before: Sequence[str]) -> list[list[bool]]:
    """Return for each line of each function whether the step before has no such line there.

    A function that the step before has too is old as a whole. Indentation does not count: what
    stands in one more loop is the same.
    """
    old = [line.strip() for text in before if text not in now for line in text.splitlines()]
    return [
        [False] * len(text.splitlines()) if text in before else _unmatched(text, old)
        for text in now
    ]


def _unmatched(text: str, old: Sequence[str]) -> list[bool]:
    lines = [line.strip() for line in text.splitlines()]
    new = [bool(line) for line in lines]
    blocks = difflib.SequenceMatcher(None, old, lines, autojunk=False).get_matching_blocks()
    for block in blocks:
        new[block.b : block.b + block.size] = [False] * block.size
    return new
