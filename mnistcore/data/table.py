"""Tables of pictures in text, a row per picture: which columns hold what, and their numbers.

A table may have a header, labels in any column or one-hot, and a column of row numbers. Cells are
separated by commas, semicolons, tabs or spaces. A file is read twice: the first time for its
layout and its number of rows, so that the size of the result is known before it is allocated.
"""

import csv
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.raw import LONGEST_NAME, MAX_IMAGES, DataError
from mnistcore.data.text import first_line, text_lines

LABEL_NAMES = ("label", "labels", "class", "target", "y", "digit", "letter")
_ID_NAMES = ("", "id", "imageid", "rowid", "index", "unnamed:0")
_HEADINGS = {*LABEL_NAMES, *_ID_NAMES} - {"", "y"}  # cells of a header, and no names of classes
_FEWEST_OWN = 100  # rows of a table in which labels that are all different are none
_MISSING = ("nan", "na", "n/a", "null", "none")  # in the place of a number
_LEAST_SIDE = 5  # fewer columns are a table of something else, such as 16 measures of a letter
_FEWEST_CELLS = 17
_CHUNK, _LONGEST_CHUNK = 2000, 2**24  # rows parsed at a time, and their characters
_LONGEST_NUMBER, _MOST_DISTINCT = 40, 100_000  # what is counted of the values of a column
_CONSTANT = 0.9  # a pixel in the corner has one value in at least this share of the rows
_INSIDE_QUOTES = "\x1f"  # stands for a delimiter that separates no cells
_COUNTED = re.compile(r"(\D*)(\d{1,9})(\D*)")
_MANGLED = re.compile(r"(.+)\.(\d+)")


class Table(NamedTuple):
    """Pixels (N, H * W) of uint8 or float32, labels (N,) of int64 or str, and the rows' names."""

    pixels: np.ndarray
    labels: np.ndarray | None
    ids: list[str] | None
    id_name: str
    notices: tuple[str, ...]

    @property
    def images(self) -> np.ndarray:
        """The pixels as (N, H, W)."""
        side = math.isqrt(self.pixels.shape[1])
        return self.pixels.reshape(-1, side, side)


@dataclass(frozen=True)
class _Layout:
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
        return cell.strip().replace(_INSIDE_QUOTES, self.delimiter or "")

    def name(self, column: int) -> str:
        """Return the place of a column in words."""
        name = self.names[column][:20] if self.names else ""
        return f"column {column + 1}" + (f" ({name})" if name and name.isprintable() else "")


def looks_like_table(path: Path) -> bool:
    """Whether the first line of a file reads like one of a table of pictures."""
    line = first_line(path)
    if line is None:
        return False
    cells = _cells(line, _delimiter(line))
    strange = sum(not _is_number(cell) for cell in cells)
    return len(cells) >= _FEWEST_CELLS and (strange <= 1 or _is_header(cells))


def read_table(path: Path) -> Table:
    """Read a table of square pictures; see :func:`read_tables`."""
    return read_tables(path)[0]


def read_tables(*paths: Path) -> list[Table]:
    """Read tables of square pictures, which have one scale.

    Labels are in the column named ``label``, ``class``, ``target`` or the like; without a name,
    in the first column, or in the last if the first nearly always has the same value, as the
    corner of a picture has, or holds more different values; or one-hot in the last columns.
    If the number of columns is a square, there are no labels. Where a header does not say it, all
    tables have the label in the same column as the first. Pixels whose names count them, such as
    ``pixel12``, are in the order of the numbers. Whole pixels from 0 to 255 become
    bytes, others float32; pixels from -1 to 1 are moved to 0 to 1, in all tables or in none.

    Raises
    ------
    DataError
        If a file is no such table, a cell is no number, or a table is too large; or if tables
        have the same columns in another order.
    """
    tables, first = [], None
    for path in paths:
        layout, n_rows = _scan(path, first)
        if first is not None:
            _check_order(path, layout, first)
        tables.append(_read(path, layout, n_rows))
        first = first or layout
    reach = [(float(table.pixels.min()), float(table.pixels.max())) for table in tables]
    if min(low for low, _ in reach) == -1 and max(high for _, high in reach) <= 1:
        return [_moved(table, path) for table, path in zip(tables, paths, strict=True)]
    return [table._replace(pixels=_as_bytes(table.pixels)) for table in tables]


def _moved(table: Table, path: Path) -> Table:
    notice = f"The pixels of {path.name}, from -1 to 1, were moved to 0 to 1."
    moved = (table.pixels.astype(np.float32) + 1) / 2
    return table._replace(pixels=moved, notices=(notice,))


def _check_order(path: Path, layout: _Layout, first: _Layout) -> None:
    """Check that the pixels of two tables, if they have the same names, are in the same order."""
    if not (layout.names and first.names):
        return
    names, others = ([one.names[i] for i in one.pixels] for one in (layout, first))
    if names != others and sorted(names) == sorted(others):
        raise DataError(
            f"{path}: has the columns of the training table in another order; write both in one"
        )


def _read(path: Path, layout: _Layout, n_rows: int) -> Table:
    n_bytes = n_rows * len(layout.pixels)
    if n_bytes > MAX_BYTES:
        raise DataError(f"{path}: holds {n_bytes:,} pixels; at most {MAX_BYTES:,} are read")
    if n_rows > MAX_IMAGES:
        raise DataError(f"{path}: holds {n_rows:,} rows; at most {MAX_IMAGES:,} are read")
    pixels = np.empty((n_rows, len(layout.pixels)), np.uint8)
    labels: list[str] = []
    hot = np.empty((n_rows, layout.n_classes), np.uint8)
    ids: list[str] = []
    row = 0
    for numbers, lines in _chunks(path, layout):
        if row + len(lines) > n_rows:
            raise DataError(f"{path}: has grown while it was read; try again")
        values = _parsed(path, layout, layout.pixels, numbers, lines)
        if values.dtype != pixels.dtype and pixels.dtype == np.uint8:
            if 4 * n_bytes > MAX_BYTES:
                raise DataError(f"{path}: holds {n_bytes:,} pixels that are no bytes, too many")
            pixels = pixels.astype(np.float32)
        pixels[row : row + len(lines)] = values
        if layout.label is not None:
            labels += _names(path, layout, layout.label, numbers, lines)
        if layout.n_classes:
            columns = range(layout.n_columns - layout.n_classes, layout.n_columns)
            hot[row : row + len(lines)] = _one_hot(path, layout, columns, numbers, lines)
        if layout.row_id is not None:
            ids += _names(path, layout, layout.row_id, numbers, lines)
        row += len(lines)
    found = None
    if layout.label is not None:
        found = _as_labels(labels, path, layout)
    elif layout.n_classes:
        found = hot[:row].argmax(axis=1)
    name = layout.names[layout.row_id] if layout.row_id is not None else ""
    return Table(pixels[:row], found, ids or None, name, ())


def _scan(path: Path, like: _Layout | None = None) -> tuple[_Layout, int]:
    """Return the layout and the number of rows; check that all rows have as many columns.

    ``like`` is that of the training table, for a test table.
    """
    delimiter: str | None = None
    names: tuple[str, ...] = ()
    n_columns = n_rows = 0
    first: list[str] = []
    ends: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for number, line in _numbered(path):
        if not n_columns:
            delimiter = _delimiter(line)
            cells = _cells(line, delimiter)
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
        first = first or _cells(line, delimiter)
        n_rows += 1
        skipped = int(bool(names) and _is_id(_plain(names[0])))
        _count(ends[0], line.split(delimiter, skipped + 1)[skipped])
        _count(ends[1], line.rsplit(delimiter, 1)[-1])
    if not n_rows:
        raise DataError(f"{path}: holds no rows; check the file")
    return _layout_of(path, delimiter, names, first, ends, like), n_rows


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
    like: _Layout | None,
) -> _Layout:
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
    return _Layout(delimiter, names, n_columns, _in_order(pixels, names), label, row_id, one_hot)


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
    strange = [cell for cell in cells if not _is_number(cell)]
    if len(strange) > len(cells) / 2 or any(cell.lower() in _HEADINGS for cell in strange):
        return True
    numbers = [cell for cell in cells if _is_number(cell)]
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


def _parsed(
    path: Path,
    layout: _Layout,
    columns: Sequence[int],
    numbers: Sequence[int],
    lines: Sequence[str],
) -> np.ndarray:
    """Return columns of some rows as uint8 if they fit, else as float32."""
    for dtype in (np.uint8, np.float32):
        try:
            with warnings.catch_warnings():  # NumPy 1 reads 2.5 as 2, with a DeprecationWarning
                warnings.simplefilter("error")
                values: np.ndarray = np.loadtxt(
                    lines,
                    dtype,
                    comments=None,
                    delimiter=layout.delimiter,
                    usecols=columns,
                    ndmin=2,
                )
        except (ValueError, Warning):
            continue
        if dtype == np.uint8 or np.isfinite(values).all():
            return values
    for number, line in zip(numbers, lines, strict=True):
        cells = _cells(line, layout.delimiter)
        for column in columns:
            if not _is_number(cells[column]):
                cell = cells[column].replace(_INSIDE_QUOTES, layout.delimiter or "")
                what = repr(cell[:20]) if cell else "nothing"
                raise DataError(
                    f"{path}: line {number}, {layout.name(column)} holds {what} where the number"
                    " of a pixel belongs; mend or remove that line"
                )
    raise DataError(f"{path}: lines {numbers[0]} to {numbers[-1]} cannot be read; check them")


def _names(
    path: Path, layout: _Layout, column: int, numbers: Sequence[int], lines: Sequence[str]
) -> list[str]:
    """Return the cells of a column, which hold labels or the names of rows."""
    cells = [layout.cell(line, column) for line in lines]
    for number, cell in zip(numbers, cells, strict=True):
        if len(cell) > LONGEST_NAME:
            raise DataError(
                f"{path}: line {number}, {layout.name(column)} holds {len(cell):,} characters,"
                f" more than the {LONGEST_NAME} of a name; check that line"
            )
    return cells


def _one_hot(
    path: Path,
    layout: _Layout,
    columns: Sequence[int],
    numbers: Sequence[int],
    lines: Sequence[str],
) -> np.ndarray:
    hot = _parsed(path, layout, columns, numbers, lines)
    bad = (hot.max(axis=1) != 1) | (hot.sum(axis=1) != 1)
    if bad.any():
        raise DataError(
            f"{path}: line {numbers[int(bad.argmax())]} has no single 1 in its last"
            f" {len(columns)} columns, which hold the class of the other rows; check that line"
        )
    return hot


def _as_labels(texts: list[str], path: Path, layout: _Layout) -> np.ndarray:
    """Return labels as int64 if all are whole numbers, else as names."""
    values: dict[str, int] = {}
    distinct = dict.fromkeys(texts)
    numbers = [text for text in distinct if text and text.lower() not in _MISSING]
    numeric = bool(numbers) and all(map(_is_number, numbers))
    for text in distinct:
        if not text or (numeric and text.lower() in _MISSING):
            number = next(
                n for n, line in _rows(path, layout) if layout.cell(line, layout.label or 0) == text
            )
            raise DataError(f"{path}: line {number} has no label; mend or remove that line")
        if not numeric:
            continue
        value = float(text)
        if not value.is_integer() or abs(value) > 2**31:
            raise DataError(
                f"{path}: {layout.name(layout.label or 0)} holds the label {text}; labels are"
                " whole numbers or names"
            )
        values[text] = int(value)
    if not numeric:
        return np.array(texts)
    if len(values) == len(texts) >= _FEWEST_OWN:
        raise DataError(
            f"{path}: {layout.name(layout.label or 0)} holds another number in each row, so no"
            " labels; name a column of labels label, and one of numbers id"
        )
    return np.array([values[text] for text in texts], np.int64)


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    """Return whole numbers in 0..255 as bytes, other pixels as they are."""
    if pixels.dtype == np.uint8 or not 0 <= pixels.min() <= pixels.max() <= 255:
        return pixels
    parts = (pixels[i : i + _CHUNK] for i in range(0, len(pixels), _CHUNK))
    return pixels.astype(np.uint8) if all((part % 1 == 0).all() for part in parts) else pixels


def _chunks(path: Path, layout: _Layout) -> Iterator[tuple[list[int], list[str]]]:
    """Yield the numbers of some lines and the lines."""
    numbers: list[int] = []
    lines: list[str] = []
    length = 0
    for number, line in _rows(path, layout):
        numbers.append(number)
        lines.append(line)
        length += len(line)
        if len(lines) == _CHUNK or length > _LONGEST_CHUNK:
            yield numbers, lines
            numbers, lines, length = [], [], 0
    if lines:
        yield numbers, lines


def _rows(path: Path, layout: _Layout) -> Iterator[tuple[int, str]]:
    lines = _numbered(path)
    if layout.names:
        next(lines)
    return lines


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
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
    return delimiter.join(cell.replace(delimiter, _INSIDE_QUOTES) for cell in cells)


def _delimiter(line: str) -> str | None:
    """Return what separates the cells of a line; None stands for spaces."""
    found = next((sign for sign in "\t;," if sign in line), None)
    return None if found == "\t" and len(line.split("\t")) < _FEWEST_CELLS else found


def _cells(line: str, delimiter: str | None) -> list[str]:
    return [cell.strip() for cell in line.replace('"', "").split(delimiter)]


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _is_square(n: int) -> bool:
    return n > 0 and math.isqrt(n) ** 2 == n
