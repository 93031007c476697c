"""The folder of compiled code, named after everything that the code depends on.

Numba's own disk cache notices an edit to the file of a function, but not to the files of the
functions it calls, nor a changed tuning variable. So this module names the folder after a hash of
all of them, and each function is declared while Numba's cache setting points to that folder.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
from numba.core.compiler_lock import global_compiler_lock

from ...system.cache import cache_folder, is_private, temporary_cache_folder, writable

TUNING_VARIABLES = ("MNISTCORE_NUMBA_LANES",)


def _cache_folder() -> str:
    """Return the folder of compiled code for exactly these sources and tuning variables."""
    digest = hashlib.sha256(numba.__version__.encode())
    package = Path(__file__).parent
    shared = (package.parent / name for name in ("layout.py", "threads.py"))
    for source in (*sorted(package.glob("*.py")), *shared):
        digest.update(source.read_bytes())
    for variable in TUNING_VARIABLES:
        digest.update(os.environ.get(variable, "").encode() + b"\0")
    root = os.environ.get("NUMBA_CACHE_DIR") or cache_folder()
    name = digest.hexdigest()[:16]
    if folder := writable(Path(root) / "numba" / name):
        return folder
    stand_in = temporary_cache_folder()  # a read-only home: the user's processes share this one
    if is_private(stand_in) and (folder := writable(stand_in / name)):
        return folder
    return _folder_of_this_process()


def _folder_of_this_process() -> str:
    """Make a folder that is removed when this process ends, though not when a fork of it does."""
    folder, owner = tempfile.mkdtemp(prefix="mnistcore-numba-"), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


CACHE_FOLDER = _cache_folder()


@contextmanager
def cache_here() -> Iterator[None]:
    """Cache the functions that are declared within this block in the folder."""
    with global_compiler_lock:  # the setting is global: one thread at a time changes it
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = CACHE_FOLDER
        try:
            yield
        finally:
            numba.config.CACHE_DIR = before


# A fork waits for a compilation in another thread; else the child would wait for it forever.
os.register_at_fork(
    before=global_compiler_lock.acquire,
    after_in_parent=global_compiler_lock.release,
    after_in_child=global_compiler_lock.release,
)
