"""The three kinds of compiled function, and whether they are compiled.

``entry``       called from Python; compiled at the first call, and cached on disk
``inner``       called from compiled functions, and compiled into them
``c_function``  called through a pointer; compiled when its pointer is first needed, and cached

Declaring one compiles nothing. Under ``NUMBA_DISABLE_JIT=1`` all of them are the Python functions
that they decorate; NumPy then warns of an overflow as little as compiled code does.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, sigutils
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher, cpu_target

from .cache import cache_here
from .compiler import CallbackCompiler, InnerCompiler, OuterCompiler
from .intrinsics import I64, JIT, twin_of

# ``nnan`` and ``ninf`` are left out on purpose: a diverged run must see its NaN. ``contract`` only
# lets LLVM fuse a multiplication with an addition: no sum is reordered.
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "nogil": True}
_WITHOUT_OBJECTS = {"_nrt": False}  # references are not counted, and no array can be made


def entry(function):
    """Declare a function that is compiled at its first call from Python."""
    if not JIT:
        return np.errstate(all="ignore")(function)
    with cache_here():
        return numba.njit(**OPTIONS, cache=True, pipeline_class=OuterCompiler)(function)


def entry_of(signature):
    """Declare an :func:`entry` with one signature, compiled when its module is imported."""

    def compile_now(function):
        if not JIT:
            return np.errstate(all="ignore")(function)
        with cache_here():
            return numba.njit(signature, **OPTIONS, cache=True, pipeline_class=OuterCompiler)(
                function
            )

    return compile_now


class _Inner(CPUDispatcher):
    """A function without the wrappers through which Python and C would call it.

    The wrappers would take up a quarter of the training program's compile time.
    """

    literals = False

    def __call__(self, *args, **kwargs):
        raise TypeError(f"{self.py_func.__name__} can be called by compiled functions only")

    def get_call_template(self, args, kws):
        """Drop literal types, since Numba would compile the function anew for each number."""
        if not self.literals:
            args = [types.unliteral(argument) for argument in args]
        return super().get_call_template(args, kws)


def inner(function=None, *, forceinline=False, literals=False):
    """Compile a function into its compiled callers, for each combination of argument types.

    With ``literals``, the type of a literal number includes its value.
    """
    if function is None:
        return lambda function: inner(function, forceinline=forceinline, literals=literals)
    if not JIT:
        return function
    bare = _WITHOUT_OBJECTS | {
        "nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
    }  # fmt: skip
    declared = _Inner(
        function,
        targetoptions=OPTIONS | bare | {"forceinline": forceinline},
        pipeline_class=InnerCompiler,
    )
    declared.literals = literals
    return declared


class _CFunction(CFunc):
    """A C function that is compiled, or read from disk, when its address is first needed."""

    @property
    def address(self):
        # No lock once it is compiled: an interrupt while one is being taken would leave it taken.
        if self._wrapper_address is None:
            with global_compiler_lock:
                if self._wrapper_address is None:
                    self.compile()
        return self._wrapper_address


def c_function(arguments):
    """Declare a C function of n int64 ``arguments``; programs are passed its :func:`pointer`.

    A function called by name is compiled into each program that calls it. A C function is compiled
    once for all of them, and while another process compiles another: see :mod:`.programs`. A call
    through :func:`call` costs a few nanoseconds, compared with hundreds for a tile.
    """
    signature = sigutils.normalize_signature(types.void(*[types.int64] * arguments))

    def declare(function):
        declared = _CFunction(
            function,
            signature,
            locals={},
            options=_WITHOUT_OBJECTS,
            pipeline_class=CallbackCompiler,
        )
        with cache_here():
            declared.enable_caching()
        return declared

    return declare if JIT else lambda function: function


def pointer(function):
    """Return what programs take for a C function: its address, or a number if JIT is disabled.

    The function itself would also work, but Numba needs 10 us to type such an argument.
    """
    if JIT:
        return function.address
    _UNCOMPILED.append(function)
    return len(_UNCOMPILED)


_UNCOMPILED: list = []  # the functions with such numbers, which count from 1


def _call_uncompiled(number, arguments):
    """Call the function with such a number."""
    _UNCOMPILED[number - 1](*arguments)


@twin_of(_call_uncompiled)
def call(typingctx, function, arguments):
    """Call the C function at a pointer with a tuple of integers."""

    def generate(context, builder, signature, args):
        kinds, values = signature.args[1], cgutils.unpack_tuple(builder, args[1])
        integers = [
            context.cast(builder, value, kind, types.int64)
            for value, kind in zip(values, kinds, strict=True)
        ]
        kind = ir.FunctionType(ir.VoidType(), [I64] * len(integers))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), integers)
        return context.get_dummy_value()

    return types.void(function, arguments), generate


def compile_function(function, signature=None):
    """Compile an :func:`entry` for a signature, or a :func:`c_function`, unless it is cached."""
    if signature is None:
        pointer(function)
    else:
        function.compile(signature)


def name_of(function):
    """Return the name of an :func:`entry` or a :func:`c_function`."""
    return function.__name__


def is_cached(function, signature=None):
    """Whether the disk cache holds a function for this machine.

    Parameters
    ----------
    function
        An :func:`entry` or a :func:`c_function`.
    signature
        The argument types of an entry; None for a C function, which has only one signature.
    """
    cache = function._cache
    codegen = cpu_target.target_context.codegen()
    key = cache._index_key(function._sig if signature is None else signature, codegen)
    return cache._cache_file.has(key)
