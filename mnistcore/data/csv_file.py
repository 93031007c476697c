"""Tables of pictures in text files: CSV as Kaggle and others publish MNIST, and those of UCI."""

import string
from pathlib import Path

from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.data.table import Table, looks_like_table, read_table
from mnistcore.data.text import is_training, partner_of, stem_of

_SUFFIXES = (".csv", ".tsv")
_LETTERS = dict(enumerate(string.ascii_uppercase))
# Labels that files of these names use without saying what they mean.
_CLASS_NAMES = {"a_z handwritten data": _LETTERS, "sign_mnist": _LETTERS}


def recognises(path: Path) -> bool:
    """Whether `path` is a table in text, or a folder that holds some."""
    if path.is_dir():
        return bool(_tables(path))
    return path.is_file() and (_is_csv(path) or looks_like_table(path))


def read(path: Path) -> RawData:
    """Read a table with labels, and the test set beside it if that has labels too.

    In a folder the table with "train" in its name is read, or the only one.

    Raises
    ------
    DataError
        If the table is malformed, has no labels, or a folder holds several to choose from.
    """
    file = _chosen(path) if path.is_dir() else path
    table = read_table(file)
    if table.labels is None:
        raise DataError(
            f"{file}: has no column of labels; name the table with labels, or try"
            f" mnistcore predict RUN {file}"
        )
    notices, test, beside = list(table.notices), None, partner_of(file)
    if beside is not None and (path.is_dir() or is_training(file.name)):
        other = read_table(beside)
        if other.labels is None:
            notices.append(
                f"{beside} has no labels and was left aside; mnistcore predict RUN {beside}"
                " predicts them."
            )
        else:
            test = _part(other)
            notices += other.notices
    source = str(file) if test is None else f"{file} and {beside.name if beside else ''}"
    return RawData(
        path, source, _part(table), test, _class_names(file), tuple(dict.fromkeys(notices))
    )


def _part(table: Table) -> Part:
    assert table.labels is not None
    return Part(table.images, table.labels)


def _class_names(file: Path) -> dict[int, str]:
    name = file.name.lower()
    return next((names for start, names in _CLASS_NAMES.items() if name.startswith(start)), {})


def _is_csv(path: Path) -> bool:
    return stem_of(path.name.lower()).endswith(_SUFFIXES)


def _tables(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    return [path for path in files if path.is_file() and looks_like_table(path)]


def _chosen(folder: Path) -> Path:
    """Return the table of a folder to train on."""
    tables = _tables(folder)
    training = [path for path in tables if is_training(path.name)] or tables
    stems = {stem_of(path.name) for path in training}
    if len(stems) > 1:
        names = ", ".join(path.name for path in training[:5])
        raise DataError(f"{folder}: holds several tables ({names}); name one of these files")
    return training[0]
