"""The formats of data sets, tried in order, and what to say where none fits."""

from pathlib import Path
from types import ModuleType

from mnistcore.data import folder
from mnistcore.data.raw import DataNotFoundError, RawData

# Each format with what it looks for, in a few words.
FORMATS: tuple[tuple[ModuleType, str], ...] = (
    (folder, "the four IDX files of MNIST and its likes, raw or .gz"),
)
_MOST_LISTED = 6


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
    return there or any(module.recognises(path) for module, _ in FORMATS)


def _unrecognised(path: Path) -> str:
    try:
        if not path.exists():
            return f"{path}: no such file or folder; check the name"
        if not path.is_dir():
            return f"{path}: is no known format of data; {_known()}"
        names = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name for entry in path.iterdir()
        )
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror or error}); check it"
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    there = ", ".join(names[:_MOST_LISTED]) + more if names else "nothing"
    return f"{path}: holds no known format of data, but {there}; {_known()}"


def _known() -> str:
    return "looked for " + "; ".join(words for _, words in FORMATS)
