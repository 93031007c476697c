"""The input layer: a batch of uint8 or float32 rows becomes scaled floats, its zeros listed.

Four fifths of MNIST's pixels are 0. A pixel that is 0 in all the rows of a tile adds nothing to
the tile's sums, so the gather lists the others: for each block of eight rows the columns to
multiply (forward product), and for each block of eight columns the rows (weight gradient). For
data without zeros everything is listed.

Columns are grouped in words of 64, one bit each. A network whose first layer is narrow gathers
nothing: see :mod:`.narrow`.
"""

from typing import NamedTuple

import numpy as np

from .bits import (
    MOST_APPENDED,
    WORD,
    append_bits,
    nonzero_bits,
    nonzero_bits_first,
    nonzero_bytes,
    transpose_bits,
)
from .functions import c_function, inner
from .intrinsics import BYTES, FLOATS
from .machine import VL
from .memory import (
    LINE,
    load_index,
    load_int32,
    load_record,
    load_scalar,
    prefetch,
    store_index,
    store_int32,
)
from .tile import BLOCK
from .vectors import fma, load_input, load_input_first, splat, store

ROWS_AHEAD = 2  # rows of a shuffled batch lie anywhere in memory: ask for them early
END = -1  # follows the last item of a list of columns or rows


class Source(NamedTuple):
    """The rows that a program reads, and the parts of them that a thread reads."""

    x: int  # address of bytes or floats
    floats: int  # 1 where they are floats
    fan_in: int
    parts: int
    first_part: int
    last_part: int  # exclusive
    skip_zeros: int  # 0: list everything
    scaling: int  # address of two float32: a value enters as value * scale + shift


class Lists(NamedTuple):
    """What a thread lists: addresses of arrays, and sizes."""

    columns: int  # int32 (parts, row blocks, capacity): those with a value in any row of a block
    rows: int  # int32 (column blocks, capacity): those with a value in any column of a block
    n_rows: int  # int32 (column blocks,): how many they are
    marks: int  # int64 (parts, rows, mark words): a bit for each block of columns in a row
    any_row: int  # int64 (words,): scratch, the bits of a block of rows
    row_blocks: int  # the most that there may be
    column_capacity: int
    row_capacity: int
    mark_words: int


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


def make_lists(fan_in: int, batch_size: int, parts: int, threads: int) -> list[np.ndarray]:
    """Return an int64 array per thread: its :class:`Lists`, and the arrays they point to."""
    row_blocks, blocks = -(-batch_size // BLOCK), -(-fan_in // BLOCK)
    words = -(-fan_in // WORD)
    mark_words = -(-words // (8 * parts))
    # A list may be followed by extra items that are written with the last ones, and by END.
    column_capacity = -(-words // parts) * WORD + MOST_APPENDED
    row_capacity = -(-batch_size // WORD) * WORD + MOST_APPENDED
    sizes = [  # in int64, of the first five fields
        parts * row_blocks * column_capacity // 2,
        blocks * row_capacity // 2,
        blocks // 2 + 1,
        parts * row_blocks * BLOCK * mark_words,
        words,
    ]
    spaced = [size + LINE // 8 for size in sizes]
    start = len(Lists._fields) + LINE // 8
    tables = []
    for _ in range(threads):
        table = np.empty(start + sum(spaced), np.int64)
        first = table.ctypes.data + 8 * start
        addresses = [first + 8 * sum(spaced[:i]) for i in range(len(spaced))]
        record = [*addresses, row_blocks, column_capacity, row_capacity, mark_words]
        table[: len(Lists._fields)] = record
        tables.append(table)
    return tables


@inner
def column_list(lists, part, b):
    """Return the address of the listed columns of a part for the block of row b."""
    block = part * lists.row_blocks + b // BLOCK
    return lists.columns + 4 * block * lists.column_capacity


@inner
def row_list(lists, block):
    """Return the address of the listed rows of a block of columns."""
    return lists.rows + 4 * block * lists.row_capacity


@inner
def _list_columns(source, lists, part, b):
    """Write the list of columns of a part for the block of row b."""
    items, n = column_list(lists, part, b), 0
    for group in range(_part_words(source)):
        w = group * source.parts + part
        n = append_bits(items, n, load_index(lists.any_row, w), w * WORD)
    store_int32(items, n, END)


@inner
def _part_words(source):
    """Return the most words of columns that a part has."""
    words = -(-source.fan_in // WORD)
    return -(-words // source.parts)


@c_function(5)
def list_rows(source_at, lists_at, rows, part, square):
    """List, for each block of columns of a part, the rows in which it is not all zero.

    ``source_at`` and ``lists_at`` are the addresses of records, ``square`` is that of 64 int64.
    """
    source, lists = load_record(source_at, Source), load_record(lists_at, Lists)
    blocks, words = -(-source.fan_in // BLOCK), lists.mark_words
    marks = lists.marks + 8 * part * lists.row_blocks * BLOCK * words
    for word in range(words):
        for first in range(0, rows, WORD):
            for r in range(WORD):
                mark = 0
                if first + r < rows:
                    mark = load_index(marks, (first + r) * words + word)
                store_index(square, r, mark)
            transpose_bits(square)
            for j in range(WORD):
                block = ((word * 8 + j // 8) * source.parts + part) * 8 + j % 8
                if block < blocks:
                    n = load_int32(lists.n_rows, block) if first else 0
                    items = row_list(lists, block)
                    n = append_bits(items, n, load_index(square, j), first)
                    store_int32(items, n, END)
                    store_int32(lists.n_rows, block, n)


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
    """Scale n <= 64 values to base + out; return the bits of those to be listed."""
    if source.floats:
        scale_values(source.x, at, n, FLOATS, scales, shifts, base, out)
        bits = _bits_of(source.x, at, n, FLOATS)
    else:
        scale_values(source.x, at, n, BYTES, scales, shifts, base, out)
        bits = _bits_of(source.x, at, n, BYTES)
    if not source.skip_zeros:
        bits = -1 if n == WORD else (1 << n) - 1
    return bits


@inner
def _lists_at(at):
    """Return the lists at an address; all zeros if the address is 0."""
    if at:
        return load_record(at, Lists)
    none = np.int64(0)
    return Lists(none, none, none, none, none, none, none, none, none)


@inner(forceinline=True)
def _note_word(lists, b, w, bits):
    """Record the bits of word w in row b; return the marks of its eight blocks of columns."""
    before = 0 if b % BLOCK == 0 else load_index(lists.any_row, w)
    store_index(lists.any_row, w, bits | before)
    return nonzero_bytes(bits)


@c_function(8)
def gather(source_at, samples, first, stop, lists_at, base, target, ld):
    """Gather and scale a thread's parts of rows [first, stop) of a batch, and list nonzeros.

    Parameters
    ----------
    source_at
        The address of a :class:`Source`.
    samples
        The address of the row numbers of the batch, int64.
    first, stop
        Rows of the batch; ``first`` begins a block.
    lists_at
        The address of :class:`Lists`, or 0 for none.
    base, target, ld
        Row b goes to ``base`` + target + b * ld floats, and may write VL - 1 floats more.
    """
    source, lists = load_record(source_at, Source), _lists_at(lists_at)
    scales, shifts = splat(load_scalar(source.scaling, 0)), splat(load_scalar(source.scaling, 1))
    size, words = 4 if source.floats else 1, _part_words(source)
    for b in range(first, stop):
        row, out = load_index(samples, b) * source.fan_in, target + b * ld
        ahead = load_index(samples, min(b + ROWS_AHEAD, stop - 1)) * source.fan_in
        for part in range(source.first_part, source.last_part):
            w, marks = part, 0
            at_marks = (part * lists.row_blocks * BLOCK + b) * lists.mark_words
            for group in range(words):
                at, bits = w * WORD, 0
                n = min(WORD, source.fan_in - at)
                if n > 0:
                    for line in range(size):
                        prefetch(source.x, size * (ahead + at) + line * LINE)
                    bits = _gather_word(source, row + at, n, scales, shifts, base, out + at)
                if lists_at:
                    marks |= _note_word(lists, b, w, bits) << 8 * (group % 8)
                    if group % 8 == 7 or group == words - 1:
                        store_index(lists.marks, at_marks + group // 8, marks)
                        marks = 0
                w += source.parts
            if lists_at and (b % BLOCK == BLOCK - 1 or b == stop - 1):
                _list_columns(source, lists, part, b)
