"""The record of a data set, and the joining of several."""

import copy
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mnistcore.data.arrays import from_arrays
from mnistcore.data.classes import prepare
from mnistcore.data.duplicates import n_repeated
from mnistcore.data.idx import idx_sha256
from mnistcore.data.preprocess import (
    as_labels,
    as_pixels,
    ends_and_ink,
    fold_split,
    paper_and_ink,
    pixel_ends,
    pixel_range,
    range_in_words,
    same_scale,
    train_validation_split,
)
from mnistcore.data.raw import LONGEST_NAME, RawData
from mnistcore.system.errors import by, few

DIGITS = tuple("0123456789")
_LYING = (
    "The {parts} images of {name} look like digits that are {way}: a simple classifier reads them"
    " far better once they are turned upright. A network trained on them as they are misreads"
    " upright digits; {advice}."
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels for training and testing. All arrays are read-only and C-contiguous.

    Arrays that the caller could change are copied; files that are mapped read-only are not.

    Images may be integers, booleans or floats. Integers that fit into a byte become uint8, all
    else float32. Either way a network is fed pixels divided by `pixel_max`, the range of the
    training images.

    Attributes
    ----------
    name : str
        ``mnist``, ``synthetic`` or the name of the folder or file that other data came from, with
        its parent's where that says too little. Joined sets have their names joined with ``+``.
    train_images, test_images : ndarray of uint8 or float32, shape (N, H, W)
        Raw pixels; may be memory-mapped.
    train_labels, test_labels : ndarray of int32, shape (N,)
        Class ids, below ``len(class_names)``.
    class_names : tuple of str
        All different.
    source : str
        Where the data came from, in words.
    notice : str or None
        A message for the user, for example that the built-in digits replace MNIST.
    folder : str or None
        The absolute path of the folder or file that data other than MNIST came from.
    held_out : str or None
        If the source has no test images, the sentence in `notice` that says how many were held out.
    n_first : int or None
        For joined sets, the number of training images in the first one. The images after them
        are used for training only, never for validation. None means all.

    Raises
    ------
    TypeError
        An array has an unsupported dtype.
    ValueError
        Shapes do not match, a label is not a class, two classes have the same name, or a pixel
        is not finite.

    Examples
    --------
    >>> import mnistcore
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images, labels = rng.random((30, 8, 8)), np.arange(30) % 3
    >>> data = mnistcore.Dataset.from_arrays(images, labels)
    >>> data.train_images.dtype, data.train_labels.dtype
    (dtype('float32'), dtype('int32'))
    >>> train, validation = data.split(0.25, seed=0)
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
    held_out: str | None = None
    n_first: int | None = None

    def __post_init__(self) -> None:
        name, count = Counter(self.class_names).most_common(1)[0] if self.class_names else ("", 0)
        if count > 1:
            raise ValueError(f"{self.name} has two classes of the name {name!r}")
        longest = max(map(len, self.class_names), default=0)
        if longest > LONGEST_NAME:
            raise ValueError(
                f"{self.name} has a class whose name has {longest:,} characters, more than"
                f" {LONGEST_NAME}; give it a shorter one with class_names"
            )
        for part in ("train", "test"):
            given = [getattr(self, f"{part}_{what}") for what in ("images", "labels")]
            images = as_pixels(given[0], f"{part}_images")
            labels = as_labels(given[1], f"{part}_labels")
            if len(images) != len(labels):
                raise ValueError(
                    f"{self.name} has {len(images)} {part} images and {len(labels)} labels"
                )
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
                raise ValueError(
                    f"{part}_labels span {labels.min()}..{labels.max()}; they must lie in"
                    f" 0..{len(self.class_names) - 1}, one for each class name"
                )
            object.__setattr__(self, f"{part}_images", _read_only(images, given[0]))
            object.__setattr__(self, f"{part}_labels", _read_only(labels, given[1]))
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError(
                f"{self.name} has training images of shape {self.train_images.shape[1:]} and test"
                f" images of {self.test_images.shape[1:]}; they must be the same"
            )

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any,
        x_test: Any = None,
        y_test: Any = None,
        *,
        name: str = "arrays",
        class_names: Sequence[str] = (),
    ) -> "Dataset":
        """Make a data set of arrays, or of what is like them.

        Without test images, a seventh of the images of each class becomes the test set, the same
        each time.

        Parameters
        ----------
        x, x_test : array_like
            Images of shape (N, H, W); (N, H, W, 1) or (N, 1, H, W); or (N, H * W) if that is a
            square. Booleans, integers or floats, as arrays, tensors on the CPU, pandas frames,
            SciPy sparse matrices, nested lists or lists of PIL images, which become grey. Values
            stay what they are, so floats in [0, 1] and bytes are both right: the range of the
            training images, `pixel_max`, becomes 1. Transposed images stay transposed.
        y, y_test : array_like
            Labels of shape (N,) or (N, 1): whole numbers of any type, or names as str. Of one-hot
            rows (N, C) with a single 1 the columns' numbers are taken. Class ids count from 0 in
            the order of the labels that there are.
        name : str
            For display.
        class_names : sequence of str
            A name per class in the order of the labels, or one for each integer from 0 on.

        Raises
        ------
        TypeError
            Images are no real numbers, or labels neither numbers nor names.
        ValueError
            Shapes or lengths do not fit, a pixel is not finite, a label is not whole or missing,
            a test image has a label that no training image has, or there are too few names.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> digits = load_digits()
        >>> Dataset.from_arrays(digits.data, digits.target, name="digits").train_images.shape
        (1540, 8, 8)
        """
        raw = from_arrays(x, y, x_test, y_test, name=name)
        return replace(dataset_of(raw, class_names=class_names), name=name, folder=None)

    @cached_property
    def pixel_max(self) -> float:
        """The pixel value that a network is fed as 1: the range of the training images."""
        return pixel_range(self.train_images)

    @cached_property
    def paper_and_ink(self) -> tuple[float, float]:
        """The pixels of paper and of ink of the training images, in units of `pixel_max`."""
        return paper_and_ink(self.train_images, self.pixel_max)

    @property
    def pixel_ends(self) -> tuple[float, float]:
        """The ends of the training images' range of pixels, such as 0 and 255, or -1 and 1."""
        return pixel_ends(*self.paper_and_ink, self.pixel_max)

    @property
    def has_dark_ink(self) -> bool:
        """Whether ink is darker than paper, unlike MNIST's."""
        paper, ink = self.paper_and_ink
        return paper > ink

    @cached_property
    def checksum(self) -> str:
        """Hexadecimal SHA-256 of the data, independent of where and how they are stored.

        It covers the values and shapes of all four arrays, as IDX files would hold them.
        """
        labels = (self.train_labels, self.test_labels)
        small = np.uint8 if len(self.class_names) <= 256 else np.int32
        train, test = (idx_sha256(ids.astype(small)) for ids in labels)
        return checksum_of(
            [idx_sha256(self.train_images), train, idx_sha256(self.test_images), test]
        )

    @cached_property
    def looks(self) -> tuple[str | None, str | None]:
        """How the training and test images lie; see `mnistcore.data.orientation.look_of`."""
        from mnistcore.data.orientation import look_of

        if not set(self.class_names) <= set(DIGITS):
            return None, None
        digit_of = np.array(self.class_names, np.int32)
        train = look_of(self.train_images, digit_of[self.train_labels])
        return train, look_of(self.test_images, digit_of[self.test_labels])

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """Warnings for the user about the data, a sentence or two each."""
        found = []
        (here, dark), there = ends_and_ink(self.test_images), self.pixel_ends
        if len(self.test_images) and not same_scale(here, there):
            found.append(
                f"The pixels of {self.name} go {range_in_words(*here)} in its test images,"
                f" {range_in_words(*there)} in its training images: they seem to be on another"
                " scale."
            )
        if len(self.test_images) and dark != self.has_dark_ink:
            ink, other = ("dark", "light") if dark else ("light", "dark")
            found.append(
                f"{self.name} has {ink} ink in its test images, {other} ink in its training"
                " images: invert one of them."
            )
        turned = {
            part: look
            for part, look in zip(("training", "test"), self.looks, strict=True)
            if look not in (None, "upright", "no digits")
        }
        for look in dict.fromkeys(turned.values()):
            parts = " and ".join(part for part in turned if turned[part] == look)
            advice = "--transpose turns them" if look == "transposed" else "turn them first"
            found.append(_LYING.format(parts=parts, name=self.name, way=look, advice=advice))
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

    def aligned(self, class_names: Sequence[str]) -> "Dataset":
        """Return the same data with its labels counted in `class_names`, by name.

        The checksum stays that of the data itself.

        Raises
        ------
        ValueError
            A class of the data is not among `class_names`.
        """
        if tuple(class_names) == self.class_names:
            return self
        place = {name: index for index, name in enumerate(class_names)}
        missing = [name for name in self.class_names if name not in place]
        if missing:
            which = f"of which {few(missing)} {'is' if len(missing) == 1 else 'are'} not"
            if len(missing) == len(self.class_names) > 1:
                which = "none of them"
            raise ValueError(
                f"{self.name} has the classes {few(self.class_names)}, {which} among"
                f" {few(class_names)}"
            )
        ids = np.array([place[name] for name in self.class_names], np.int32)
        aligned = replace(
            self,
            train_labels=ids[self.train_labels],
            test_labels=ids[self.test_labels],
            class_names=tuple(class_names),
        )
        return with_known(aligned, checksum=self.checksum, looks=self.looks, remarks=self.remarks)

    def all_for_test(self) -> "Dataset":
        """Return the same data with the images that were not held out among the test images too.

        Data with test images of its own stays as it is. The checksum is that of the result.
        """
        if self.held_out is None or self.n_first is not None:
            return self
        notice = (self.notice or "").replace(self.held_out, "").strip("\n")
        return replace(
            self,
            test_images=np.concatenate([self.test_images, self.train_images]),
            test_labels=np.concatenate([self.test_labels, self.train_labels]),
            notice=notice.replace("\n\n", "\n") or None,
            held_out=None,
        )

    def renamed(self, class_names: Sequence[str]) -> "Dataset":
        """Return the same data with other names for its classes, in the same order."""
        renamed = replace(self, class_names=tuple(class_names))
        return with_known(renamed, checksum=self.checksum, looks=self.looks, remarks=self.remarks)

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


def dataset_of(
    raw: RawData,
    *,
    transpose: bool = False,
    class_names: Sequence[str] = (),
    sha256: Sequence[str] = (),
) -> Dataset:
    """Make a data set of what a format read.

    Classes are named by `class_names`, else as the data publishes them, else by their labels. If
    there is no test part, a seventh of the images of each class becomes the test set, the same in
    every run, and a notice says so.

    Parameters
    ----------
    raw : RawData
    transpose : bool
        Swap rows and columns of each image.
    class_names : sequence of str
        A name per class, in the order of the labels; or one for each integer from 0 to the
        largest label at least.
    sha256 : sequence of str
        The hashes of the four arrays as IDX files, if they are known.

    Raises
    ------
    DataError
        A test image has a label that no training image has; the names do not fit the classes;
        images of known orientation are to be transposed; or a single image is to be split.
    TypeError, ValueError
        As :class:`Dataset`.
    """
    dataset = Dataset(*prepare(raw, transpose=transpose, class_names=class_names, sha256=sha256))
    labels = (raw.train.labels, dataset.train_labels)
    if sha256 and np.array_equal(*labels) and not transpose:  # labels are class ids as they are
        with_known(dataset, checksum=checksum_of(sha256))
    return dataset


def checksum_of(sums: Sequence[str]) -> str:
    """Return a data set's checksum from those of its files, in the order of `FILE_NAMES`."""
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Join data sets: train on the images of all, validate and test on those of the first.

    The others may lack classes of the first; the classes are matched by name.

    Raises
    ------
    ValueError
        The sizes, the scales or the classes do not fit, or two sets are the same.
    """
    first = datasets[0]
    sums = [dataset.checksum for dataset in datasets]
    for dataset, checksum in zip(datasets, sums, strict=True):
        if sums.count(checksum) > 1:
            raise ValueError(
                f"{dataset.name} is joined with itself ({dataset.source}): validation images would"
                " be trained on, too"
            )
    datasets = [first, *(_fitting(other, first) for other in datasets[1:])]
    together = replace(
        first,
        name="+".join(dataset.name for dataset in datasets),
        train_images=np.concatenate([d.train_images for d in datasets]),
        train_labels=np.concatenate([d.train_labels for d in datasets]),
        source=", and for training ".join(dataset.source for dataset in datasets),
        folder=None,
        n_first=len(first.train_labels),
    )
    return with_known(
        together,
        checksum=checksum_of(sums),
        looks=first.looks,
        remarks=tuple(dict.fromkeys(r for d in datasets for r in (*d.remarks, *_ink(d, first))))
        + tuple(r for d in datasets[1:] for r in _repeated(d, first)),
    )


def _ink(other: Dataset, first: Dataset) -> tuple[str, ...]:
    """Return a remark if ink is dark in one of two sets and light in the other."""
    if other.has_dark_ink == first.has_dark_ink:
        return ()
    here, there = ("dark", "light") if other.has_dark_ink else ("light", "dark")
    return (f"{other.name} has {here} ink, {first.name} {there} ink: invert one of them.",)


def _repeated(other: Dataset, first: Dataset) -> tuple[str, ...]:
    """Return a remark if another set has images of the first, which may validate or test."""
    own, added = np.concatenate([first.train_images, first.test_images]), other.train_images
    count = n_repeated(added, own)
    if not count:
        return ()
    return (
        f"{count:,} of the {len(added):,} images of {other.name} are also in {first.name}, so the"
        " network is trained on images that may validate or test it.",
    )


def _fitting(other: Dataset, first: Dataset) -> Dataset:
    """Return a set with its labels counted in the classes of the first; check that both fit."""
    theirs, ours = other.train_images.shape[1:], first.train_images.shape[1:]
    if theirs != ours:
        raise ValueError(
            f"{other.name} has images of {by(theirs)} pixels, {first.name} of {by(ours)};"
            " only sets of one size can be joined"
        )
    if not same_scale(other.pixel_ends, first.pixel_ends):
        raise ValueError(
            f"{other.name} has pixels {range_in_words(*other.pixel_ends)}, {first.name}"
            f" {range_in_words(*first.pixel_ends)}; only sets of the same scale can be joined"
        )
    try:
        return other.aligned(first.class_names)
    except ValueError as error:
        raise ValueError(
            f"{error}, the classes of {first.name}; only then can they be joined"
        ) from error


def with_known(dataset: Dataset, **worked_out: object) -> Dataset:
    """Fill in cached properties whose values are already known."""
    vars(dataset).update(worked_out)
    return dataset


def _read_only(array: np.ndarray, given: Any) -> np.ndarray:
    """Return a read-only view of an array, or of a copy if whoever gave it could change it."""
    given = np.asarray(given)
    theirs = given.flags.writeable and np.shares_memory(array, given)
    view = array.copy() if theirs else array.view()
    view.flags.writeable = False
    return view
