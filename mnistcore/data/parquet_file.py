"""Pictures in Parquet as hubs hand them out: a column of encoded pictures, one of labels.

Hugging Face's layout: ``image`` is a struct of ``bytes`` and ``path``, ``label`` an integer whose
names stand in the schema's metadata, and the files are ``train-00000-of-00001.parquet`` and so on.
"""

import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.picture import grey, opened, size_of
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.system.errors import by, reason_of
from mnistcore.system.extras import require
from mnistcore.system.silence import no_stderr
from mnistcore.system.text import parsed

_IMAGES, _LABELS = ("image", "img"), ("label", "labels", "class", "target", "fine_label")
_PARTS = {"train": ("train",), "validation": ("valid",), "test": ("test",)}
_BATCH = 256  # rows that are unpacked at a time


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
    if "train" not in parts:
        raise DataError(
            f"{path}: holds no file whose name begins with train; name one of its files"
        )
    notices: list[str] = []
    names: dict[int, str] = {}
    if validation := parts.pop("validation", []):
        parts["train"] += validation
        notices.append(
            f"{validation[0].name} is among the training images; a run takes its own validation"
            " images from them."
        )
    read = {part: _read(files, names) for part, files in parts.items()}
    return RawData(path, str(path), read["train"], read.get("test"), names, tuple(notices))


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
                size = size_of(place, picture)
                n_pixels += size[0] * size[1]
                if n_pixels > MAX_BYTES:
                    raise DataError(f"{place}: more than {MAX_BYTES:,} pixels are not read")
                images.append(grey(place, picture).copy())
            first = first or place
            if images[-1].shape != images[0].shape:
                raise DataError(
                    f"{place} has {by(images[-1].shape)} pixels, {first} has"
                    f" {by(images[0].shape)}; all pictures must be of one size, so resize them"
                )
            labels.append(label)
    if not images:
        raise DataError(f"{files[0]}: holds no rows; check the file")
    kinds = {isinstance(label, str) for label in labels}
    array = np.array(labels, np.int64 if kinds == {False} else np.str_)
    return Part(np.stack(images), array)


def _rows(files: Sequence[Path], names: dict[int, str]) -> Iterator[tuple[str, bytes | None, Any]]:
    """Yield where each row is, the bytes of its picture and its label."""
    from arro3.io import read_parquet

    for file in files:
        row = 0
        try:
            _check(file)
            with no_stderr():
                reader = read_parquet(str(file), batch_size=_BATCH)
            image, label = (_column(file, reader.schema.names, k) for k in (_IMAGES, _LABELS))
            names |= _class_names(reader.schema.metadata_str, label)
            batches = iter(reader)
            while (batch := _next(batches)) is not None:
                pictures = batch.column(image).to_pylist()
                for picture, own in zip(pictures, batch.column(label).to_pylist(), strict=True):
                    content = picture.get("bytes") if isinstance(picture, Mapping) else picture
                    yield f"{file}, row {row}", content if isinstance(content, bytes) else None, own
                    row += 1
        except (DataError, MemoryError):
            raise
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error}); check the file") from error
        except (
            BaseException
        ) as error:  # the reader has classes of its own, one of them no Exception
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            reason = reason_of(error)
            raise DataError(
                f"{file}: is a damaged Parquet file ({reason}); download it again"
            ) from error


def _next(batches: Iterator[Any]) -> Any:
    """Return the next batch of rows, None at the end; a panic writes to standard error."""
    with no_stderr():
        return next(batches, None)


def _check(file: Path) -> None:
    """Check the size of a file and the marks at its ends; without them the reader panics."""
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


def _column(file: Path, columns: Sequence[str], known: Sequence[str]) -> str:
    found = next((name for name in known if name in columns), None)
    if found is None:
        raise DataError(
            f"{file}: has the columns {', '.join(columns[:6])}; one named {' or '.join(known)} is"
            " needed"
        )
    return found


def _class_names(metadata: Mapping[str, str], label: str) -> dict[int, str]:
    """Return the names of the labels that Hugging Face's metadata gives, if any."""
    try:
        names = parsed(metadata["huggingface"])["info"]["features"][label]["names"]
        return {number: str(name) for number, name in enumerate(names)}
    except (KeyError, TypeError, ValueError):
        return {}
