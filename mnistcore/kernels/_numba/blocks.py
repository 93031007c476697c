"""Square blocks of VL x VL floats, transposed in registers."""

import numpy as np
from llvmlite import ir
from numba import types

from .functions import inner
from .intrinsics import I32, I64, call_llvm, twin_of, view
from .machine import VL
from .vectors import INTS, VECTOR, first_lanes, vector_pointer, vector_type

# ---------------------------------------------------------------------------------------------
# Square blocks
# ---------------------------------------------------------------------------------------------

BLOCK_TYPE = types.UniTuple(vector_type, VL)


def _load_block_twin(base, offset, stride):
    return np.stack([view(base, offset + row * stride, VL) for row in range(VL)])


@twin_of(_load_block_twin)
def load_block(typingctx, base, offset, stride):
    """Load VL x VL floats at base + offset, their rows ``stride`` floats apart."""

    def generate(context, builder, signature, args):
        base, offset, stride = args
        block = ir.Constant(context.get_value_type(BLOCK_TYPE), ir.Undefined)
        for row in range(VL):
            position = builder.add(offset, builder.mul(stride, I64(row)))
            pointer = vector_pointer(builder, base, position, VECTOR)
            block = builder.insert_value(block, builder.load(pointer, align=4, typ=VECTOR), row)
        return block

    return BLOCK_TYPE(types.int64, types.int64, types.int64), generate


def _load_block_first_twin(base, offset, stride, rows, n):
    block = np.zeros((VL, VL), np.float32)
    for row in range(max(0, min(rows, VL))):
        block[row, :n] = view(base, offset + row * stride, min(n, VL))
    return block


@twin_of(_load_block_first_twin)
def load_block_first(typingctx, base, offset, stride, rows, n):
    """Load the first n floats of the first rows, and zeros; touch nothing else."""

    def generate(context, builder, signature, args):
        base, offset, stride, rows, n = args
        block = ir.Constant(context.get_value_type(BLOCK_TYPE), ir.Undefined)
        for row in range(VL):
            position = builder.add(offset, builder.mul(stride, I64(row)))
            pointer = vector_pointer(builder, base, position, VECTOR)
            lanes = builder.select(builder.icmp_signed(">", rows, I64(row)), n, I64(0))
            name = f"llvm.masked.load.v{VL}f32.p0"
            mask, zeros = first_lanes(builder, lanes), ir.Constant(VECTOR, None)
            loaded = call_llvm(builder, name, VECTOR, pointer, I32(4), mask, zeros)
            block = builder.insert_value(block, loaded, row)
        return block

    return BLOCK_TYPE(*[types.int64] * 5), generate


def _store_block_twin(block, base, offset, stride):
    for row in range(VL):
        view(base, offset + row * stride, VL)[:] = block[row]


@twin_of(_store_block_twin)
def store_block(typingctx, block, base, offset, stride):
    """Write a block at base + offset, its rows ``stride`` floats apart."""

    def generate(context, builder, signature, args):
        block, base, offset, stride = args
        for row in range(VL):
            position = builder.add(offset, builder.mul(stride, I64(row)))
            pointer = vector_pointer(builder, base, position, VECTOR)
            builder.store(builder.extract_value(block, row), pointer, align=4)
        return context.get_dummy_value()

    return types.void(BLOCK_TYPE, types.int64, types.int64, types.int64), generate


@twin_of(lambda block: block.T.copy())
def transpose(typingctx, block):
    """Transpose a block in registers by swapping ever smaller squares off the diagonal."""

    def generate(context, builder, signature, args):
        rows = [builder.extract_value(args[0], row) for row in range(VL)]
        size = VL // 2
        while size:
            # Of two rows ``size`` apart, the first keeps its low squares and takes the other's.
            first = [i if not i & size else VL + i - size for i in range(VL)]
            second = [i + size if not i & size else VL + i for i in range(VL)]
            for row in range(VL):
                if not row & size:
                    pair = rows[row], rows[row + size]
                    rows[row] = builder.shuffle_vector(*pair, ir.Constant(INTS, first))
                    rows[row + size] = builder.shuffle_vector(*pair, ir.Constant(INTS, second))
            size //= 2
        block = args[0]
        for row in range(VL):
            block = builder.insert_value(block, rows[row], row)
        return block

    return BLOCK_TYPE(BLOCK_TYPE), generate


@inner
def pack_transposed(b, n, k, column, width, target, offset):
    """Pack columns of B, given as its transpose (n, k), as a zero-padded panel (k, width)."""
    columns = min(width, n - column)
    # Rows beyond k are zeros, where the next panel or spare floats will be.
    for c in range(0, width, VL):
        for i in range(0, k, VL):
            at = (column + c) * k + i
            if c + VL <= columns and i + VL <= k:
                block = load_block(b, at, k)
            else:
                block = load_block_first(b, at, k, columns - c, k - i)
            store_block(transpose(block), target, offset + i * width + c, width)
