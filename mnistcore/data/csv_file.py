"""Tables of pictures in text files: CSV as Kaggle and others publish MNIST, and those of UCI."""

import os
import re
import string
from collections.abc import Mapping
from pathlib import Path

from mnistcore.data.named_sets import characters
from mnistcore.data.published import FASHION
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.data.table import Table, read_table, read_tables
from mnistcore.data.table_layout import looks_like_table
from mnistcore.data.text import files_in, is_training, partner_of, stem_of
from mnistcore.system.errors import few

_SUFFIXES = (".csv", ".tsv")
_LETTERS = dict(enumerate(string.ascii_uppercase))
# What the labels of files mean whose names begin so.
_CLASS_NAMES = {
    "a_z handwritten data": _LETTERS,
    "sign_mnist": _LETTERS,
    "fashion-mnist": dict(enumerate(FASHION)),
}
_EMNIST = re.compile(r"(emnist-[a-z]+)-(train|test)\b.*")


def recognises(path: Path) -> bool:
    """Whether `path` is a table in text, or a folder that holds some."""
    if os.path.isdir(path):
        return bool(_tables(path))
    return os.path.isfile(path) and (_is_csv(path) or looks_like_table(path))


def read(path: Path) -> RawData:
    """Read a table with labels, and the test set beside it if that has labels too.

    In a folder the table with "train" in its name is read, or the only one. The tables of EMNIST
    hold the images transposed, as its other files do; they are turned upright.

    Raises
    ------
    DataError
        If the table is malformed, has no labels, or a folder holds several to choose from.
    """
    tables = _tables(path) if path.is_dir() else []
    file = _chosen(path, tables) if path.is_dir() else path
    beside = partner_of(file) if path.is_dir() or is_training(file.name) else None
    table, other = read_tables(file, beside) if beside else (read_table(file), None)
    if table.labels is None:
        raise DataError(
            f"{file}: has no column of labels; name the table with labels, or try"
            f" mnistcore predict RUN {file}"
        )
    names, transposed = _class_names(file), is_transposed(file)
    train, test = _part(table, transposed), None
    notices = list(table.notices)
    source = str(file)
    if beside and other and other.labels is None:
        notices.append(
            f"{beside} has no labels and was left aside; mnistcore predict RUN {beside} predicts"
            " them."
        )
    elif beside and other:
        test = _part(other, transposed)
        notices += other.notices
        source += f" and {beside.name}"
    if transposed:
        source += ", turned upright"
    if others := [table.name for table in tables if table not in (file, beside)]:
        notices.append(f"Not read in {path}: {few(others)}.")
    notices = list(dict.fromkeys(notices))
    return RawData(path, source, train, test, names, tuple(notices), transposed)


def _part(table: Table, transposed: bool) -> Part:
    assert table.labels is not None
    images = table.images.transpose(0, 2, 1) if transposed else table.images
    return Part(images, table.labels)


def is_transposed(file: Path) -> bool:
    """Whether the images of a table are transposed, as its name says."""
    return _EMNIST.fullmatch(file.name.lower()) is not None


def _class_names(file: Path) -> Mapping[int, str]:
    """Return what the labels mean by the file's name."""
    name = file.name.lower()
    if found := _EMNIST.fullmatch(name):
        return characters(file.parent, found[1])
    return next((names for start, names in _CLASS_NAMES.items() if name.startswith(start)), {})


def _is_csv(path: Path) -> bool:
    return stem_of(path.name.lower()).endswith(_SUFFIXES)


def _tables(folder: Path) -> list[Path]:
    return [path for path in files_in(folder) if looks_like_table(path)]


def _chosen(folder: Path, tables: list[Path]) -> Path:
    """Return the table of a folder to train on, among those in it."""
    training = [path for path in tables if is_training(path.name)] or tables
    stems = {stem_of(path.name) for path in training}
    if len(stems) > 1:
        names = ", ".join(path.name for path in training[:5])
        raise DataError(f"{folder}: holds several tables ({names}); name one of these files")
    return training[0]
