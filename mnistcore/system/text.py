"""Text; what anyone may have written is made safe: for a terminal, a line, a spreadsheet."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

# What a terminal obeys rather than shows: control characters, and marks that turn the direction.
_OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORMULA = ("=", "+", "-", "@", "\t")
_LONGEST = 2000
_MOST, _DEEPEST = 2**24, 50  # characters and levels of JSON


def escaped(text: str) -> str:
    """Return text with the characters that a terminal obeys written as in Python: ``\\x1b``."""
    if text.isprintable():
        return text
    return _OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: object, longest: int = _LONGEST) -> str:
    """Return text in a line of its own, escaped; what is too long is left out of its middle."""
    text = str(text)
    if len(text) > longest:
        text = f"{text[: longest * 3 // 4]} ... {text[-longest // 4 :]}"
    return escaped(" ".join(text.splitlines()))


def spelled(value: object) -> str:
    """Return a value as Python spells it, short enough for a message."""
    return one_line(repr(value), 200)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun, whose plural ends in "s" by default: "1 core", "2 cores"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def csv_row(cells: Iterable[object]) -> str:
    """Return a line of CSV, escaped; an apostrophe precedes what spreadsheets run as a formula."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(_cell, cells))
    return line.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        float(value)
    except ValueError:
        return escaped(f"'{value}" if value.startswith(_FORMULA) else value)
    return value


def parsed(text: str | bytes, loads: Callable[[Any], Any] = json.loads, most: int = _MOST) -> Any:
    """Parse JSON, or what ``loads`` takes, of at most so many characters.

    Raises
    ------
    ValueError
        If it is malformed, too long, or nested too deeply for what walks through it later.
    """
    if len(text) > most:
        raise ValueError(f"is longer than {most:,} characters")
    try:
        value = loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return value
        inner = [one.values() if isinstance(one, dict) else one for one in level
                 if isinstance(one, dict | list)]  # fmt: skip
        level = [item for items in inner for item in items]
    if level:
        raise ValueError("is nested too deeply")
    return value
