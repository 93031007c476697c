"""Products of inputs that are mostly zero, as MNIST's pixels are, and what a ReLU lets pass.

A bit for each input says whether it is not zero. The product with the weights and the gradient of
the weights then take one row at a time: a row of the batch, which selects rows of the weights; or
a column of the batch, which selects rows of dz. What is zero is not multiplied.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import types

from .bits import WORD, lowest_bit, without_lowest
from .functions import c_function, inner, pointer
from .intrinsics import I64, pointer_to, twin_of
from .machine import VL
from .memory import load_index, load_record
from .tile import (
    SPARSE_FLOATS,
    SPARSE_VECTORS,
    add_outer,
    load_tile,
    row_length,
    store_tile,
    tile_size,
    tile_vector,
    zero_tile,
)
from .updates import Pending, constants_of, fetch_weights, update_vector

FLOATS_AHEAD = 4 * SPARSE_FLOATS  # by which weights are prefetched before their update


class SparseProduct(NamedTuple):
    """Rows of a product: out[r] = the sum of a(r, i) b[i] over every i that is marked for row r.

    Addresses, and distances in elements of what they point to.
    """

    marks: int  # those of row r, int64, begin ``marks_row`` after those of row r - 1
    marks_row: int
    words: int
    a: int  # a(r, i) is a_row * r + a_step * i floats on
    a_row: int
    a_step: int
    b: int  # a panel
    out: int  # rows of sums, ``out_row`` floats apart
    out_row: int
    add: int  # 1: to what is in out


def _union_twin(tile, marks, word, stride):
    union = 0
    for row in range(len(tile)):
        union |= load_index(marks, word + row * stride)
    return union


@twin_of(_union_twin)
def union(typingctx, tile, marks, word, stride):
    """Return the bits of a word that are set for any row of a tile."""

    def generate(context, builder, signature, args):
        _, marks, word, stride = args
        bits = I64(0)
        for row in range(signature.args[0].count):
            position = builder.add(word, builder.mul(stride, I64(row)))
            pointer = pointer_to(builder, marks, position, I64)
            bits = builder.or_(bits, builder.load(pointer, align=8, typ=I64))
        return bits

    return types.int64(tile, *[types.int64] * 3), generate


@inner
def add_marked(total, product, row):
    """Add rows of a product, from ``row`` on, to a tile together: what is marked for any of them.

    Each sum is one chain of FMAs in the order of i, as in :func:`.tile.multiply_tile`.
    """
    marks = product.marks + 8 * row * product.marks_row
    a, b = product.a + 4 * row * product.a_row, product.b
    for word in range(product.words):
        marked = union(total, marks, word, product.marks_row)
        while marked:
            i = lowest_bit(marked)
            marked = without_lowest(marked)
            at_b = i * row_length(total)
            total = add_outer(total, a, i * product.a_step, product.a_row, b, at_b)
        a += 4 * WORD * product.a_step
        b += 4 * WORD * row_length(total)
    return total


@inner
def sparse_group(total, product, row):
    """Compute rows of a product together; ``total`` is zeros, of at most SPARSE_VECTORS vectors."""
    out = product.out + 4 * row * product.out_row
    if product.add:
        total = load_tile(total, out, 0, product.out_row)
    store_tile(add_marked(total, product, row), out, 0, product.out_row)


@inner(forceinline=True)
def update_group(total, product, row, pending, constants):
    """Compute the gradient of rows of weights from ``row`` on, and apply it.

    ``total`` is zeros, of at most SPARSE_VECTORS vectors. Without a detour through memory, the
    divisions and roots of one group are computed while the sums of the next are being added.
    """
    base, slot_size, w = pending.base, pending.slot_size, pending.w + row * row_length(total)
    for i in range(0, tile_size(total), VL):
        fetch_weights(pending.update, pending.base, w + FLOATS_AHEAD + i, pending.slot_size)
    total = add_marked(total, product, row)
    update_vector(constants, tile_vector(total, 0), base, w, slot_size)
    if tile_size(total) > VL:
        update_vector(constants, tile_vector(total, 1), base, w + VL, slot_size)
    if tile_size(total) > 2 * VL:
        update_vector(constants, tile_vector(total, 2), base, w + 2 * VL, slot_size)
    if tile_size(total) > 3 * VL:
        update_vector(constants, tile_vector(total, 3), base, w + 3 * VL, slot_size)
    if tile_size(total) > 4 * VL:
        update_vector(constants, tile_vector(total, 4), base, w + 4 * VL, slot_size)
    if tile_size(total) > 5 * VL:
        update_vector(constants, tile_vector(total, 5), base, w + 5 * VL, slot_size)
    if tile_size(total) > 6 * VL:
        update_vector(constants, tile_vector(total, 6), base, w + 6 * VL, slot_size)
    if tile_size(total) > 7 * VL:
        update_vector(constants, tile_vector(total, 7), base, w + 7 * VL, slot_size)


# ---------------------------------------------------------------------------------------------
# For each width of a panel, two C functions, which take rows in groups of about SPARSE_ROWS vectors
# and then those that are left one by one. A program compiles the ones that it needs.
# ---------------------------------------------------------------------------------------------

SPARSE_ROWS = 4  # the most that are computed together


def multiplying(vectors):
    """Declare the products with panels of so many vectors."""
    zeros, group = (0,) * vectors, max(1, SPARSE_ROWS // vectors)

    @c_function(2)
    def multiply_marked(rows, at):
        """Compute rows of the :class:`SparseProduct` at an address."""
        product, grouped = load_record(at, SparseProduct), rows // group * group
        for row in range(0, grouped, group):
            sparse_group(zero_tile(group, zeros), product, row)
        for row in range(grouped, rows):
            sparse_group(zero_tile(1, zeros), product, row)

    return multiply_marked


def updating(vectors):
    """Declare the gradients of the weights in such panels, and their updates."""
    zeros, group = (0,) * vectors, max(1, SPARSE_ROWS // vectors)

    @c_function(3)
    def update_marked(rows, at, pending_at):
        """Compute rows of the gradient of the weights of a :class:`.updates.Pending`."""
        product, pending = load_record(at, SparseProduct), load_record(pending_at, Pending)
        constants, grouped = constants_of(pending.update, pending.decayed), rows // group * group
        for row in range(0, grouped, group):
            update_group(zero_tile(group, zeros), product, row, pending, constants)
        for row in range(grouped, rows):
            update_group(zero_tile(1, zeros), product, row, pending, constants)

    return update_marked


MULTIPLY = tuple(multiplying(n) for n in range(1, SPARSE_VECTORS + 1))
UPDATE_MARKED = tuple(updating(n) for n in range(1, SPARSE_VECTORS + 1))


def sparse_width(n: int, threads: int) -> int:
    """Return the width of the panels for n columns: all if they are few, or else the fastest.

    It is less where that gives each of the threads a panel of its own: the weights that it
    updates are then those that it reads in the next step.
    """
    vectors, best = -(-n // VL), SPARSE_VECTORS
    if -(-vectors // SPARSE_VECTORS) < threads:
        return -(-vectors // threads) * VL
    if vectors < SPARSE_VECTORS:
        return vectors * VL
    for width in range(SPARSE_VECTORS - 1, SPARSE_VECTORS // 2, -1):
        if row_cost(vectors, width) < row_cost(vectors, best):
            best = width
    return best * VL


def row_cost(vectors: int, width: int) -> int:
    """Return the time for a row of ``vectors``, in panels of ``width`` vectors; in some unit."""
    return -(-vectors // width) * (12 + 5 * width)  # as measured


@cache
def sparse_pointers(widths: tuple[int, ...], functions: tuple) -> np.ndarray:
    """Compile some functions, one for each number of vectors, for the given widths of panels."""
    needed = [(i % SPARSE_VECTORS + 1) * VL in widths for i in range(len(functions))]
    return np.array(
        [pointer(one) if need else 0 for one, need in zip(functions, needed, strict=True)]
    )
