"""Read ``.npz`` files, without the pickles that they may hold."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .weight_file import ZIP_ERRORS, WeightFile, check_names, one_line

_READERS: Mapping[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(path: Path) -> WeightFile:
    """Read the arrays of an ``.npz`` file; Python objects in it are left out.

    The size of all members is checked by now.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            objects = _check_members(archive)
        with np.load(path, allow_pickle=False) as arrays:
            names = [name for name in arrays.files if name not in objects]
            left_out = tuple(f"{name} (Python objects)" for name in objects)
            return WeightFile({name: arrays[name] for name in names}, {}, True, left_out)
    except ZIP_ERRORS as error:
        reason = one_line(error)
        raise ValueError(f"is a damaged .npz file ({reason})") from error


def _check_members(archive: zipfile.ZipFile) -> list[str]:
    """Check names and headers of all arrays; return the names of those of Python objects."""
    members = archive.infolist()
    check_names(member.filename for member in members)
    return [
        member.filename.removesuffix(".npy")
        for member in members
        if _holds_objects(archive, member)
    ]


def _holds_objects(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _READERS:
            raise ValueError(f"has {member.filename} of version {version}; 1.0 and 2.0 are read")
        shape, _, dtype = _READERS[version](file)
        if not dtype.hasobject and (
            file.tell() + math.prod(shape) * dtype.itemsize != member.file_size
        ):
            raise ValueError(f"has {member.filename} of another size than its header says")
        return bool(dtype.hasobject)
