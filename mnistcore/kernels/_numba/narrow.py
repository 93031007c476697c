"""A first layer of few units: lanes are inputs, not units.

A vector holds one unit's weights of neighbouring inputs, which multiply the inputs as they lie in
the source: nothing is gathered. Inputs are multiplied in strips of eight, and a strip that is zero
in a row is left out, as 60 % of MNIST's are: see :mod:`.strips`. The inputs are divided into parts,
each owned by one thread, which reads no weights but those that it updates.

The sums of all units are in registers, so their number is part of the compiled code:
:func:`functions_for` declares the functions for one number of units and one kind of inputs.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from .bits import (
    WORD,
    lowest_bit,
    nonzero_bits,
    nonzero_bytes,
    nonzero_octets,
    transpose_bits,
    without_lowest,
)
from .functions import c_function, call, inner
from .inputs import Source, Upcoming, fetch_lines
from .intrinsics import BYTES, FLOATS
from .machine import VL
from .memory import (
    LINE,
    LINE_FLOATS,
    load_index,
    load_record,
    load_scalar,
    store_index,
    store_record,
    store_scalar,
)
from .plan import PAIR, STRIP, Layer
from .strips import (
    LANES,
    add_scaled,
    add_weighted,
    load_strip,
    store_gradient,
    store_sums,
    zero_sums,
)
from .updates import DECAY, PLAIN, RULE
from .vectors import fma, load_input_first, splat, store


class Strips(NamedTuple):
    """A thread's view of the batch: addresses and sizes. A strip's weights are (fan_out, STRIP)."""

    n: int  # even
    parts: int
    batch_size: int
    row_words: int
    starts: int  # int64 (batch_size,): where the rows begin in the source
    marks: int  # int64 (parts, batch_size): the bits of the strips that are not zero in a row
    rows: int  # int64 (n, row_words): the bits of the rows in which a strip is not zero
    last: int  # float32 (batch_size, STRIP): the last strip if columns end in it, scaled, padded


UPCOMING = len(Strips._fields)  # follows the Strips of a thread


def make_strips(fan_in: int, batch_size: int, parts: int, threads: int) -> list[np.ndarray]:
    """Return an int64 array per thread: its Strips and Upcoming, and what they point to."""
    n, row_words = 2 * -(-fan_in // PAIR), -(-batch_size // WORD)
    sizes = [batch_size, parts * batch_size, n * row_words, batch_size * STRIP // 2]
    spaced = [size + LINE // 8 for size in sizes]
    start = UPCOMING + len(Upcoming._fields) + LINE // 8
    tables = []
    for _ in range(threads):
        table = np.empty(start + sum(spaced), np.int64)
        first = table.ctypes.data + 8 * start
        addresses = [first + 8 * sum(spaced[:i]) for i in range(len(spaced))]
        table[:UPCOMING] = [n, parts, batch_size, row_words, *addresses]
        tables.append(table)
    return tables


@inner
def first_strip(strips, part):
    """Return where a part begins, which is where the one before it ends."""
    return 2 * (strips.n // 2 * part // strips.parts)


@inner
def upcoming_columns(source, strips, parts, rows, samples, next_rows):
    """Return what to prefetch of ``next_rows`` rows while ``rows`` rows are summed and the weights
    updated; ``parts`` are those of the thread.
    """
    first_part, last_part = parts
    start, end = first_strip(strips, first_part), first_strip(strips, last_part)
    first, stop = start * STRIP, min(end * STRIP, source.fan_in)
    columns = np.int64(LINE_FLOATS if source.floats else LINE)
    lines = next_rows * (1 - (first - stop) // columns)
    occasions = (last_part - first_part) * rows + end - start
    none = np.int64(0)
    return Upcoming(samples, none, first, lines, first, stop, none, lines, occasions)


# ---------------------------------------------------------------------------------------------
# What is not zero
# ---------------------------------------------------------------------------------------------


@inner
def ragged_strip(source, strips, part):
    """Return the strip of a part that the columns end in, which is read apart; -1 if none."""
    if part == strips.parts - 1 and source.fan_in % STRIP != 0:
        return source.fan_in // STRIP
    return -1


@inner(forceinline=True, literals=True)
def marks_of(source, row, column, end, kind):
    """Return a bit for each strip of up to 64 values before ``end``, set if it is not all zero."""
    if not source.skip_zeros:
        return 255
    # Near the end of a row, the last 64 values before the end are read: there are as many.
    start = min(column, end - WORD)
    if kind == BYTES:
        marks = nonzero_octets(source.x, row + start)
    else:
        marks = nonzero_bytes(nonzero_bits(source.x, row + start, kind))
    return marks >> ((column - start) // STRIP)


@inner
def mark_strip_rows(source, strips, part, rows, square):
    """Transpose the bits of a part: for each strip, the rows in which it is not zero."""
    first, stop = first_strip(strips, part), first_strip(strips, part + 1)
    last = ragged_strip(source, strips, part)
    for group in range(strips.row_words):
        n = min(rows - group * WORD, WORD)
        if n <= 0:
            break
        start = part * strips.batch_size + group * WORD
        for r in range(WORD):
            store_index(square, r, load_index(strips.marks, start + r) if r < n else 0)
        transpose_bits(square)
        for strip in range(first, stop):
            bits = load_index(square, strip - first)
            store_index(strips.rows, strip * strips.row_words + group, bits)
        if last >= 0:
            bits = -1 if n == WORD else (1 << n) - 1
            store_index(strips.rows, last * strips.row_words + group, bits)


@inner
def next_strips(functions, place, parts, square, batch, upcoming):
    """Find what is not zero in a thread's parts of a batch.

    ``batch`` and ``upcoming`` are that batch and the one after it: address of the row numbers,
    number of rows.
    """
    (first, stop), (samples, rows), (next_samples, next_rows) = parts, batch, upcoming
    for part in range(first, stop):
        call(functions.mark_strips, (place.source, place.strips, samples, rows, part, square))
    source, strips = load_record(place.source, Source), load_record(place.strips, Strips)
    columns = upcoming_columns(source, strips, parts, rows, next_samples, next_rows)
    store_record(place.strips + 8 * UPCOMING, columns)


# ---------------------------------------------------------------------------------------------
# The functions for a number of units
# ---------------------------------------------------------------------------------------------


@inner
def scaling_of(source):
    """Return the scale and the shift of the inputs."""
    return load_scalar(source.scaling, 0), load_scalar(source.scaling, 1)


@inner(forceinline=True, literals=True)
def add_strip(sums, x, at, kind, scaling, weights, offset):
    """Add the products of one strip and its weights to the lanes of each unit's sums."""
    scale, shift = scaling
    for v in range(0, STRIP, LANES):
        values = load_strip(x, at + v, kind, scale, shift)
        sums = add_weighted(sums, values, weights, offset + v)
    return sums


@inner(forceinline=True, literals=True)
def strip_gradient(zeros, x, kind, scaling, strips, strip, rows, base, layer, out):
    """Compute the gradient (units, STRIP) of the weights of a strip."""
    scale, shift = scaling
    for v in range(0, STRIP, LANES):
        sums = zeros
        for group in range(-(-rows // WORD)):
            bits = load_index(strips.rows, strip * strips.row_words + group)
            while bits:
                row = group * WORD + lowest_bit(bits)
                bits = without_lowest(bits)
                at = load_index(strips.starts, row) + strip * STRIP
                values = load_strip(x, at + v, kind, scale, shift)
                sums = add_scaled(sums, values, base, layer.dz + row * layer.width)
        store_gradient(sums, base, out + v)


@inner(forceinline=True)
def last_gradient(zeros, strips, rows, base, layer, out):
    """Do the same for a last strip that columns end in, of which no row is left out."""
    scale, shift = np.float32(1.0), np.float32(0.0)  # these are scaled already
    for v in range(0, STRIP, LANES):
        sums = zeros
        for row in range(rows):
            values = load_strip(strips.last, row * STRIP + v, FLOATS, scale, shift)
            sums = add_scaled(sums, values, base, layer.dz + row * layer.width)
        store_gradient(sums, base, out + v)


@inner
def is_zero(strips, strip, rows):
    """Return whether a strip is left out in all rows of the batch."""
    for group in range(-(-rows // WORD)):
        if load_index(strips.rows, strip * strips.row_words + group):
            return False
    return True


@inner
def clear_strips(update, base, out, size):
    """Write a gradient of zeros; return whether it changes anything."""
    for i in range(0, size, VL):
        store(base, out + i, splat(0.0))
    return load_index(update, RULE) != PLAIN or load_scalar(update, DECAY) != 0


def marking_of(kind):
    """Declare the function that finds what is not zero among inputs of a kind."""

    @c_function(6)
    def mark_strips(source_at, strips_at, samples, rows, part, square):
        """Note where the rows of a batch begin, and which strips of a part are not zero.

        ``square`` is the address of 64 int64.
        """
        source, strips = load_record(source_at, Source), load_record(strips_at, Strips)
        whole = source.fan_in // STRIP * STRIP
        first = first_strip(strips, part) * STRIP
        stop = min(whole, first_strip(strips, part + 1) * STRIP)
        n, ragged = (stop - first) // STRIP, ragged_strip(source, strips, part) >= 0
        mask = -1 if n == WORD else (1 << n) - 1
        for row in range(rows):
            at, marks = load_index(samples, row) * source.fan_in, 0
            store_index(strips.starts, row, at)
            for column in range(first, stop, WORD):
                bits = marks_of(source, at, column, whole, kind)
                marks |= bits << (column - first) // STRIP
            store_index(strips.marks, part * strips.batch_size + row, marks & mask)
            if ragged:
                scale, shift = scaling_of(source)
                for i in range(0, STRIP, VL):
                    x = load_input_first(source.x, at + whole + i, source.fan_in - whole - i, kind)
                    store(strips.last, row * STRIP + i, fma(x, splat(scale), splat(shift)))
                for i in range(source.fan_in - whole, STRIP):
                    store_scalar(strips.last, row * STRIP + i, np.float32(0.0))
        mark_strip_rows(source, strips, part, rows, square)

    return mark_strips


def sums_of(units, kind, ends):
    """Declare the forward product for a number of units and a kind of inputs.

    ``ends``: whether the columns end within a strip.
    """

    @c_function(7)
    def part_sums(source_at, strips_at, at, base, part, rows, out):
        """Multiply one part of the inputs by its weights, giving partial sums (rows, width).

        ``at`` is the address of the layer, base + ``out`` that of the sums.
        """
        source, strips = load_record(source_at, Source), load_record(strips_at, Strips)
        layer, upcoming = load_record(at, Layer), load_record(strips_at + 8 * UPCOMING, Upcoming)
        first, scaling = first_strip(strips, part) * STRIP, scaling_of(source)
        weights = base + 4 * layer.weights
        marks_at = strips.marks + 8 * part * strips.batch_size
        for row in range(rows):
            sums = zero_sums(units)
            marks, start = load_index(marks_at, row), load_index(strips.starts, row)
            upcoming = fetch_lines(source, kind, upcoming)
            while marks:
                column = first + lowest_bit(marks) * STRIP
                marks = without_lowest(marks)
                sums = add_strip(
                    sums, source.x, start + column, kind, scaling, weights, column * units
                )
            if ends and part == strips.parts - 1:
                column = source.fan_in // STRIP * STRIP
                as_is = np.float32(1.0), np.float32(0.0)
                sums = add_strip(
                    sums, strips.last, row * STRIP, FLOATS, as_is, weights, column * units
                )
            store_sums(sums, base, out + row * layer.width)
        store_record(strips_at + 8 * UPCOMING, upcoming)

    return part_sums


def updates_of(units, kind, ends):
    """Declare the weight gradient and update, for what :func:`sums_of` is declared for."""
    size = units * STRIP

    @c_function(10)
    def update_part(source_at, strips_at, at, base, part, rows, apply, update, slot_size, scratch):
        """Compute the weight gradient of a part and apply it, strip by strip.

        ``apply`` is the pointer of :func:`.updates.update_vectors`, base + ``scratch`` has room
        for a tile. Meanwhile, the part of the upcoming rows is prefetched.
        """
        source, strips = load_record(source_at, Source), load_record(strips_at, Strips)
        layer, upcoming = load_record(at, Layer), load_record(strips_at + 8 * UPCOMING, Upcoming)
        scaling = scaling_of(source)
        for pair in range(first_strip(strips, part), first_strip(strips, part + 1), 2):
            upcoming = fetch_lines(source, kind, upcoming)
            changes = True
            if is_zero(strips, pair, rows) and is_zero(strips, pair + 1, rows):
                changes = clear_strips(update, base, scratch, 2 * size)
            else:
                for strip in range(pair, pair + 2):
                    out = scratch + (strip - pair) * size
                    if ends and strip == source.fan_in // STRIP:
                        last_gradient(zero_sums(units), strips, rows, base, layer, out)
                    else:
                        strip_gradient(
                            zero_sums(units), source.x, kind, scaling, strips, strip, rows, base,
                            layer, out,
                        )  # fmt: skip
            if changes:
                w = layer.weights + pair * size
                call(apply, (update, layer.decay, base, w, slot_size, scratch, 2 * size))
        store_record(strips_at + 8 * UPCOMING, upcoming)

    return update_part


# ---------------------------------------------------------------------------------------------
# Packing
# ---------------------------------------------------------------------------------------------


@inner
def strip_place(layer, column):
    """Return the place of a column's weights; those of its units are STRIP floats apart."""
    return layer.weights + column // STRIP * STRIP * layer.fan_out + column % STRIP


@c_function(6)
def pack_strips(strips_at, at, flat, base, packed, part):
    """Copy a part of the weights from a flat vector to strips; ``at``: that of the layer."""
    strips, layer = load_record(strips_at, Strips), load_record(at, Layer)
    for column in range(first_strip(strips, part) * STRIP, first_strip(strips, part + 1) * STRIP):
        source = layer.weight_offset + column * layer.fan_out
        target = packed + strip_place(layer, column)
        for unit in range(layer.fan_out):
            value = np.float32(0.0)
            if column < layer.fan_in:
                value = load_scalar(flat, source + unit)
            store_scalar(base, target + unit * STRIP, value)


@c_function(6)
def unpack_strips(strips_at, at, flat, base, packed, part):
    """Unpack: the inverse of :func:`pack_strips`."""
    strips, layer = load_record(strips_at, Strips), load_record(at, Layer)
    stop = min(first_strip(strips, part + 1) * STRIP, layer.fan_in)
    for column in range(first_strip(strips, part) * STRIP, stop):
        source = packed + strip_place(layer, column)
        target = layer.weight_offset + column * layer.fan_out
        for unit in range(layer.fan_out):
            store_scalar(flat, target + unit, load_scalar(base, source + unit * STRIP))


@cache
def functions_for(units, floats, fan_in):
    """Declare the functions of this module for a first layer, by their names in Functions."""
    kind, ends = (FLOATS if floats else BYTES), fan_in % STRIP != 0
    return {
        "mark_strips": marking_of(kind),
        "part_sums": sums_of(units, kind, ends),
        "update_part": updates_of(units, kind, ends),
        "pack_strips": pack_strips,
        "unpack_strips": unpack_strips,
    }
