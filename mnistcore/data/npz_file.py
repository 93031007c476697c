"""Arrays in ``.npz`` files: Keras' mnist.npz, MedMNIST, and Kuzushiji-MNIST's one array a file."""

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnistcore.data.arrays import part_of
from mnistcore.data.idx import MAX_BYTES
from mnistcore.data.published import KUZUSHIJI
from mnistcore.data.raw import DataError, Part, RawData
from mnistcore.data.validation import WORDS, with_validation
from mnistcore.system.files import read_bounded
from mnistcore.system.npz import Npz

# Images and labels of a part, as published or as people name them; lower case.
_IMAGES = ("x", "images", "imgs", "data", "image", "features")
_LABELS = ("y", "labels", "label", "target", "targets")
_PARTS = {"train": ("train", "training"), "validation": WORDS, "test": ("test", "testing")}
_SINGLE = re.compile(r"(.*)-(train|test)-(imgs|labels)\.npz")  # kmnist-train-imgs.npz


def recognises(path: Path) -> bool:
    """Whether `path` is an ``.npz`` file, or a folder that holds some."""
    if os.path.isdir(path):
        return bool(_files(path))
    return path.suffix.lower() == ".npz" and os.path.isfile(path)


def read(path: Path) -> RawData:
    """Read images and labels from a file, or from the four files of Kuzushiji-MNIST.

    Arrays are named ``x_train, y_train, x_test, y_test``, or ``train_images, train_labels, ...``,
    or ``x, y`` and the like if there is no test set. The validation images of MedMNIST become
    training images, as every run takes its own from these. A file ``..._classmap.csv`` beside
    names the classes.

    Raises
    ------
    DataError
        If the file is damaged or too large, holds Python objects, or lacks images or labels.
    """
    file = _chosen(path) if path.is_dir() else path
    if single := _SINGLE.fullmatch(file.name):
        return _read_singles(path, file, single[1])
    arrays = _Arrays(file)
    parts = {part: found for part, words in _PARTS.items() if (found := arrays.part(words))}
    if "train" not in parts:
        alone = arrays.part(())
        if alone is None:
            raise DataError(
                f"{file}: holds the arrays {', '.join(arrays.names[:6])}; images and labels are"
                " looked for as x_train and y_train, train_images and train_labels, or x and y"
            )
        parts["train"] = alone
    train, notices = parts["train"], []
    if validation := parts.get("validation"):
        train, notice = with_validation(train, validation, str(file))
        notices.append(notice)
    return RawData(path, str(file), train, parts.get("test"), {}, tuple(notices))


def _files(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [f for f in sorted(folder.glob("*.npz")) if f.is_file()]
    return []


def _chosen(folder: Path) -> Path:
    files = _files(folder)
    sets = {(s[1] if (s := _SINGLE.fullmatch(f.name)) else f.name): f for f in files}
    if len(sets) != 1:
        names = ", ".join(f.name for f in files[:5])
        raise DataError(f"{folder}: holds several data sets ({names}); name one of its .npz files")
    return next(iter(sets.values()))


def _read_singles(path: Path, file: Path, name: str) -> RawData:
    """Read ``NAME-train-imgs.npz`` and the three files beside it, each with one array."""
    train = _read_single(file, f"{name}-train")
    test = None
    if any(file.with_name(f"{name}-test-{kind}.npz").is_file() for kind in ("imgs", "labels")):
        test = _read_single(file, f"{name}-test")
    names = _class_map(file.with_name(f"{name}_classmap.csv"))
    if not names and name == "kmnist":
        names = dict(enumerate(KUZUSHIJI))
    return RawData(path, f"{file.parent} ({name})", train, test, names)


def _read_single(file: Path, stem: str) -> Part:
    images, labels = (file.with_name(f"{stem}-{kind}.npz") for kind in ("imgs", "labels"))
    for member in (images, labels):
        if not member.is_file():
            raise DataError(f"{member}: no such file; put it beside {file.name}")
    return _part(images, _Arrays(images).only(), _Arrays(labels).only(), ("it", labels.name))


def _class_map(file: Path) -> dict[int, str]:
    """Read ``index,codepoint,char``; return nothing if the file is not there or another."""
    try:
        rows = csv.DictReader(io.StringIO(read_bounded(file).decode("utf-8-sig"), newline=""))
        return {int(row["index"]): str(row["char"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return {}


def _part(file: Path, images: np.ndarray, labels: np.ndarray, names: tuple[str, str]) -> Part:
    try:
        return part_of(images, labels, names)
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: {error}") from error


class _Arrays:
    """The arrays of an ``.npz`` file, each checked before it is unpacked."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._errors():
            self._npz = Npz(file)
        self.names = self._npz.names
        self._n_bytes = 0
        if self._npz.size > MAX_BYTES:
            raise DataError(
                f"{file}: unpacks to {self._npz.size:,} bytes; at most {MAX_BYTES:,} are read"
            )

    def part(self, words: tuple[str, ...]) -> Part | None:
        """Return the images and labels whose names hold one of these words; None if neither is."""
        images, labels = self._find(words, _IMAGES), self._find(words, _LABELS)
        if images is None and labels is None:
            return None
        if images is None or labels is None:
            there, lacking = (images, "labels") if images else (labels, "images")
            raise DataError(f"{self._file}: has {there}, but no {lacking} for it")
        return _part(self._file, self._read(images), self._read(labels), (images, labels))

    def only(self) -> np.ndarray:
        """Return the only array."""
        if len(self.names) != 1:
            raise DataError(
                f"{self._file}: holds {len(self.names)} arrays ({', '.join(self.names[:5])}), where"
                " one belongs; check the file"
            )
        return self._read(self.names[0])

    def _find(self, words: tuple[str, ...], kinds: tuple[str, ...]) -> str | None:
        """Return the first name like x_train, train_x or trainX, for any word and any kind."""
        wanted = [
            "".join(pair)
            for kind in kinds
            for word in words or ("",)
            for pair in ((kind, word), (word, kind))
        ]
        plain: dict[str, list[str]] = {}
        for name in self.names:
            plain.setdefault(re.sub("[^a-z]", "", name.lower()), []).append(name)
        found = next((plain[name] for name in wanted if name in plain), [])
        if len(found) > 1:
            raise DataError(
                f"{self._file}: holds {' and '.join(found[:3])}, of which one is needed; save it"
                " without the others"
            )
        return found[0] if found else None

    def _read(self, name: str) -> np.ndarray:
        with self._errors():
            header = self._npz.header(name)
        if header.dtype.hasobject:
            raise DataError(
                f"{self._file}: {name} holds Python objects, which are never read, as they"
                " could run any program; save numbers, as in np.savez(..., x=x.astype('uint8'))"
            )
        self._n_bytes += header.pixels
        if self._n_bytes > MAX_BYTES:
            raise DataError(
                f"{self._file}: takes {self._n_bytes:,} bytes in float32; at most {MAX_BYTES:,} are"
                " read"
            )
        with self._errors():
            return self._npz.read(name)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise DataError(f"{self._file}: no such file; check the name") from error
        except (ValueError, OSError) as error:
            raise DataError(f"{self._file}: {error}; download it again") from error
