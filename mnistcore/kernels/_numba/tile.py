"""The matrix products: panels, and a tile of accumulators that lives in registers.

Why a tile: a product of (M, K) by (K, N) makes 2 M N K flops out of M K + K N numbers, but a loop
that multiplies one number by one vector loads as much as it computes. A tile of R rows and V
vectors keeps R * V sums in registers; for each k it loads R single numbers (broadcast by the
load itself) and V vectors, and does R * V multiply-adds with them. AVX-512 has 32 registers:
14 x 2 accumulators, 2 vectors of B and one spare, so 28 FMAs for 16 loads. AVX2 has 16 registers:
6 x 2 accumulators, 12 FMAs for 8 loads. Either way the FMA units, not the loads, are the limit,
and there are more independent sums than the 8 that hide an FMA's latency.

Why panels: B is read V vectors at a time, all k in turn. Stored as *panels* (K, width), that is
one stream of consecutive cache lines; stored as rows of a wide matrix, each k would touch
another page, and with a power of two as the width the same few sets of the L1 cache.

A is read in place, row-major or transposed alike: only the broadcast loads know the difference.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import register_jitable

from .functions import c_function, call, inner
from .intrinsics import F32, I64, broadcast, opaque, pointer_to, twin_of, view
from .machine import VL
from .memory import load_record
from .vectors import (
    VECTOR,
    load_first,
    multiply_add,
    store_first,
    vector_pointer,
    vector_type,
)

MR = 14 if VL == 16 else 6  # rows of a tile
NR = 2 * VL  # columns of a wide panel
STRIPE = 8  # rows that are packed together for all panels, in runs of cache lines on both sides
# The most in a panel of mostly zero inputs: sums enough to hide the latency of an FMA. Two vectors
# of up to 8 floats are multiplied and added at a time, but one of 16.
SPARSE_VECTORS = 4 if VL == 16 else 8
SPARSE_FLOATS = SPARSE_VECTORS * VL
# Floats that a tile takes, in whole square blocks; SCRATCH adds one such block after it.
TILE = -(-MR // VL) * VL * SPARSE_FLOATS
SCRATCH = TILE + VL * VL

# The one or two vectors of a panel, as tuples whose length the compiler knows.
ONE, TWO = (0,), (0, 0)


class Sum(NamedTuple):
    """The terms of the sums of a tile."""

    k: int  # how many
    segment: int  # after every ``segment`` of them, a moves on by a_segment as well
    a_segment: int


SUM = len(Sum._fields)


@register_jitable
def panel_width(n: int) -> int:
    """Return the panel width for n columns: two vectors, or one where that pads less."""
    wide = -(-n // NR) * NR
    narrow = -(-n // VL) * VL
    return VL if 10 * wide > 11 * narrow else NR


def leading_dimension(n: int) -> int:
    """Round n floats up to an odd number of vectors, so that rows do not share a set of the L1."""
    vectors = -(-n // VL)
    return (vectors + 1 - vectors % 2) * VL


# ---------------------------------------------------------------------------------------------
# The accumulators: a tuple of rows, each a tuple of vectors, which LLVM keeps in registers. The
# shape is part of the type, so a function that takes them is compiled for each shape.
# ---------------------------------------------------------------------------------------------


def _tile_type(rows, vectors):
    return types.UniTuple(types.UniTuple(vector_type, vectors), rows)


@twin_of(lambda rows, columns: np.zeros((rows, len(columns) * VL), np.float32))
def zero_tile(typingctx, rows, columns):
    """Return a tile of ``rows`` (a literal) x ``len(columns)`` vectors of zeros."""
    tile = _tile_type(rows.literal_value, len(columns))

    def generate(context, builder, signature, args):
        return ir.Constant(context.get_value_type(tile), None)

    return tile(rows, columns), generate


@twin_of(lambda tile: tile.shape[1])
def row_length(typingctx, tile):
    """Return the number of floats in a row of a tile."""

    def generate(context, builder, signature, args):
        return I64(signature.args[0].dtype.count * VL)

    return types.int64(tile), generate


@twin_of(lambda tile: tile.size)
def tile_size(typingctx, tile):
    """Return the number of floats in a tile."""

    def generate(context, builder, signature, args):
        return I64(signature.args[0].count * signature.args[0].dtype.count * VL)

    return types.int64(tile), generate


@twin_of(lambda tile, i: tile.reshape(-1, VL)[i] if i * VL < tile.size else np.zeros(VL))
def tile_vector(typingctx, tile, i):
    """Return vector i (a literal) of a tile, counted row by row; zeros after the last."""
    row, column = divmod(i.literal_value, tile.dtype.count)

    def generate(context, builder, signature, args):
        if row < signature.args[0].count:
            return builder.extract_value(args[0], [row, column])
        return ir.Constant(VECTOR, None)

    return vector_type(tile, i), generate


def _tile_places(builder, tile, base, offset, stride):
    """Yield row, column and pointer of each vector of a tile of a type, at base + offset."""
    for row in range(tile.count):
        for column in range(tile.dtype.count):
            start = builder.add(offset, builder.mul(stride, I64(row)))
            position = builder.add(start, I64(column * VL))
            yield row, column, vector_pointer(builder, base, position, VECTOR)


def _load_tile_twin(tile, base, offset, stride):
    return np.stack([view(base, offset + row * stride, tile.shape[1]) for row in range(len(tile))])


@twin_of(_load_tile_twin)
def load_tile(typingctx, tile, base, offset, stride):
    """Load a tile of the same shape from base + offset, its rows ``stride`` floats apart."""

    def generate(context, builder, signature, args):
        tile, *place = args
        for row, column, pointer in _tile_places(builder, signature.args[0], *place):
            loaded = builder.load(pointer, align=4, typ=VECTOR)
            tile = builder.insert_value(tile, loaded, [row, column])
        return tile

    return tile(tile, *[types.int64] * 3), generate


def _add_outer_twin(tile, a, offset, stride, b, b_offset):
    column = np.array([view(a, offset + row * stride, 1)[0] for row in range(len(tile))])
    products = np.multiply.outer(column, view(b, b_offset, tile.shape[1]), dtype=np.float64)
    return (tile + products).astype(np.float32)


@twin_of(_add_outer_twin)
def add_outer(typingctx, tile, a, offset, stride, b, b_offset):
    """Return tile + the outer product of a column of a and a row of b.

    Row r takes the float at ``a + offset + r * stride``, broadcast; the vectors of the row are
    at ``b + b_offset``. One broadcast and ``vectors`` FMAs per row of the tile.
    """

    def generate(context, builder, signature, args):
        tile, a, offset, stride, b, b_offset = args
        rows, vectors = signature.args[0].count, signature.args[0].dtype.count
        row_of_b = []
        for column in range(vectors):
            position = builder.add(b_offset, I64(column * VL))
            pointer = vector_pointer(builder, b, position, VECTOR)
            row_of_b.append(builder.load(pointer, align=4, typ=VECTOR))
        place = pointer_to(builder, a, offset, F32)
        for row in range(rows):
            if row:
                place = builder.gep(place, [stride], source_etype=F32)
                if not isinstance(stride, ir.Constant):
                    place = opaque(builder, place)
            scalar = builder.load(place, align=4, typ=F32)
            factor = broadcast(builder, scalar, VECTOR)
            for column in range(vectors):
                before = builder.extract_value(tile, [row, column])
                after = multiply_add(builder, factor, row_of_b[column], before)
                tile = builder.insert_value(tile, after, [row, column])
        return tile

    return tile(tile, *[types.int64] * 5), generate


def _store_tile_twin(tile, out, offset, stride):
    for row in range(len(tile)):
        view(out, offset + row * stride, tile.shape[1])[:] = tile[row]


@twin_of(_store_tile_twin)
def store_tile(typingctx, tile, out, offset, stride):
    """Write a tile at out + offset, its rows ``stride`` floats apart."""

    def generate(context, builder, signature, args):
        tile, *place = args
        for row, column, pointer in _tile_places(builder, signature.args[0], *place):
            builder.store(builder.extract_value(tile, [row, column]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(tile, *[types.int64] * 3), generate


# ---------------------------------------------------------------------------------------------
# Tiles
# ---------------------------------------------------------------------------------------------


@inner
def tile_body(tile, a, a_row, a_step, b, b_step, total, out, out_row, done):
    """Run the micro-kernel: one chain of multiply-adds for every sum of the tile.

    The tile is written to ``out`` after the rows that are ``done``.
    """
    left, segment, a_segment = load_record(total, Sum)
    position = row_of_b = 0
    while left > 0:
        for _ in range(min(left, segment)):
            tile = add_outer(tile, a, position, a_row, b, row_of_b)
            position += a_step
            row_of_b += b_step
        position += a_segment
        left -= segment
    store_tile(tile, out, done * out_row, out_row)


@inner
def _low_tile(rows, columns, a, ar, at, b, bt, total, out, out_row):
    if rows == 6:
        tile_body(zero_tile(6, columns), a, ar, at, b, bt, total, out, out_row, 0)
    elif rows == 4:
        tile_body(zero_tile(4, columns), a, ar, at, b, bt, total, out, out_row, 0)
    elif rows == 2:
        tile_body(zero_tile(2, columns), a, ar, at, b, bt, total, out, out_row, 0)


@inner
def _high_tile(rows, columns, a, ar, at, b, bt, total, out, out_row):
    if rows <= 6:
        _low_tile(rows, columns, a, ar, at, b, bt, total, out, out_row)
    elif rows == 14:
        tile_body(zero_tile(14, columns), a, ar, at, b, bt, total, out, out_row, 0)
    elif rows == 12:
        tile_body(zero_tile(12, columns), a, ar, at, b, bt, total, out, out_row, 0)
    elif rows == 10:
        tile_body(zero_tile(10, columns), a, ar, at, b, bt, total, out, out_row, 0)
    else:
        tile_body(zero_tile(8, columns), a, ar, at, b, bt, total, out, out_row, 0)


_even_tile = _high_tile if MR == 14 else _low_tile


@inner
def sized_tile(rows, columns, a, ar, at, b, bt, total, out, out_row):
    """Compute a tile as an even and an odd part, whose heights the compiler must know."""
    even = rows - rows % 2
    _even_tile(even, columns, a, ar, at, b, bt, total, out, out_row)
    if rows % 2:
        a += 4 * even * ar
        tile_body(zero_tile(1, columns), a, ar, at, b, bt, total, out, out_row, even)


@c_function(10)
def multiply_tile(rows, width, a, a_row, a_step, b, b_step, total, out, out_row):
    """Compute one tile: out[r, c] = sum over i of A[r, i] B[i, c], ``rows`` x ``width`` floats.

    Parameters
    ----------
    rows, width
        At most MR; VL or NR.
    a, a_row, a_step
        A[r, i] is at the address ``a`` + r * a_row + i * a_step floats. Row-major: a_row is
        the leading dimension, a_step is 1; transposed: the other way round.
    b, b_step
        Row i of B, one panel row, is at the address ``b`` + i * b_step floats.
    total
        The address of a :class:`Sum`.
    out, out_row
        The address of the result, and the floats from one of its rows to the next.

    Each sum is one chain over i, so its bits depend on nothing but its own row and column.
    """
    if width == NR:
        sized_tile(rows, TWO, a, a_row, a_step, b, b_step, total, out, out_row)
    else:
        sized_tile(rows, ONE, a, a_row, a_step, b, b_step, total, out, out_row)


@inner
def multiply_panel(multiply_tile, rows, used, width, a, a_row, a_step, b, runs, out):
    """Compute rows of a panel, its first ``used`` columns, with tiles of at most NR columns.

    ``multiply_tile`` is the pointer of that; the rows of B and of the result are ``width`` floats
    apart.
    """
    for c in range(0, used, NR):
        columns = min(NR, used - c)
        call(
            multiply_tile,
            (rows, columns, a, a_row, a_step, b + 4 * c, width, runs, out + 4 * c, width),
        )


@inner
def tile_height(n):
    """Return the height of the next tile, of n rows that are left: even, unless n itself is not.

    Tiles of about equal height follow; a low one at the end would keep the FMA units waiting.
    """
    tiles = -(-n // MR)
    return min(n, 2 * -(-n // (2 * tiles))) if tiles > 0 else 2


@inner
def copy_row(source, position, n, target, target_position, width):
    """Copy n floats into a row of ``width`` floats, padded with zeros; touch nothing else."""
    for i in range(0, width, VL):
        row = load_first(source, position + i, n - i)
        store_first(target, target_position + i, row, width - i)
