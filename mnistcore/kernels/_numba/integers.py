"""A vector of VL int32 lanes as a value of a compiled function, like the one of float32.

Vectors are combined with ``+ - * & | ^`` and shifted with ``<<`` and ``>>``, all modulo 2**32.
"""

import ctypes
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import lower_builtin, register_model

from .intrinsics import (
    BYTES,
    I32,
    I64,
    JIT,
    broadcast,
    call_llvm,
    masked_inputs,
    pointer_to,
    twin_of,
    view,
    view_inputs,
)
from .machine import VL
from .vectors import INTS, first_lanes

OCTETS = ir.VectorType(ir.IntType(8), VL)


class IntsType(types.Type):
    """The Numba type of VL int32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"int32x{VL}")


ints_type = IntsType()


@register_model(IntsType)
class _IntsModel(models.PrimitiveModel):
    def __init__(self, manager, frontend_type):
        super().__init__(manager, frontend_type, INTS)


def _ints_pointer(builder, base, offset):
    return builder.bitcast(pointer_to(builder, base, offset, I32), INTS.as_pointer())


@twin_of(lambda base, offset: view(base, offset, VL, ctypes.c_int32).copy())
def load_ints(typingctx, base, offset):
    """Load VL int32 at base + offset."""

    def generate(context, builder, signature, args):
        return builder.load(_ints_pointer(builder, *args), align=4, typ=INTS)

    return ints_type(types.int64, types.int64), generate


def _store_ints_twin(base, offset, numbers):
    view(base, offset, VL, ctypes.c_int32)[:] = numbers


@twin_of(_store_ints_twin)
def store_ints(typingctx, base, offset, numbers):
    """Write VL int32 at base + offset."""

    def generate(context, builder, signature, args):
        base, offset, numbers = args
        builder.store(numbers, _ints_pointer(builder, base, offset), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, ints_type), generate


def _load_bytes_first_twin(base, position, n):
    numbers = np.zeros(VL, np.int32)
    numbers[: min(n, VL)] = view_inputs(base, position, min(n, VL), BYTES)
    return numbers


@twin_of(_load_bytes_first_twin)
def load_bytes_first(typingctx, base, position, n):
    """Load n bytes, at most VL, then zeros; memory after them is not touched."""

    def generate(context, builder, signature, args):
        mask = first_lanes(builder, args[2])
        return builder.zext(masked_inputs(builder, args, OCTETS.element, VL, mask), INTS)

    return ints_type(types.int64, types.int64, types.int64), generate


def _store_bytes_first_twin(base, position, numbers, n):
    view_inputs(base, position, min(n, VL), BYTES)[:] = numbers[: min(n, VL)]


@twin_of(_store_bytes_first_twin)
def store_bytes_first(typingctx, base, position, numbers, n):
    """Write the low bytes of the first n lanes, at most VL; memory after them is not touched."""

    def generate(context, builder, signature, args):
        base, position, numbers, n = args
        pointer = builder.bitcast(
            pointer_to(builder, base, position, OCTETS.element), OCTETS.as_pointer()
        )
        name, low = f"llvm.masked.store.v{VL}i8.p0", builder.trunc(numbers, OCTETS)
        mask = first_lanes(builder, n)
        call_llvm(builder, name, ir.VoidType(), low, pointer, I32(1), mask)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, ints_type, types.int64), generate


def _gather_twin(base, offsets):
    return np.array([view(base, i, 1, ctypes.c_int32)[0] for i in offsets], np.int32)


@twin_of(_gather_twin)
def gather_ints(typingctx, base, offsets):
    """Load for each lane the int32 at base + its offset."""

    def generate(context, builder, signature, args):
        base, offsets = args
        wide = ir.VectorType(I64, VL)
        starts = broadcast(builder, base, wide)
        steps = builder.shl(builder.sext(offsets, wide), ir.Constant(wide, [I64(2)] * VL))
        pointers = builder.inttoptr(builder.add(starts, steps), ir.VectorType(I32.as_pointer(), VL))
        every = ir.Constant(ir.VectorType(ir.IntType(1), VL), [1] * VL)
        name = f"llvm.masked.gather.v{VL}i32.v{VL}p0"
        return call_llvm(builder, name, INTS, pointers, I32(4), every, ir.Constant(INTS, None))

    return ints_type(types.int64, ints_type), generate


@twin_of(lambda value: np.full(VL, value & 0xFFFFFFFF, np.uint32).view(np.int32))
def splat_ints(typingctx, value):
    """Return a vector with the low 32 bits of an integer in every lane."""

    def generate(context, builder, signature, args):
        return broadcast(builder, builder.trunc(args[0], I32), INTS)

    return ints_type(types.int64), generate


@twin_of(lambda: np.arange(VL, dtype=np.int32))
def lanes(typingctx):
    """Return the numbers 0, 1, 2 and so on."""

    def generate(context, builder, signature, args):
        return ir.Constant(INTS, list(range(VL)))

    return ints_type(), generate


@twin_of(lambda numbers, n: (numbers.view(np.uint32) >> n).view(np.int32))
def shift_bits(typingctx, numbers, n):
    """Shift each lane to the right by n bits, with zeros from the left."""

    def generate(context, builder, signature, args):
        numbers, n = args
        return builder.lshr(numbers, broadcast(builder, builder.trunc(n, I32), INTS))

    return ints_type(ints_type, types.int64), generate


def _lesser(name):
    def generate(context, builder, signature, args):
        return call_llvm(builder, f"llvm.{name}.v{VL}i32", INTS, *args)

    return ints_type(ints_type, ints_type), generate


@twin_of(np.maximum)
def most(typingctx, a, b):
    """Return the larger, lane by lane."""
    return _lesser("smax")


@twin_of(np.minimum)
def least(typingctx, a, b):
    """Return the smaller, lane by lane."""
    return _lesser("smin")


@twin_of(lambda a, b: np.minimum(a.view(np.uint32), b.view(np.uint32)).view(np.int32))
def least_unsigned(typingctx, a, b):
    """Return the smaller, lane by lane, where a negative number counts as a large one."""
    return _lesser("umin")


def _binary(name, symbol, other, widen):
    """Give vectors an operator; NumPy arrays, their twins, have it already."""

    @infer_global(symbol)
    class _Operator(ConcreteTemplate):
        cases = (ints_type(ints_type, other),)

    @lower_builtin(symbol, ints_type, other)
    def generate(context, builder, signature, args):
        numbers, second = args
        return getattr(builder, name)(numbers, widen(builder, second))


if JIT:
    for _name, _symbol in (
        ("add", operator.add),
        ("sub", operator.sub),
        ("mul", operator.mul),
        ("and_", operator.and_),
        ("or_", operator.or_),
        ("xor", operator.xor),
    ):
        _binary(_name, _symbol, ints_type, lambda builder, second: second)
    for _name, _symbol in (("shl", operator.lshift), ("ashr", operator.rshift)):
        _binary(
            _name,
            _symbol,
            types.int64,
            lambda builder, n: broadcast(builder, builder.trunc(n, I32), INTS),
        )
