"""Vectors of a narrow first layer, LANES neighbouring inputs or a unit's weights of these inputs.

They are no longer than a strip, since eight neighbouring inputs are more often all zero than
sixteen, so they are half as long as other vectors on AVX-512. A unit's sums are a vector, and the
*sums* of all units are a tuple whose length the compiler knows.
"""

import numpy as np
from llvmlite import ir
from numba import types

from .intrinsics import (
    F32,
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
from .plan import STRIP
from .vectors import VectorType, multiply_add, vector_pointer, widened

LANES = min(VL, STRIP)
VECTOR = ir.VectorType(F32, LANES)
vector_type = VectorType(LANES)


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
