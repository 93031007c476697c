"""From what a format read to a data set: labels become the ids of the classes that are there.

Class ids count from 0 in the order of the labels: integers by value; text alphabetically, or by
value if all of it is integers. So data with the labels 3 and 8 has two classes, not nine.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnistcore.data.duplicates import repeated_notice
from mnistcore.data.idx import idx_sha256
from mnistcore.data.preprocess import train_validation_split
from mnistcore.data.published import HASHED_SHAPE, PUBLISHED
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.system.errors import few
from mnistcore.system.text import counted

RESERVED = ("auto", "mnist", "synthetic")  # what `load_data` does not read as paths
_SAY_NOTHING = ("raw", "gzip")  # names of folders inside that of a data set
_MAX_NAMES_BYTES = 2**20
_HELD_OUT = 1 / 7  # of the images, as of MNIST's 70,000
_HELD_OUT_SEED = 0


class Prepared(NamedTuple):
    """What a data set is made of, in the order of :class:`.Dataset`'s first fields."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    source: str
    notice: str | None
    folder: str
    held_out: str | None


def prepare(
    raw: RawData,
    *,
    transpose: bool = False,
    class_names: Sequence[str] = (),
    sha256: Sequence[str] = (),
) -> Prepared:
    """Turn labels into class ids, name the classes and hold out a test set where there is none.

    Parameters and errors as :func:`.dataset_of`.
    """
    raw = _of_one_kind(raw)
    name = _name(raw.path)
    notices = list(raw.notices)
    classes = _classes(raw)
    names = _names(raw, classes, class_names, sha256)
    train, test = raw.train, raw.test
    held_out = None
    if test is None:
        train, test = _held_out(train, name)
        held_out = (
            f"{name} has no test images of its own: {len(test.labels):,} of its"
            f" {len(raw.train.labels):,} images were held out for the test, the same in every run."
        )
        notices.append(held_out)
    if not sha256 or sha256[0] not in PUBLISHED:  # no published set repeats what counts
        notices.append(repeated_notice(test.images, train.images, name))
    if transpose and raw.upright:
        raise DataError(
            f"{raw.path}: is turned upright already, as its name says how it lies; leave transpose"
            " out, or rename it if that is wrong"
        )
    if transpose:
        train, test = (
            part._replace(images=part.images.transpose(0, 2, 1)) for part in (train, test)
        )
    return Prepared(
        name,
        train.images,
        _ids(train.labels, classes),
        test.images,
        _ids(test.labels, classes),
        names,
        raw.source,
        "\n".join(filter(None, notices)) or None,
        os.path.abspath(raw.path),
        held_out,
    )


def read_class_names(given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes; if a single one is the name of a file, those in its lines.

    Empty lines are left out.

    Raises
    ------
    DataError
        The file cannot be read, is too large, is not text in UTF-8, or has no names.
    """
    if len(given) != 1:
        return tuple(given)
    path = Path(os.path.expanduser(given[0]))
    try:
        if not path.is_file():
            return tuple(given)
        with path.open("rb") as file:
            content = file.read(_MAX_NAMES_BYTES + 1)
        if len(content) > _MAX_NAMES_BYTES:
            raise DataError(f"{path}: is larger than {_MAX_NAMES_BYTES} bytes; check the file")
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check it") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text in UTF-8; write one name in each line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"{path}: has no names; write one in each line")
    return names


def _name(path: Path) -> str:
    """Return the name of a path, with its parent's where it is one that `load_data` reserves."""
    parts = Path(os.path.abspath(path)).parts
    while len(parts) > 2 and parts[-1] in _SAY_NOTHING:
        parts = parts[:-1]
    return str(Path(*parts[-2:])) if parts[-1] in RESERVED else parts[-1]


def _of_one_kind(raw: RawData) -> RawData:
    """Return the data with labels that are text in both parts if they are in one.

    A test set of which only digits are there has numbers, where training has letters as well.
    """
    kinds = {part.labels.dtype.kind == "U" for part in (raw.train, raw.test) if part}
    if raw.test is None or len(kinds) == 1:
        return raw
    train, test = (part._replace(labels=part.labels.astype(str)) for part in (raw.train, raw.test))
    return raw._replace(train=train, test=test)


def _classes(raw: RawData) -> np.ndarray:
    """Return the labels that there are, (C,) in order; the test images must not have others."""
    classes = np.unique(raw.train.labels)
    if classes.dtype.kind == "U" and not all(map(str.strip, classes)):
        row = next(i for i, label in enumerate(raw.train.labels) if not label.strip())
        raise DataError(f"{raw.path}: image {row} of the training images has no label")
    if raw.test is not None:
        unseen = np.setdiff1d(raw.test.labels, classes)
        if unseen.size:
            raise DataError(
                f"{raw.path}: {'label' if unseen.size == 1 else 'labels'}"
                f" {few(list(map(str, unseen)))} of the test images are none of the training"
                f" images' ({few(list(map(str, classes)))}); check that both belong together"
            )
    if classes.dtype.kind == "U" and all(_is_integer(label) for label in classes):
        return classes[np.argsort([int(label) for label in classes], kind="stable")]
    return classes


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _ids(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the place (N,) of each label among the classes."""
    order = np.argsort(classes, kind="stable")
    return order[np.searchsorted(classes, labels, sorter=order)]


def _names(
    raw: RawData, classes: np.ndarray, chosen: Sequence[str], sha256: Sequence[str]
) -> tuple[str, ...]:
    labels = classes.tolist()
    if chosen:
        return _chosen_names(raw, labels, chosen)
    published = raw.class_names
    if not published and raw.train.images.shape == HASHED_SHAPE:
        published = PUBLISHED.get(sha256[0] if sha256 else idx_sha256(raw.train.images), {})
    return tuple(published.get(label, str(label)) for label in labels)


def _chosen_names(raw: RawData, labels: list[object], chosen: Sequence[str]) -> tuple[str, ...]:
    if len(chosen) == len(labels):
        return tuple(chosen)
    are_ids = all(isinstance(label, int) and 0 <= label < len(chosen) for label in labels)
    if are_ids:
        return tuple(chosen[label] for label in labels if isinstance(label, int))
    missing = f" ({chosen[0]} is no file)" if len(chosen) == 1 else ""
    raise DataError(
        f"{raw.path}: has {len(labels)} classes, labelled {few(list(map(str, labels)))}, but"
        f" class_names gives {counted(len(chosen), 'name')}; give one for each,"
        f" in this order{missing}"
    )


def _held_out(part: Part, name: str) -> tuple[Part, Part]:
    """Split images into a training and a test part with the same mix of classes."""
    if len(part.labels) < 2:
        raise DataError(f"{name} has a single image, of which none can be held out for the test")
    _, codes = np.unique(part.labels, return_inverse=True)
    train, test = train_validation_split(codes, _HELD_OUT, _HELD_OUT_SEED)
    return (
        Part(part.images[train], part.labels[train]),
        Part(part.images[test], part.labels[test]),
    )
