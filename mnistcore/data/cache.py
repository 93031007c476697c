"""The user's cache: a published data set as raw IDX files, verified and memory-mapped.

Decompressing and hashing MNIST takes a quarter of a second, mapping it a millisecond. To hash
each file only once, a note beside the files records the size and times of every file whose
SHA-256 was right; a file that has changed since is hashed again. Files are replaced atomically,
so several processes may fill the cache at the same time.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnistcore.data.folder import FILE_NAMES, Arrays
from mnistcore.data.idx import IdxError, idx_sha256, map_idx, write_idx
from mnistcore.system.files import read_bounded, write_json
from mnistcore.system.text import parsed

_RECENT_SECONDS = 600.0

Stamps = list[list[int]]


class VerifiedCache:
    """The files of one published data set in a cache folder.

    It is not an error if the cache cannot be written: then nothing is kept.

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
        """Map the files; return None if one is missing or has the wrong contents."""
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
        """Write the files and return them mapped; return None if the cache cannot be written.

        Parameters
        ----------
        arrays : Arrays
            The caller has verified their SHA-256.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file, array in zip(self._files, arrays, strict=True):
                write_idx(file, array)
        except OSError:
            return None
        return self.load()

    def knows(self, files: Sequence[Path]) -> bool:
        """Whether `note_copy` recorded these files outside the cache, unchanged since."""
        stamps = file_stamps(files)
        return stamps is not None and self._copies().get(_place(files)) == stamps

    def note_copy(self, files: Sequence[Path], stamps: Stamps | None) -> None:
        """Record that these files outside the cache held the same data at these stamps."""
        self._note(copies={**self._copies(), _place(files): stamps})

    def _copies(self) -> dict[str, Any]:
        copies = _read_json(self._notes).get("copies")
        return copies if isinstance(copies, dict) else {}

    def note_failed_download(self, failures: Mapping[str, str]) -> None:
        """Record that a download failed just now, and why, by mirror."""
        _write_json(self._failure, {"time": time.time(), "failures": dict(failures)})

    def failed_download(self) -> tuple[float, dict[str, str]] | None:
        """Return the age in seconds of a recent failed download and its reasons by mirror."""
        note = _read_json(self._failure)
        try:
            age, failures = time.time() - float(note["time"]), dict(note["failures"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return (age, failures) if 0 <= age < _RECENT_SECONDS else None

    def _note(self, **notes: Any) -> None:
        _write_json(self._notes, {**_read_json(self._notes), **notes})


def _place(files: Sequence[Path]) -> str:
    return str(files[0].parent.resolve())


def file_stamps(files: Sequence[Path]) -> Stamps | None:
    """Return the size and times of each file, which change with its contents."""
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return None
    return [[stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for stat in stats]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = parsed(read_bounded(path))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    except OSError:
        pass  # a cache that cannot be written only costs time
