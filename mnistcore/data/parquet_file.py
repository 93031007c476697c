"""Pictures in Parquet as hubs hand them out: a column of encoded pictures, one of labels.

Hugging Face's layout: ``image`` is a struct of ``bytes`` and ``path``, ``label`` an integer whose
names stand in the schema's metadata, and the files are ``train-00000-of-00001.parquet`` and so on.
"""

import io
import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.picture import check_ink, grey, opened
from mnistcore.data.raw import LONGEST_NAME, DataError, Part, RawData
from mnistcore.data.validation import with_validation
from mnistcore.system import copying
from mnistcore.system.errors import by, few
from mnistcore.system.extras import require
from mnistcore.system.parquet_content import IMAGES, LABELS

_PARTS = {"train": ("train",), "validation": ("val", "dev"), "test": ("test",)}
_SHARD = re.compile(r"(.*-)(\d{2,9})-of-(\d{2,9})\b")
_MOST_SHARDS = 10_000
_OF_A_ROW = 1000  # bytes that a picture counts at least, as one of 28 x 28 pixels takes


def recognises(path: Path) -> bool:
    """Whether `path` is a Parquet file, or a folder that holds some."""
    if os.path.isdir(path):
        return bool(_parts(path))
    return path.suffix.lower() in (".parquet", ".pq") and os.path.isfile(path)


def read(path: Path) -> RawData:
    """Read pictures as grey, and their labels.

    A folder's files are told apart by how their names, or those of the folders that they lie in,
    begin: ``train``, ``test``, ``validation``; the last are added to the training images. A file
    has the others of its part and its test set beside it.

    Raises
    ------
    DataError
        If a file is damaged, too large, or has no such columns.
    MissingExtraError
        If the reader is not installed.
    """
    require("arro3.io", "parquet")
    folder = path if path.is_dir() else path.parent
    parts = _parts(folder)
    if path != folder and path not in parts.get("train", ()):
        parts = {"train": [path]}  # a single file, or one that is no training set
    elif path != folder:
        parts["train"] = [file for file in parts["train"] if _table_of(file) == _table_of(path)]
    if "train" not in parts:
        raise DataError(
            f"{path}: holds no file whose name begins with train; name one of its files"
        )
    notices: list[str] = []
    names: dict[int, str] = {}
    for files in parts.values():
        if len(set(map(_table_of, files))) > 1:
            some = ", ".join(file.name for file in files[:5])
            raise DataError(f"{folder}: holds several tables ({some}); keep or name one of them")
    notices += filter(None, map(_incomplete, parts.values()))
    read = {part: _read(files, names) for part, files in parts.items()}
    train = read["train"]
    check_ink(train.images, str(path))
    if "validation" in read:
        train, notice = with_validation(train, read["validation"], str(parts["validation"][0]))
        notices.insert(0, notice)
    return RawData(path, str(path), train, read.get("test"), names, tuple(notices))


def _parts(folder: Path, levels: int = 1) -> dict[str, list[Path]]:
    """Return the files of each part, from the folder or the only one in it that has some."""
    try:
        files = sorted([*folder.glob("*.parquet"), *folder.glob("*/*.parquet")])
        folders = [entry for entry in folder.iterdir() if entry.is_dir()]
    except OSError:
        return {}
    files = [file for file in files if file.is_file()]
    found: dict[str, list[Path]] = {}
    for part, words in _PARTS.items():
        own = [f for f in files if f.parent == folder and f.name.lower().startswith(words)]
        below = [f for f in files if f.parent.name.lower().startswith(words)]
        if own or below:
            found[part] = own or below
    own = [f for f in files if f.parent == folder]
    if not found and own:
        return {"train": own} if len(own) == 1 else {}
    inner = [parts for f in folders if levels and (parts := _parts(f, levels - 1))]
    return found or (inner[0] if len(inner) == 1 else {})


def _table_of(file: Path) -> str:
    """Return what the names of the parts of one table have in common."""
    if found := _SHARD.match(file.name):
        return f"{found[1]}#-of-{found[3]}"
    return re.sub(r"\d+", "#", file.name)


def _incomplete(files: Sequence[Path]) -> str:
    """Return a notice if shards, counted as in ``train-00001-of-00003``, are not there, or ""."""
    there: dict[tuple[str, str], set[int]] = {}
    for file in files:
        if found := _SHARD.match(file.name):
            start, number, of = found.groups()
            there.setdefault((start, of), set()).add(int(number))
    missing = [
        f"{start}{number:0{len(of)}}-of-{of}"
        for (start, of), numbers in there.items()
        for number in range(min(int(of), _MOST_SHARDS))
        if number not in numbers
    ]
    if not missing:
        return ""
    if len(missing) == 1:
        return f"{missing[0]} is not beside {files[0].name}: its pictures are missing."
    return (
        f"{len(missing):,} files such as {missing[0]} are not beside {files[0].name}: their"
        " pictures are missing."
    )


def _read(files: Sequence[Path], names: dict[int, str]) -> Part:
    """Read the pictures and labels of some files; fill in the names of the labels."""
    images: list[np.ndarray] = []
    labels: list[Any] = []
    n_pixels = 0
    first = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata; sizes are checked
        for place, content, label in _rows(files, names):
            if content is None or not isinstance(label, int | str):
                what = "picture" if content is None else "label"
                raise DataError(f"{place} has no {what} that can be read; remove the row")
            with opened(io.BytesIO(content), place) as picture:
                image = grey(place, picture)
            n_pixels += max(image.size, _OF_A_ROW)
            if n_pixels > MAX_BYTES:
                raise DataError(f"{place}: more than {MAX_BYTES:,} pixels are not read")
            images.append(image.copy())
            first = first or place
            if images[-1].shape != images[0].shape:
                raise DataError(
                    f"{place} has {by(images[-1].shape)} pixels, {first} has"
                    f" {by(images[0].shape)}; all pictures must be of one size, so resize them"
                )
            if isinstance(label, str) and len(label) > LONGEST_NAME:
                raise DataError(
                    f"{place} has a label of {len(label):,} characters, more than the"
                    f" {LONGEST_NAME} of a name; check that row"
                )
            labels.append(label)
    if not images:
        raise DataError(f"{files[0]}: holds no rows; check the file")
    kinds = {isinstance(label, str) for label in labels}
    array = np.array(labels, np.int64 if kinds == {False} else np.str_)
    return Part(np.stack(images), array)


def _rows(files: Sequence[Path], names: dict[int, str]) -> Iterator[tuple[str, bytes | None, Any]]:
    """Yield where each row is, the bytes of its picture and its label."""
    for file in files:
        _check(file)
        with tempfile.TemporaryFile() as copied:
            try:
                copying.run("parquet_content", "Parquet", file, [MAX_BYTES], copied)
            except ValueError as error:
                raise DataError(f"{file}: {error}; download it again") from error
            end = copied.seek(0, os.SEEK_END)
            copied.seek(0)
            index = _json(copied)
            for known in (IMAGES, LABELS):
                _check_column(file, index["columns"], known)
            theirs = dict(enumerate(index["names"]))
            if names and theirs and theirs != names:
                raise DataError(
                    f"{file}: names its classes {few(index['names'])}, unlike the files before,"
                    f" {few(list(names.values()))}; they do not belong together"
                )
            names |= theirs
            row = 0
            while copied.tell() < end:
                for content, label in _batch(copied):
                    yield f"{file}, row {row}", content, label
                    row += 1


def _batch(copied: BinaryIO) -> Iterator[tuple[bytes | None, Any]]:
    """Yield the pictures and labels of the next batch."""
    lengths, content, labels = copying.read(copied), copying.read(copied), _json(copied)
    place = 0
    for length, label in zip(lengths.tolist(), labels, strict=True):
        yield None if length < 0 else content[place : place + length].tobytes(), label
        place += max(length, 0)


def _json(copied: BinaryIO) -> Any:
    return json.loads(copying.read(copied).tobytes())


def _check(file: Path) -> None:
    """Check the size of a file and the marks at its ends."""
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{file}: is larger than the {MAX_BYTES:,} bytes that are read")
    with file.open("rb") as stream:
        start = stream.read(4)
        stream.seek(max(size - 8, 0))
        end = stream.read(8)
    footer = int.from_bytes(end[:4], "little")
    if size < 12 or not start == end[4:] == b"PAR1" or footer + 12 > size:
        raise DataError(f"{file}: is no Parquet file, or a part of one; download it again")


def _check_column(file: Path, columns: Sequence[str], known: Sequence[str]) -> None:
    if not any(name in columns for name in known):
        raise DataError(
            f"{file}: has the columns {', '.join(columns[:6])}; one named {' or '.join(known)} is"
            " needed"
        )
