"""Find, read and check a folder of four IDX files that are named as MNIST's."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistcore.data.idx import IdxError, read_idx
from mnistcore.data.raw import DataNotFoundError, Part, RawData
from mnistcore.system.errors import by

FILE_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
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
    return holds_files(path)


def read(path: Path) -> RawData:
    """Read a data set of the format; raises as :func:`find_files` and :func:`read_files`."""
    files = find_files(path)
    arrays = read_files(files)
    train = Part(arrays.train_images, arrays.train_labels)
    test = Part(arrays.test_images, arrays.test_labels)
    return RawData(files[0].parent, str(files[0].parent), train, test)


def holds_files(folder: Path) -> bool:
    """Whether a folder holds one of the four files, in a place where they are looked for."""
    try:
        return any(_find_each(folder / inside) for inside in _INSIDE)
    except OSError:
        return False


def find_files(folder: Path) -> list[Path]:
    """Return the four files of a folder, in the order of `FILE_NAMES`.

    Each may be raw or ``.gz``, and named ``train-images-idx3-ubyte`` or
    ``train-images.idx3-ubyte``, in the folder itself or in its ``MNIST/raw``.

    Raises
    ------
    DataNotFoundError
        The folder does not exist or cannot be read, or a file is missing.
    """
    try:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "no such folder"
            raise DataNotFoundError(f"{folder}: {what}; name a folder with the four IDX files")
        candidates = [_find_each(folder / inside) for inside in _INSIDE]
    except DataNotFoundError:
        raise
    except OSError as error:  # permissions, a name that is too long
        reason = error.strerror or error
        raise DataNotFoundError(f"{folder}: cannot be read ({reason}); check it") from error
    for inside, found in zip(_INSIDE, candidates, strict=True):
        if len(found) == len(FILE_NAMES):
            return list(found.values())
        if found:
            missing = ", ".join(name for name in FILE_NAMES if name not in found)
            raise DataNotFoundError(
                f"{folder / inside}: lacks {missing} (raw or .gz); put it beside the others"
            )
    raise DataNotFoundError(
        f"{folder}: holds none of the four IDX files ({', '.join(FILE_NAMES)}, "
        "each raw or .gz); put them there"
    )


def read_files(files: Sequence[Path]) -> Arrays:
    """Read and check four files, given in the order of `FILE_NAMES`.

    Returns
    -------
    Arrays
        Labels are uint8, as in the files.

    Raises
    ------
    IdxError
        A file is malformed, or the files do not match; the message names the file.
    """
    arrays = Arrays(*map(read_idx, files))
    _check_split(arrays.train_images, arrays.train_labels, files[0], files[1])
    _check_split(arrays.test_images, arrays.test_labels, files[2], files[3])
    train_size, test_size = arrays.train_images.shape[1:], arrays.test_images.shape[1:]
    if train_size != test_size:
        raise IdxError(
            f"{files[2]}: images are {by(test_size)} pixels, those in {files[0].name} are "
            f"{by(train_size)}; training and test images must have the same size"
        )
    return arrays


def _find_each(folder: Path) -> dict[str, Path]:
    """Return the files that exist, by their usual name; raw files are preferred to .gz."""
    found = {}
    for name in FILE_NAMES:
        stems = (name, name.replace("-idx", ".idx"))
        candidates = [folder / f"{stem}{end}" for end in ("", ".gz") for stem in stems]
        there = [path for path in candidates if path.exists()]
        if there:  # a folder of that name counts only if there is no file
            found[name] = next((path for path in there if path.is_file()), there[0])
    return found


def _check_split(
    images: np.ndarray, labels: np.ndarray, images_file: Path, labels_file: Path
) -> None:
    for array, file, n_dimensions, what in (
        (images, images_file, 3, "images (N x height x width)"),
        (labels, labels_file, 1, "labels (N)"),
    ):
        if array.ndim != n_dimensions or array.dtype != np.uint8:
            raise IdxError(
                f"{file}: holds an array of {array.ndim} dimensions of {array.dtype}, where "
                f"{what} of unsigned bytes belong; check that the file has the right name"
            )
    if images.size == 0:
        raise IdxError(f"{images_file}: holds no pixels ({by(images.shape)}); check the file")
    if len(images) != len(labels):
        raise IdxError(
            f"{labels_file}: holds {len(labels)} labels, {images_file.name} beside it "
            f"{len(images)} images; check that the files belong together"
        )
