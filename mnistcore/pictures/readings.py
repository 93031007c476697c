"""Read pictures from any source, one after the other."""

import glob
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..kernels.backends import get_ready_backend
from ..models.ensemble import Ensemble, Sources, load_together
from ..models.inference import NOT_FINITE
from ..models.model import Model
from ..system.errors import by, error_words
from .files import SUFFIXES, Picture, PictureError, open_picture, picture_of
from .frame import SIZE
from .marks import NoDigitError
from .reader import DIGITS, Reader, noun_of
from .reading import Digit, SeveralDigitsError, read_digit, read_digits

STDIN = "-"
_LONGEST = 3  # letters of a class name: "Aa" is a character, "trousers" are not

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
        Of a network that knows other characters, these.
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
    at_edge
        With ``many``, how many more were left out along the edge of the picture.
    names
        The names of the network's classes.
    """

    path: str
    digits: tuple[Digit, ...]
    reason: str = ""
    error: bool = False
    picture: Picture | None = None
    found: int = 0
    left_out: int = 0
    at_edge: int = 0
    names: tuple[str, ...] = DIGITS

    @property
    def noun(self) -> str:
        """What the network reads: "digit" or "character"."""
        return noun_of(self.names)

    @property
    def digit(self) -> int | None:
        """The first digit; None if there is none or it is another character."""
        return self.digits[0].digit if self.digits else None

    @property
    def character(self) -> str | None:
        """The name of the first class that was read, or None."""
        return self.digits[0].name if self.digits else None

    @property
    def probabilities(self) -> np.ndarray | None:
        """The probabilities (C,) of the first digit, or None."""
        return self.digits[0].probabilities if self.digits else None

    @property
    def text(self) -> str:
        """The digits as one string, with a line break between lines.

        Class names of several letters are separated by spaces.
        """
        between = " " if max(map(len, self.names)) > 1 else ""
        lines = groupby(self.digits, key=lambda digit: digit.line)
        return "\n".join(between.join(digit.name for digit in line) for _, line in lines)


def predict_pictures(
    run: Sources,
    pictures: Iterable[Source],
    many: bool = False,
    backend: str = "auto",
) -> Iterator[Reading]:
    """Read the digits in pictures.

    Parameters
    ----------
    run
        A run folder, a safetensors file of this package, a list of these whose probabilities are
        averaged, or a loaded model or ensemble. It must take images
        of 28 x 28 pixels, and its classes must be characters: names of at most three letters.
        Only if all are digits, other ink is told from them and refused.
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
        If the network does not read characters.
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
    model = load_together(run)
    for name, member in _members(model).items():
        check_characters(member, name)
    kernels = get_ready_backend(backend)

    shown = model.taking_pictures()  # light ink on 0, whatever it was trained on

    def classify(images: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            probabilities = shown.logits(kernels, images)
            kernels.softmax(probabilities, probabilities)
        if not np.isfinite(probabilities).all():
            raise FloatingPointError(NOT_FINITE)
        return probabilities

    reader = Reader(classify, model.class_names)
    opened = _opened(pictures, model.pixel_max or 255.0)
    return (_read(name, opens, reader, many) for name, opens in opened)


def check_characters(model: Model, name: str = "the network") -> None:
    """Raise ValueError if a model, which messages call by a name, cannot read characters."""
    n_inputs = model.network.layer_sizes[0]
    sides = tuple(side for side in model.input_shape if side != 1)
    if n_inputs != SIZE * SIZE or sides not in ((SIZE, SIZE), (SIZE * SIZE,)):
        taken = f"{n_inputs} inputs" if len(sides) < 2 else f"images of {by(sides)} pixels"
        raise ValueError(
            f"the network takes {taken}; {noun_of(model.class_names)}s are shown"
            f" in {SIZE} x {SIZE} pixels, so give one of {SIZE * SIZE} inputs in that shape"
        )
    if not all(0 < len(name) <= _LONGEST and name.isprintable() for name in model.class_names):
        names = ", ".join(model.class_names[:4])
        raise ValueError(
            f"the network's classes are not digits or letters but {names!r}, ..."
            f" ({len(model.class_names)} in all); predict needs a network trained on characters"
        )
    if not np.isfinite(model.params).all():
        raise ValueError(f"the weights of {name} are not all finite; train it again")


def _members(model: Model | Ensemble) -> dict[str, Model]:
    if isinstance(model, Model):
        return {"the network": model}
    return dict(zip(model.names, model.members, strict=True))


def doubt(model: Model | Ensemble) -> str:
    """Return a warning about the images that a model, or one of several, was trained on, or ""."""
    return next(filter(None, map(_doubt, _members(model).values())), "")


def _doubt(model: Model) -> str:
    if model.data is None or model.data.look in (None, "upright"):
        return ""
    if model.data.look == "no digits" and noun_of(model.class_names) != "digit":
        return ""  # they should not
    looked = "do not look like handwritten digits"
    if model.data.look != "no digits":
        looked = f"look like digits that are {model.data.look}"
    return (
        f"The network was trained on {model.data.name}, whose images {looked}; it will probably"
        f" misread pictures of {noun_of(model.class_names)}s."
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


def _read(name: str, opens: Opening, reader: Reader, many: bool) -> Reading:
    nothing = Reading(name, (), names=reader.names)
    try:
        picture = opens()
    except (ValueError, TypeError, OSError, MemoryError) as error:
        return replace(nothing, reason=error_words(error).removeprefix(f"{name}: "), error=True)
    nothing = replace(nothing, picture=picture)
    try:
        if many:
            digits, left_out, at_edge = read_digits(picture, reader)
        else:
            digits, left_out, at_edge = [read_digit(picture, reader)], 0, 0
        found = len(digits)
    except FloatingPointError as error:
        return replace(nothing, reason=str(error), error=True)
    except NoDigitError as error:
        found = error.found if isinstance(error, SeveralDigitsError) else 0
        return replace(nothing, reason=str(error).replace("digit", reader.noun), found=found)
    return replace(nothing, digits=tuple(digits), found=found, left_out=left_out, at_edge=at_edge)


def as_dict(reading: Reading, many: bool = False) -> dict[str, Any]:
    """Return a reading ready for JSON.

    Returns
    -------
    dict
        ``path``, ``digit`` and ``probabilities`` (both None if no digit was read) and ``found``,
        the number of digits. With ``many``: ``path``, ``text``, ``left_out``, ``at_edge`` and
        ``digits``, a list of dicts with ``digit``, ``probabilities``, ``box`` and ``line``. If no
        digit was read, also ``reason``. Of a network that knows other characters, ``character``
        (a class name) and ``characters`` take the place of ``digit`` and ``digits``. Unless the
        classes are the ten digits, ``class_names`` say what the probabilities belong to. Only if
        the file has further pages or frames, which were not read, ``first_of_several`` is true.
    """
    entry: dict[str, Any] = {"path": reading.path}
    if reading.names != DIGITS:
        entry["class_names"] = list(reading.names)
    if many:
        entry["text"] = reading.text
        entry[f"{reading.noun}s"] = [
            _entry(reading.noun, digit)
            | {"box": [round(side, 1) for side in digit.box], "line": digit.line}
            for digit in reading.digits
        ]
        entry |= {"left_out": reading.left_out, "at_edge": reading.at_edge}
    else:
        first = reading.digits[0] if reading.digits else None
        entry |= _entry(reading.noun, first) | {"found": reading.found}
    if reading.picture is not None and reading.picture.first_of_several:
        entry["first_of_several"] = True
    return entry | ({} if reading.digits else {"reason": reading.reason})


def _entry(noun: str, digit: Digit | None) -> dict[str, Any]:
    if digit is None:
        return {noun: None, "probabilities": None}
    value = digit.digit if noun == "digit" else digit.name
    return {noun: value, "probabilities": [float(p) for p in digit.probabilities]}
