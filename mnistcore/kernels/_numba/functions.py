"""The three kinds of compiled function, and whether they are compiled.

``entry``       called from Python; compiled at the first call, and cached on disk
``inner``       called from compiled functions, into which it is compiled
``c_function``  called through a pointer; compiled when its pointer is first wanted, and cached

To declare one compiles nothing. Under ``NUMBA_DISABLE_JIT=1`` all of them are the Python
functions that they decorate.
"""

from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils, sigutils
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher, cpu_target

from .cache import cache_here
from .intrinsics import I64, JIT, twin_of

# ``nnan`` and ``ninf`` are left out on purpose: a diverged run must see its NaN. What is in lets
# LLVM fuse a multiplication with an addition, nothing else: no sum is reordered.
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "nogil": True}


def entry(function):
    """A function that is compiled at its first call from Python."""
    with cache_here():
        return numba.njit(**OPTIONS, cache=True)(function)


def entry_of(signature):
    """An :func:`entry` of one signature, compiled when its module is imported."""

    def compile_now(function):
        with cache_here():
            return numba.njit(signature, **OPTIONS, cache=True)(function)

    return compile_now


class _Inner(CPUDispatcher):
    """A function without the wrappers through which Python and C would call it.

    Those wrappers would take a quarter of the training program's compile time.
    """

    literals = False

    def __call__(self, *args, **kwargs):
        raise TypeError(f"{self.py_func.__name__} can be called by compiled functions only")

    def get_call_template(self, args, kws):
        """What a call is compiled to: Numba would compile anew for each number in the source."""
        if not self.literals:
            args = [types.unliteral(argument) for argument in args]
        return super().get_call_template(args, kws)


def inner(function=None, *, forceinline=False, literals=False):
    """Compile a function into its compiled callers, for each combination of argument types.

    With ``literals`` the type of a number in the source says which number it is.
    """
    if function is None:
        return lambda function: inner(function, forceinline=forceinline, literals=literals)
    if not JIT:
        return function
    bare = {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    declared = _Inner(function, targetoptions=OPTIONS | bare | {"forceinline": forceinline})
    declared.literals = literals
    return declared


class _CFunction(CFunc):
    """A C function that is compiled, or read from the disk, when its address is first wanted."""

    @property
    def address(self):
        with global_compiler_lock:
            if self._wrapper_address is None:
                self.compile()
        return self._wrapper_address


def c_function(arguments):
    """A C function of so many int64, which the programs are handed the :func:`pointer` of.

    A function called by name is copied into its caller and optimised again there, and in its
    caller's caller: 37 s of compiling instead of 9 for the tiles alone. A call through
    :func:`call` costs a few nanoseconds where a tile takes hundreds.
    """
    signature = sigutils.normalize_signature(types.void(*[types.int64] * arguments))

    def declare(function):
        declared = _CFunction(function, signature, locals={}, options={})
        with cache_here():
            declared.enable_caching()
        return declared

    return declare if JIT else lambda function: function


def pointer(function):
    """What a program takes for a C function: its address, or a number where nothing is compiled.

    The function itself would do, but Numba takes 10 us to find out the type of such an argument.
    """
    if JIT:
        return function.address
    _UNCOMPILED.append(function)
    return len(_UNCOMPILED)


_UNCOMPILED: list = []  # the functions behind such numbers, which count from 1


def _call_uncompiled(number, arguments):
    """Call the function behind such a number."""
    _UNCOMPILED[number - 1](*arguments)


@twin_of(_call_uncompiled)
def call(typingctx, function, arguments):
    """Call the C function behind a pointer with a tuple of integers."""

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


def is_cached(function, signature=None):
    """Whether the disk cache holds a function for this machine.

    Parameters
    ----------
    function
        An :func:`entry` or a :func:`c_function`.
    signature
        The argument types of an entry; None for a C function, which has but one.
    """
    cache = function._cache
    codegen = cpu_target.target_context.codegen()
    key = cache._index_key(function._sig if signature is None else signature, codegen)
    name = cache._cache_file._load_index().get(key)
    return name is not None and (Path(cache.cache_path) / name).is_file()
