"""The source of a step, and which lines of it are new."""

import difflib
import inspect
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .step import Ladder, Step

__all__ = ["new_lines", "sources"]


def sources(ladder: Ladder, step: Step) -> list[str]:
    """Return the text of each function that was written for a step.

    Raises
    ------
    ValueError
        If a function is not in the file of the ladder's Cython steps.
    OSError
        If a source file is not installed.
    """
    file = Path(__file__).parent / ladder.name / "steps.pxi"
    return [
        _cython_source(file, part) if isinstance(part, str) else _python_source(part)
        for part in step.parts
    ]


def _python_source(part: Any) -> str:
    function = inspect.unwrap(part)
    function = getattr(function, "py_func", None) or getattr(function, "_defn", function)
    return textwrap.dedent(inspect.getsource(function)).rstrip()


def _cython_source(file: Path, name: str) -> str:
    """Return a function of a file of Cython: to the next line that is not indented."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = re.compile(rf"(?:def|cpdef|cdef) (?:.*\W)?{re.escape(name)}\(")
    found = [place for place, line in enumerate(lines) if head.match(line)]
    if not found:
        raise ValueError(f"{file.name} has no function {name}")
    end = found[0] + 1
    while end < len(lines) and (lines[end][:1] in ("", " ", ")")):
        end += 1
    return "\n".join(lines[found[0] : end]).rstrip()


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
