"""Find, read and check data sets of four IDX files, named as MNIST's are."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistcore.data.idx import IdxError, read_idx
from mnistcore.data.published import names_beside
from mnistcore.data.raw import MAX_IMAGES, DataNotFoundError, Part, RawData
from mnistcore.system.errors import by

FILE_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_IMAGES = (3, np.uint8, "images (N x height x width) of unsigned bytes")
_LABELS = (1, np.uint8, "labels (N) of unsigned bytes")
_LABEL_ROWS = (2, np.int32, "rows of labels (N x columns) of int32")
_INSIDE = ("", "MNIST/raw", "raw")  # torchvision keeps them in NAME/raw below its root


class Arrays(NamedTuple):
    """The four arrays of a data set, in the order of `FILE_NAMES`.

    Images are uint8 of shape (N, H, W), labels integer class ids of shape (N,).
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def recognises(path: Path) -> bool:
    """Whether a folder holds files of the format, some of which may be missing."""
    return holds_any(path, FILE_NAMES, _INSIDE)


def read(path: Path) -> RawData:
    """Read a data set of the format; raises as :func:`find_files` and :func:`read_files`."""
    files = find_files(path)
    arrays = read_files(files)
    return raw_data(arrays, files[0].parent, str(files[0].parent))


def raw_data(arrays: Arrays, folder: Path, source: str) -> RawData:
    """Return what was read from the four files of a folder."""
    train = Part(arrays.train_images, arrays.train_labels)
    test = Part(arrays.test_images, arrays.test_labels)
    names = names_beside(folder, arrays.train_images.shape)
    return RawData(folder, source, train, test, names)


def holds_any(folder: Path, names: Iterable[str], inside: Iterable[str]) -> bool:
    """Whether a folder holds one of the named files, in a place where they are looked for."""
    try:
        return any(found_in(folder / place, names) for place in inside)
    except OSError:
        return False


def find_files(
    folder: Path, names: Sequence[str] = FILE_NAMES, inside: Sequence[str] = _INSIDE
) -> list[Path]:
    """Return the files of a data set in a folder, in the order of `names`.

    Each may be raw or ``.gz``, and named ``train-images-idx3-ubyte`` or
    ``train-images.idx3-ubyte``, in the folder itself or in one that torchvision makes inside it.
    As some programs unpack, it may also be the content of a folder of its name.

    Raises
    ------
    DataNotFoundError
        The folder does not exist or cannot be read, or a file is missing.
    """
    try:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "no such folder"
            raise DataNotFoundError(f"{folder}: {what}; name a folder with the four IDX files")
        candidates = [found_in(folder / place, names) for place in inside]
    except DataNotFoundError:
        raise
    except OSError as error:  # permissions, a name that is too long
        reason = error.strerror or error
        raise DataNotFoundError(f"{folder}: cannot be read ({reason}); check it") from error
    for found in candidates:
        if len(found) == len(names):
            return list(found.values())
    for place, found in zip(inside, candidates, strict=True):
        if found:
            missing = ", ".join(name for name in names if name not in found)
            raise DataNotFoundError(
                f"{folder / place}: lacks {missing} (raw or .gz); put it beside the others"
            )
    raise DataNotFoundError(
        f"{folder}: holds none of the four IDX files ({', '.join(names)}, each raw or .gz); put"
        " them there"
    )


def read_files(files: Sequence[Path]) -> Arrays:
    """Read and check four files, given in the order of `FILE_NAMES`.

    Labels of two dimensions, one row per image, are QMNIST's; the first of a row is the class.

    Returns
    -------
    Arrays
        Labels are of the type that the files hold.

    Raises
    ------
    IdxError
        A file is malformed, or the files do not match; the message names the file.
    """
    train_images, train_labels, test_images, test_labels = map(read_idx, files)
    train_labels = _checked_labels(train_images, train_labels, files[0], files[1])
    test_labels = _checked_labels(test_images, test_labels, files[2], files[3])
    train_size, test_size = train_images.shape[1:], test_images.shape[1:]
    if train_size != test_size:
        raise IdxError(
            f"{files[2]}: images are {by(test_size)} pixels, those in {files[0].name} are "
            f"{by(train_size)}; training and test images must have the same size"
        )
    return Arrays(train_images, train_labels, test_images, test_labels)


def found_in(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the files that a folder holds, by their usual name; raw ones are preferred to .gz.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    if not folder.is_dir():
        return {}
    there = {path.name: path for path in folder.iterdir()}
    found = {}
    for name in names:
        candidates = [there[spelling] for spelling in _spellings(name) if spelling in there]
        files = [file for path in candidates for file in _files_at(path, name)]
        if candidates:  # a folder of that name, with no such file in it, is told of when read
            found[name] = (files or candidates)[0]
    return found


def _spellings(name: str) -> Iterator[str]:
    for end in ("", ".gz"):
        yield f"{name}{end}"
        yield f"{name.replace('-idx', '.idx')}{end}"


def _files_at(path: Path, name: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [path / spelling for spelling in _spellings(name) if (path / spelling).is_file()]


def _checked_labels(
    images: np.ndarray, labels: np.ndarray, images_file: Path, labels_file: Path
) -> np.ndarray:
    """Return the labels (N,) of images (N, H, W), and check that both fit."""
    in_columns = "idx2-int" in labels_file.name
    labels_are = _LABEL_ROWS if in_columns else _LABELS
    for array, file, (n_dimensions, dtype, what) in (
        (images, images_file, _IMAGES),
        (labels, labels_file, labels_are),
    ):
        if array.ndim != n_dimensions or array.dtype != dtype:
            raise IdxError(
                f"{file}: holds an array of {array.ndim} dimensions of {array.dtype}, where "
                f"{what} belong; check that the file has the right name"
            )
    if images.size == 0:
        raise IdxError(f"{images_file}: holds no pixels ({by(images.shape)}); check the file")
    if len(images) > MAX_IMAGES:
        raise IdxError(
            f"{images_file}: holds {len(images):,} images; at most {MAX_IMAGES:,} are read"
        )
    if len(images) != len(labels):
        raise IdxError(
            f"{labels_file}: holds {len(labels)} labels, {images_file.name} beside it "
            f"{len(images)} images; check that the files belong together"
        )
    if in_columns and not labels.size:
        raise IdxError(f"{labels_file}: holds no labels ({by(labels.shape)}); check the file")
    return np.ascontiguousarray(labels[:, 0]) if in_columns else labels
