"""USPS as an HDF5 file: the groups ``train`` and ``test``, each with ``data`` and ``target``."""

from pathlib import Path
from typing import Any

from mnistcore.data.arrays import part_of
from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.system.errors import reason_of
from mnistcore.system.extras import require
from mnistcore.system.npz import Header

_MAGIC = b"\x89HDF\r\n\x1a\n"
_IMAGES, _LABELS = ("data", "x", "images"), ("target", "y", "labels")


def recognises(path: Path) -> bool:
    """Whether `path` is an HDF5 file, or a folder that holds one alone."""
    return _chosen(path) is not None


def read(path: Path) -> RawData:
    """Read the two groups.

    Raises
    ------
    DataError
        If the file is damaged, too large or laid out in another way.
    MissingExtraError
        If h5py is not installed.
    """
    file = _chosen(path)
    assert file is not None
    h5py = require("h5py", "hdf5")
    try:
        with h5py.File(file, "r") as content:
            names = list(content)
            if "train" not in content:
                raise DataError(
                    f"{file}: holds {', '.join(names[:6]) or 'nothing'}; the groups train and test,"
                    " each with data and target, can be read. Save other arrays with numpy.savez"
                )
            train = _part(file, "train", content["train"])
            test = _part(file, "test", content["test"]) if "test" in content else None
    except (OSError, RuntimeError, KeyError) as error:
        reason = reason_of(error)
        raise DataError(f"{file}: cannot be read ({reason}); download it again") from error
    return RawData(path, str(file), train, test)


def _chosen(path: Path) -> Path | None:
    """Return the file itself, or the only one in a folder."""
    try:
        if path.is_dir():
            files = sorted([*path.glob("*.h5"), *path.glob("*.hdf5")])
            return _chosen(files[0]) if len(files) == 1 else None
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return path if file.read(len(_MAGIC)) == _MAGIC else None
    except OSError:
        return None


def _part(file: Path, name: str, group: Any) -> Part:
    keys = list(group) if hasattr(group, "keys") else []
    images = next((key for key in _IMAGES if key in keys), None)
    labels = next((key for key in _LABELS if key in keys), None)
    if images is None or labels is None:
        raise DataError(
            f"{file}: {name} holds {', '.join(keys[:6]) or 'no arrays'}; data and target are needed"
        )
    declared = (Header(group[key].shape, group[key].dtype) for key in (images, labels))
    size = sum(header.pixels for header in declared)
    if size > MAX_BYTES:
        raise DataError(f"{file}: {name} holds {size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        return part_of(
            group[images][()], group[labels][()], (f"{name}/{images}", f"{name}/{labels}")
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: {error}") from error
