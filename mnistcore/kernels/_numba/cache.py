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


class _CheckedFile(caching.IndexDataCacheFile):
    """The files of a function, each after its checksum: what is damaged is compiled anew."""

    def _load_index(self):
        version, stamp, overloads = self._load_data(self._index_name) or (None, None, {})
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads):
        self._save_data(self._index_name, (self._version, self._source_stamp, overloads))

    def _load_data(self, name):
        with suppress(OSError):
            content = Path(self._data_path(name)).read_bytes()
            if zlib.crc32(content[4:]).to_bytes(4, "little") == content[:4]:
                return pickle.loads(content[4:])
        return None

    def _save_data(self, name, data):
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(zlib.crc32(content).to_bytes(4, "little"))
            file.write(content)


@contextmanager
def cache_here() -> Iterator[None]:
    """Cache the functions that are declared within this block in the folder."""
    library: Any = caching
    with global_compiler_lock:  # both are global: one thread at a time changes them
        before = numba.config.CACHE_DIR, library.IndexDataCacheFile
        numba.config.CACHE_DIR, library.IndexDataCacheFile = CACHE_FOLDER, _CheckedFile
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
