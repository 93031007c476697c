"""Locks on files and folders, which the system gives back when their owner ends, however it ends.

They are held by an open descriptor (``flock``), so a killed process leaves none behind. Where there
are no such locks, on Windows and on some network drives, nothing is locked.
"""

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file; return False if another descriptor holds it, None without locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def unlock(descriptor: int) -> None:
    """Give a lock back at once, though a forked process may have inherited the descriptor."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def open_folder(path: Path) -> int | None:
    """Open a folder, to lock it or to write its entries to disk; None on Windows."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY) if hasattr(os, "O_DIRECTORY") else None
