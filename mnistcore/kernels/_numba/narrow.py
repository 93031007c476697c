"""A first layer of few units: lanes are inputs, not units.

A vector holds one unit's weights of VL neighbouring inputs, which multiply the inputs as they lie
in the source: nothing is gathered. Inputs are multiplied in strips, and a strip that is zero in
a row is left out, as 42 % of MNIST's are. The inputs are divided into parts, each owned by one
thread, which reads no weights but those that it updates.

The sums of all units are in registers, so their number is part of the compiled code:
:func:`functions_for` declares the functions for one number of units and one kind of inputs.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

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
from .intrinsics import BYTES, F32, FLOATS, I64, broadcast, pointer_to, twin_of, view
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
from .plan import OCTET, STRIP, Layer
from .tile import store_tile, zero_tile
from .updates import DECAY, PLAIN, RULE
from .vectors import (
    INTS,
    VECTOR,
    fma,
    load_input,
    load_input_first,
    multiply_add,
    splat,
    store,
    vector_pointer,
    vector_type,
)

_ONE = (0,)  # a vector for each unit: see tile.zero_tile
EVEN = 0x5555555555555555


class Strips(NamedTuple):
    """A thread's view of the batch: addresses and sizes. A strip's weights are (fan_out, STRIP)."""

    n: int
    parts: int
    batch_size: int
    row_words: int
    starts: int  # int64 (batch_size,): where the rows begin in the source
    octets: int  # int64 (parts, batch_size): the bits of the octets of a row, one for each strip
    rows: int  # int64 (n, row_words): the bits of the rows in which a strip is not zero
    last: int  # float32 (batch_size, STRIP): the last strip if columns end in it, scaled, padded


UPCOMING = len(Strips._fields)  # follows the Strips of a thread


def make_strips(fan_in: int, batch_size: int, parts: int, threads: int) -> list[np.ndarray]:
    """Return an int64 array per thread: its Strips and Upcoming, and what they point to."""
    n, row_words = -(-fan_in // STRIP), -(-batch_size // WORD)
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
    return strips.n * part // strips.parts


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
def is_ragged(source, strips, part):
    """Return whether the columns end within the last strip of a part, which is then read apart."""
    return part == strips.parts - 1 and source.fan_in % STRIP != 0


@inner(forceinline=True, literals=True)
def octets_of(source, row, column, end, kind):
    """Return a bit for each octet of up to 64 values before ``end``, set if it is not all zero."""
    if not source.skip_zeros:
        return 255
    # Near the end of a row, the last 64 values before the end are read: there are as many.
    start = min(column, end - WORD)
    if kind == BYTES:
        octets = nonzero_octets(source.x, row + start)
    else:
        octets = nonzero_bytes(nonzero_bits(source.x, row + start, kind))
    return octets >> ((column - start) // OCTET)


@inner
def mark_strip_rows(strips, part, rows, ragged, square):
    """Transpose the bits of a part: for each strip, the rows in which it is not zero."""
    first, stop = first_strip(strips, part), first_strip(strips, part + 1)
    for group in range(strips.row_words):
        n = min(rows - group * WORD, WORD)
        if n <= 0:
            break
        start = part * strips.batch_size + group * WORD
        for r in range(WORD):
            store_index(square, r, load_index(strips.octets, start + r) if r < n else 0)
        transpose_bits(square)
        for strip in range(first, stop):
            bits = load_index(square, (strip - first) * (STRIP // OCTET))
            store_index(strips.rows, strip * strips.row_words + group, bits)
        if ragged:
            bits = -1 if n == WORD else (1 << n) - 1
            store_index(strips.rows, (stop - 1) * strips.row_words + group, bits)


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
# Vectors of sums, one for each unit
# ---------------------------------------------------------------------------------------------


def _add_weighted_twin(sums, x, weights, offset):
    rows = np.stack([view(weights, offset + unit * STRIP, VL) for unit in range(len(sums))])
    return (sums + x.astype(np.float64) * rows).astype(np.float32)


@twin_of(_add_weighted_twin)
def add_weighted(typingctx, sums, x, weights, offset):
    """Add x times a vector of weights to each unit's sums; these are STRIP floats apart."""

    def generate(context, builder, signature, args):
        sums, x, weights, offset = args
        for unit in range(signature.args[0].count):
            position = builder.add(offset, I64(unit * STRIP))
            pointer = vector_pointer(builder, weights, position, VECTOR)
            factor = builder.load(pointer, align=4, typ=VECTOR)
            after = multiply_add(builder, x, factor, builder.extract_value(sums, [unit, 0]))
            sums = builder.insert_value(sums, after, [unit, 0])
        return sums

    return sums(sums, vector_type, types.int64, types.int64), generate


def _add_scaled_twin(sums, x, base, offset):
    factors = view(base, offset, len(sums)).astype(np.float64)
    return (sums + np.multiply.outer(factors, x)).astype(np.float32)


@twin_of(_add_scaled_twin)
def add_scaled(typingctx, sums, x, base, offset):
    """Add x times a number to each unit's sums; these numbers are at base + offset."""

    def generate(context, builder, signature, args):
        sums, x, base, offset = args
        for unit in range(signature.args[0].count):
            position = builder.add(offset, I64(unit))
            scalar = builder.load(pointer_to(builder, base, position, F32), align=4, typ=F32)
            factor = broadcast(builder, scalar, VECTOR)
            after = multiply_add(builder, x, factor, builder.extract_value(sums, [unit, 0]))
            sums = builder.insert_value(sums, after, [unit, 0])
        return sums

    return sums(sums, vector_type, types.int64, types.int64), generate


def _reversed_lanes():
    """Return for each lane where it goes: the number whose bits are the lane's, reversed."""
    digits = VL.bit_length() - 1
    return [int(f"{lane:0{digits}b}"[::-1], 2) for lane in range(VL)]


def _sum_lanes(builder, vectors):
    """Return a vector whose lane i is the sum of all lanes of vectors[i], at most VL of them."""
    pairs = [[half + i // 2 + i % 2 * VL for i in range(VL)] for half in (0, VL // 2)]
    zero = ir.Constant(VECTOR, None)
    size = VL
    while size > 1:
        size //= 2
        vectors = vectors + [zero] * (len(vectors) % 2)
        vectors = [
            builder.fadd(
                *(builder.shuffle_vector(low, high, ir.Constant(INTS, pair)) for pair in pairs)
            )
            for low, high in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    order = ir.Constant(INTS, _reversed_lanes())
    return builder.shuffle_vector(vectors[0], vectors[0], order)


def _store_sums_twin(sums, base, offset):
    totals = sums
    while totals.shape[1] > 1:  # in the order of the shuffles, by halves
        half = totals.shape[1] // 2
        totals = totals[:, :half] + totals[:, half:]
    n = -(-len(sums) // VL) * VL
    view(base, offset, n)[:] = np.pad(totals[:, 0], (0, n - len(sums)))


@twin_of(_store_sums_twin)
def store_sums(typingctx, sums, base, offset):
    """Write the sum of each unit's lanes at base + offset, in whole vectors."""

    def generate(context, builder, signature, args):
        sums, base, offset = args
        units = [builder.extract_value(sums, [i, 0]) for i in range(signature.args[0].count)]
        for first in range(0, len(units), VL):
            pointer = vector_pointer(builder, base, builder.add(offset, I64(first)), VECTOR)
            builder.store(_sum_lanes(builder, units[first : first + VL]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(sums, types.int64, types.int64), generate


# ---------------------------------------------------------------------------------------------
# The functions for a number of units
# ---------------------------------------------------------------------------------------------


@inner
def scaling_of(source):
    """Return the scale and the shift of the inputs, as vectors."""
    return splat(load_scalar(source.scaling, 0)), splat(load_scalar(source.scaling, 1))


@inner(forceinline=True, literals=True)
def add_strip(sums, x, at, kind, scaling, weights, offset):
    """Add the products of one strip and its weights to the lanes of each unit's sums."""
    scales, shifts = scaling
    for v in range(0, STRIP, VL):
        values = fma(load_input(x, at + v, kind), scales, shifts)
        sums = add_weighted(sums, values, weights, offset + v)
    return sums


@inner(forceinline=True, literals=True)
def strip_gradient(zeros, x, kind, scaling, strips, strip, rows, base, layer, out):
    """Compute the gradient (units, STRIP) of the weights of a strip."""
    scales, shifts = scaling
    for v in range(0, STRIP, VL):
        sums = zeros
        for group in range(-(-rows // WORD)):
            bits = load_index(strips.rows, strip * strips.row_words + group)
            while bits:
                row = group * WORD + lowest_bit(bits)
                bits = without_lowest(bits)
                at = load_index(strips.starts, row) + strip * STRIP
                values = fma(load_input(x, at + v, kind), scales, shifts)
                sums = add_scaled(sums, values, base, layer.dz + row * layer.width)
        store_tile(sums, base, out + v, STRIP)


@inner(forceinline=True)
def last_gradient(zeros, strips, rows, base, layer, out):
    """Do the same for a last strip that columns end in, of which no row is left out."""
    for v in range(0, STRIP, VL):
        sums = zeros
        for row in range(rows):
            values = load_input(strips.last, row * STRIP + v, FLOATS)
            sums = add_scaled(sums, values, base, layer.dz + row * layer.width)
        store_tile(sums, base, out + v, STRIP)


@inner
def is_zero(strips, strip, rows):
    """Return whether a strip is left out in all rows of the batch."""
    for group in range(-(-rows // WORD)):
        if load_index(strips.rows, strip * strips.row_words + group):
            return False
    return True


@inner
def clear_strip(update, base, out, size):
    """Write a gradient of zeros; return whether it changes anything."""
    for i in range(0, size, VL):
        store(base, out + i, splat(0.0))
    return load_index(update, RULE) != PLAIN or load_scalar(update, DECAY) != 0


def marks_of(kind):
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
        scales, shifts = scaling_of(source)
        n = (stop - first) // OCTET
        mask = -1 if n == WORD else (1 << n) - 1
        ragged = is_ragged(source, strips, part)
        for row in range(rows):
            at, octets = load_index(samples, row) * source.fan_in, 0
            store_index(strips.starts, row, at)
            for word in range(-(-(stop - first) // WORD)):
                column = first + word * WORD
                octets |= octets_of(source, at, column, whole, kind) << (word * 8)
            octets &= mask
            if STRIP > OCTET:
                octets = (octets | octets >> 1) & EVEN
            store_index(strips.octets, part * strips.batch_size + row, octets)
            if ragged:
                last, n = row * STRIP, source.fan_in - whole
                for v in range(0, STRIP, VL):
                    values = load_input_first(source.x, at + whole + v, n - v, kind)
                    store(strips.last, last + v, fma(values, scales, shifts))
                for i in range(n, STRIP):
                    store_scalar(strips.last, last + i, np.float32(0.0))
        mark_strip_rows(strips, part, rows, ragged, square)

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
        octets_at = strips.octets + 8 * part * strips.batch_size
        for row in range(rows):
            sums = zero_tile(units, _ONE)
            octets, start = load_index(octets_at, row), load_index(strips.starts, row)
            upcoming = fetch_lines(source, kind, upcoming)
            while octets:
                column = first + lowest_bit(octets) * OCTET
                octets = without_lowest(octets)
                sums = add_strip(
                    sums, source.x, start + column, kind, scaling, weights, column * units
                )
            if ends and part == strips.parts - 1:
                column = source.fan_in // STRIP * STRIP
                as_is = splat(1.0), splat(0.0)
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
        scaling, stop = scaling_of(source), first_strip(strips, part + 1)
        for strip in range(first_strip(strips, part), stop):
            upcoming = fetch_lines(source, kind, upcoming)
            changes = True
            if is_zero(strips, strip, rows):
                changes = clear_strip(update, base, scratch, size)
            elif ends and strip == strips.n - 1:
                last_gradient(zero_tile(units, _ONE), strips, rows, base, layer, scratch)
            else:
                strip_gradient(
                    zero_tile(units, _ONE), source.x, kind, scaling, strips, strip, rows, base,
                    layer, scratch,
                )  # fmt: skip
            if changes:
                w = layer.weights + strip * size
                call(apply, (update, layer.decay, base, w, slot_size, scratch, size))
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
        "mark_strips": marks_of(kind),
        "part_sums": sums_of(units, kind, ends),
        "update_part": updates_of(units, kind, ends),
        "pack_strips": pack_strips,
        "unpack_strips": unpack_strips,
    }
