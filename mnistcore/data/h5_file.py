"""USPS as an HDF5 file: the groups ``train`` and ``test``, each with ``data`` and ``target``.

A group ``val`` is added to the training images.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from mnistcore.data.arrays import part_of
from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.data.validation import WORDS, with_validation
from mnistcore.system import hdf5
from mnistcore.system.npz import Header

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
    try:
        content = hdf5.read(file, MAX_BYTES)
    except ValueError as error:
        raise DataError(f"{file}: {error}; check the file, or download it again") from error
    paths = [*content.arrays, *content.others, *content.attributes]
    groups = dict.fromkeys(path.partition("/")[0] for path in paths if path)
    if "train" not in groups:
        raise DataError(
            f"{file}: holds {_few(groups)}; the groups train and test, each with data and target,"
            " can be read. Save other arrays with numpy.savez"
        )
    train, notices = _part(file, "train", content), []
    test = _part(file, "test", content) if "test" in groups else None
    for name in groups:
        if name in WORDS:
            train, notice = with_validation(train, _part(file, name, content), str(file))
            notices.append(notice)
        elif name not in ("train", "test"):
            notices.append(f"{name} in {file} is neither train nor test and was left aside.")
    return RawData(path, str(file), train, test, {}, tuple(notices))


def _few(names: Iterable[str]) -> str:
    return ", ".join(islice(names, 6)) or "nothing"


def _chosen(path: Path) -> Path | None:
    """Return the file itself, or the only one in a folder."""
    try:
        if path.is_dir():
            files = sorted([*path.glob("*.h5"), *path.glob("*.hdf5")])
            return _chosen(files[0]) if len(files) == 1 else None
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return path if file.read(len(hdf5.MAGIC)) == hdf5.MAGIC else None
    except OSError:
        return None


def _part(file: Path, name: str, content: hdf5.Content) -> Part:
    keys = [path.removeprefix(f"{name}/") for path in content.arrays if path.startswith(f"{name}/")]
    images = next((key for key in _IMAGES if key in keys), None)
    labels = next((key for key in _LABELS if key in keys), None)
    if images is None or labels is None:
        for place in (f"{name}/{key}" for key in (*_IMAGES, *_LABELS)):
            if place in content.others:
                raise DataError(f"{file}: {place} holds no numbers")
        raise DataError(f"{file}: {name} holds {_few(keys)}; data and target are needed")
    x, y = (content.arrays[f"{name}/{key}"] for key in (images, labels))
    size = sum(Header(array.shape, array.dtype).pixels for array in (x, y))
    if size > MAX_BYTES:
        raise DataError(f"{file}: {name} holds {size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        return part_of(x, y, (f"{name}/{images}", f"{name}/{labels}"))
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: {error}") from error
