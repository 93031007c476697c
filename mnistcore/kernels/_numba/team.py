"""What the threads of a team do together: meet at barriers, share out work."""

from numba import njit

from .._threads import PATIENCE
from .simd import (
    FAST_MATH,
    FLUSH_TO_ZERO,
    JIT,
    atomic_add,
    atomic_load,
    get_float_mode,
    pause,
    set_float_mode,
    yield_core,
)


@njit(fastmath=FAST_MATH, nogil=True)
def meet(barrier, threads, meeting):
    """Wait until all threads have come to their ``meeting``-th meeting (counted from 1).

    One counter that only grows: nobody has to reset it, so nobody can be overtaken.
    """
    if threads > 1:
        atomic_add(barrier, 0, 1)
        spins = 0
        while atomic_load(barrier, 0) < threads * meeting:
            spins += 1
            if spins < PATIENCE:
                pause()
            else:
                yield_core()
    return meeting + 1


@njit(fastmath=FAST_MATH, nogil=True)
def share(n, thread, threads):
    """The part [first, stop) of n units of work that a thread takes."""
    return n * thread // threads, n * (thread + 1) // threads


@njit(fastmath=FAST_MATH, nogil=True)
def flush_denormals():
    """Let this thread treat denormal numbers as zero; the mode to restore afterwards.

    Moments of dead units decay into denormals, on which every operation is many times slower.
    """
    mode = get_float_mode()
    set_float_mode(mode | FLUSH_TO_ZERO)
    return mode


MAX_TEAM = None if JIT else 1  # uncompiled threads cannot meet at spin barriers
