"""Pictures in LIBSVM's sparse text format, in which USPS is published: ``label index:value ...``.

Indices count from 1, and what is not there is 0 (C.-C. Chang, C.-J. Lin, "LIBSVM: a library for
support vector machines", and the page "LIBSVM Data: Classification (Multi-class)"). Files of
scikit-learn may count from 0, and have comments after # and a query after the label.
"""

import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.data.text import files_in, first_line, is_training, partner_of, stem_of, text_lines
from mnistcore.system.errors import by

_LINE = re.compile(r"\s*[-+]?[\d.]+(\s+qid:\d+)?(\s+\d+:\S+){5,}\s*(#.*)?")
_COMMENT, _FROM_0 = "#", "zero-based"  # as scikit-learn writes them
_LARGEST, _MOST = 2**24, 2**31  # pixels of a picture; label
_TRIED, _MORE, _LARGEST_TRIED = 200, 5, 2**16  # pictures, sides, and indices that are tried
_OF_A_ROW = 500  # bytes that a row takes beside its values
_USPS = {label: str(label - 1) for label in range(1, 11)}  # label 1 is the digit 0, 10 is 9


def recognises(path: Path) -> bool:
    """Whether `path` is such a file, or a folder that holds one."""
    if os.path.isdir(path):
        return bool(_files(path))
    return _is_sparse(path)


def read(path: Path) -> RawData:
    """Read a file, and the test set beside it, named with an added ``.t``.

    The pictures are square. As pixels at the end that are 0 in all of them are left out of such a
    file, their side is the least that holds all indices, or one of the next four if neighbouring
    rows are more alike then. Indices count from 0 if one is 0, or a comment says so. Pixels from
    -1 to 1 are moved to 0 to 1. USPS has the labels 1 to 10 for the digits 0 to 9.

    Raises
    ------
    DataError
        If a line is malformed or the pictures are too large, or a folder holds several files.
    """
    file = path
    if path.is_dir():
        files = [f for f in _files(path) if not stem_of(f.name).endswith(".t")] or _files(path)
        files = [f for f in files if is_training(f.name)] or files
        if len({stem_of(f.name) for f in files}) > 1:
            names = ", ".join(f.name for f in files[:5])
            raise DataError(f"{path}: holds several data sets ({names}); name one of these files")
        file = files[0]
    beside = partner_of(file)
    parts = [_rows(f) for f in (file, beside) if f is not None]
    from_0 = any(part.from_0 for part in parts)
    if from_0:
        parts = [part._replace(indices=part.indices + 1) for part in parts]
    width = max(int(part.indices.max(initial=0)) for part in parts)
    side = _side(parts[0], width)
    images = [_filled(file, part, side) for part in parts]
    is_usps = stem_of(file.name) == "usps" and set(np.unique(parts[0].labels)) <= set(_USPS)
    notices = []
    if not is_usps:
        why = "one is 0 or a comment says so" if from_0 else "none is 0"
        notices.append(
            f"{file.name} is read as pictures of {by((side, side))} pixels whose indices count from"
            f" {int(not from_0)}, as {why}, and the largest is {width - from_0}."
        )
    if min(x.min() for x in images) == -1 and max(x.max() for x in images) <= 1:
        images = [(x + 1) / 2 for x in images]
        notices.append(f"The pixels of {file.name}, from -1 to 1, were moved to 0 to 1.")
    elif all((x >= 0).all() and (x <= 255).all() and (x % 1 == 0).all() for x in images):
        images = [x.astype(np.uint8) for x in images]
    made = [Part(x, part.labels) for x, part in zip(images, parts, strict=True)]
    source = f"{file} and {beside.name}" if beside else str(file)
    test = made[1] if beside else None
    return RawData(path, source, made[0], test, _USPS if is_usps else {}, tuple(notices))


def _files(folder: Path) -> list[Path]:
    return [file for file in files_in(folder) if _is_sparse(file)]


def _is_sparse(path: Path) -> bool:
    line = first_line(path, (_COMMENT,))
    return line is not None and _LINE.fullmatch(line) is not None


class _Rows(NamedTuple):
    """Labels (N,), the number of values of each row (N,), indices and values of all."""

    labels: np.ndarray
    lengths: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    from_0: bool


def _rows(file: Path) -> _Rows:
    labels: list[int] = []
    lengths: list[int] = []
    indices: list[np.ndarray] = []
    values: list[np.ndarray] = []
    n_bytes, from_0 = 0, False
    for number, line in enumerate(text_lines(file), 1):
        content, _, comment = line.partition(_COMMENT)
        label, *cells = content.split() or [""]
        if not label:
            from_0 |= _FROM_0 in comment
            continue
        if cells and cells[0].startswith("qid:"):
            del cells[0]
        pairs = " ".join(cells).replace(":", " ").split()
        try:
            row = np.array([label, *pairs], np.float64)
            ids, pixels = row[1::2], row[2::2]
            limits = ((row[:1], _MOST), (ids, _LARGEST), (pixels, np.finfo(np.float32).max))
            if not all((np.abs(part) <= limit).all() for part, limit in limits):
                raise ValueError
            ids, pixels = ids.astype(np.int32), pixels.astype(np.float32)
            labels.append(int(row[0]))
            whole = row[0].is_integer() and (ids == row[1::2]).all()
            rising = len(pairs) % 2 == 0 and (np.diff(ids, prepend=-1) > 0).all()
            if not (whole and rising):
                raise ValueError
        except ValueError:
            raise DataError(
                f"{file}: line {number} is not a label and pairs index:value in rising order;"
                " check that line"
            ) from None
        lengths.append(len(ids))
        indices.append(ids)
        values.append(pixels)
        n_bytes += 8 * len(ids) + _OF_A_ROW
        if n_bytes > 2 * MAX_BYTES:
            raise DataError(f"{file}: holds more values than the {MAX_BYTES // 4:,} that are read")
    if not labels:
        raise DataError(f"{file}: holds no rows; check the file")
    all_indices, all_values = np.concatenate(indices), np.concatenate(values)
    from_0 |= not all_indices.min(initial=1)
    return _Rows(np.array(labels, np.int64), np.array(lengths), all_indices, all_values, from_0)


def _side(part: _Rows, width: int) -> int:
    """Return the side of square pictures with indices up to ``width``."""
    least = math.isqrt(max(width, 1) - 1) + 1
    if least * least == width or width > _LARGEST_TRIED:
        return least
    ends = np.cumsum(part.lengths)[:_TRIED]
    n_values = int(ends[-1])
    flat = np.zeros((len(ends), (least + _MORE) ** 2), np.float32)
    rows = np.repeat(np.arange(len(ends)), part.lengths[: len(ends)])
    flat[rows, part.indices[:n_values] - 1] = part.values[:n_values]
    steps = {
        side: float(np.abs(flat[:, side:] - flat[:, :-side]).mean())
        for side in range(least, least + _MORE)
    }
    return min(steps, key=lambda side: steps[side])


def _filled(file: Path, part: _Rows, side: int) -> np.ndarray:
    """Return images (N, side, side) of float32."""
    labels, lengths, indices, values, _ = part
    if len(labels) * side * side * 4 > MAX_BYTES:
        raise DataError(
            f"{file}: declares {len(labels)} pictures of {side} x {side} pixels, more than the"
            f" {MAX_BYTES:,} bytes that are accepted; check the indices"
        )
    images = np.zeros((len(labels), side * side), np.float32)
    images[np.repeat(np.arange(len(labels)), lengths), indices - 1] = values
    return images.reshape(-1, side, side)
