"""Read pictures from any source, one after the other."""

import glob
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..kernels.backends import get_ready_backend
from ..models import checkpoint
from ..models.inference import NOT_FINITE
from ..models.model import Model
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
    """The result of reading a picture.

    Attributes
    ----------
    path
        The path as given, or a name such as ``<array>`` for other sources.
    digits
        Line by line, from left to right; empty if none was read. Without ``many`` at most one.
    reason
        Why there are no digits; empty if there are some.
    error
        Whether the picture could not be opened, or the network's outputs are not finite.
    picture
        The opened picture; None if it could not be opened.
    found
        How many digits there are; without ``many``, several are counted but not read.
    left_out
        With ``many``, how many marks were left out because they do not resemble digits.
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
        """The first digit, or None."""
        return self.digits[0].digit if self.digits else None

    @property
    def probabilities(self) -> np.ndarray | None:
        """The probabilities (10,) of the first digit, or None."""
        return self.digits[0].probabilities if self.digits else None

    @property
    def text(self) -> str:
        """The digits as one string, with a line break between lines."""
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
        A run folder, a safetensors file of this package, or a loaded model. It must take images
        of 28 x 28 pixels and have the ten digits as classes.
    pictures
        Each is a file, a folder (all pictures in it, by name), a pattern such as ``scans/*.png``,
        ``-`` for standard input, the bytes of a file, an open binary file, or an array (H, W) or
        (H, W, C), grey or colour, of any numeric type; :func:`.picture_of` describes how its
        values are interpreted. Digits may be dark on light or light on dark, of any size and
        anywhere in the picture.
    many
        Whether a picture may hold several digits, in lines; marks that do not resemble digits
        are left out. Otherwise one digit is read, and several are only counted, in ``found``.
    backend
        ``auto`` is cython if available, otherwise numpy; neither has to compile.

    Yields
    ------
    Reading
        One per picture, in order. Each picture is opened only when it is reached; if that fails,
        its reading has ``error`` set, and the others are still read.

    Raises
    ------
    FileNotFoundError, CheckpointError
        As :func:`.checkpoint.load`.
    TypeError
        If ``pictures`` is a single picture instead of a list.
    ValueError
        If the network does not read digits.
    BackendUnavailableError
        If the backend cannot be loaded.

    Examples
    --------
    >>> import mnistcore
    >>> image = mnistcore.load_data("synthetic").test_images[0]
    >>> (reading,) = mnistcore.predict("runs/first", [255 - image])
    >>> reading.text
    '7'
    """
    if isinstance(pictures, str | bytes | Path | np.ndarray):
        raise TypeError("pictures must be a list; for a single one give [picture]")
    model = run if isinstance(run, Model) else checkpoint.load(run)
    _check(model)
    kernels = get_ready_backend(backend)

    for_bytes = model.taking_bytes()  # digits are shown as bytes, whatever it was trained on

    def classify(images: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            probabilities = for_bytes.logits(kernels, images)
            kernels.softmax(probabilities, probabilities)
        if not np.isfinite(probabilities).all():
            raise FloatingPointError(NOT_FINITE)
        return probabilities

    opened = _opened(pictures, model.pixel_max or 255.0)
    return (_read(name, opens, classify, many) for name, opens in opened)


def _check(model: Model) -> None:
    """Raise ValueError if a model cannot read digits."""
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
            f" ({len(model.class_names)} in all); predict needs a network trained on digits"
        )
    if not np.isfinite(model.params).all():
        raise ValueError("the network's weights are not all finite; train it again")


def doubt(model: Model) -> str:
    """Return a warning about the images that a model was trained on, or ""."""
    if model.data is None or model.data.look in (None, "upright"):
        return ""
    looked = "do not look like handwritten digits"
    if model.data.look != "no digits":
        looked = f"look like digits that are {model.data.look}"
    return (
        f"The network was trained on {model.data.name}, whose images {looked}; it will probably"
        " misread pictures of digits."
    )


Opening = Callable[[], Picture]


def _opened(sources: Iterable[Source], white: float) -> Iterator[tuple[str, Opening]]:
    """Yield each picture's name and a function that opens it; expand folders and patterns."""
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
    raise PictureError(f"is not a picture but {type(source).__name__}; give a file or an array")


def _files(source: str) -> list[tuple[str, str]]:
    """Expand an argument to files, each with the reason why it cannot be opened, or ""."""
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
    except (OSError, ValueError) as error:  # an unreadable folder, an impossible name
        return [(source, error_words(error).removeprefix(f"{source}: "))]
    return [(p, "") for p in found] or [(source, "no file matches this pattern")]


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
    except FloatingPointError as error:
        return Reading(name, (), str(error), error=True, picture=picture)
    except NoDigitError as error:
        found = error.found if isinstance(error, SeveralDigitsError) else 0
        return Reading(name, (), str(error), picture=picture, found=found)
    return Reading(name, tuple(digits), picture=picture, found=len(digits), left_out=left_out)


def as_dict(reading: Reading, many: bool = False) -> dict[str, Any]:
    """Return a reading ready for JSON.

    Returns
    -------
    dict
        ``path``, ``digit`` and ``probabilities`` (both None if no digit was read) and ``found``,
        the number of digits. With ``many``: ``path``, ``text``, ``left_out`` and ``digits``, a
        list of dicts with ``digit``, ``probabilities``, ``box`` and ``line``. If no digit was
        read, also ``reason``.
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
