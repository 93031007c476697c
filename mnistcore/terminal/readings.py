"""Output of ``mnistcore predict`` as lines of text, drawings, JSON or CSV."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models.metrics import percent
from ..pictures.reader import noun_of
from ..pictures.readings import Reading, as_dict
from ..system.text import counted, csv_row, one_line
from .display import print_json

if TYPE_CHECKING:
    from argparse import Namespace

_NOTABLE = 0.05  # the second choice is shown above this probability


class _Lines:
    """One line of text per picture."""

    def add(self, reading: Reading) -> None:
        if not reading.error:
            print(one_line(f"{reading.path}: {summary(reading)}"))

    def end(self) -> None:
        pass


class _Drawings:
    """Each picture drawn in the terminal."""

    def __init__(self) -> None:
        from ..system.console import Console

        self._console = Console(highlight=False)

    def add(self, reading: Reading) -> None:
        from rich.text import Text

        from .pictures import draw

        if reading.picture is not None:
            self._console.print(Text(f"{reading.path}: {summary(reading)}", style="bold"))
            self._console.print(draw(self._console, reading.picture, reading.digits))

    def end(self) -> None:
        pass


class _Json:
    """A JSON list with one entry per picture."""

    def __init__(self, many: bool) -> None:
        self._many = many
        self._entries: list[dict[str, Any]] = []

    def add(self, reading: Reading) -> None:
        self._entries.append(as_dict(reading, self._many))

    def end(self) -> None:
        print_json(self._entries)


class _Csv:
    """One CSV row per digit; a picture without digits gets one row with empty columns."""

    def __init__(self, many: bool, names: Sequence[str]) -> None:
        self._many = many
        place = ("line", "left", "top", "right", "bottom") if many else ()
        chances = []
        for index, name in enumerate(names):
            before = names[:index].count(name)
            chances.append(f"p{name} ({before + 1})" if before else f"p{name}")
        self._columns = ("path", *place, noun_of(names), *chances)
        self._row(*self._columns)

    def add(self, reading: Reading) -> None:
        for digit in reading.digits:
            place = (digit.line, *(f"{side:.0f}" for side in digit.box)) if self._many else ()
            chances = (f"{p:.6f}" for p in digit.probabilities)
            self._row(reading.path, *place, digit.name, *chances)
        if not reading.digits:
            self._row(reading.path, *[""] * (len(self._columns) - 1))

    def end(self) -> None:
        pass

    def _row(self, *cells: object) -> None:
        sys.stdout.write(csv_row(cells))


def choose_output(
    arguments: "Namespace", names: Sequence[str]
) -> _Lines | _Drawings | _Json | _Csv:
    """Return the output format that the flags select, for a network with these class names."""
    if arguments.json:
        return _Json(arguments.many)
    if arguments.csv:
        return _Csv(arguments.many, names)
    return _Drawings() if arguments.show else _Lines()


def summary(reading: Reading) -> str:
    """Summarise a reading in one line: the digits and their probability, or why none was read."""
    words = _summary(reading)
    if reading.picture is not None and reading.picture.first_of_several:
        words += "; only the first of several pages or frames was read"
    return words


def _summary(reading: Reading) -> str:
    noun = reading.noun
    if reading.found > 1 and not reading.digits:
        return f"{reading.found} {noun}s found, none read: --many reads several"
    if not reading.digits:
        return f"no {noun} found: {reading.reason}"
    doubtful = min(reading.digits, key=lambda digit: float(digit.probabilities.max()))
    *_, second, first = (0, *np.argsort(doubtful.probabilities))
    words = percent(doubtful.probabilities[first], 1)
    if second != first and doubtful.probabilities[second] > _NOTABLE:
        words += f", or {doubtful.names[second]}: {percent(doubtful.probabilities[second], 1)}"
    if len(reading.digits) > 1:
        place = f"{noun} {reading.digits.index(doubtful) + 1} of {len(reading.digits)}"
        words = f"least sure is {place}: {words}"
    if reading.left_out:
        marks = counted(reading.left_out, "mark that resembles", "marks that resemble")
        words += f"; left out {marks} no {noun}"
    if reading.at_edge:
        words += f"; left out {counted(reading.at_edge, 'mark')} along the edge of the picture"
    return f"{' / '.join(reading.text.splitlines())}  ({words})"
