"""The input layer: a batch of uint8 or float32 rows becomes scaled floats, its zeros listed.

Four fifths of MNIST's pixels are 0. Where a pixel is 0 in all the rows of a tile it adds exactly
nothing to the tile's sums, so the gather lists what is not: for each block of eight rows the
columns to multiply (the forward product), and for each block of eight columns the rows (the
weight gradient). Data without zeros lists everything.

Columns are counted off in words of 64, one bit each. A network whose first layer is narrow
divides its inputs among the threads: word w then belongs to part ``w % parts``, and each part
has lists of its own.
"""

from typing import NamedTuple

from .elementwise import SCALE, SHIFT
from .functions import c_function, inner
from .simd import (
    BYTES,
    FLOATS,
    HAS_COMPRESS,
    LANES,
    WORD,
    count_bits,
    fma,
    load_index,
    load_input,
    load_input_first,
    load_int32,
    load_scalar,
    lowest_bit,
    nonzero_bits,
    nonzero_bits_first,
    nonzero_bytes,
    prefetch,
    splat,
    store,
    store_index,
    store_int32,
    store_set_bits,
)
from .tile import BLOCK

LINE = 64  # bytes of a cache line
ROWS_AHEAD = 2  # rows of a shuffled batch lie anywhere in memory: ask for them early

# What a thread lists, as a table of int64: addresses of int32 and int64 arrays, and sizes.
COLUMNS = 0  # int32 (parts, row blocks, room): the columns with a value in any row of the block
ROWS = 1  # int32 (column blocks, room): the rows with a value in any column of the block
N_ROWS = 2  # int32 (column blocks,): how many they are
MARKS = 3  # int64 (parts, rows, words of marks): a bit for each block of columns in a row
ANY_ROW = 4  # int64 (words,): scratch, the bits of a block of rows
ROW_BLOCKS = 5  # that there is room for
COLUMN_ROOM = 6
ROW_ROOM = 7
MARK_WORDS = 8
END = -1  # behind the last item of a list of columns or rows


@inner
def append_bits(items, n, bits, first):
    """Append first + the number of each set bit to int32 at ``items``; how many there are then."""
    step = 16 if HAS_COMPRESS else 32
    while bits:
        some = bits & ((1 << step) - 1)
        if HAS_COMPRESS:
            store_set_bits(items, n, some, first)
            n += count_bits(some)
        else:
            while some:
                store_int32(items, n, first + lowest_bit(some))
                some &= some - 1
                n += 1
        bits = (bits >> step) & ((1 << (WORD - step)) - 1)
        first += step
    return n


@inner(forceinline=True)
def _scale_word(x, at, n, kind, scales, shifts, base, out):
    """n <= 64 values of a kind as the network sees them, in whole vectors."""
    if n == WORD:
        for i in range(0, WORD, LANES):
            store(base, out + i, fma(load_input(x, at + i, kind), scales, shifts))
    else:
        for i in range(0, n, LANES):
            values = load_input_first(x, at + i, n - i, kind)
            store(base, out + i, fma(values, scales, shifts))


@inner(forceinline=True)
def _bits_of(x, at, n, kind):
    """A bit for each of n <= 64 values that is not zero."""
    if n == WORD:
        return nonzero_bits(x, at, kind)
    return nonzero_bits_first(x, at, n, kind)


@inner(forceinline=True)
def _store_marks(listed, part, b, word, mark):
    rows = load_index(listed, ROW_BLOCKS) * BLOCK
    at = (part * rows + b) * load_index(listed, MARK_WORDS) + word
    store_index(load_index(listed, MARKS), at, mark)


@inner
def _list_columns(listed, part, parts, part_words, block):
    """The list of a block of rows and a part."""
    index = part * load_index(listed, ROW_BLOCKS) + block
    items = load_index(listed, COLUMNS) + 4 * index * load_index(listed, COLUMN_ROOM)
    any_row, n = load_index(listed, ANY_ROW), 0
    for group in range(part_words):
        w = group * parts + part
        n = append_bits(items, n, load_index(any_row, w), w * WORD)
    store_int32(items, n, END)


@inner
def transpose_bits(square):
    """Transpose 64 x 64 bits in place: swap quadrants, then theirs (Warren 2012, section 7-3)."""
    half, mask = 32, 0xFFFFFFFF
    while half:
        for pair in range(32 // half):
            for i in range(2 * pair * half, (2 * pair + 1) * half):
                low, high = load_index(square, i), load_index(square, i + half)
                swapped = ((low >> half) ^ high) & mask
                store_index(square, i, low ^ (swapped << half))
                store_index(square, i + half, high ^ swapped)
        half //= 2
        mask ^= mask << half


@c_function(6)
def list_rows(listed, fan_in, rows, parts, part, square):
    """For each block of columns of a part the rows in which it is not all zero.

    ``square`` is the address of 64 int64.
    """
    blocks, room = -(-fan_in // BLOCK), load_index(listed, ROW_ROOM)
    n_rows, items = load_index(listed, N_ROWS), load_index(listed, ROWS)
    words = load_index(listed, MARK_WORDS)
    marks = load_index(listed, MARKS) + 8 * part * load_index(listed, ROW_BLOCKS) * BLOCK * words
    for word in range(words):
        for first in range(0, rows, WORD):
            for r in range(WORD):
                mark = 0
                if first + r < rows:
                    mark = load_index(marks, (first + r) * words + word)
                store_index(square, r, mark)
            transpose_bits(square)
            for j in range(WORD):
                block = ((word * 8 + j // 8) * parts + part) * 8 + j % 8
                if block < blocks:
                    n = load_int32(n_rows, block) if first else 0
                    n = append_bits(items + 4 * block * room, n, load_index(square, j), first)
                    store_int32(items + 4 * block * room, n, END)
                    store_int32(n_rows, block, n)


class Upcoming(NamedTuple):
    """The rows of the batch after the one in hand, to be asked for while there is other work."""

    x: int  # address of the inputs
    size: int  # of one of them, in bytes
    samples: int  # address of the row numbers
    rows: int


@inner
def fetch_row(upcoming, row, fan_in, parts, first_part, last_part):
    """Ask the memory for some parts of an upcoming row."""
    source = upcoming.x + upcoming.size * load_index(upcoming.samples, row) * fan_in
    for group in range(0, -(-fan_in // WORD), parts):
        for word in range(group + first_part, group + last_part):
            for line in range(upcoming.size):
                prefetch(source, (upcoming.size * word + line) * LINE)


@c_function(15)
def gather(
    x, floats, samples, fan_in, first, stop, parts, first_part, last_part, skip, listed, base,
    constants, target, leading,
):  # fmt: skip
    """Some parts of rows [first, stop) of a batch as ``x * scale + shift``, and their lists.

    ``x`` is the address of bytes, or of ``floats``; ``samples`` that of the row numbers;
    ``listed`` that of a table of lists, or 0 for none; without ``skip`` everything is listed.
    ``first`` begins a block. Scale and shift stand among the ``constants``.
    """
    scales = splat(load_scalar(base, constants + SCALE))
    shifts = splat(load_scalar(base, constants + SHIFT))
    words = -(-fan_in // WORD)
    part_words = -(-words // parts)
    size = 4 if floats else 1
    any_row = load_index(listed, ANY_ROW) if listed else 0
    for b in range(first, stop):
        source, out = load_index(samples, b) * fan_in, target + b * leading
        ahead = load_index(samples, min(b + ROWS_AHEAD, stop - 1)) * fan_in
        begins = b % BLOCK == 0
        for part in range(first_part, last_part):
            mark, w = 0, part
            for group in range(part_words):
                n, bits = min(WORD, fan_in - w * WORD), 0
                if n > 0:
                    at, to = source + w * WORD, out + w * WORD
                    for line in range(size):
                        prefetch(x, size * (ahead + w * WORD) + line * LINE)
                    if floats:
                        _scale_word(x, at, n, FLOATS, scales, shifts, base, to)
                        bits = _bits_of(x, at, n, FLOATS)
                    else:
                        _scale_word(x, at, n, BYTES, scales, shifts, base, to)
                        bits = _bits_of(x, at, n, BYTES)
                    if not skip:
                        bits = -1 if n == WORD else (1 << n) - 1
                if listed:
                    store_index(any_row, w, bits if begins else bits | load_index(any_row, w))
                    mark |= nonzero_bytes(bits) << 8 * (group % 8)
                    if group % 8 == 7 or group == part_words - 1:
                        _store_marks(listed, part, b, group // 8, mark)
                        mark = 0
                w += parts
            if listed and (b % BLOCK == BLOCK - 1 or b == stop - 1):
                _list_columns(listed, part, parts, part_words, b // BLOCK)
