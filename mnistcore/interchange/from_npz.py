"""Read ``.npz`` files, without the pickles that they may hold."""

from pathlib import Path

from ..system.npz import Npz
from .weight_file import WeightFile, check_names, check_shapes


def read(path: Path) -> WeightFile:
    """Read the arrays of an ``.npz`` file; Python objects in it are left out.

    Raises
    ------
    ValueError
        If it is damaged, or its arrays are too large.
    """
    file = Npz(path)
    check_names(file.names)
    headers = {name: file.header(name) for name in file.names}
    objects = [name for name, header in headers.items() if header.dtype.hasobject]
    names = [name for name in headers if name not in objects]
    check_shapes(headers[name].shape for name in names)
    left_out = tuple(f"{name} (Python objects)" for name in objects)
    return WeightFile({name: file.read(name) for name in names}, {}, True, left_out)
