"""Pictures of any source, one after the other, and what came of each."""

import glob
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from ..kernels.backends import get_backend, unavailable_reason
from ..models import checkpoint
from ..models.checkpoint import Model
from ..system.errors import error_words
from .files import SUFFIXES, Picture, PictureError, open_picture, picture_of
from .frame import SIZE
from .marks import NoDigitError
from .reading import Classify, Digit, SeveralDigitsError, read_digit, read_digits

STDIN = "-"


_DIGITS = tuple("0123456789")


Source = str | Path | bytes | BinaryIO | np.ndarray


@dataclass(frozen=True, eq=False)
class Reading:
    """What came of a picture.

    Attributes
    ----------
    path
        As it was given; a name such as ``<array>`` for what has none.
    digits
        Line by line, from left to right; empty where none was found. Without ``many`` at most
        one.
    reason
        Why there are no digits; empty where there are some.
    error
        Whether the picture could not even be opened.
    picture
        What was opened; None after an error.
    found
        How many digits there are; without ``many`` more than one are counted but not read.
    left_out
        With ``many``, how many marks were left out because they resemble no digit.
    """

    path: str
    digits: tuple[Digit, ...]
    reason: str = ""
    error: bool = False
    picture: Picture | None = None
    found: int = 0
    left_out: int = 0

    @property
    def digit(self) -> int | None:
        """The first digit, None where there is none."""
        return self.digits[0].digit if self.digits else None

    @property
    def probabilities(self) -> np.ndarray | None:
        """The ten probabilities of the first digit, None where there is none."""
        return self.digits[0].probabilities if self.digits else None

    @property
    def text(self) -> str:
        """The digits as they stand in the picture, a line break between lines."""
        lines = groupby(self.digits, key=lambda digit: digit.line)
        return "\n".join("".join(str(digit.digit) for digit in line) for _, line in lines)


def predict_pictures(
    run: str | Path | Model,
    pictures: Iterable[Source],
    many: bool = False,
    backend: str = "auto",
) -> Iterator[Reading]:
    """Read the digits in pictures.

    Parameters
    ----------
    run
        A run folder, a safetensors file of this package, or a loaded model; it must take images
        of 28 x 28 and know the ten digits.
    pictures
        Each a file, a folder (all pictures in it, by name), a pattern such as ``scans/*.png``,
        ``-`` for standard input, the bytes of a file, an open binary file, or an array (H, W) or
        (H, W, C) of grey or colours, of any numeric type; :func:`.picture_of` tells how its
        values are taken. A digit may be dark on light or light on dark, of
        any size and anywhere; :mod:`.pictures` tells how it is found.
    many
        Whether a picture may hold several digits, in lines; marks that resemble none are left
        out. Otherwise one is read, and where there are several alike their number is the answer,
        in ``found``.
    backend
        ``auto`` is cython where there is one and numpy otherwise: neither has to compile.

    Yields
    ------
    Reading
        One a picture, in order. A picture is opened when its turn comes; one that cannot be has
        ``error`` set and the others are still read.

    Raises
    ------
    FileNotFoundError, CheckpointError
        As :func:`.checkpoint.load`.
    ValueError
        If the network is not one for digits.
    BackendUnavailableError
        If the backend cannot be loaded.
    """
    if isinstance(pictures, str | bytes | Path | np.ndarray):
        raise TypeError("pictures must be a list; for a single one give [picture]")
    model = run if isinstance(run, Model) else checkpoint.load(run)
    _check(model)
    kernels = _kernels(backend)

    for_bytes = model.taking_bytes()  # as which digits are shown, whatever it was trained on

    def classify(images: np.ndarray) -> np.ndarray:
        return for_bytes.predict_proba(kernels, images)

    opened = _opened(pictures, model.pixel_max or 255.0)
    return (_read(name, opens, classify, many) for name, opens in opened)


def _check(model: Model) -> None:
    """See that a model can read digits."""
    n_inputs = model.network.layer_sizes[0]
    if n_inputs != SIZE * SIZE:
        raise ValueError(
            f"the network takes {n_inputs} inputs; digits are shown in {SIZE} x {SIZE} pixels,"
            f" so give one of {SIZE * SIZE}"
        )
    if model.class_names != _DIGITS:
        names = ", ".join(model.class_names[:4])
        raise ValueError(
            f"the network's classes are not the digits 0 to 9 but {names}, ..."
            f" ({len(model.class_names)} in all); predict reads digits, so give a network of these"
        )
    if not np.isfinite(model.params).all():
        raise ValueError("the network's weights are not all finite; train it again")


def doubt(model: Model) -> str:
    """What must be known of the images that a model was trained on; "" where all is well."""
    if model.data is None or model.data.look in (None, "upright"):
        return ""
    looked = "like no digits that people write"
    if model.data.look != "no digits":
        looked = f"like digits that are {model.data.look}"
    return (
        f"The network was trained on {model.data.name}, whose images look {looked}; what it makes"
        " of pictures of digits is hardly right."
    )


def _kernels(backend: str) -> ModuleType:
    if backend == "auto":
        backend = "numpy" if unavailable_reason("cython") else "cython"
    return get_backend(backend)


Opening = Callable[[], Picture]


def _opened(sources: Iterable[Source], white: float) -> Iterator[tuple[str, Opening]]:
    """Each picture's name and how to open it; folders and patterns are spread out."""
    for source in sources:
        if isinstance(source, np.ndarray):
            yield "<array>", partial(picture_of, source, white)
        elif isinstance(source, bytes):
            yield "<bytes>", partial(open_picture, source)
        elif source == STDIN:
            yield STDIN, partial(open_picture, sys.stdin.buffer)
        elif isinstance(source, str | Path):
            for path, reason in _files(str(source)):
                yield path, partial(_open_file, path, reason)
        elif hasattr(source, "read"):
            yield str(getattr(source, "name", "<file>")), partial(open_picture, source)
        else:
            yield f"<{type(source).__name__}>", partial(_refuse, source)


def _refuse(source: object) -> Picture:
    raise PictureError(f"is no picture but {type(source).__name__}; give a file or an array")


def _files(source: str) -> list[tuple[str, str]]:
    """The files that an argument stands for, each with a reason why it cannot be opened or ""."""
    path = Path(source)
    try:
        if path.is_dir():
            there = sorted(path.iterdir())
            inside = [p for p in there if p.suffix.lower() in SUFFIXES and p.is_file()]
            none = (source, "there are no pictures in the folder")
            return [(str(p), "") for p in inside] or [none]
        if path.exists() or not glob.has_magic(source):
            return [(source, "")]
        found = sorted(p for p in glob.glob(source, recursive=True) if Path(p).is_file())
    except (OSError, ValueError) as error:  # a folder that is locked, a name that is none
        return [(source, error_words(error).removeprefix(f"{source}: "))]
    return [(p, "") for p in found] or [(source, "no file has such a name")]


def _open_file(path: str, reason: str) -> Picture:
    if reason:
        raise PictureError(reason)
    return open_picture(path)


def _read(name: str, opens: Opening, classify: Classify, many: bool) -> Reading:
    try:
        picture = opens()
    except (ValueError, TypeError, OSError, MemoryError) as error:
        return Reading(name, (), error_words(error).removeprefix(f"{name}: "), error=True)
    try:
        if many:
            digits, left_out = read_digits(picture, classify)
        else:
            digits, left_out = [read_digit(picture, classify)], 0
    except NoDigitError as error:
        found = error.found if isinstance(error, SeveralDigitsError) else 0
        return Reading(name, (), str(error), picture=picture, found=found)
    return Reading(name, tuple(digits), picture=picture, found=len(digits), left_out=left_out)


def as_dict(reading: Reading, many: bool = False) -> dict[str, Any]:
    """A reading ready for JSON.

    Returns
    -------
    dict
        ``path``, ``digit`` and ``probabilities``, both None where no digit was read, and
        ``found``, how many there are; with ``many`` instead ``path``, ``text``, ``digits``, a
        list with ``digit``, ``probabilities``, ``box`` and ``line`` each, and ``left_out``.
        Where none was read also ``reason``.
    """
    entry: dict[str, Any] = {"path": reading.path}
    if many:
        entry["text"] = reading.text
        entry["digits"] = [
            _entry(digit) | {"box": [round(side, 1) for side in digit.box], "line": digit.line}
            for digit in reading.digits
        ]
        entry["left_out"] = reading.left_out
    else:
        entry |= _entry(reading.digits[0] if reading.digits else None) | {"found": reading.found}
    return entry | ({} if reading.digits else {"reason": reading.reason})


def _entry(digit: Digit | None) -> dict[str, Any]:
    if digit is None:
        return {"digit": None, "probabilities": None}
    return {"digit": digit.digit, "probabilities": [float(p) for p in digit.probabilities]}
