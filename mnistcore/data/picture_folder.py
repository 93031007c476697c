"""Pictures in a folder for each class: ``training/0/*.png``, or ``0/``, ``1/``, ... alone."""

import math
import os
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.picture import check_ink, grey, opened
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.data.validation import WORDS, with_validation
from mnistcore.system.errors import by, error_words
from mnistcore.system.text import counted

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_PARTS = {
    "train": ("train", "training", "trainingset", "train_images"),
    "validation": WORDS,
    "test": ("test", "testing", "testset", "testingset", "test_images"),
}
_BESIDE = (*_PARTS["validation"], *_PARTS["test"])
_SKIPPED = ("thumbs.db", "desktop.ini", "__macosx")
_LOOKED_AT = 1000  # files of a folder that decide what it is


def recognises(path: Path) -> bool:
    """Whether a folder has pictures, or folders with pictures, or parts that have some."""
    try:
        return os.path.isdir(path) and (bool(_parts(path)) or _has_pictures(path))
    except OSError:
        return False


def read(path: Path) -> RawData:
    """Read all pictures as grey; the name of the folder that a picture lies in is its class.

    The pictures must be of one size. Transparent parts become white. Of a moving picture the
    first frame is read. Hidden files are skipped. A part for validation is added to the training
    images, as every run takes its own validation images from these.

    Raises
    ------
    DataError
        If pictures differ in size, one is damaged or all together are too large, or a folder
        cannot be read.
    """
    parts = _parts(path)
    if not parts:
        raise DataError(
            f"{path}: holds pictures, but not in a folder for each class; name a folder that has"
            " such folders"
        )
    notices: list[str] = []
    try:
        _check_parts(path, parts)
        files = {part: list(_files(folder)) for part, folder in parts.items()}
        notices += _left_out(path, parts)
    except OSError as error:
        raise DataError(f"{error_words(error)}; check the folder") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata; sizes are checked
        wanted = (files.get(part, []) for part in ("train", "validation", "test"))
        train, validation, test = _read_all(path, *wanted)
    if len(validation.labels):
        train, notice = with_validation(train, validation, str(parts["validation"]))
        notices.append(notice)
    return RawData(path, str(path), train, test if len(test.labels) else None, {}, tuple(notices))


def _parts(path: Path, levels: int = 2) -> dict[str, Path]:
    """Return the folders of the parts, by name; a folder with classes alone is all training.

    A folder that holds just another folder, as unpacking leaves it, stands for that one.
    """
    try:
        folders = _folders(path)
        named = {folder.name.lower(): folder for folder in folders}
        parts = {
            part: found
            for part, names in _PARTS.items()
            for name in names
            if name in named and (found := _with_classes(named[name]))
        }
        if "train" in parts:
            return parts
        if any(map(_has_pictures, _class_folders(path))):
            return {**parts, "train": path}
    except OSError:
        return {}
    return _parts(folders[0], levels - 1) if levels and len(folders) == 1 else {}


def _check_parts(path: Path, parts: dict[str, Path]) -> None:
    """Check that no part is there under two names."""
    for part, folder in parts.items():
        beside = _folders(folder.parent) if folder.name.lower() in _PARTS[part] else []
        twice = [f for f in beside if f.name.lower() in _PARTS[part] and _with_classes(f)]
        if len(twice) > 1:
            names = " and ".join(f.name for f in twice)
            raise DataError(f"{path}: holds {names}, of which one is needed; move the others away")


def _class_folders(path: Path) -> list[Path]:
    """Return the folders of a part that are its classes; beside them may be other parts."""
    return [folder for folder in _folders(path) if folder.name.lower() not in _BESIDE]


def _with_classes(path: Path) -> Path | None:
    """Return a folder whose folders hold pictures: this one, or the only one in it."""
    folders = _folders(path)
    if not any(map(_has_pictures, folders)) and len(folders) == 1:
        path, folders = folders[0], _folders(folders[0])
    return path if any(map(_has_pictures, folders)) else None


def _folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(
            path / entry.name for entry in entries if entry.is_dir() and not _is_hidden(entry.name)
        )


def _has_pictures(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(_is_picture(entry.name) for entry in islice(entries, _LOOKED_AT))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SKIPPED


def _is_picture(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not _is_hidden(name)


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, or a link to one that is not there: reading it says so."""
    return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and the class of each picture, in the order of their names."""
    for class_folder in _class_folders(folder):
        with os.scandir(class_folder) as entries:
            names = sorted(e.name for e in entries if _is_picture(e.name) and _is_wanted(e))
        for name in names:
            yield os.path.join(class_folder, name), class_folder.name


def _left_out(path: Path, parts: dict[str, Path]) -> Iterator[str]:
    """Yield notices about what lies in the folders and was not read."""
    strange = []
    for part in parts.values():
        for folder in _class_folders(part):
            with os.scandir(folder) as entries:
                names = [e.name for e in entries if not _is_hidden(e.name)]
            strange += [folder / name for name in names if not _is_picture(name)]
    if strange:
        one, several = "entry that is no picture was", "entries that are no pictures were"
        what = counted(len(strange), one, several)
        yield f"{what} skipped, such as {strange[0]}."
    for beside in ("validation", "test"):
        for folder in _folders(path):
            if beside not in parts and folder.name.lower() in _PARTS[beside]:
                yield f"{folder} has no folder for each class and was left aside."


def _read_all(path: Path, *parts: list[tuple[str, str]]) -> list[Part]:
    """Read the pictures of each part; check the size of the result before it is allocated."""
    if not parts[0]:
        raise DataError(f"{path}: holds no pictures, only folders that are named like some")
    first, _ = parts[0][0]
    with opened(first, first) as picture:
        shape = grey(first, picture).shape
    n_pixels = sum(map(len, parts)) * math.prod(shape)
    if n_pixels > MAX_BYTES:
        raise DataError(
            f"{path}: its pictures have {n_pixels:,} pixels together; at most {MAX_BYTES:,} are"
            " read. Make them smaller"
        )
    read = [_read(files, first, shape) for files in parts]
    check_ink(read[0].images, str(path))
    return read


def _read(files: list[tuple[str, str]], first: str, shape: tuple[int, ...]) -> Part:
    images = np.empty((len(files), *shape), np.uint8)
    for row, (path, _) in enumerate(files):
        with opened(path, path) as picture:
            image = grey(path, picture)
        if image.shape != shape:
            raise DataError(
                f"{path}: has {by(image.shape[::-1])} pixels, {first} has {by(shape[::-1])}; all"
                " pictures must be of one size, so resize them"
            )
        images[row] = image
    return Part(images, np.array([name for _, name in files], np.str_))
