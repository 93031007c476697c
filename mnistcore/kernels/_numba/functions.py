"""The three kinds of compiled function.

``entry``       called from Python; compiled at the first call, and cached on disk
``inner``       called from compiled functions, into which it is compiled
``c_function``  called through a pointer; compiled once, when its module is imported, and cached

Under ``NUMBA_DISABLE_JIT=1`` all of them are the Python functions that they decorate.
"""

from typing import Any

import numba
from numba import types
from numba.core.registry import CPUDispatcher

JIT = not numba.config.DISABLE_JIT

# ``nnan`` and ``ninf`` are left out on purpose: a diverged run must see its NaN. What is in lets
# LLVM fuse a multiplication with an addition, nothing else: no sum is reordered.
OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "nogil": True}

entry = numba.njit(**OPTIONS, cache=True)


class _Inner(CPUDispatcher):
    """A function without the wrappers through which Python and C would call it.

    To compile them takes a quarter of the time that the training program takes.
    """

    def __call__(self, *args, **kwargs):
        raise TypeError(f"{self.py_func.__name__} can be called by compiled functions only")


def inner(function=None, *, forceinline=False):
    """Compile a function into its compiled callers, for each combination of argument types."""
    if function is None:
        return lambda function: inner(function, forceinline=forceinline)
    if not JIT:
        return function
    bare = {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _Inner(function, targetoptions=OPTIONS | bare | {"forceinline": forceinline})


def c_function(arguments):
    """Compile a function of so many int64 once, as a C function behind a pointer.

    The programs are handed its :func:`pointer`, for ``simd.call``. A function called by name is
    copied into its caller and optimised again there, and in its caller's caller: 37 s of
    compiling instead of 9 for the tiles alone. The call costs a few nanoseconds where a tile
    takes hundreds.
    """
    signature = types.void(*[types.int64] * arguments)
    return numba.cfunc(signature, cache=True) if JIT else lambda function: function


def pointer(function):
    """What a program takes for a C function: its address, or a number where nothing is compiled.

    The function itself would do, but Numba takes 10 us to find out the type of such an argument.
    """
    if JIT:
        return function.address
    _UNCOMPILED.append(function)
    return len(_UNCOMPILED)


_UNCOMPILED: list = []  # the functions behind such numbers, which count from 1


def call_uncompiled(number, arguments):
    """Call the function behind such a number."""
    _UNCOMPILED[number - 1](*arguments)
