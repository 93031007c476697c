"""Placing the threads of a team on different cores.

Unless Linux finds an idle core, it wakes a thread where it last ran, even if the caller now runs
there. In a virtual machine it may find none, perhaps because an idle virtual core looks like one
that the host has taken away. Two threads then share a core for tenths of a second while other
cores are idle, and a team is no faster than one thread.
"""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress


def _core_function() -> Callable[[], int] | None:
    """Return ``sched_getcpu`` of glibc or musl, or None on systems without thread affinity."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


_current = _core_function()


def current_core() -> int:
    """Return the core that the calling thread runs on; -1 if unknown."""
    return _current() if _current else -1


def allowed_cores() -> set[int]:
    """Return the cores that the calling thread may run on; empty if unknown."""
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # macOS has no affinity
        return set()


def moves(last: list[int], caller: int, allowed: set[int]) -> dict[int, int]:
    """Return new cores, by thread index, for the threads that should not wake where they last ran.

    A thread moves if the caller or an earlier thread is on its last core, or if that core is not
    allowed (-1 for a thread that never ran). It moves to an unused core, if there is one. If the
    caller's core is unknown (-1), no thread moves.
    """
    if caller < 0:
        return {}
    taken = {caller}
    free = sorted(allowed - taken - set(last), reverse=True)
    elsewhere = {}
    for index, core in enumerate(last):
        if (core in taken or core not in allowed) and free:
            core = elsewhere[index] = free.pop()
        taken.add(core)
    return elsewhere


def restrict(thread: int, cores: set[int]) -> None:
    """Restrict a thread, by its system id (0 for the calling thread), to the given cores."""
    with suppress(OSError):  # placement only affects speed
        os.sched_setaffinity(thread, cores)
