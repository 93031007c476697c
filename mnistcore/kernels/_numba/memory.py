"""Numbers at addresses, addresses of arrays, and records of int64 that lie in memory."""

import ctypes

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import register_jitable

from ..layout import OPTIONS_DTYPE
from .functions import entry
from .intrinsics import F32, F64, I32, I64, JIT, call_llvm, pointer_to, signed, twin_of, view


@twin_of(lambda base, offset: view(base, offset, 1)[0])
def load_scalar(typingctx, base, offset):
    """Load one float at base + offset."""

    def generate(context, builder, signature, args):
        return builder.load(pointer_to(builder, *args, F32), align=4, typ=F32)

    return types.float32(types.int64, types.int64), generate


def _store_scalar_twin(base, offset, value):
    view(base, offset, 1)[0] = value


@twin_of(_store_scalar_twin)
def store_scalar(typingctx, base, offset, value):
    """Write one float at base + offset."""

    def generate(context, builder, signature, args):
        base, offset, value = args
        builder.store(value, pointer_to(builder, base, offset, F32), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32), generate


@twin_of(lambda base, position: int(view(base, position, 1, ctypes.c_int64)[0]))
def load_index(typingctx, base, position):
    """Load one int64 at base + position."""

    def generate(context, builder, signature, args):
        return builder.load(pointer_to(builder, *args, I64), align=8, typ=I64)

    return types.int64(types.int64, types.int64), generate


def _store_index_twin(base, position, value):
    view(base, position, 1, ctypes.c_int64)[0] = signed(value)


@twin_of(_store_index_twin)
def store_index(typingctx, base, position, value):
    """Write one int64 at base + position."""

    def generate(context, builder, signature, args):
        base, position, value = args
        builder.store(value, pointer_to(builder, base, position, I64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@twin_of(lambda base, position: view(base, position, 1, ctypes.c_double)[0])
def load_double(typingctx, base, position):
    """Load one float64 at base + position."""

    def generate(context, builder, signature, args):
        return builder.load(pointer_to(builder, *args, F64), align=8, typ=F64)

    return types.float64(types.int64, types.int64), generate


def _store_double_twin(base, position, value):
    view(base, position, 1, ctypes.c_double)[0] = value


@twin_of(_store_double_twin)
def store_double(typingctx, base, position, value):
    """Write one float64 at base + position."""

    def generate(context, builder, signature, args):
        base, position, value = args
        builder.store(value, pointer_to(builder, base, position, F64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float64), generate


@twin_of(lambda base, position: int(view(base, position, 1, ctypes.c_int32)[0]))
def load_int32(typingctx, base, position):
    """Load one int32 at base + position, as int64."""

    def generate(context, builder, signature, args):
        loaded = builder.load(pointer_to(builder, *args, I32), align=4, typ=I32)
        return builder.sext(loaded, I64)

    return types.int64(types.int64, types.int64), generate


@twin_of(lambda array: array.ctypes.data)
def address(typingctx, array):
    """Return the address of the first number of an array, as int64."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, I64)

    return types.int64(array), generate


# Where a NumPy array keeps its class, the address of its numbers and its dtype, in int64, and
# its flags, in int32: the class ends the header of any Python object; data, number of dimensions,
# lengths, strides, base and dtype follow (``ndarraytypes.h``).
CLASS = object.__basicsize__ // 8 - 1
DATA = CLASS + 1
DTYPE = CLASS + 6
FLAGS = 2 * (DTYPE + 1)
PLAIN = 0x1 | 0x100  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED


@twin_of(id)
def array_object(typingctx, array):
    """Return the address of the NumPy object that was passed as an argument, as int64."""

    def generate(context, builder, signature, args):
        parent = context.make_array(signature.args[0])(context, builder, args[0]).parent
        return builder.ptrtoint(parent, I64)

    return types.int64(array), generate


@entry
def address_in(record):
    """Return the address of the first number of the array whose NumPy object is at ``record``."""
    return load_index(record, DATA)


def address_of(array):
    """Return the address of an array's first number to Python, several times faster than NumPy."""
    return address_in(id(array)) if JIT else array.ctypes.data


LINE = 64  # bytes of a cache line
LINE_FLOATS = LINE // 4  # to add to an array of floats that begins at :func:`aligned`


@register_jitable
def aligned(start):
    """Return the first cache line that begins at or after an address.

    NumPy's arrays begin 16 bytes into a line, so that each vector of a whole line would span two.
    """
    return -(-start // LINE) * LINE


@twin_of(lambda base, offset: None)
def prefetch(typingctx, base, offset):
    """Prefetch to L2 the cache line of base + offset, in bytes; it need not exist."""

    def generate(context, builder, signature, args):
        pointer = pointer_to(builder, *args, ir.IntType(8))
        read, keep, data = I32(0), I32(2), I32(1)
        call_llvm(builder, "llvm.prefetch.p0", ir.VoidType(), pointer, read, keep, data)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _load_record_twin(base, kind):
    return kind(*view(base, 0, len(kind._fields), ctypes.c_int64).tolist())


@twin_of(_load_record_twin)
def load_record(typingctx, base, kind):
    """Load the record of a ``kind``, a NamedTuple of int64, at an address."""
    names = kind.instance_class._fields

    def generate(context, builder, signature, args):
        numbers = [
            builder.load(pointer_to(builder, args[0], I64(i), I64), align=8, typ=I64)
            for i in range(len(names))
        ]
        return context.make_tuple(builder, signature.return_type, numbers)

    record = types.NamedUniTuple(types.int64, len(names), kind.instance_class)
    return record(types.int64, kind), generate


def _store_record_twin(base, record):
    view(base, 0, len(record), ctypes.c_int64)[:] = [signed(number) for number in record]


@twin_of(_store_record_twin)
def store_record(typingctx, base, record):
    """Write a NamedTuple of integers to an address."""

    def generate(context, builder, signature, args):
        kinds, numbers = signature.args[1], cgutils.unpack_tuple(builder, args[1])
        for i, (number, kind) in enumerate(zip(numbers, kinds, strict=True)):
            number = context.cast(builder, number, kind, types.int64)
            builder.store(number, pointer_to(builder, args[0], I64(i), I64), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, record), generate


def _option_twin(options, name):
    dtype, offset = OPTIONS_DTYPE.fields[name]
    kind = ctypes.c_double if dtype.kind == "f" else ctypes.c_int64
    return view(options + offset, 0, 1, kind).tolist()[0]


@twin_of(_option_twin)
def option(typingctx, options, name):
    """Load a field, by its literal name, of the ``layout.OPTIONS_DTYPE`` record at an address."""
    dtype, offset = OPTIONS_DTYPE.fields[name.literal_value]
    element, result = (F64, types.float64) if dtype.kind == "f" else (I64, types.int64)

    def generate(context, builder, signature, args):
        start = builder.add(args[0], I64(offset))
        return builder.load(pointer_to(builder, start, I64(0), element), align=8, typ=element)

    return result(types.int64, name), generate
