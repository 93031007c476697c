"""A vector of float32 lanes for Numba, and the few instructions that it has no word for.

A vector is a first-class value in a compiled function: :func:`load` it, combine it with
``+ - * /`` and :func:`fma`, :func:`store` it. Memory is named by the address of a float32 array
(:func:`address`) and an offset counted in floats, so a pointer costs one register.

A *tile* is a tuple of rows, each a tuple of vectors: accumulators that LLVM keeps in registers.
Its shape is part of its type, so a function that takes a tile is compiled for each shape.

Under ``NUMBA_DISABLE_JIT=1`` each intrinsic is replaced by its Python twin of a few lines over
NumPy arrays, so that every kernel can be stepped through in a debugger, one thread, tiny shapes.
"""

import ctypes
import operator
import os
import platform

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

from .functions import JIT, call_uncompiled, inner


def _machine_lanes() -> tuple[int, str]:
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq"):
        return 16, "avx512"
    if features.get("avx2") and features.get("fma"):
        return 8, "avx2"
    return 4, "neon" if platform.machine() in ("arm64", "aarch64") else "baseline"


def _lanes() -> tuple[int, str]:
    """Lanes of a vector: what the machine has, or MNISTCORE_NUMBA_LANES (16, 8 or 4)."""
    wanted = os.environ.get("MNISTCORE_NUMBA_LANES")
    lanes, name = _machine_lanes()
    if wanted is None:
        return lanes, name
    if wanted not in ("16", "8", "4") or int(wanted) > lanes:
        raise ImportError(
            f"MNISTCORE_NUMBA_LANES must be 4, 8 or 16 and at most {lanes} here, got {wanted!r}"
        )
    return int(wanted), {16: "avx512", 8: "avx2", 4: "baseline"}[int(wanted)]


LANES, INSTRUCTION_SET = _lanes()


_F32 = ir.FloatType()
_F64 = ir.DoubleType()
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)
_INTS = ir.VectorType(_I32, LANES)


class VectorType(types.Type):
    """The Numba type of LANES float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector_type = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, frontend_type):
        super().__init__(manager, frontend_type, _VECTOR)


# ---------------------------------------------------------------------------------------------
# Python twins, used when nothing is compiled
# ---------------------------------------------------------------------------------------------


def _memory(base, offset, n, kind=ctypes.c_float):
    """A NumPy view of n numbers behind an address."""
    address = int(base) + int(offset) * ctypes.sizeof(kind)
    return np.ctypeslib.as_array((kind * n).from_address(address))


def _twin_of(twin):
    """The decorator of an intrinsic: its twin takes its place where nothing is compiled."""
    return intrinsic(prefer_literal=True) if JIT else lambda _: twin


# ---------------------------------------------------------------------------------------------
# Building blocks of the code generators
# ---------------------------------------------------------------------------------------------


def _pointer(builder, base, offset, element):
    """base (an address) + offset (in elements)."""
    start = builder.inttoptr(base, element.as_pointer())
    return builder.gep(start, [offset], source_etype=element)


def _float_pointer(builder, base, offset, cast_to):
    pointer = _pointer(builder, base, offset, _F32)
    return builder.bitcast(pointer, cast_to.as_pointer())


def _splat(builder, scalar, vector=_VECTOR):
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, LANES), None)
    return builder.shuffle_vector(first, undefined, zeros)


def _call(builder, name, result, *args):
    signature = ir.FunctionType(result, [argument.type for argument in args])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, args)


def _fma(builder, a, b, c):
    # fmuladd is one instruction where the machine has it, and never a call into libm.
    return _call(builder, f"llvm.fmuladd.v{LANES}f32", _VECTOR, a, b, c)


@_twin_of(call_uncompiled)
def call(typingctx, function, arguments):
    """Call the C function at an address with a tuple of integers."""

    def codegen(context, builder, signature, args):
        kinds, values = signature.args[1], cgutils.unpack_tuple(builder, args[1])
        integers = [
            context.cast(builder, value, kind, types.int64)
            for value, kind in zip(values, kinds, strict=True)
        ]
        kind = ir.FunctionType(ir.VoidType(), [_I64] * len(integers))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), integers)
        return context.get_dummy_value()

    return types.void(function, arguments), codegen


# ---------------------------------------------------------------------------------------------
# Vectors
# ---------------------------------------------------------------------------------------------


@_twin_of(lambda base, offset: _memory(base, offset, LANES).copy())
def load(typingctx, base, offset):
    """LANES floats at base + offset."""

    def generate(context, builder, signature, args):
        return builder.load(_float_pointer(builder, *args, _VECTOR), align=4, typ=_VECTOR)

    return vector_type(types.int64, types.int64), generate


def _store_twin(base, offset, vector):
    _memory(base, offset, LANES)[:] = vector


@_twin_of(_store_twin)
def store(typingctx, base, offset, vector):
    """Write LANES floats at base + offset."""

    def generate(context, builder, signature, args):
        base, offset, vector = args
        builder.store(vector, _float_pointer(builder, base, offset, _VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, vector_type), generate


def _first_lanes(builder, n):
    """The mask of the first n lanes; none or all where n is out of range."""
    n = builder.select(builder.icmp_signed("<", n, _I64(LANES)), n, _I64(LANES))
    limit = _splat(builder, builder.trunc(n, _I32), _INTS)
    return builder.icmp_signed("<", ir.Constant(_INTS, list(range(LANES))), limit)


def _load_first_twin(base, offset, n):
    vector = np.zeros(LANES, np.float32)
    n = max(0, min(n, LANES))
    vector[:n] = _memory(base, offset, n)
    return vector


@_twin_of(_load_first_twin)
def load_first(typingctx, base, offset, n):
    """The first n floats at base + offset, at most LANES, and zeros; the others are not touched."""

    def generate(context, builder, signature, args):
        base, offset, n = args
        pointer = _float_pointer(builder, base, offset, _VECTOR)
        name = f"llvm.masked.load.v{LANES}f32.p0"
        mask, zeros = _first_lanes(builder, n), ir.Constant(_VECTOR, None)
        return _call(builder, name, _VECTOR, pointer, _I32(4), mask, zeros)

    return vector_type(types.int64, types.int64, types.int64), generate


def _store_first_twin(base, offset, vector, n):
    n = max(0, min(n, LANES))
    _memory(base, offset, n)[:] = vector[:n]


@_twin_of(_store_first_twin)
def store_first(typingctx, base, offset, vector, n):
    """Write the first n lanes, at most LANES, at base + offset; the others are not touched."""

    def generate(context, builder, signature, args):
        base, offset, vector, n = args
        pointer = _float_pointer(builder, base, offset, _VECTOR)
        name = f"llvm.masked.store.v{LANES}f32.p0"
        _call(builder, name, ir.VoidType(), vector, pointer, _I32(4), _first_lanes(builder, n))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, vector_type, types.int64), generate


@_twin_of(lambda base, offset: _memory(base, offset, 1)[0])
def load_scalar(typingctx, base, offset):
    """One float at base + offset."""

    def generate(context, builder, signature, args):
        return builder.load(_pointer(builder, *args, _F32), align=4, typ=_F32)

    return types.float32(types.int64, types.int64), generate


@_twin_of(lambda base, position: int(_memory(base, position, 1, ctypes.c_int64)[0]))
def load_index(typingctx, base, position):
    """One int64 at base + position."""

    def generate(context, builder, signature, args):
        return builder.load(_pointer(builder, *args, _I64), align=8, typ=_I64)

    return types.int64(types.int64, types.int64), generate


@_twin_of(lambda base, position: _memory(base, position, 1, ctypes.c_double)[0])
def load_double(typingctx, base, position):
    """One float64 at base + position."""

    def generate(context, builder, signature, args):
        return builder.load(_pointer(builder, *args, _F64), align=8, typ=_F64)

    return types.float64(types.int64, types.int64), generate


def _store_double_twin(base, position, value):
    _memory(base, position, 1, ctypes.c_double)[0] = value


@_twin_of(_store_double_twin)
def store_double(typingctx, base, position, value):
    """Write one float64 at base + position."""

    def generate(context, builder, signature, args):
        base, position, value = args
        builder.store(value, _pointer(builder, base, position, _F64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), generate


def _signed(bits):
    """The int64 with the low 64 bits of a Python integer."""
    return (int(bits) + 2**63) % 2**64 - 2**63


def _store_index_twin(base, position, value):
    _memory(base, position, 1, ctypes.c_int64)[0] = _signed(value)


@_twin_of(_store_index_twin)
def store_index(typingctx, base, position, value):
    """Write one int64 at base + position."""

    def generate(context, builder, signature, args):
        base, position, value = args
        builder.store(value, _pointer(builder, base, position, _I64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@_twin_of(lambda base, position: int(_memory(base, position, 1, ctypes.c_int32)[0]))
def load_int32(typingctx, base, position):
    """One int32 at base + position, as int64."""

    def generate(context, builder, signature, args):
        loaded = builder.load(_pointer(builder, *args, _I32), align=4, typ=_I32)
        return builder.sext(loaded, _I64)

    return types.int64(types.int64, types.int64), generate


def _store_int32_twin(base, position, value):
    _memory(base, position, 1, ctypes.c_int32)[0] = value


@_twin_of(_store_int32_twin)
def store_int32(typingctx, base, position, value):
    """Write the low half of an int64 at base + position, counted in int32."""

    def generate(context, builder, signature, args):
        base, position, value = args
        pointer = _pointer(builder, base, position, _I32)
        builder.store(builder.trunc(value, _I32), pointer, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@_twin_of(lambda array: array.ctypes.data)
def address(typingctx, array):
    """The address of the first number of an array, as int64."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, _I64)

    return types.int64(array), generate


@_twin_of(id)
def array_object(typingctx, array):
    """The address of the NumPy object that an argument was, as int64."""

    def generate(context, builder, signature, args):
        parent = context.make_array(signature.args[0])(context, builder, args[0]).parent
        return builder.ptrtoint(parent, _I64)

    return types.int64(array), generate


ALIGNMENT = 16  # floats to add to an array of which :func:`aligned_address` is used


@inner
def aligned_address(array):
    """The first cache line that begins in an array.

    NumPy's arrays begin 16 bytes behind one: of vectors of a whole line, each would take two.
    """
    return -(-address(array) // 64) * 64


def _store_scalar_twin(base, offset, value):
    _memory(base, offset, 1)[0] = value


@_twin_of(_store_scalar_twin)
def store_scalar(typingctx, base, offset, value):
    """Write one float at base + offset."""

    def generate(context, builder, signature, args):
        base, offset, value = args
        builder.store(value, _pointer(builder, base, offset, _F32), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate


# The kinds of numbers that inputs are.
BYTES, FLOATS = 0, 1


def _element_of(kind):
    return _F32 if kind.literal_value == FLOATS else ir.IntType(8)


def _inputs(base, position, n, kind):
    return _memory(base, position, n, ctypes.c_float if kind == FLOATS else ctypes.c_uint8)


def _widened(builder, loaded, element):
    """A vector of what an input array holds, as floats."""
    if element == _F32:
        return loaded
    return builder.sitofp(builder.zext(loaded, _INTS), _VECTOR)


def _masked_input(builder, args, element, lanes, mask):
    """``lanes`` inputs at base + position, zeros where the mask is not set."""
    stored = ir.VectorType(element, lanes)
    pointer = _pointer(builder, args[0], args[1], element)
    name = f"llvm.masked.load.v{lanes}{'f32' if element == _F32 else 'i8'}.p0"
    return _call(builder, name, stored, pointer, _I32(1), mask, ir.Constant(stored, None))


@_twin_of(lambda base, at, kind: _inputs(base, at, LANES, kind).astype(np.float32))
def load_input(typingctx, base, position, kind):
    """LANES numbers of a ``kind`` at base + position, as float32."""
    element = _element_of(kind)

    def generate(context, builder, signature, args):
        pointer = _pointer(builder, args[0], args[1], element)
        loaded = builder.load(pointer, align=1, typ=ir.VectorType(element, LANES))
        return _widened(builder, loaded, element)

    return vector_type(types.int64, types.int64, kind), generate


def _load_input_first_twin(base, position, n, kind):
    vector = np.zeros(LANES, np.float32)
    n = max(0, min(n, LANES))
    vector[:n] = _inputs(base, position, n, kind)
    return vector


@_twin_of(_load_input_first_twin)
def load_input_first(typingctx, base, position, n, kind):
    """The first n numbers, at most LANES, and zeros; the others are not touched."""
    element = _element_of(kind)

    def generate(context, builder, signature, args):
        mask = _first_lanes(builder, args[2])
        return _widened(builder, _masked_input(builder, args, element, LANES, mask), element)

    return vector_type(types.int64, types.int64, types.int64, kind), generate


@_twin_of(lambda base, offset: None)
def prefetch(typingctx, base, offset):
    """Begin to bring the cache line of base + offset, in bytes, to L2; it need not exist."""

    def generate(context, builder, signature, args):
        pointer = _pointer(builder, *args, ir.IntType(8))
        read, keep, data = _I32(0), _I32(2), _I32(1)
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), pointer, read, keep, data)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


# ---------------------------------------------------------------------------------------------
# Bits: sets of up to 64 things, in an int64
# ---------------------------------------------------------------------------------------------

WORD = 64


def _nonzero_twin(base, position, n, kind):
    marks = _inputs(base, position, n, kind) != 0
    return _signed(sum(1 << i for i, mark in enumerate(marks) if mark))


def _nonzero(builder, loaded, element):
    zero = ir.Constant(loaded.type, None)
    if element == _F32:  # unordered: NaN is not zero
        return builder.bitcast(builder.fcmp_unordered("!=", loaded, zero), _I64)
    return builder.bitcast(builder.icmp_unsigned("!=", loaded, zero), _I64)


@_twin_of(lambda base, position, kind: _nonzero_twin(base, position, WORD, kind))
def nonzero_bits(typingctx, base, position, kind):
    """A bit for each of 64 numbers of a ``kind`` at base + position that is not zero."""
    element = _element_of(kind)

    def generate(context, builder, signature, args):
        pointer = _pointer(builder, args[0], args[1], element)
        loaded = builder.load(pointer, align=1, typ=ir.VectorType(element, WORD))
        return _nonzero(builder, loaded, element)

    return types.int64(types.int64, types.int64, kind), generate


@_twin_of(_nonzero_twin)
def nonzero_bits_first(typingctx, base, position, n, kind):
    """The same of n numbers, fewer than 64; the others are not touched."""
    element = _element_of(kind)

    def generate(context, builder, signature, args):
        bits = builder.sub(builder.shl(_I64(1), args[2]), _I64(1))
        mask = builder.bitcast(bits, ir.VectorType(ir.IntType(1), WORD))
        return _nonzero(builder, _masked_input(builder, args, element, WORD, mask), element)

    return types.int64(types.int64, types.int64, types.int64, kind), generate


@_twin_of(lambda bits: sum(1 << i for i in range(8) if bits >> 8 * i & 255))
def nonzero_bytes(typingctx, bits):
    """A bit for each of the eight bytes that is not zero."""

    def generate(context, builder, signature, args):
        octets = ir.VectorType(ir.IntType(8), 8)
        marks = builder.icmp_unsigned(
            "!=", builder.bitcast(args[0], octets), ir.Constant(octets, None)
        )
        return builder.zext(builder.bitcast(marks, ir.IntType(8)), _I64)

    return types.int64(types.int64), generate


@_twin_of(lambda bits: (bits & -bits).bit_length() - 1)
def lowest_bit(typingctx, bits):
    """The number of the lowest bit that is set; ``bits`` is not 0."""

    def generate(context, builder, signature, args):
        return _call(builder, "llvm.cttz.i64", _I64, args[0], ir.IntType(1)(1))

    return types.int64(types.int64), generate


@_twin_of(lambda bits: (bits % 2**64).bit_count())
def count_bits(typingctx, bits):
    """How many bits are set."""

    def generate(context, builder, signature, args):
        return _call(builder, "llvm.ctpop.i64", _I64, args[0])

    return types.int64(types.int64), generate


# AVX-512 can pack the lanes that a mask picks.
HAS_COMPRESS = LANES == 16


def _store_set_bits_twin(base, position, bits, first):
    for i in range(16):
        if bits >> i & 1:
            _memory(base, position, 1, ctypes.c_int32)[0] = first + i
            position += 1


@_twin_of(_store_set_bits_twin)
def store_set_bits(typingctx, base, position, bits, first):
    """Write ``first`` + the number of each of the low 16 bits that is set, as int32.

    Where HAS_COMPRESS. Sixteen are stored; those behind the last mean nothing.
    """

    def generate(context, builder, signature, args):
        base, position, bits, first = args
        numbers = builder.add(
            _splat(builder, builder.trunc(first, _I32), _INTS), ir.Constant(_INTS, list(range(16)))
        )
        mask = builder.bitcast(
            builder.trunc(bits, ir.IntType(16)), ir.VectorType(ir.IntType(1), 16)
        )
        zeros = ir.Constant(_INTS, None)
        name = "llvm.x86.avx512.mask.compress.v16i32"
        packed = _call(builder, name, _INTS, numbers, zeros, mask)
        pointer = _pointer(builder, base, position, _I32)
        pointer = builder.bitcast(pointer, _INTS.as_pointer())
        builder.store(packed, pointer, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


# ---------------------------------------------------------------------------------------------
# Arithmetic
# ---------------------------------------------------------------------------------------------


@_twin_of(lambda value: np.full(LANES, value, np.float32))
def splat(typingctx, value):
    """A vector with the same number in every lane."""

    def generate(context, builder, signature, args):
        return _splat(builder, args[0])

    return vector_type(types.float32), generate


def _fma_twin(a, b, c):
    return (a.astype(np.float64) * b + c).astype(np.float32)


@_twin_of(_fma_twin)
def fma(typingctx, a, b, c):
    """a * b + c, rounded once where the machine has the instruction."""

    def generate(context, builder, signature, args):
        return _fma(builder, *args)

    return vector_type(vector_type, vector_type, vector_type), generate


@_twin_of(lambda x: np.sqrt(x))
def sqrt(typingctx, x):
    """The square root of each lane."""

    def generate(context, builder, signature, args):
        return _call(builder, f"llvm.sqrt.v{LANES}f32", _VECTOR, args[0])

    return vector_type(vector_type), generate


# AVX-512 estimates 1 / sqrt(x) and 1 / x to 14 bits, by a rule that does not depend on who made
# the processor. The estimates of older sets do, so there nothing is estimated.
HAS_ESTIMATES = LANES == 16


def _estimate(builder, name, x):
    everywhere = ir.Constant(ir.IntType(16), -1)
    return _call(builder, f"llvm.x86.avx512.{name}.ps.512", _VECTOR, x, x, everywhere)


@_twin_of(lambda x: (1 / np.sqrt(x)).astype(np.float32))
def estimate_rsqrt(typingctx, x):
    """1 / sqrt(x) of each lane to 14 bits, where HAS_ESTIMATES."""

    def generate(context, builder, signature, args):
        return _estimate(builder, "rsqrt14", args[0])

    return vector_type(vector_type), generate


@_twin_of(lambda x: (1 / x).astype(np.float32))
def estimate_reciprocal(typingctx, x):
    """1 / x of each lane to 14 bits, where HAS_ESTIMATES."""

    def generate(context, builder, signature, args):
        return _estimate(builder, "rcp14", args[0])

    return vector_type(vector_type), generate


@_twin_of(lambda x, limit, below, other: np.where(x < limit, below, other))
def select_less(typingctx, x, limit, below, other):
    """Lane by lane ``below`` where x < limit, else ``other`` (also where x is NaN)."""

    def generate(context, builder, signature, args):
        x, limit, below, other = args
        return builder.select(builder.fcmp_ordered("<", x, limit), below, other)

    return vector_type(*[vector_type] * 4), generate


@_twin_of(lambda x, n, fill: np.where(np.arange(LANES) < n, x, fill))
def keep_lanes(typingctx, x, n, fill):
    """The first n lanes of x, and ``fill`` in the others."""

    def generate(context, builder, signature, args):
        x, n, fill = args
        return builder.select(_first_lanes(builder, n), x, fill)

    return vector_type(vector_type, types.int64, vector_type), generate


@_twin_of(lambda lane, x, other: np.where(np.arange(LANES) == lane, x, other))
def where_lane(typingctx, lane, x, other):
    """One lane of x, and ``other`` in all the others."""

    def generate(context, builder, signature, args):
        lane, x, other = args
        lanes = _splat(builder, builder.trunc(lane, _I32), _INTS)
        mask = builder.icmp_signed("==", ir.Constant(_INTS, list(range(LANES))), lanes)
        return builder.select(mask, x, other)

    return vector_type(types.int64, vector_type, vector_type), generate


def _raise_twin(x, n):
    return (x.view(np.int32) + (n.view(np.int32) << 23)).view(np.float32)


@_twin_of(_raise_twin)
def raise_exponent(typingctx, x, n):
    """x * 2**k, where k stands in the low bits of the mantissa of n."""

    def generate(context, builder, signature, args):
        x, n = (builder.bitcast(argument, _INTS) for argument in args)
        shift = ir.Constant(_INTS, [_I32(23)] * LANES)
        return builder.bitcast(builder.add(x, builder.shl(n, shift)), _VECTOR)

    return vector_type(vector_type, vector_type), generate


@_twin_of(lambda x: x.max())
def largest(typingctx, x):
    """The largest lane; lanes that are NaN may be passed over."""

    def generate(context, builder, signature, args):
        return _call(builder, f"llvm.vector.reduce.fmax.v{LANES}f32", _F32, args[0])

    return types.float32(vector_type), generate


def _sum_twin(x):
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 :]
    return x[0]


@_twin_of(_sum_twin)
def total(typingctx, x):
    """The sum of the lanes, added by halves."""

    def generate(context, builder, signature, args):
        (x,) = args
        width = LANES
        while width > 1:
            width //= 2
            low = ir.Constant(ir.VectorType(_I32, width), list(range(width)))
            high = ir.Constant(ir.VectorType(_I32, width), list(range(width, 2 * width)))
            undefined = ir.Constant(x.type, ir.Undefined)
            x = builder.fadd(
                builder.shuffle_vector(x, undefined, low),
                builder.shuffle_vector(x, undefined, high),
            )
        return builder.extract_element(x, _I32(0))

    return types.float32(vector_type), generate


def _binary(name, symbol):
    """Give vectors an arithmetic operator; NumPy arrays, their twins, have it already."""

    @intrinsic
    def operation(typingctx, a, b):
        def generate(context, builder, signature, args):
            return getattr(builder, name)(*args)

        return vector_type(vector_type, vector_type), generate

    @overload(symbol)
    def apply(a, b):
        if a is vector_type and b is vector_type:
            return lambda a, b: operation(a, b)
        return None


if JIT:
    for _name, _symbol in (
        ("fadd", operator.add),
        ("fsub", operator.sub),
        ("fmul", operator.mul),
        ("fdiv", operator.truediv),
    ):
        _binary(_name, _symbol)


# ---------------------------------------------------------------------------------------------
# Tiles
# ---------------------------------------------------------------------------------------------


def _tile_type(rows, vectors):
    return types.UniTuple(types.UniTuple(vector_type, vectors), rows)


@_twin_of(lambda rows, columns: np.zeros((rows, len(columns) * LANES), np.float32))
def zero_tile(typingctx, rows, columns):
    """A tile of ``rows`` (a literal) x ``len(columns)`` vectors of zeros."""
    tile = _tile_type(rows.literal_value, len(columns))

    def generate(context, builder, signature, args):
        return ir.Constant(context.get_value_type(tile), None)

    return tile(rows, columns), generate


@_twin_of(lambda tile: tile.shape[1])
def row_length(typingctx, tile):
    """The number of floats in a row of a tile."""

    def generate(context, builder, signature, args):
        return _I64(signature.args[0].dtype.count * LANES)

    return types.int64(tile), generate


def _add_outer_twin(tile, a, offset, stride, b, b_offset):
    column = np.array([_memory(a, offset + row * stride, 1)[0] for row in range(len(tile))])
    products = np.multiply.outer(column, _memory(b, b_offset, tile.shape[1]), dtype=np.float64)
    return (tile + products).astype(np.float32)


@_twin_of(_add_outer_twin)
def add_outer(typingctx, tile, a, offset, stride, b, b_offset):
    """tile + the outer product of a column of a and a row of b.

    Row r takes the float at ``a + offset + r * stride``, broadcast; the vectors of the row stand
    at ``b + b_offset``. One broadcast and ``vectors`` FMAs per row of the tile.
    """

    def generate(context, builder, signature, args):
        tile, a, offset, stride, b, b_offset = args
        rows, vectors = signature.args[0].count, signature.args[0].dtype.count
        row_of_b = []
        for column in range(vectors):
            position = builder.add(b_offset, _I64(column * LANES))
            pointer = _float_pointer(builder, b, position, _VECTOR)
            row_of_b.append(builder.load(pointer, align=4, typ=_VECTOR))
        for row in range(rows):
            position = builder.add(offset, builder.mul(stride, _I64(row)))
            scalar = builder.load(_pointer(builder, a, position, _F32), align=4, typ=_F32)
            broadcast = _splat(builder, scalar)
            for column in range(vectors):
                before = builder.extract_value(tile, [row, column])
                after = _fma(builder, broadcast, row_of_b[column], before)
                tile = builder.insert_value(tile, after, [row, column])
        return tile

    return tile(tile, *[types.int64] * 5), generate


def _store_tile_twin(tile, out, offset, stride):
    for row in range(len(tile)):
        _memory(out, offset + row * stride, tile.shape[1])[:] = tile[row]


@_twin_of(_store_tile_twin)
def store_tile(typingctx, tile, out, offset, stride):
    """Write a tile at out + offset, its rows ``stride`` floats apart."""

    def generate(context, builder, signature, args):
        tile, out, offset, stride = args
        rows, vectors = signature.args[0].count, signature.args[0].dtype.count
        for row in range(rows):
            for column in range(vectors):
                start = builder.add(offset, builder.mul(stride, _I64(row)))
                position = builder.add(start, _I64(column * LANES))
                pointer = _float_pointer(builder, out, position, _VECTOR)
                builder.store(builder.extract_value(tile, [row, column]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(tile, *[types.int64] * 3), generate


# ---------------------------------------------------------------------------------------------
# Square blocks
# ---------------------------------------------------------------------------------------------

_BLOCK = types.UniTuple(vector_type, LANES)


def _load_block_twin(base, offset, stride):
    return np.stack([_memory(base, offset + row * stride, LANES) for row in range(LANES)])


@_twin_of(_load_block_twin)
def load_block(typingctx, base, offset, stride):
    """LANES x LANES floats at base + offset, their rows ``stride`` floats apart."""

    def generate(context, builder, signature, args):
        base, offset, stride = args
        block = ir.Constant(context.get_value_type(_BLOCK), ir.Undefined)
        for row in range(LANES):
            position = builder.add(offset, builder.mul(stride, _I64(row)))
            pointer = _float_pointer(builder, base, position, _VECTOR)
            block = builder.insert_value(block, builder.load(pointer, align=4, typ=_VECTOR), row)
        return block

    return _BLOCK(types.int64, types.int64, types.int64), generate


def _store_block_twin(block, base, offset, stride):
    for row in range(LANES):
        _memory(base, offset + row * stride, LANES)[:] = block[row]


@_twin_of(_store_block_twin)
def store_block(typingctx, block, base, offset, stride):
    """Write a block at base + offset, its rows ``stride`` floats apart."""

    def generate(context, builder, signature, args):
        block, base, offset, stride = args
        for row in range(LANES):
            position = builder.add(offset, builder.mul(stride, _I64(row)))
            pointer = _float_pointer(builder, base, position, _VECTOR)
            builder.store(builder.extract_value(block, row), pointer, align=4)
        return context.get_dummy_value()

    return types.void(_BLOCK, types.int64, types.int64, types.int64), generate


@_twin_of(lambda block: block.T.copy())
def transpose(typingctx, block):
    """The transpose of a block, in registers: swap ever smaller squares off the diagonal."""

    def generate(context, builder, signature, args):
        rows = [builder.extract_value(args[0], row) for row in range(LANES)]
        size = LANES // 2
        while size:
            # Of two rows ``size`` apart, the first keeps its low squares and takes the other's.
            first = [i if not i & size else LANES + i - size for i in range(LANES)]
            second = [i + size if not i & size else LANES + i for i in range(LANES)]
            for row in range(LANES):
                if not row & size:
                    pair = rows[row], rows[row + size]
                    rows[row] = builder.shuffle_vector(*pair, ir.Constant(_INTS, first))
                    rows[row + size] = builder.shuffle_vector(*pair, ir.Constant(_INTS, second))
            size //= 2
        block = args[0]
        for row in range(LANES):
            block = builder.insert_value(block, rows[row], row)
        return block

    return _BLOCK(_BLOCK), generate


# ---------------------------------------------------------------------------------------------
# Threads and the floating-point mode
# ---------------------------------------------------------------------------------------------


def _add_twin(base, position, value):
    numbers = _memory(base, position, 1, ctypes.c_int64)
    numbers[0] += value
    return int(numbers[0]) - value


@_twin_of(_add_twin)
def atomic_add(typingctx, base, position, value):
    """Add to the int64 at base + position, a step that publishes what was written before.

    The result is the number that it found.
    """

    def generate(context, builder, signature, args):
        base, position, value = args
        return builder.atomic_rmw("add", _pointer(builder, base, position, _I64), value, "acq_rel")

    return types.int64(types.int64, types.int64, types.int64), generate


@_twin_of(lambda base, position: load_index(base, position))
def atomic_load(typingctx, base, position):
    """The int64 at base + position, seeing all that was written before the number found there."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_pointer(builder, *args, _I64), "acquire", 8, typ=_I64)

    return types.int64(types.int64, types.int64), generate


_ARM = platform.machine() in ("arm64", "aarch64")


@_twin_of(lambda: None)
def pause(typingctx):
    """Tell the core that this is a spin loop."""

    def generate(context, builder, signature, args):
        if _ARM:
            _call(builder, "llvm.aarch64.hint", ir.VoidType(), _I32(1))
        else:
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), generate


@_twin_of(lambda: None)
def yield_core(typingctx):
    """Let another thread have this core: POSIX sched_yield."""

    def generate(context, builder, signature, args):
        _call(builder, "sched_yield", _I32)
        return context.get_dummy_value()

    return types.void(), generate


# Bits of the x86 MXCSR (flush results to zero, read denormals as zero) and of the Arm FPCR.
FLUSH_TO_ZERO = (1 << 24) if _ARM else (1 << 15) | (1 << 6)


@_twin_of(lambda: 0)
def get_float_mode(typingctx):
    """The control bits of this thread's floating-point unit."""

    def generate(context, builder, signature, args):
        if _ARM:
            return _call(builder, "llvm.aarch64.get.fpcr", _I64)
        slot = cgutils.alloca_once(builder, _I32)
        _call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), slot)
        return builder.zext(builder.load(slot, typ=_I32), _I64)

    return types.int64(), generate


@_twin_of(lambda mode: None)
def set_float_mode(typingctx, mode):
    """Set the control bits of this thread's floating-point unit."""

    def generate(context, builder, signature, args):
        if _ARM:
            _call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), args[0])
        else:
            slot = cgutils.alloca_once_value(builder, builder.trunc(args[0], _I32))
            _call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), slot)
        return context.get_dummy_value()

    return types.void(types.int64), generate
