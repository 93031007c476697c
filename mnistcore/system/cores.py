"""On which core a thread of a team wakes up.

Linux wakes a thread where it ran last, also if the caller has come to run there meanwhile, unless
it finds an idle core. In a virtual machine it may find none, perhaps because an idle virtual core
looks like one that the host has taken away. Then two threads share a core for tenths of a second
beside cores that do nothing, and a team is no faster than one thread.
"""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress


def _core_function() -> Callable[[], int] | None:
    """glibc's and musl's ``sched_getcpu``; other systems place threads by themselves."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


_current = _core_function()


def current_core() -> int:
    """The core that the calling thread runs on; -1 where the system does not say."""
    return _current() if _current else -1


def allowed_cores() -> set[int]:
    """The cores that the calling thread may run on; empty where the system does not say."""
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # macOS has no affinity
        return set()


def moves(last: list[int], caller: int, allowed: set[int]) -> dict[int, int]:
    """The threads, by index, that should wake up elsewhere than where they ran last, and where.

    A thread stays unless the caller is there, or a thread before it, or it may not run there;
    ``last`` is -1 for one that never ran. It goes where none of them is, if there is such a core.
    Where the system does not say where the caller is (-1), all stay.
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
    """Let a thread, by its number in the system (0: the calling one), run on these cores only."""
    with suppress(OSError):  # it may not be moved: then the work is done wherever it runs
        os.sched_setaffinity(thread, cores)
