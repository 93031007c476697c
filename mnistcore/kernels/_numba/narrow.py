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
from .intrinsics import (
    BYTES,
    F32,
    FLOATS,
    I32,
    I64,
    broadcast,
    element_of,
    pointer_to,
    twin_of,
    view,
    view_inputs,
)
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
from .updates import DECAY, PLAIN, RULE
from .vectors import (
    VectorType,
    fma,
    load_input_first,
    multiply_add,
    splat,
    store,
    vector_pointer,
    widened,
)

LANES = min(VL, STRIP)  # of the vectors of this module
VECTOR = ir.VectorType(F32, LANES)
vector_type = VectorType(LANES)


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
# Vectors of sums, one for each unit
# ---------------------------------------------------------------------------------------------


@twin_of(lambda units: np.zeros((units, LANES), np.float32))
def zero_sums(typingctx, units):
    """Return a vector of zeros for each of ``units`` (a literal) units."""
    sums = types.UniTuple(vector_type, units.literal_value)

    def generate(context, builder, signature, args):
        return ir.Constant(context.get_value_type(sums), None)

    return sums(units), generate


def _load_strip_twin(base, position, kind, scale, shift):
    x = view_inputs(base, position, LANES, kind).astype(np.float64)
    return (x * scale + shift).astype(np.float32)


@twin_of(_load_strip_twin)
def load_strip(typingctx, base, position, kind, scale, shift):
    """Return LANES numbers of a ``kind`` at base + position, scaled."""
    element = element_of(kind)

    def generate(context, builder, signature, args):
        pointer = pointer_to(builder, args[0], args[1], element)
        loaded = builder.load(pointer, align=1, typ=ir.VectorType(element, LANES))
        factors = [broadcast(builder, number, VECTOR) for number in args[3:]]
        return multiply_add(builder, widened(builder, loaded, element), *factors)

    return vector_type(types.int64, types.int64, kind, types.float32, types.float32), generate


def _accumulate(builder, count, sums, x, factor_of):
    """Return the sums with x times the factor of each unit added."""
    for unit in range(count):
        after = multiply_add(builder, x, factor_of(unit), builder.extract_value(sums, unit))
        sums = builder.insert_value(sums, after, unit)
    return sums


def _add_weighted_twin(sums, x, weights, offset):
    rows = np.stack([view(weights, offset + unit * STRIP, LANES) for unit in range(len(sums))])
    return (sums + x.astype(np.float64) * rows).astype(np.float32)


@twin_of(_add_weighted_twin)
def add_weighted(typingctx, sums, x, weights, offset):
    """Add x times a vector of weights to each unit's sums; these are STRIP floats apart."""

    def generate(context, builder, signature, args):
        sums, x, weights, offset = args

        def factor_of(unit):
            position = builder.add(offset, I64(unit * STRIP))
            pointer = vector_pointer(builder, weights, position, VECTOR)
            return builder.load(pointer, align=4, typ=VECTOR)

        return _accumulate(builder, signature.args[0].count, sums, x, factor_of)

    return sums(sums, vector_type, types.int64, types.int64), generate


def _add_scaled_twin(sums, x, base, offset):
    factors = view(base, offset, len(sums)).astype(np.float64)
    return (sums + np.multiply.outer(factors, x)).astype(np.float32)


@twin_of(_add_scaled_twin)
def add_scaled(typingctx, sums, x, base, offset):
    """Add x times a number to each unit's sums; these numbers are at base + offset."""

    def generate(context, builder, signature, args):
        sums, x, base, offset = args

        def factor_of(unit):
            pointer = pointer_to(builder, base, builder.add(offset, I64(unit)), F32)
            return broadcast(builder, builder.load(pointer, align=4, typ=F32), VECTOR)

        return _accumulate(builder, signature.args[0].count, sums, x, factor_of)

    return sums(sums, vector_type, types.int64, types.int64), generate


def _add_shuffled(builder, a, b, low, high):
    """Return the sum of two shuffles of the lanes of a and b."""
    low, high = (
        builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, LANES), lanes))
        for lanes in (low, high)
    )
    return builder.fadd(low, high)


def _sum_lanes(builder, vectors):
    """Return a vector whose lane i is the sum of all lanes of vectors[i], at most LANES of them.

    Fours of lanes are added first, as their shuffles take one cycle.
    """
    zero = ir.Constant(VECTOR, None)
    vectors = vectors + [zero] * (LANES - len(vectors))
    quads = range(0, LANES, 4)
    low = [q + lane for q in quads for lane in (0, LANES, 1, LANES + 1)]
    high = [lane + 2 for lane in low]
    for order in ((0, 2, 1, 3), (0, 1)):
        pairs = [first + i for first in range(0, len(vectors), len(order)) for i in order]
        vectors = [
            _add_shuffled(builder, vectors[a], vectors[b], low, high)
            for a, b in zip(pairs[::2], pairs[1::2], strict=True)
        ]
    if LANES == 4:
        return vectors[0]
    low = [*range(4), *range(LANES, LANES + 4)]
    return _add_shuffled(builder, *vectors, low, [lane + 4 for lane in low])


def _store_sums_twin(sums, base, offset):
    quads = sums.reshape(len(sums), -1, 4)  # in the order of the shuffles
    pairs = quads[..., :2] + quads[..., 2:]
    totals = (pairs[..., 0] + pairs[..., 1]).sum(axis=1)
    n = -(-len(sums) // VL) * VL
    view(base, offset, n)[:] = np.pad(totals, (0, n - len(sums)))


@twin_of(_store_sums_twin)
def store_sums(typingctx, sums, base, offset):
    """Write the sum of each unit's lanes at base + offset, in whole vectors of VL."""

    def generate(context, builder, signature, args):
        sums, base, offset = args
        n = signature.args[0].count
        units = [builder.extract_value(sums, unit) for unit in range(n)]
        for first in range(0, -(-n // VL) * VL, LANES):
            pointer = vector_pointer(builder, base, builder.add(offset, I64(first)), VECTOR)
            builder.store(_sum_lanes(builder, units[first : first + LANES]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(sums, types.int64, types.int64), generate


def _store_gradient_twin(sums, base, offset):
    for unit, row in enumerate(sums):
        view(base, offset + unit * STRIP, LANES)[:] = row


@twin_of(_store_gradient_twin)
def store_gradient(typingctx, sums, base, offset):
    """Write each unit's lanes, STRIP floats apart, at base + offset."""

    def generate(context, builder, signature, args):
        sums, base, offset = args
        for unit in range(signature.args[0].count):
            position = builder.add(offset, I64(unit * STRIP))
            pointer = vector_pointer(builder, base, position, VECTOR)
            builder.store(builder.extract_value(sums, unit), pointer, align=4)
        return context.get_dummy_value()

    return types.void(sums, types.int64, types.int64), generate


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
    as_is = np.float32(1.0), np.float32(0.0)
    for v in range(0, STRIP, LANES):
        sums = zeros
        for row in range(rows):
            values = load_strip(strips.last, row * STRIP + v, FLOATS, *as_is)
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
