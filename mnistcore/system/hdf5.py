"""Arrays of HDF5 files that anyone may have written."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import copying
from .extras import require

MAGIC = b"\x89HDF\r\n\x1a\n"


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
        copying.run("hdf5_content", "HDF5", source, [limit, least], copied)
        copied.seek(0)
        index = json.loads(copying.read(copied).tobytes())
        arrays = {name: copying.read(copied) for name in index.pop("names")}
    return Content(arrays, **index)
