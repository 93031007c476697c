"""The folder of compiled code, named after everything that the code depends on.

Numba's own disk cache notices an edit to the file of a function, but not to the files of the
functions it calls, nor a changed tuning variable. So this module names the folder after a hash of
all of them, and each function is declared while Numba's cache setting points to that folder.
"""

import atexit
import hashlib
import os
import pickle
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core.compiler_lock import global_compiler_lock

from ...system.cache import cache_folder, is_private, temporary_cache_folder, writable
from ...system.files import replacing

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


class _CheckedFiles(caching.IndexDataCacheFile):
    """What a function is compiled to: a file for each signature and processor, after its checksum.

    The name of a file is a hash of what it is for. Numba itself numbers the files and keeps an
    index, in which two processes that add to it at once may find the same number free; then one
    loads the machine code of the other, which may be for other arguments or another processor.
    """

    def has(self, key):
        """Whether there is a file for a key."""
        return self._path(key).is_file()

    def save(self, key, data):
        """Write a file; what a full disk cannot take is compiled anew next time."""
        content = self._dump((key, data))
        with suppress(OSError), replacing(self._path(key)) as file:
            file.write(zlib.crc32(content).to_bytes(4, "little"))
            file.write(content)

    def load(self, key):
        """Return what was saved; None if nothing was, or if it is damaged."""
        with suppress(OSError):
            content = self._path(key).read_bytes()
            if zlib.crc32(content[4:]).to_bytes(4, "little") == content[:4]:
                saved_as, data = pickle.loads(content[4:])
                return data if saved_as == key else None
        return None

    def _path(self, key):
        digest = hashlib.sha256(repr((self._source_stamp, key)).encode()).hexdigest()
        return Path(self._data_path(self._data_name(int(digest[:16], 16))))


@contextmanager
def cache_here() -> Iterator[None]:
    """Cache the functions that are declared within this block in the folder."""
    library: Any = caching
    with global_compiler_lock:  # both are global: one thread at a time changes them
        before = numba.config.CACHE_DIR, library.IndexDataCacheFile
        numba.config.CACHE_DIR, library.IndexDataCacheFile = CACHE_FOLDER, _CheckedFiles
        try:
            yield
        finally:
            numba.config.CACHE_DIR, library.IndexDataCacheFile = before


# A fork waits for a compilation in another thread; else the child would wait for it forever.
os.register_at_fork(
    before=global_compiler_lock.acquire,
    after_in_parent=global_compiler_lock.release,
    after_in_child=global_compiler_lock.release,
)
