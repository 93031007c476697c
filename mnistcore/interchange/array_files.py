"""Read named arrays from untrusted files: safetensors and ``.npz``, never a pickle.

A pickle can run code, and a few compressed bytes can unpack to gigabytes. So other files are
refused by their first bytes, and sizes are checked before anything is unpacked.
"""

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAX_BYTES = 2**30  # of all arrays of a file together: 268 million float32 parameters

_LONGEST_NAME = 200
_HDF5, _ZIP, _PICKLE = b"\x89HDF\r\n\x1a\n", b"PK", b"\x80"
_PICKLE_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")
_KERAS_SUFFIXES = (".h5", ".hdf5", ".keras")
_FROM_TORCH = (
    "is a pickle, which could run any program; save the weights in PyTorch with"
    " safetensors.torch.save_file(model.state_dict(), 'weights.safetensors'), or give an .npz file"
)
_FROM_KERAS = (
    "is an HDF5 or Keras file; save the weights in Keras with"
    " numpy.savez('weights.npz', *model.get_weights())"
)


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """The contents of a file of arrays.

    Attributes
    ----------
    arrays
        Float arrays by name.
    metadata
        The metadata of a safetensors file; empty for ``.npz``.
    ordered
        Whether the arrays are in the order in which they were saved, which safetensors does not
        keep.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]
    ordered: bool


def read_arrays(path: str | Path) -> ArrayFile:
    """Read a safetensors or an ``.npz`` file.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it has another format, is damaged, or is larger than ``MAX_BYTES`` when unpacked.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give the file with the weights")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a .safetensors or an .npz file")
    try:
        return _read(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> ArrayFile:
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file begins with 8 arbitrary bytes, the length of the JSON header after them.
    if start[8:] != b"{":
        suffix = path.suffix.lower()
        if start.startswith(_PICKLE) or suffix in _PICKLE_SUFFIXES:
            raise ValueError(_FROM_TORCH)
        if start.startswith(_HDF5) or suffix in _KERAS_SUFFIXES:
            raise ValueError(_FROM_KERAS)
        if start.startswith(_ZIP):
            return ArrayFile(_read_npz(path), {}, ordered=True)
    _check_bytes(path.stat().st_size)
    return _read_safetensors(path)


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"holds {size:,} bytes of arrays; at most {MAX_BYTES:,} are read")


def _read_safetensors(path: Path) -> ArrayFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            _check_names(names)
            for name in names:
                _check_kind(name, file.get_slice(name).get_dtype())
            arrays = {name: file.get_tensor(name) for name in names}
            return ArrayFile(arrays, file.metadata() or {}, ordered=False)
    except SafetensorError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"is neither a safetensors nor an .npz file, or damaged ({reason})") from (
            error
        )


def _check_names(names: Sequence[str]) -> None:
    """Raise ValueError for names that cannot be shown in a line; the file is not trusted."""
    for name in names:
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise ValueError(f"has an array with an impossible name: {name[:_LONGEST_NAME]!r}")


def _check_kind(name: str, kind: str) -> None:
    if kind not in ("F64", "F32", "F16"):
        raise ValueError(f"has {name} of {kind}; weights are read as F64, F32 or F16")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    from zlib import error as zlib_error

    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, EOFError, OSError, zlib_error, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"is a damaged .npz file ({reason})") from error


def _check_members(archive: zipfile.ZipFile) -> None:
    """Raise ValueError unless all members are arrays, not too large, of the declared sizes."""
    members = archive.infolist()
    names = [member.filename for member in members]
    _check_names(names)
    if any(name.endswith("data.pkl") for name in names):
        raise ValueError(_FROM_TORCH)
    if any(name.endswith(_KERAS_SUFFIXES) for name in names):
        raise ValueError(_FROM_KERAS)
    other = [name for name in names if not name.endswith(".npy")]
    if other or not names:
        raise ValueError(f"is not an .npz file: it holds {', '.join(other[:3]) or 'nothing'}")
    _check_bytes(sum(member.file_size for member in members))
    for member in members:
        _check_header(archive, member)


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    readers: Mapping[tuple[int, int], Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"has {member.filename} of version {version}; 1.0 and 2.0 are read")
        shape, _, dtype = readers[version](file)
        if dtype.hasobject:
            raise ValueError(f"has {member.filename} with Python objects: {_FROM_TORCH}")
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"has {member.filename} of another size than its header says")
