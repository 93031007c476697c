"""Data sets of labelled images: MNIST, folders in its format, digits drawn by program."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mnistcore.data.cache import cache_folder
from mnistcore.data.folder import Arrays, DataNotFoundError
from mnistcore.data.idx import IdxError, read_idx, write_idx
from mnistcore.data.mnist import MNIST, Found, MnistFinder
from mnistcore.data.preprocess import fold_split, train_validation_split

__all__ = [
    "DataNotFoundError",
    "Dataset",
    "IdxError",
    "cache_folder",
    "load_data",
    "read_idx",
    "write_idx",
]

_DIGITS = tuple("0123456789")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels for training and testing. All arrays are read-only and C-contiguous.

    Attributes
    ----------
    name : str
        ``mnist``, ``synthetic`` or the name of the folder that other data came from; of sets
        that were joined, their names with ``+`` between.
    train_images, test_images : ndarray of uint8, shape (N, H, W)
        Raw pixels; maybe mapped from a file.
    train_labels, test_labels : ndarray of int32, shape (N,)
        Class ids, below ``len(class_names)``.
    class_names : tuple of str
    source : str
        Where the data came from, for people to read.
    notice : str or None
        What must be shown to the user when the built-in digits stand in for MNIST.
    n_first : int or None
        How many training images are the first set's, where sets were joined: those behind are
        for training only, never for validation. None stands for all.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    source: str
    notice: str | None = None
    n_first: int | None = None

    def split(self, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The training images to train on and those to validate with: indices, int64, sorted.

        As :func:`.preprocess.train_validation_split` of the first set.
        """
        train, validation = train_validation_split(
            self.train_labels[: self.n_first], fraction, seed
        )
        return self._with_others(train), validation

    def folds(self, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs as `split` returns, one a fold: :func:`.preprocess.fold_split` of the first set."""
        pairs = fold_split(self.train_labels[: self.n_first], folds, seed)
        return [(self._with_others(train), validation) for train, validation in pairs]

    def _with_others(self, indices: np.ndarray) -> np.ndarray:
        n_all = len(self.train_labels)
        return np.append(indices, np.arange(n_all if self.n_first is None else self.n_first, n_all))


def load_data(
    data: str | Path = "auto",
    data_dir: str | Path | None = None,
    progress: bool = False,
    *,
    mirrors: Sequence[str] = MNIST.mirrors,
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    data : str or Path
        ``mnist`` looks in `data_dir`, else in ``$MNISTCORE_DATA_DIR``, else in ``./data``, the
        cache and on the mirrors. ``auto`` looks in the same places, takes other data in a
        folder for what it is, and falls back on the built-in digits, with a `notice`, where no
        folder is named. ``synthetic`` is the built-in digits. All else is a folder of four IDX
        files with the names that MNIST's have. Several of these (but not ``auto``) with ``+``
        between, such as ``mnist+synthetic``, are joined: all their training images are trained
        on, the test images and those for validation are the first one's.
    data_dir : str or Path, optional
        The folder to take MNIST from.
    progress : bool
        Show the progress of a download on standard error.
    mirrors : sequence of str
        Addresses of folders to download MNIST from, tried in turn.

    Returns
    -------
    Dataset

    Raises
    ------
    DataNotFoundError
        A folder that was named does not exist or lacks a file, or MNIST is asked for and was
        found nowhere. Is a FileNotFoundError and a ValueError.
    IdxError
        A file is malformed, the files do not fit together, or they are not MNIST although it is
        asked for. Is a ValueError.
    ValueError
        `data_dir` is given beside `data` that does not use it, or sets do not fit together.
    """
    if not isinstance(data, str | Path):
        raise TypeError(f"data is {data!r}; it must be auto, mnist, synthetic or a folder")
    parts = _parts(data)
    if len(parts) > 1:
        if data_dir is not None and "mnist" not in parts:
            raise ValueError(f"data_dir is for data auto or mnist; leave it out with data {data}")
        return _joined(
            [
                load_data(part, data_dir if part == "mnist" else None, progress, mirrors=mirrors)
                for part in parts
            ]
        )
    if data_dir is not None and data not in ("auto", "mnist"):
        raise ValueError(f"data_dir is for data auto or mnist; leave it out with data {data}")
    if data == "synthetic":
        return _built_in_digits()
    finder = MnistFinder(cache_folder())
    if data not in ("auto", "mnist"):
        return _dataset(_other_folder(finder, Path(data).expanduser()))
    found = _named_folder(finder, data_dir)
    if data == "mnist":
        found = found or finder.anywhere(mirrors, insist=True, progress=progress)
        return _dataset(_only_mnist(found))
    try:
        found = found or finder.anywhere(mirrors, insist=False, progress=progress)
    except DataNotFoundError as error:
        return _built_in_digits(notice=_stand_in_notice(error))
    return _dataset(found)


def _parts(data: str | Path) -> list[str]:
    """The names and folders with "+" between them, in order; a folder may have a "+" itself."""
    parts = str(data).split("+")
    if len(parts) == 1 or Path(data).expanduser().is_dir():
        return [str(data)]
    if "" in parts or "auto" in parts or len(set(parts)) < len(parts):
        raise ValueError(
            f"data is {data}; sets are joined as in mnist+synthetic: each by its name or folder,"
            " once, and none by auto"
        )
    return parts


def _joined(datasets: Sequence[Dataset]) -> Dataset:
    """One set, to train on the images of all, and to validate and test on the first one's."""
    first = datasets[0]
    for other in datasets[1:]:
        theirs, ours = (
            f"{' x '.join(map(str, d.train_images.shape[1:]))} pixels and"
            f" {len(d.class_names)} classes"
            for d in (other, first)
        )
        if theirs != ours:
            raise ValueError(
                f"{other.name} has images of {theirs}, {first.name} of {ours};"
                " only sets that agree in both can be joined"
            )
    return replace(
        first,
        name="+".join(dataset.name for dataset in datasets),
        train_images=_read_only(np.concatenate([d.train_images for d in datasets])),
        train_labels=_read_only(np.concatenate([d.train_labels for d in datasets])),
        source=", and for training ".join(dataset.source for dataset in datasets),
        n_first=len(first.train_labels),
    )


def _only_mnist(found: Found) -> Found:
    if found.differs is not None:
        raise IdxError(
            f"{found.differs}: is not MNIST's (its SHA-256 differs); "
            f"give data {found.differs.parent} to use it as it is"
        )
    return found


def _named_folder(finder: MnistFinder, data_dir: str | Path | None) -> Found | None:
    """Read the folder that the argument or the environment names; None if neither does."""
    if data_dir is not None:
        return finder.in_folder(Path(data_dir).expanduser())
    from_environment = os.environ.get("MNISTCORE_DATA_DIR")
    if not from_environment:
        return None
    try:
        return finder.in_folder(Path(from_environment).expanduser())
    except DataNotFoundError as error:
        raise DataNotFoundError(f"$MNISTCORE_DATA_DIR: {error}") from error


def _other_folder(finder: MnistFinder, folder: Path) -> Found:
    try:
        return finder.in_folder(folder)
    except DataNotFoundError as error:
        raise DataNotFoundError(f"{error}, or give data auto, mnist or synthetic") from error


def _dataset(found: Found) -> Dataset:
    """Name the data set and its classes."""
    if found.differs is None:
        return _made(MNIST.name, found.arrays, _DIGITS, found.source)
    folder = found.differs.parent.resolve().name
    name = f"other-{folder}" if folder in (MNIST.name, "synthetic", "") else folder
    n_classes = int(found.arrays.train_labels.max()) + 1
    return _made(name, found.arrays, tuple(map(str, range(n_classes))), found.source)


def _built_in_digits(notice: str | None = None) -> Dataset:
    """Take the built-in digits from the cache, where they are made on first use."""
    from mnistcore.data.synthetic import load_synthetic

    arrays = load_synthetic(cache_folder())
    return _made("synthetic", arrays, _DIGITS, "built-in digits, drawn by program", notice)


def _made(
    name: str, arrays: Arrays, class_names: tuple[str, ...], source: str, notice: str | None = None
) -> Dataset:
    return Dataset(
        name=name,
        train_images=_read_only(arrays.train_images),
        train_labels=_read_only(arrays.train_labels.astype(np.int32)),
        test_images=_read_only(arrays.test_images),
        test_labels=_read_only(arrays.test_labels.astype(np.int32)),
        class_names=class_names,
        source=source,
        notice=notice,
    )


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _stand_in_notice(error: DataNotFoundError) -> str:
    return (
        f"{error}\n"
        "This run uses the built-in digits instead, which a program draws. Accuracies on these "
        "digits are not accuracies on MNIST."
    )
