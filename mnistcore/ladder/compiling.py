"""How the steps in Numba are compiled."""

from collections.abc import Callable
from typing import Any

from numba import njit

from ..kernels._numba.cache import cache_here


def compiled(function: Callable[..., Any]) -> Any:
    """Compile to run without the interpreter's lock; cache the result on disk with the kernels.

    "contract" only lets LLVM turn a multiplication and an addition into one FMA.
    """
    with cache_here():
        return njit(nogil=True, cache=True, fastmath={"contract"})(function)
