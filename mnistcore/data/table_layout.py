"""Which columns of a table of pictures hold what, by header, first row and outer columns.

A table may have a header, labels in any column or one-hot, and a column of row numbers. Cells are
separated by commas, semicolons, tabs or spaces.
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mnistcore.data.raw import DataError
from mnistcore.data.text import first_line, text_lines

LABEL_NAMES = ("label", "labels", "class", "target", "y", "digit", "letter")
_ID_NAMES = ("", "id", "imageid", "rowid", "index", "unnamed:0")
_HEADINGS = {*LABEL_NAMES, *_ID_NAMES} - {"", "y"}  # cells of a header, and no names of classes
_LEAST_SIDE = 5  # fewer columns are a table of something else, such as 16 measures of a letter
_FEWEST_CELLS = 17
_LONGEST_NUMBER, _MOST_DISTINCT = 40, 100_000  # what is counted of the values of a column
_CONSTANT = 0.9  # a pixel in the corner has one value in at least this share of the rows
INSIDE_QUOTES = "\x1f"  # stands for a delimiter that separates no cells
_COUNTED = re.compile(r"(\D*)(\d{1,9})(\D*)")
_MANGLED = re.compile(r"(.+)\.(\d+)")


@dataclass(frozen=True)
class Layout:
    """Which columns hold pixels, the label and the row's name; None for what there is not."""

    delimiter: str | None
    names: tuple[str, ...]  # of the header; empty if there is none
    n_columns: int
    pixels: Sequence[int]
    label: int | None = None
    row_id: int | None = None
    n_classes: int = 0  # of one-hot labels, in the last columns

    def cell(self, line: str, column: int) -> str:
        if column == 0:
            cell = line.split(self.delimiter, 1)[0]
        elif column == self.n_columns - 1:
            cell = line.rsplit(self.delimiter, 1)[-1]
        else:
            cell = line.split(self.delimiter)[column]
        return cell.strip().replace(INSIDE_QUOTES, self.delimiter or "")

    def name(self, column: int) -> str:
        """Return the place of a column in words."""
        name = self.names[column][:20] if self.names else ""
        return f"column {column + 1}" + (f" ({name})" if name and name.isprintable() else "")


def looks_like_table(path: Path) -> bool:
    """Whether the first line of a file reads like one of a table of pictures."""
    line = first_line(path)
    if line is None:
        return False
    cells = cells_of(line, _delimiter(line))
    strange = sum(not is_number(cell) for cell in cells)
    return len(cells) >= _FEWEST_CELLS and (strange <= 1 or _is_header(cells))


def scan(path: Path, like: Layout | None = None) -> tuple[Layout, int]:
    """Return the layout and the number of rows; check that all rows have as many columns.

    ``like`` is that of the training table, for a test table.
    """
    delimiter: str | None = None
    names: tuple[str, ...] = ()
    n_columns = n_rows = 0
    first: list[str] = []
    ends: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for number, line in numbered(path):
        if not n_columns:
            delimiter = _delimiter(line)
            cells = cells_of(line, delimiter)
            n_columns = len(cells)
            if _is_header(cells):
                names = tuple(cells)
                continue
        n_cells = line.count(delimiter) + 1 if delimiter else len(line.split())
        if n_cells != n_columns:
            what = "header" if names else "first row"
            raise DataError(
                f"{path}: line {number} has {n_cells} columns, the {what} has {n_columns}; check"
                " that line"
            )
        first = first or cells_of(line, delimiter)
        n_rows += 1
        skipped = int(bool(names) and _is_id(_plain(names[0])))
        _count(ends[0], line.split(delimiter, skipped + 1)[skipped])
        _count(ends[1], line.rsplit(delimiter, 1)[-1])
    if not n_rows:
        raise DataError(f"{path}: holds no rows; check the file")
    return _layout_of(path, delimiter, names, first, ends, like), n_rows


def check_order(path: Path, layout: Layout, first: Layout) -> None:
    """Check that the pixels of two tables, if they have the same names, are in the same order."""
    if not (layout.names and first.names):
        return
    names, others = ([one.names[i] for i in one.pixels] for one in (layout, first))
    if names != others and sorted(names) == sorted(others):
        raise DataError(
            f"{path}: has the columns of the training table in another order; write both in one"
        )


def _count(counts: Counter[str], cell: str) -> None:
    """Count a cell among the others of its column, in little memory whatever it holds."""
    cell = cell[:_LONGEST_NUMBER]
    counts[cell if cell in counts or len(counts) < _MOST_DISTINCT else ""] += 1


def _layout_of(
    path: Path,
    delimiter: str | None,
    names: tuple[str, ...],
    first: list[str],
    ends: tuple[Counter[str], Counter[str]],
    like: Layout | None,
) -> Layout:
    """Decide which columns hold what, by the header, the first row and the outer columns."""
    plain = [_plain(name) for name in names]
    kinds = [name.removesuffix("id") for name in plain]  # a class_id is a class
    n_columns = len(first)
    label = next((kinds.index(name) for name in LABEL_NAMES if name in kinds), None)
    row_id = next((i for i, name in enumerate(plain) if _is_id(name) and i != label), None)
    rest = [i for i in range(n_columns) if i not in (label, row_id)]
    if label is not None or _is_square(len(rest)):
        pixels, one_hot = rest, 0
    elif _is_square(len(rest) - 1):
        last = like.label == rest[-1] if like else _label_is_last(first, *ends)
        label, one_hot = rest[-1] if last else rest[0], 0
        pixels = [i for i in rest if i != label]
    else:
        one_hot = len(rest) - math.isqrt(len(rest)) ** 2
        pixels = rest[: len(rest) - one_hot]
        if sorted(first[-one_hot:]) != ["0"] * (one_hot - 1) + ["1"]:
            raise DataError(_not_square(path, len(rest), labelled=False))
    if not _is_square(len(pixels)):
        raise DataError(_not_square(path, len(pixels), labelled=True))
    if len(pixels) < _LEAST_SIDE**2:
        raise DataError(
            f"{path}: its rows have {n_columns} cells, too few for pictures, which have a cell for"
            f" each pixel, at least {_LEAST_SIDE} x {_LEAST_SIDE}; this table holds something else"
        )
    return Layout(delimiter, names, n_columns, _in_order(pixels, names), label, row_id, one_hot)


def _plain(name: str) -> str:
    """Return the name of a column in lower case without what separates its words."""
    return re.sub("[ _-]", "", name.strip().lower())


def _is_id(name: str) -> bool:
    return name in _ID_NAMES or name.endswith("id")


def _in_order(pixels: list[int], names: Sequence[str]) -> list[int]:
    """Return the columns of the pixels by the number in their names, if names differ in just it."""
    found = [match for i in pixels if names and (match := _COUNTED.fullmatch(names[i]))]
    if len(found) < len(pixels) or len({match.group(1, 3) for match in found}) > 1:
        return pixels
    return [i for _, i in sorted(zip((int(match[2]) for match in found), pixels, strict=True))]


def _not_square(path: Path, n: int, labelled: bool) -> str:
    side = math.isqrt(n)
    beside = " beside the label" if labelled else ""
    if n % 3 == 0 and _is_square(n // 3):
        side = math.isqrt(n // 3)
        why = f"three for each pixel of {side} x {side}; convert the pictures to grey"
    else:
        why = f"where {side} x {side} pixels have {side**2}; check the columns"
        if not labelled:
            why += ", and name that of the labels label"
    return f"{path}: has {n} columns{beside}, {why}"


def _label_is_last(row: list[str], first: Counter[str], last: Counter[str]) -> bool:
    """Whether the last column, not the first, holds the labels, by how often each value occurs.

    Where nearly all rows are of one class, a label differs from the corners of the pictures.
    """

    def constant(counts: Counter[str]) -> bool:
        return max(counts.values()) > _CONSTANT * counts.total()

    if constant(first) and constant(last):
        ends = first.most_common(1)[0][0], last.most_common(1)[0][0]
        return row[-2] == ends[0] and row[1] != ends[1]
    if constant(first) or constant(last):
        return constant(first)
    return len(last) < len(first)


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a row holds names.

    They are those of more than half of the columns, or that of the labels, or whole numbers that
    rise from cell to cell by 1 or to more than a byte holds, as the pixels of no picture do.
    """
    strange = [cell for cell in cells if not is_number(cell)]
    if len(strange) > len(cells) / 2 or any(cell.lower() in _HEADINGS for cell in strange):
        return True
    numbers = [cell for cell in cells if is_number(cell)]
    return len(numbers) >= _FEWEST_CELLS - 2 and (_is_counted(numbers) or _is_mangled(numbers))


def _is_counted(cells: Sequence[str]) -> bool:
    """Whether numbers are those of columns, such as 0, 1, 2, ... or 101, 102, ..., 201, ..."""
    numbers = [float(cell) for cell in cells]
    steps = [following - one for one, following in pairwise(numbers)]
    rises = all(number.is_integer() for number in numbers) and min(steps) > 0
    return rises and (max(steps) == 1 or numbers[-1] > 255)


def _is_mangled(names: Sequence[str]) -> bool:
    """Whether pandas made these names of a first row of data: 0, 0.1, 0.2, ... for equal ones."""
    present = set(names)
    if len(present) < len(names):
        return False
    parts = [found for name in names if (found := _MANGLED.fullmatch(name))]
    return bool(parts) and all(
        (base if number == "1" else f"{base}.{int(number) - 1}") in present
        for base, number in (part.groups() for part in parts)
    )


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, without quotes, and their numbers from 1."""
    delimiter = None
    first = True
    for number, line in enumerate(text_lines(path), 1):
        if not line or line.isspace():
            continue
        if first:
            delimiter, first = _delimiter(line), False
        try:
            line = _unquoted(line, delimiter) if '"' in line else line
        except csv.Error as error:
            raise DataError(
                f"{path}: line {number} has quotes that do not match ({error}); check that line"
            ) from error
        if line and not line.isspace():
            yield number, line


def _unquoted(line: str, delimiter: str | None) -> str:
    """Return a line without quotes; a stand-in takes the place of delimiters between them."""
    if delimiter is None:
        return line.replace('"', "")
    cells = next(csv.reader([line], delimiter=delimiter))
    return delimiter.join(cell.replace(delimiter, INSIDE_QUOTES) for cell in cells)


def _delimiter(line: str) -> str | None:
    """Return what separates the cells of a line; None stands for spaces."""
    found = next((sign for sign in "\t;," if sign in line), None)
    return None if found == "\t" and len(line.split("\t")) < _FEWEST_CELLS else found


def cells_of(line: str, delimiter: str | None) -> list[str]:
    """Return the cells of a line, without quotes and spaces around them."""
    return [cell.strip() for cell in line.replace('"', "").split(delimiter)]


def is_number(cell: str) -> bool:
    """Whether a cell holds a finite number."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _is_square(n: int) -> bool:
    return n > 0 and math.isqrt(n) ** 2 == n
