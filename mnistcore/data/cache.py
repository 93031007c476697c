"""The user's cache: a published data set as raw IDX files, verified and memory-mapped.

Decompressing and hashing MNIST takes a quarter of a second, mapping it a millisecond. So that a
file is hashed only once, a note beside the files holds size and times of every file whose
SHA-256 was right; a file that changed since is hashed again. Every file is put in place whole,
so that several processes may fill the cache at the same time.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnistcore.data.folder import FILE_NAMES, Arrays
from mnistcore.data.idx import IdxError, idx_sha256, map_idx, write_idx
from mnistcore.system.files import write_json

_RECENT_SECONDS = 600.0

Stamps = list[list[int]]


def cache_folder() -> Path:
    """Return the cache folder: $MNISTCORE_CACHE_DIR, else the platform's place for caches."""
    chosen = os.environ.get("MNISTCORE_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs  # pooch.os_cache is this very call, behind a slow import

    return Path(platformdirs.user_cache_dir("mnistcore"))


class VerifiedCache:
    """The files of one published data set in a cache folder.

    A cache that cannot be written is no error: nothing is kept then.

    Parameters
    ----------
    folder : Path
        Need not exist.
    raw_sha256 : sequence of str
        The SHA-256 of the four raw files, in the order of `FILE_NAMES`.
    """

    def __init__(self, folder: Path, raw_sha256: Sequence[str]) -> None:
        self.folder = folder
        self._raw_sha256 = tuple(raw_sha256)
        self._files = [folder / name for name in FILE_NAMES]
        self._notes = folder / "verified.json"
        self._failure = folder / "download-failed.json"

    def load(self) -> Arrays | None:
        """Map the files; None if one is missing or is not what it should be."""
        stamps = file_stamps(self._files)
        try:
            arrays = Arrays(*map(map_idx, self._files))
        except (IdxError, OSError):
            return None
        if stamps is None or stamps != _read_json(self._notes).get("files"):
            if tuple(map(idx_sha256, arrays)) != self._raw_sha256:
                return None
            self._note(files=stamps)
        return arrays

    def store(self, arrays: Arrays) -> Arrays | None:
        """Write the files and return them mapped; None if the cache cannot be written.

        Parameters
        ----------
        arrays : Arrays
            Of the right SHA-256: the caller has verified them.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file, array in zip(self._files, arrays, strict=True):
                write_idx(file, array)
        except OSError:
            return None
        return self.load()

    def knows(self, files: Sequence[Path]) -> bool:
        """Whether these files, elsewhere, were noted as holding the same data."""
        stamps = file_stamps(files)
        return stamps is not None and self._copies().get(_place(files)) == stamps

    def note_copy(self, files: Sequence[Path], stamps: Stamps | None) -> None:
        """Note that these files, elsewhere, held the same data when they had these stamps."""
        self._note(copies={**self._copies(), _place(files): stamps})

    def _copies(self) -> dict[str, Any]:
        copies = _read_json(self._notes).get("copies")
        return copies if isinstance(copies, dict) else {}

    def note_failed_download(self, failures: Mapping[str, str]) -> None:
        """Note that a download failed just now, with the reason by mirror."""
        _write_json(self._failure, {"time": time.time(), "failures": dict(failures)})

    def failed_download(self) -> tuple[float, dict[str, str]] | None:
        """Return age in seconds and reasons of a failed download, if it is a recent one."""
        note = _read_json(self._failure)
        try:
            age, failures = time.time() - float(note["time"]), dict(note["failures"])
        except (KeyError, TypeError, ValueError):
            return None
        return (age, failures) if 0 <= age < _RECENT_SECONDS else None

    def _note(self, **notes: Any) -> None:
        _write_json(self._notes, {**_read_json(self._notes), **notes})


def _place(files: Sequence[Path]) -> str:
    return str(files[0].parent.resolve())


def file_stamps(files: Sequence[Path]) -> Stamps | None:
    """Return size and times of each file, which no change of content leaves as they are."""
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return None
    return [[stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for stat in stats]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    except OSError:
        pass  # a cache that cannot be written only costs time
