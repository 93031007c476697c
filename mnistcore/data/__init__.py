"""Data sets of labelled images: MNIST, folders in its format, and digits drawn by a program."""

import copy
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mnistcore.data.cache import cache_folder
from mnistcore.data.folder import DataNotFoundError
from mnistcore.data.idx import IdxError, idx_sha256, read_idx, write_idx
from mnistcore.data.mnist import MNIST, Found, MnistFinder
from mnistcore.data.preprocess import (
    as_labels,
    as_pixels,
    fold_split,
    pixel_range,
    same_scale,
    train_validation_split,
)

__all__ = [
    "DATA_NAMES",
    "DataNotFoundError",
    "Dataset",
    "IdxError",
    "absolute",
    "cache_folder",
    "load_data",
    "read_idx",
    "write_idx",
]

DATA_NAMES = ("auto", "mnist", "synthetic")  # `load_data` does not read these as folders
_NO_NAMES = ("raw", *DATA_NAMES)  # folder names that say too little without the parent's
_DIGITS = tuple("0123456789")
_LYING = (
    "The {parts} images of {name} look like digits that are {way}: a simple classifier reads them"
    " far better once they are turned upright. A network trained on them as they are misreads"
    " upright digits; turn them first."
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels for training and testing. All arrays are read-only and C-contiguous.

    Images may be integers, booleans or floats. Integers that fit into a byte become uint8, all
    else float32. Either way a network is fed pixels divided by `pixel_max`, the range of the
    training images.

    Attributes
    ----------
    name : str
        ``mnist``, ``synthetic`` or the name of the folder that other data came from, preceded by
        its parent's where that says too little, as in ``FashionMNIST/raw``. Joined sets have
        their names joined with ``+``.
    train_images, test_images : ndarray of uint8 or float32, shape (N, H, W)
        Raw pixels; may be memory-mapped.
    train_labels, test_labels : ndarray of int32, shape (N,)
        Class ids, below ``len(class_names)``.
    class_names : tuple of str
    source : str
        Where the data came from, in words.
    notice : str or None
        A message for the user, for example that the built-in digits replace MNIST.
    folder : str or None
        The absolute path of the folder that data other than MNIST came from.
    n_first : int or None
        For joined sets, the number of training images in the first one. The images after them
        are used for training only, never for validation. None means all.

    Raises
    ------
    TypeError
        An array has an unsupported dtype.
    ValueError
        Shapes do not match, a label is not a class, or a pixel is not finite.

    Examples
    --------
    >>> import mnistcore
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images, labels = rng.random((30, 8, 8)), np.arange(30) % 3
    >>> data = mnistcore.Dataset(
    ...     "noise", images[:20], labels[:20], images[20:], labels[20:], ("a", "b", "c"), "drawn"
    ... )
    >>> data.train_images.dtype, data.train_labels.dtype
    (dtype('float32'), dtype('int32'))
    >>> train, validation = data.split(0.25, seed=0)
    >>> len(train), len(validation)
    (15, 5)
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    source: str
    notice: str | None = None
    folder: str | None = None
    n_first: int | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images = as_pixels(getattr(self, f"{part}_images"), f"{part}_images")
            labels = as_labels(getattr(self, f"{part}_labels"), f"{part}_labels")
            if len(images) != len(labels):
                raise ValueError(
                    f"{self.name} has {len(images)} {part} images and {len(labels)} labels"
                )
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
                raise ValueError(
                    f"{part}_labels span {labels.min()}..{labels.max()}; they must lie in"
                    f" 0..{len(self.class_names) - 1}, one for each class name"
                )
            object.__setattr__(self, f"{part}_images", _read_only(images))
            object.__setattr__(self, f"{part}_labels", _read_only(labels))
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"{self.name} has training images of shape {self.train_images.shape[1:]} and test"
                f" images of {self.test_images.shape[1:]}; they must be the same"
            )

    @cached_property
    def pixel_max(self) -> float:
        """The pixel value that a network is fed as 1: the range of the training images."""
        return pixel_range(self.train_images)

    @cached_property
    def checksum(self) -> str:
        """Hexadecimal SHA-256 of the data, independent of where and how they are stored.

        It covers the values and shapes of all four arrays, as IDX files would hold them.
        """
        labels = (self.train_labels, self.test_labels)
        small = np.uint8 if len(self.class_names) <= 256 else np.int32
        train, test = (idx_sha256(ids.astype(small)) for ids in labels)
        return _checksum([idx_sha256(self.train_images), train, idx_sha256(self.test_images), test])

    @cached_property
    def looks(self) -> tuple[str | None, str | None]:
        """How the training and test images lie; see `mnistcore.data.orientation.look_of`."""
        from mnistcore.data.orientation import look_of

        if not set(self.class_names) <= set(_DIGITS):
            return None, None
        train = look_of(self.train_images, self.train_labels)
        return train, look_of(self.test_images, self.test_labels)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """Warnings for the user about the data, a sentence or two each."""
        found = []
        test_max = pixel_range(self.test_images)
        if len(self.test_images) and not same_scale(test_max, self.pixel_max):
            found.append(
                f"The test images of {self.name} reach {test_max:g}, its training images"
                f" {self.pixel_max:g}: they seem to be on another scale."
            )
        turned = {
            part: look
            for part, look in zip(("training", "test"), self.looks, strict=True)
            if look not in (None, "upright", "no digits")
        }
        for look in dict.fromkeys(turned.values()):
            parts = " and ".join(part for part in turned if turned[part] == look)
            found.append(_LYING.format(parts=parts, name=self.name, way=look))
        return tuple(found)

    @property
    def notices(self) -> tuple[str, ...]:
        """Everything to show to the user: the notice, then the remarks."""
        return ((self.notice,) if self.notice else ()) + self.remarks

    def noted(self, notice: str) -> "Dataset":
        """Return the same data with another notice added."""
        noted = copy.copy(self)  # unlike replace(), keeps the cached properties
        object.__setattr__(noted, "notice", "\n".join(filter(None, (self.notice, notice))))
        return noted

    def split(self, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Split the training images: sorted int64 indices for training and for validation.

        Validation images come from the first set, by :func:`.preprocess.train_validation_split`.
        """
        train, validation = train_validation_split(
            self.train_labels[: self.n_first], fraction, seed
        )
        return self._with_others(train), validation

    def folds(self, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return a pair as in `split` for each fold of :func:`.preprocess.fold_split`."""
        pairs = fold_split(self.train_labels[: self.n_first], folds, seed)
        return [(self._with_others(train), validation) for train, validation in pairs]

    def _with_others(self, indices: np.ndarray) -> np.ndarray:
        n_all = len(self.train_labels)
        return np.append(indices, np.arange(n_all if self.n_first is None else self.n_first, n_all))


def _checksum(sums: Sequence[str]) -> str:
    """Return a data set's checksum from those of its files, in the order of `FILE_NAMES`."""
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


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
        cache and on the mirrors. ``auto`` looks in the same places but also accepts other data
        that a folder holds, and falls back to the built-in digits, with a `notice`, unless a
        folder was named. ``synthetic`` is the built-in digits. Anything else is a folder of
        four IDX files, named as MNIST's are. Several of these (except ``auto``) can be joined
        with ``+``, as in ``mnist+synthetic``: training uses the training images of all, while
        validation and test images come from the first.
    data_dir : str or Path, optional
        The folder that holds MNIST.
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
        A named folder does not exist or lacks a file, or MNIST was requested but found nowhere.
        A subclass of FileNotFoundError and ValueError.
    IdxError
        A file is malformed, the files do not match each other, or they are not MNIST although it
        was requested. A subclass of ValueError.
    ValueError
        `data_dir` is given with `data` that does not use it, or the sets cannot be joined.
    TypeError
        `data` is neither a str nor a Path.

    Examples
    --------
    >>> import mnistcore
    >>> digits = mnistcore.load_data("synthetic")
    >>> digits.train_images.shape, digits.train_images.dtype
    ((60000, 28, 28), dtype('uint8'))
    >>> digits.class_names[digits.test_labels[0]]
    '7'
    """
    if not isinstance(data, str | Path):
        raise TypeError(f"data is {data!r}; it must be auto, mnist, synthetic or a folder")
    parts = _parts(data)
    if len(parts) > 1:
        if data_dir is not None and "mnist" not in parts:
            raise ValueError(f"data_dir is for data auto or mnist; leave it out with data {data}")
        return _together(
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


def absolute(data: str | Path) -> str:
    """Return `data` as `load_data` takes it, with the paths of folders made absolute."""
    parts = (
        part if part in DATA_NAMES else os.path.abspath(os.path.expanduser(part))
        for part in _parts(data)
    )
    return "+".join(parts)


def _parts(data: str | Path) -> list[str]:
    """Split `data` at "+" into names and folders; the name of a folder may hold a "+" itself."""
    parts = str(data).split("+")
    if len(parts) == 1 or Path(data).expanduser().is_dir():
        return [str(data)]
    if "" in parts or "auto" in parts or len(set(parts)) < len(parts):
        raise ValueError(
            f"data is {data}; join sets as in mnist+synthetic, each by its name or folder and only"
            " once; auto cannot be joined"
        )
    return parts


def _together(datasets: Sequence[Dataset]) -> Dataset:
    """Join data sets: train on the images of all, validate and test on those of the first."""
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
        if not same_scale(other.pixel_max, first.pixel_max):
            raise ValueError(
                f"{other.name} has pixels up to {other.pixel_max:g}, {first.name} up to"
                f" {first.pixel_max:g}; only sets of the same scale can be joined"
            )
    together = replace(
        first,
        name="+".join(dataset.name for dataset in datasets),
        train_images=np.concatenate([d.train_images for d in datasets]),
        train_labels=np.concatenate([d.train_labels for d in datasets]),
        source=", and for training ".join(dataset.source for dataset in datasets),
        folder=None,
        n_first=len(first.train_labels),
    )
    return _with(
        together,
        checksum=_checksum([dataset.checksum for dataset in datasets]),
        looks=first.looks,
        remarks=tuple(dict.fromkeys(r for dataset in datasets for r in dataset.remarks)),
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
        return _made(MNIST.name, found, _DIGITS, known=True)
    folder = absolute(found.differs.parent)
    parts = Path(folder).parts
    name = str(Path(*parts[-2:])) if parts[-1] in _NO_NAMES else parts[-1]
    n_classes = int(found.arrays.train_labels.max()) + 1
    return _made(name, found, tuple(map(str, range(n_classes))), folder=folder)


def _built_in_digits(notice: str | None = None) -> Dataset:
    """Return the built-in digits from the cache; they are drawn on first use."""
    from mnistcore.data.synthetic import cached_sha256, load_synthetic

    cache = cache_folder()
    arrays = load_synthetic(cache)
    found = Found(arrays, "built-in digits, drawn by program", sha256=cached_sha256(cache))
    return _made("synthetic", found, _DIGITS, notice=notice, known=True)


def _made(
    name: str,
    found: Found,
    class_names: tuple[str, ...],
    *,
    notice: str | None = None,
    folder: str | None = None,
    known: bool = False,
) -> Dataset:
    """Make a data set; one that is known to be sound is not examined again."""
    worked_out: dict[str, object] = {}
    if known:
        worked_out |= {"looks": ("upright", "upright"), "remarks": ()}
    if found.sha256:
        worked_out["checksum"] = _checksum(found.sha256)
    dataset = Dataset(name, *found.arrays, class_names, found.source, notice, folder)
    return _with(dataset, **worked_out)


def _with(dataset: Dataset, **worked_out: object) -> Dataset:
    """Fill in cached properties whose values are already known."""
    vars(dataset).update(worked_out)
    return dataset


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _stand_in_notice(error: DataNotFoundError) -> str:
    return (
        f"{error}\n"
        "This run uses the built-in digits instead, which a program draws. Accuracies on these "
        "digits are not accuracies on MNIST."
    )
