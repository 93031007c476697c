"""The input layer: a batch of uint8 or float32 rows becomes scaled floats, its zeros noted.

Zeros add nothing to a sum. The gather marks what is not zero with a bit each, in words of 64
columns; the marks are also transposed, for the weight gradient: see :mod:`.sparse`.

A network whose first layer is narrow gathers nothing: see :mod:`.narrow`.
"""

from typing import NamedTuple

import numpy as np

from .bits import (
    WORD,
    count_bits,
    nonzero_bits,
    nonzero_bits_first,
    transpose_bits,
)
from .functions import c_function, inner
from .intrinsics import BYTES, FLOATS
from .machine import VL
from .memory import (
    LINE,
    load_index,
    load_record,
    load_scalar,
    prefetch,
    store_index,
)
from .vectors import fma, load_input, load_input_first, splat, store

ROWS_AHEAD = 4  # rows of a shuffled batch lie anywhere in memory: ask for them early


class Source(NamedTuple):
    """The rows that a program reads."""

    x: int  # address of bytes or floats
    floats: int  # 1 where they are floats
    fan_in: int
    skip_zeros: int  # 1: a narrow layer leaves out what is zero
    scaling: int  # address of two float32: a value enters as value * scale + shift


class Marks(NamedTuple):
    """Where the values of a batch are not zero, in a thread: addresses of arrays, and sizes."""

    rows: int  # int64 (batch_size, words): a bit for each column of a row
    columns: int  # int64 (words * WORD, row_words): a bit for each row of a column
    words: int
    row_words: int
    sparse: int  # 1: so much is zero that skipping it pays


WORDS, SPARSE = Marks._fields.index("words"), Marks._fields.index("sparse")


class Upcoming(NamedTuple):
    """A thread's columns of the next batch, prefetched line by line while it works on this one."""

    samples: int  # address of the row numbers
    row: int  # the next line to prefetch is in this row ...
    column: int
    lines: int  # how many are left
    first: int  # of the columns
    stop: int
    due: int  # the fraction of a line that is due, in units of 1 / occasions
    pace: int  # what is due more on each occasion
    occasions: int


def make_marks(fan_in: int, batch_size: int, threads: int) -> list[np.ndarray]:
    """Return an int64 array per thread: its :class:`Marks`, and the arrays they point to."""
    words, row_words = -(-fan_in // WORD), -(-batch_size // WORD)
    start, rows, columns = LINE // 8, batch_size * words, words * WORD * row_words
    tables = []
    for _ in range(threads):
        table = np.empty(start + rows + columns + LINE // 8, np.int64)
        first = table.ctypes.data + 8 * start
        table[: len(Marks._fields)] = [first, first + 8 * rows, words, row_words, 0]
        tables.append(table)
    return tables


@inner
def _note_marked(marks_at, words, marked, values):
    """Note how many words a row has, and whether ``marked`` of the values are little."""
    store_index(marks_at, WORDS, words)
    store_index(marks_at, SPARSE, 1 if marked * 4 < values * 3 else 0)


@c_function(6)
def mark_rows(marks_at, a, ld, columns, first, stop):
    """Mark what is not zero in rows [first, stop) of a matrix, and whether that is little."""
    words, marked = (columns + WORD - 1) // WORD, 0
    rows = load_record(marks_at, Marks).rows
    for row in range(first, stop):
        for w in range(words):
            n = min(WORD, columns - w * WORD)
            bits = _bits_of(a, row * ld + w * WORD, n, FLOATS)
            store_index(rows, row * words + w, bits)
            marked += count_bits(bits)
    _note_marked(marks_at, words, marked, (stop - first) * columns)


@c_function(3)
def mark_columns(marks_at, rows, square):
    """Transpose the marks of the rows; ``square`` is the address of 64 int64."""
    marks = load_record(marks_at, Marks)
    for w in range(marks.words):
        for group in range(-(-rows // WORD)):
            first = group * WORD
            for i in range(WORD):
                bits = 0
                if first + i < rows:
                    bits = load_index(marks.rows, (first + i) * marks.words + w)
                store_index(square, i, bits)
            transpose_bits(square)
            for i in range(WORD):
                at = (w * WORD + i) * marks.row_words + group
                store_index(marks.columns, at, load_index(square, i))


@inner(forceinline=True, literals=True)
def fetch_lines(source, kind, upcoming):
    """Prefetch the lines that are due on one more occasion; return the rest."""
    row, column, lines = upcoming.row, upcoming.column, upcoming.lines
    due = upcoming.due + upcoming.pace
    size = 4 if kind == FLOATS else 1
    while due >= upcoming.occasions and lines > 0:
        due -= upcoming.occasions
        lines -= 1
        at = load_index(upcoming.samples, row) * source.fan_in + min(column, upcoming.stop - 1)
        prefetch(source.x, at * size)
        if column >= upcoming.stop:
            row += 1
            column = upcoming.first
        else:
            column += LINE // size
    return Upcoming(
        upcoming.samples, row, column, lines, upcoming.first, upcoming.stop, due, upcoming.pace,
        upcoming.occasions,
    )  # fmt: skip


@inner(forceinline=True, literals=True)
def scale_values(x, at, n, kind, scales, shifts, base, out):
    """Scale n <= 64 values of a kind as the network sees them, in whole vectors."""
    if n == WORD:
        for i in range(0, WORD, VL):
            store(base, out + i, fma(load_input(x, at + i, kind), scales, shifts))
    else:
        for i in range(0, n, VL):
            values = load_input_first(x, at + i, n - i, kind)
            store(base, out + i, fma(values, scales, shifts))


@inner(forceinline=True, literals=True)
def _bits_of(x, at, n, kind):
    """Return a set bit for each of n <= 64 values that is not zero."""
    if n == WORD:
        return nonzero_bits(x, at, kind)
    return nonzero_bits_first(x, at, n, kind)


@inner(forceinline=True)
def _gather_word(source, at, n, scales, shifts, base, out):
    """Scale n <= 64 values to base + out; return the bits of those that are not zero."""
    if source.floats:
        scale_values(source.x, at, n, FLOATS, scales, shifts, base, out)
        return _bits_of(source.x, at, n, FLOATS)
    scale_values(source.x, at, n, BYTES, scales, shifts, base, out)
    return _bits_of(source.x, at, n, BYTES)


@c_function(8)
def gather(source_at, samples, first, stop, marks_at, base, target, ld):
    """Gather and scale rows [first, stop) of a batch, and mark what is not zero.

    Parameters
    ----------
    source_at
        The address of a :class:`Source`.
    samples
        The address of the row numbers of the batch, int64.
    first, stop
        Rows of the batch.
    marks_at
        The address of :class:`Marks`, or 0 for none. Whether to skip zeros is decided by these
        rows.
    base, target, ld
        Row b goes to ``base`` + target + b * ld floats, and may write VL - 1 floats more.
    """
    source = load_record(source_at, Source)
    scales, shifts = splat(load_scalar(source.scaling, 0)), splat(load_scalar(source.scaling, 1))
    size, words = 4 if source.floats else 1, (source.fan_in + WORD - 1) // WORD
    row_marks = load_record(marks_at, Marks).rows if marks_at else np.int64(0)
    marked = 0
    for b in range(first, stop):
        row, out = load_index(samples, b) * source.fan_in, target + b * ld
        ahead = load_index(samples, min(b + ROWS_AHEAD, stop - 1)) * source.fan_in
        for w in range(words):
            at = w * WORD
            for line in range(size):
                prefetch(source.x, size * (ahead + at) + line * LINE)
            n = min(WORD, source.fan_in - at)
            bits = _gather_word(source, row + at, n, scales, shifts, base, out + at)
            if marks_at:
                store_index(row_marks, b * words + w, bits)
                marked += count_bits(bits)
    if marks_at:
        _note_marked(marks_at, words, marked, (stop - first) * source.fan_in)
