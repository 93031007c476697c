"""The formats of data sets, tried in order, and what to say where none fits."""

from pathlib import Path
from types import ModuleType

from mnistcore.data import (
    csv_file,
    folder,
    h5_file,
    libsvm_file,
    named_sets,
    npz_file,
    parquet_file,
    picture_folder,
)
from mnistcore.data.magic import beginning_of, described
from mnistcore.data.raw import DataNotFoundError, RawData

# Each format with what it looks for, in a few words.
FORMATS: tuple[tuple[ModuleType, str], ...] = (
    (folder, "the four IDX files of MNIST and its likes"),
    (named_sets, "those of EMNIST or QMNIST"),
    (npz_file, ".npz"),
    (parquet_file, "Parquet"),
    (h5_file, "HDF5 of USPS"),
    (libsvm_file, "LIBSVM's text"),
    (csv_file, "CSV and other tables in text"),
    (picture_folder, "a folder of pictures for each class"),
)
_MOST_LISTED = 6
_MOST_EXAMINED = 100  # entries of a folder


def read_data(path: Path) -> RawData:
    """Read a data set from a file or a folder of any known format.

    Raises
    ------
    DataNotFoundError
        Nothing is there, or nothing that a format recognises; the message says what was looked
        for and what is there.
    DataError
        A format recognises the data but cannot read it.
    """
    for module, _ in FORMATS:
        if module.recognises(path):
            raw: RawData = module.read(path)
            return raw
    raise DataNotFoundError(_unrecognised(path))


def is_data(path: Path) -> bool:
    """Whether something exists at a path, or a format reads what the path names."""
    try:
        there = path.exists()
    except OSError:  # a name that is too long
        return False
    return there or is_recognised(path)


def is_recognised(path: Path) -> bool:
    """Whether a format recognises what lies at a path."""
    return any(module.recognises(path) for module, _ in FORMATS)


def _unrecognised(path: Path) -> str:
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.exists():
            return _of_file(path)
    except OSError as error:  # permissions, a name that is too long
        return f"{path}: cannot be read ({error.strerror or error}); check it"
    return f"{path}: no such file or folder; check the name"


def _of_file(path: Path) -> str:
    if not path.is_file():
        return f"{path}: is neither a file nor a folder; name one"
    head = beginning_of(path)
    if found := described(head):
        words, advice = found
        return f"{path}: is {words}; {advice}"
    if head.startswith(b"\0\0"):
        return f"{path}: is one of the IDX files of a data set; name its folder, {path.parent}"
    return f"{path}: is no known format of data; looked for {known_formats()}"


def _of_folder(path: Path) -> str:
    entries = sorted(path.iterdir())
    examined = entries[:_MOST_EXAMINED]
    below = [str(entry) for entry in examined if entry.is_dir() and is_recognised(entry)]
    if below:
        return f"{path}: holds folders of data; name one, such as {', '.join(below[:_MOST_LISTED])}"
    for entry in examined:
        if entry.is_file() and (found := described(_beginning(entry))):
            words, advice = found
            return f"{path}: holds no known format of data; {entry.name} is {words}: {advice}"
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in examined]
    more = f" and {len(entries) - _MOST_LISTED} more" if len(entries) > _MOST_LISTED else ""
    there = ", ".join(names[:_MOST_LISTED]) + more if names else "nothing"
    return f"{path}: holds no known format of data, but {there}; looked for {known_formats()}"


def _beginning(path: Path) -> bytes:
    try:
        return beginning_of(path)
    except OSError:
        return b""


def known_formats() -> str:
    """Return in words what :func:`read_data` reads."""
    return "; ".join(words for _, words in FORMATS)
