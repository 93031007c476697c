"""Arrays of HDF5 files that anyone may have written."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from .extras import require

MAGIC = b"\x89HDF\r\n\x1a\n"
_READER = Path(__file__).with_name("hdf5_content.py")
_PATIENCE, _SLOWEST = 30.0, 2e7  # seconds to start; bytes a second on a slow disk


class Content(NamedTuple):
    """The arrays of a file by their paths, and what :mod:`.hdf5_content` says of the rest."""

    arrays: dict[str, np.ndarray]
    bfloat16: list[str]
    others: list[str]
    left_out: list[str]
    attributes: Mapping[str, Mapping[str, list[str]]]


def read(source: Path | bytes, limit: int, least: int = 1) -> Content:
    """Read a file, or its content, in a process of its own.

    Parameters
    ----------
    source
        The file, or its content.
    limit
        The most bytes of arrays, if each number takes at least ``least``.
    least
        See ``limit``.

    Raises
    ------
    ValueError
        If the file is damaged or too large, or points into other files.
    MissingExtraError
        If h5py is not installed.
    """
    require("h5py", "hdf5")
    with tempfile.TemporaryFile() as copied:
        _copy(source, limit, least, copied)
        copied.seek(0)
        index = json.loads(_next(copied).tobytes())
        arrays = {name: _next(copied) for name in index.pop("names")}
    return Content(arrays, **index)


def _next(file: BinaryIO) -> np.ndarray:
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _copy(source: Path | bytes, limit: int, least: int, into: BinaryIO) -> None:
    """Write what :mod:`.hdf5_content` copies from a file, in a process of its own."""
    name, given = ("-", source) if isinstance(source, bytes) else (str(source.resolve()), b"")
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    command = [sys.executable, "-P", str(_READER), name, str(limit), str(least)]
    try:
        done = subprocess.run(
            command, input=given, stdout=into, stderr=subprocess.PIPE,
            timeout=_PATIENCE + size / _SLOWEST,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ValueError("is a damaged HDF5 file (it takes too long to read)") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        refused = done.returncode == 2 and reason
        raise ValueError(reason[-1] if refused else "is a damaged HDF5 file (reading it crashes)")
