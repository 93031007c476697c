"""Arrays in ``.npz`` files, of sizes that their headers declare; no pickle is ever opened."""

import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import reason_of

_READERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_LAST = 0x10FFFF  # code point
_MOST = 1000  # files in a zip file, each of which is opened by itself
_KIND = ".npz file"


@contextmanager
def unzipped(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file that anyone may have written; any error of its content is a ValueError."""
    with _damage(kind), _opened(path) as archive:
        yield archive


def _opened(path: Path) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(path)
    if len(archive.infolist()) > _MOST:
        archive.close()
        raise ValueError(f"more than {_MOST:,} files in it")
    return archive


@contextmanager
def _damage(kind: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's of odd headers
            yield
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # damaged bytes raise almost anything in zipfile and NumPy
        raise ValueError(f"is a damaged {kind} ({reason_of(error)})") from error


class Header(NamedTuple):
    """What an array declares to be."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def size(self, least: int) -> int:
        """Return its bytes if each number takes at least so many."""
        return math.prod(self.shape) * max(self.dtype.itemsize, least)

    @property
    def pixels(self) -> int:
        """The bytes of pixels, which become float32 unless they are bytes already."""
        return self.size(1 if self.dtype in (np.uint8, np.bool_) else 4)


class Npz:
    """The arrays of a file: their names in its order, and the bytes that all unpack to.

    The file is open, with its table of contents read once, for as long as this is.
    """

    def __init__(self, path: Path) -> None:
        with _damage(_KIND):
            self._archive = _opened(path)
            members = self._archive.infolist()
        self._members = {one.filename.removesuffix(".npy"): one for one in members}
        self.names = list(self._members)
        self.size = sum(one.file_size for one in self._members.values())

    def header(self, name: str) -> Header:
        """Return what an array declares; its dtype ``hasobject`` if it holds Python objects."""
        with _damage(_KIND), self._archive.open(self._members[name]) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in _READERS:
                raise ValueError(f"{name} is of the unknown version {version}")
            shape, _, dtype = _READERS[version](stream)
            size = self._members[name].file_size - stream.tell()
            header = Header(shape, dtype)
            whole = header.size(0) == size and header.size(1) <= max(size, 1)
            if not dtype.hasobject and not whole:
                raise ValueError(f"{name} is of another size than its header says")
            return header

    def read(self, name: str) -> np.ndarray:
        """Return an array; the caller has checked the size in its header."""
        with _damage(_KIND):
            with self._archive.open(self._members[name]) as stream:
                array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
            text = array.dtype.kind == "U"
            if array.dtype.names or (text and _codes(array).max(initial=0) > _LAST):
                raise ValueError(f"{name} holds neither numbers nor text")
            return array


def _codes(array: np.ndarray) -> np.ndarray:
    """Return the code points in an array of texts."""
    return np.frombuffer(array.tobytes(), f"{array.dtype.byteorder}u4")
