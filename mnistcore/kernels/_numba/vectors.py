"""A vector of VL float32 lanes as a value of a compiled function.

Vectors are combined with ``+ - * /`` and :func:`fma`. Memory is named by the address of a float32
array (``memory.address``) and an offset counted in floats, so a pointer costs one register.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import lower_builtin, register_model

from .intrinsics import (
    F32,
    I32,
    I64,
    JIT,
    broadcast,
    call_llvm,
    element_of,
    masked_inputs,
    pointer_to,
    twin_of,
    view,
    view_inputs,
)
from .machine import VL

VECTOR = ir.VectorType(F32, VL)
INTS = ir.VectorType(I32, VL)


class VectorType(types.Type):
    """The Numba type of several float32 numbers."""

    def __init__(self, lanes: int) -> None:
        super().__init__(name=f"float32x{lanes}")
        self.lanes = lanes


vector_type = VectorType(VL)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, frontend_type):
        super().__init__(manager, frontend_type, ir.VectorType(F32, frontend_type.lanes))


def vector_pointer(builder, base, offset, cast_to):
    pointer = pointer_to(builder, base, offset, F32)
    return builder.bitcast(pointer, cast_to.as_pointer())


def multiply_add(builder, a, b, c):
    # fmuladd is one instruction where the machine has it, and never a call into libm.
    return call_llvm(builder, f"llvm.fmuladd.v{a.type.count}f32", a.type, a, b, c)


def first_lanes(builder, n):
    """Return the mask of the first n lanes; none or all if n is out of range."""
    n = builder.select(builder.icmp_signed("<", n, I64(VL)), n, I64(VL))
    limit = broadcast(builder, builder.trunc(n, I32), INTS)
    return builder.icmp_signed("<", ir.Constant(INTS, list(range(VL))), limit)


@twin_of(lambda base, offset: view(base, offset, VL).copy())
def load(typingctx, base, offset):
    """Load VL floats at base + offset."""

    def generate(context, builder, signature, args):
        return builder.load(vector_pointer(builder, *args, VECTOR), align=4, typ=VECTOR)

    return vector_type(types.int64, types.int64), generate


def _store_twin(base, offset, vector):
    view(base, offset, VL)[:] = vector


@twin_of(_store_twin)
def store(typingctx, base, offset, vector):
    """Write VL floats at base + offset."""

    def generate(context, builder, signature, args):
        base, offset, vector = args
        builder.store(vector, vector_pointer(builder, base, offset, VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, vector_type), generate


def _load_first_twin(base, offset, n):
    vector = np.zeros(VL, np.float32)
    n = max(0, min(n, VL))
    vector[:n] = view(base, offset, n)
    return vector


@twin_of(_load_first_twin)
def load_first(typingctx, base, offset, n):
    """Load n floats at base + offset, at most VL, then zeros; memory after them is not touched."""

    def generate(context, builder, signature, args):
        base, offset, n = args
        pointer = vector_pointer(builder, base, offset, VECTOR)
        name = f"llvm.masked.load.v{VL}f32.p0"
        mask, zeros = first_lanes(builder, n), ir.Constant(VECTOR, None)
        return call_llvm(builder, name, VECTOR, pointer, I32(4), mask, zeros)

    return vector_type(types.int64, types.int64, types.int64), generate


def _store_first_twin(base, offset, vector, n):
    n = max(0, min(n, VL))
    view(base, offset, n)[:] = vector[:n]


@twin_of(_store_first_twin)
def store_first(typingctx, base, offset, vector, n):
    """Write the first n lanes, at most VL, at base + offset; the others are not touched."""

    def generate(context, builder, signature, args):
        base, offset, vector, n = args
        pointer = vector_pointer(builder, base, offset, VECTOR)

        def store_masked():
            name, mask = f"llvm.masked.store.v{VL}f32.p0", first_lanes(builder, n)
            call_llvm(builder, name, ir.VoidType(), vector, pointer, I32(4), mask)

        if VL == 16:
            store_masked()
            return context.get_dummy_value()
        # Without AVX-512 a masked store takes as long as twenty others.
        with builder.if_else(builder.icmp_signed(">=", n, I64(VL))) as (whole, part):
            with whole:
                builder.store(vector, pointer, align=4)
            with part:
                store_masked()
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, vector_type, types.int64), generate


def widened(builder, loaded, element):
    """Return a vector of input numbers as floats."""
    if element == F32:
        return loaded
    lanes = loaded.type.count
    integers = builder.zext(loaded, ir.VectorType(I32, lanes))
    return builder.sitofp(integers, ir.VectorType(F32, lanes))


@twin_of(lambda base, at, kind: view_inputs(base, at, VL, kind).astype(np.float32))
def load_input(typingctx, base, position, kind):
    """VL numbers of a ``kind`` at base + position, as float32."""
    element = element_of(kind)

    def generate(context, builder, signature, args):
        pointer = pointer_to(builder, args[0], args[1], element)
        loaded = builder.load(pointer, align=1, typ=ir.VectorType(element, VL))
        return widened(builder, loaded, element)

    return vector_type(types.int64, types.int64, kind), generate


def _load_input_first_twin(base, position, n, kind):
    vector = np.zeros(VL, np.float32)
    n = max(0, min(n, VL))
    vector[:n] = view_inputs(base, position, n, kind)
    return vector


@twin_of(_load_input_first_twin)
def load_input_first(typingctx, base, position, n, kind):
    """Load n numbers, at most VL, then zeros; memory after them is not touched."""
    element = element_of(kind)

    def generate(context, builder, signature, args):
        mask = first_lanes(builder, args[2])
        return widened(builder, masked_inputs(builder, args, element, VL, mask), element)

    return vector_type(types.int64, types.int64, types.int64, kind), generate


@twin_of(lambda value: np.full(VL, value, np.float32))
def splat(typingctx, value):
    """Return a vector with the same number in every lane."""

    def generate(context, builder, signature, args):
        return broadcast(builder, args[0], VECTOR)

    return vector_type(types.float32), generate


def _fma_twin(a, b, c):
    return (a.astype(np.float64) * b + c).astype(np.float32)


@twin_of(_fma_twin)
def fma(typingctx, a, b, c):
    """Return a * b + c, rounded once if the machine has the instruction."""

    def generate(context, builder, signature, args):
        return multiply_add(builder, *args)

    return vector_type(vector_type, vector_type, vector_type), generate


@twin_of(lambda x: np.sqrt(x))
def sqrt(typingctx, x):
    """Return the square root of each lane."""

    def generate(context, builder, signature, args):
        return call_llvm(builder, f"llvm.sqrt.v{VL}f32", VECTOR, args[0])

    return vector_type(vector_type), generate


@twin_of(lambda x, limit, below, other: np.where(x < limit, below, other))
def select_less(typingctx, x, limit, below, other):
    """Select lane by lane: ``below`` where x < limit, else ``other`` (also where x is NaN)."""

    def generate(context, builder, signature, args):
        x, limit, below, other = args
        return builder.select(builder.fcmp_ordered("<", x, limit), below, other)

    return vector_type(*[vector_type] * 4), generate


@twin_of(lambda x, n, fill: np.where(np.arange(VL) < n, x, fill))
def keep_lanes(typingctx, x, n, fill):
    """Return the first n lanes of x, with ``fill`` in the others."""

    def generate(context, builder, signature, args):
        x, n, fill = args
        return builder.select(first_lanes(builder, n), x, fill)

    return vector_type(vector_type, types.int64, vector_type), generate


@twin_of(lambda lane, x, other: np.where(np.arange(VL) == lane, x, other))
def where_lane(typingctx, lane, x, other):
    """Return one lane of x, with the lanes of ``other`` in the rest."""

    def generate(context, builder, signature, args):
        lane, x, other = args
        lanes = broadcast(builder, builder.trunc(lane, I32), INTS)
        mask = builder.icmp_signed("==", ir.Constant(INTS, list(range(VL))), lanes)
        return builder.select(mask, x, other)

    return vector_type(types.int64, vector_type, vector_type), generate


def _raise_twin(x, n):
    return (x.view(np.int32) + (n.view(np.int32) << 23)).view(np.float32)


@twin_of(_raise_twin)
def raise_exponent(typingctx, x, n):
    """Return x * 2**k, where k is in the low bits of the mantissa of n."""

    def generate(context, builder, signature, args):
        x, n = (builder.bitcast(argument, INTS) for argument in args)
        shift = ir.Constant(INTS, [I32(23)] * VL)
        return builder.bitcast(builder.add(x, builder.shl(n, shift)), VECTOR)

    return vector_type(vector_type, vector_type), generate


def _halves_combined(builder, x, combine):
    """Return the only lane that is left if the halves of x are combined until there is one."""
    width = VL
    while width > 1:
        width //= 2
        halves = (
            builder.shuffle_vector(
                x,
                ir.Constant(x.type, ir.Undefined),
                ir.Constant(ir.VectorType(I32, width), list(range(first, first + width))),
            )
            for first in (0, width)
        )
        x = combine(*halves)
    return builder.extract_element(x, I32(0))


@twin_of(lambda x: x.max())
def largest(typingctx, x):
    """Return the largest lane; lanes that are NaN may be ignored."""

    def generate(context, builder, signature, args):
        def larger(low, high):
            return builder.select(builder.fcmp_ordered("<", low, high), high, low)

        return _halves_combined(builder, args[0], larger)

    return types.float32(vector_type), generate


def _sum_twin(x):
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 :]
    return x[0]


@twin_of(_sum_twin)
def total(typingctx, x):
    """Return the sum of the lanes, added by halves."""

    def generate(context, builder, signature, args):
        return _halves_combined(builder, args[0], builder.fadd)

    return types.float32(vector_type), generate


def _binary(name, symbol):
    """Give vectors an arithmetic operator; NumPy arrays, their twins, have it already."""

    @infer_global(symbol)
    class _Operator(ConcreteTemplate):
        cases = (vector_type(vector_type, vector_type),)

    @lower_builtin(symbol, vector_type, vector_type)
    def generate(context, builder, signature, args):
        return getattr(builder, name)(*args)


if JIT:
    for _name, _symbol in (
        ("fadd", operator.add),
        ("fsub", operator.sub),
        ("fmul", operator.mul),
        ("fdiv", operator.truediv),
    ):
        _binary(_name, _symbol)
