"""Tables of pictures in text, a row per picture.

A file is read twice: the first time for its layout and its number of rows, so that the size of the
result is known before it is allocated.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.raw import LONGEST_NAME, MAX_IMAGES, DataError
from mnistcore.data.table_layout import (
    INSIDE_QUOTES,
    Layout,
    cells_of,
    check_order,
    is_number,
    numbered,
    scan,
)

_FEWEST_OWN = 100  # rows of a table in which labels that are all different are none
_MISSING = ("nan", "na", "n/a", "null", "none")  # in the place of a number
_CHUNK, _LONGEST_CHUNK = 2000, 2**24  # rows parsed at a time, and their characters


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
        layout, n_rows = scan(path, first)
        if first is not None:
            check_order(path, layout, first)
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


def _read(path: Path, layout: Layout, n_rows: int) -> Table:
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


def _parsed(
    path: Path,
    layout: Layout,
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
        cells = cells_of(line, layout.delimiter)
        for column in columns:
            if not is_number(cells[column]):
                cell = cells[column].replace(INSIDE_QUOTES, layout.delimiter or "")
                what = repr(cell[:20]) if cell else "nothing"
                raise DataError(
                    f"{path}: line {number}, {layout.name(column)} holds {what} where the number"
                    " of a pixel belongs; mend or remove that line"
                )
    raise DataError(f"{path}: lines {numbers[0]} to {numbers[-1]} cannot be read; check them")


def _names(
    path: Path, layout: Layout, column: int, numbers: Sequence[int], lines: Sequence[str]
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
    layout: Layout,
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


def _as_labels(texts: list[str], path: Path, layout: Layout) -> np.ndarray:
    """Return labels as int64 if all are whole numbers, else as names."""
    values: dict[str, int] = {}
    distinct = dict.fromkeys(texts)
    numbers = [text for text in distinct if text and text.lower() not in _MISSING]
    numeric = bool(numbers) and all(map(is_number, numbers))
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


def _chunks(path: Path, layout: Layout) -> Iterator[tuple[list[int], list[str]]]:
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


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, str]]:
    lines = numbered(path)
    if layout.names:
        next(lines)
    return lines
