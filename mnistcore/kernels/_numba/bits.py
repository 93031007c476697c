"""Sets of up to 64 elements, as the bits of an int64."""

import ctypes

import numpy as np
from llvmlite import ir
from numba import types

from .intrinsics import (
    F32,
    I32,
    I64,
    call_llvm,
    element_of,
    masked_inputs,
    pointer_to,
    signed,
    twin_of,
    view,
    view_inputs,
)
from .memory import load_index

# ---------------------------------------------------------------------------------------------
# Bits: sets of up to 64 elements in an int64
# ---------------------------------------------------------------------------------------------

WORD = 64


def _nonzero_twin(base, position, n, kind):
    marks = view_inputs(base, position, n, kind) != 0
    return signed(sum(1 << i for i, mark in enumerate(marks) if mark))


def _nonzero(builder, loaded, element):
    zero = ir.Constant(loaded.type, None)
    if element == F32:  # unordered: NaN is not zero
        return builder.bitcast(builder.fcmp_unordered("!=", loaded, zero), I64)
    return builder.bitcast(builder.icmp_unsigned("!=", loaded, zero), I64)


@twin_of(lambda base, position, kind: _nonzero_twin(base, position, WORD, kind))
def nonzero_bits(typingctx, base, position, kind):
    """Return a set bit for each nonzero among the 64 numbers of a ``kind`` at base + position."""
    element = element_of(kind)

    def generate(context, builder, signature, args):
        pointer = pointer_to(builder, args[0], args[1], element)
        loaded = builder.load(pointer, align=1, typ=ir.VectorType(element, WORD))
        return _nonzero(builder, loaded, element)

    return types.int64(types.int64, types.int64, kind), generate


@twin_of(_nonzero_twin)
def nonzero_bits_first(typingctx, base, position, n, kind):
    """Return the same for n numbers, fewer than 64; memory after them is not touched."""
    element = element_of(kind)

    def generate(context, builder, signature, args):
        bits = builder.sub(builder.shl(I64(1), args[2]), I64(1))
        mask = builder.bitcast(bits, ir.VectorType(ir.IntType(1), WORD))
        return _nonzero(builder, masked_inputs(builder, args, element, WORD, mask), element)

    return types.int64(types.int64, types.int64, types.int64, kind), generate


@twin_of(lambda base, at: sum(1 << i for i in range(8) if load_index(base + at, i)))
def nonzero_octets(typingctx, base, position):
    """Return a set bit for each eight of the 64 bytes at base + position that are not all zero."""

    def generate(context, builder, signature, args):
        words = ir.VectorType(I64, 8)
        pointer = pointer_to(builder, args[0], args[1], ir.IntType(8))
        loaded = builder.load(pointer, align=1, typ=words)
        marks = builder.icmp_unsigned("!=", loaded, ir.Constant(words, None))
        return builder.zext(builder.bitcast(marks, ir.IntType(8)), I64)

    return types.int64(types.int64, types.int64), generate


@twin_of(lambda bits: sum(1 << i for i in range(8) if bits >> 8 * i & 255))
def nonzero_bytes(typingctx, bits):
    """Return a set bit for each of the eight bytes that is not zero."""

    def generate(context, builder, signature, args):
        octets = ir.VectorType(ir.IntType(8), 8)
        marks = builder.icmp_unsigned(
            "!=", builder.bitcast(args[0], octets), ir.Constant(octets, None)
        )
        return builder.zext(builder.bitcast(marks, ir.IntType(8)), I64)

    return types.int64(types.int64), generate


@twin_of(lambda bits: (bits & -bits).bit_length() - 1)
def lowest_bit(typingctx, bits):
    """Return the number of the lowest set bit; ``bits`` must not be 0."""

    def generate(context, builder, signature, args):
        return call_llvm(builder, "llvm.cttz.i64", I64, args[0], ir.IntType(1)(1))

    return types.int64(types.int64), generate


@twin_of(lambda bits: signed(bits & (bits - 1)))
def without_lowest(typingctx, bits):
    """Return the bits without the lowest set bit."""

    def generate(context, builder, signature, args):
        return builder.and_(args[0], builder.sub(args[0], I64(1)))

    return types.int64(types.int64), generate


@twin_of(lambda bits: (bits % 2**64).bit_count())
def count_bits(typingctx, bits):
    """Return how many bits are set."""

    def generate(context, builder, signature, args):
        return call_llvm(builder, "llvm.ctpop.i64", I64, args[0])

    return types.int64(types.int64), generate


def _transpose_twin(square):
    rows = view(square, 0, 8 * WORD, ctypes.c_uint8)
    bits = np.unpackbits(rows.reshape(WORD, 8), axis=1, bitorder="little")
    rows[:] = np.packbits(bits.T, axis=1, bitorder="little").ravel()


@twin_of(_transpose_twin)
def transpose_bits(typingctx, square):
    """Transpose 64 x 64 bits at an address by swapping ever smaller squares (Warren 2012, 7-3).

    All rows are one vector. Half of each row stays, and half comes from the row that is ``half``
    rows on or back, moved by as many bits.
    """
    rows, marks = ir.VectorType(I64, WORD), ir.VectorType(I32, WORD)

    def generate(context, builder, signature, args):
        pointer = pointer_to(builder, args[0], I64(0), rows)
        bits = builder.load(pointer, align=8, typ=rows)
        half, mask = 32, 0xFFFFFFFF
        while half:
            lower = [row & half == 0 for row in range(WORD)]
            partners = ir.Constant(marks, [row ^ half for row in range(WORD)])
            moves = ir.Constant(rows, [half if low else WORD - half for low in lower])
            kept = [signed(mask if low else ~mask) for low in lower]
            others = builder.shuffle_vector(bits, bits, partners)
            moved = call_llvm(builder, f"llvm.fshl.v{WORD}i64", rows, others, others, moves)
            bits = builder.or_(
                builder.and_(bits, ir.Constant(rows, kept)),
                builder.and_(moved, ir.Constant(rows, [~one for one in kept])),
            )
            half //= 2
            mask ^= mask << half
        builder.store(bits, pointer, align=8)
        return context.get_dummy_value()

    return types.void(types.int64), generate
