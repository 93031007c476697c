"""The building blocks of the intrinsics: generators of LLVM code, and Python twins.

An intrinsic is a function whose ``generate`` emits LLVM instructions that Numba cannot express.
Under ``NUMBA_DISABLE_JIT=1`` each is replaced by its twin, a few lines over NumPy arrays, so that
every kernel can be stepped through in a debugger: one thread, tiny shapes.
"""

import ctypes

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

JIT = not numba.config.DISABLE_JIT

F32 = ir.FloatType()
F64 = ir.DoubleType()
I32 = ir.IntType(32)
I64 = ir.IntType(64)

# The kinds of input numbers.
BYTES, FLOATS = 0, 1


def twin_of(twin):
    """Return the decorator of an intrinsic; ``twin`` replaces it if nothing is compiled."""
    return intrinsic(prefer_literal=True) if JIT else lambda _: twin


def view(base, offset, n, kind=ctypes.c_float):
    """Return a NumPy array over n numbers at address ``base`` + ``offset`` numbers, for a twin."""
    address = int(base) + int(offset) * ctypes.sizeof(kind)
    return np.ctypeslib.as_array((kind * n).from_address(address))


def view_inputs(base, position, n, kind):
    """Return the same over inputs, BYTES or FLOATS."""
    return view(base, position, n, ctypes.c_float if kind == FLOATS else ctypes.c_uint8)


def signed(bits):
    """Return the low 64 bits of a Python integer as an int64."""
    return (int(bits) + 2**63) % 2**64 - 2**63


def pointer_to(builder, base, offset, element):
    """Return the address ``base`` + ``offset`` elements, as a pointer."""
    start = builder.inttoptr(base, element.as_pointer())
    return builder.gep(start, [offset], source_etype=element)


def opaque(builder, value):
    """Return the same value, of which LLVM knows nothing: it computes each one from the last.

    Left to itself, it computes the places of all rows of a tile before the loop, more than there
    are registers for, and loads them from the stack again and again.
    """
    same = ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0", side_effect=False)
    return builder.call(same, [value])


def broadcast(builder, scalar, vector):
    """Return a vector of the given type with the same number in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, vector.count), None)
    return builder.shuffle_vector(first, undefined, zeros)


def call_llvm(builder, name, result, *args):
    """Call an intrinsic of LLVM, or a C function, by name."""
    signature = ir.FunctionType(result, [argument.type for argument in args])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, args)


def element_of(kind):
    """Return the LLVM type of inputs of a literal kind."""
    return F32 if kind.literal_value == FLOATS else ir.IntType(8)


def masked_inputs(builder, args, element, lanes, mask):
    """Load ``lanes`` inputs at base + position (``args``), with zeros where the mask is not set."""
    stored = ir.VectorType(element, lanes)
    pointer = pointer_to(builder, args[0], args[1], element)
    name = f"llvm.masked.load.v{lanes}{'f32' if element == F32 else 'i8'}.p0"
    return call_llvm(builder, name, stored, pointer, I32(1), mask, ir.Constant(stored, None))
