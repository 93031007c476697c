"""Pictures read by a network: each digit is shown to it as MNIST would, in several views."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .files import Picture
from .finding import Box, find_digit
from .frame import SIZE, already_framed, normalised
from .lines import find_digits
from .marks import NoDigitError
from .splitting import Judge

# Takes images (N, 28, 28) uint8, ink bright; returns the probabilities (N, 10).
Classify = Callable[[np.ndarray], np.ndarray]

# A digit is shown in several views, whose mean errs less than any one of them. Pens differ: as it
# is and with two widths of the stroke, in pixels of MNIST's box. Writers lean either way. And each
# of those as it is and a pixel to each side, because a centre of mass falls between pixels.
_WIDTHS = (None, None, None, 2.6, 3.4)
_SLANTS = (0.0, -0.15, 0.15, 0.0, 0.0)
_SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
_LEAST_SURE = 0.45  # a likeliest digit of less is a guess
_SURE = 0.8  # what is part of a broken digit is seldom so like another digit


class SeveralDigitsError(NoDigitError):
    """Several digits are where one was to be read; ``found`` is how many."""

    def __init__(self, found: int) -> None:
        super().__init__(f"there are {found} digits; several are read with many")
        self.found = found


@dataclass(frozen=True, eq=False)
class Digit:
    """A digit that was read.

    Attributes
    ----------
    digit
        From 0 to 9, the likeliest.
    probabilities
        (10,) float32, the mean over the views.
    box
        Left, top, right, bottom in the picture file's pixels, the last two just outside.
    line
        Counted from 0 at the top.
    seen
        (28, 28) uint8, what the network saw first.
    """

    digit: int
    probabilities: np.ndarray
    box: Box
    line: int
    seen: np.ndarray


def read_digit(picture: Picture, classify: Classify) -> Digit:
    """Read the one digit of a picture.

    What is in the frame of MNIST already is shown to the network as it is.

    Raises
    ------
    NoDigitError
        If there is none, or nothing that resembles one. Is a ValueError.
    SeveralDigitsError
        If there are several. Is a NoDigitError.
    """
    framed = _framed(picture)
    if framed is not None:
        width, height = picture.size
        probabilities = classify(framed[None])[0]
        return Digit(int(probabilities.argmax()), probabilities, (0, 0, width, height), 0, framed)
    try:
        cutting = find_digit(picture)
    except NoDigitError:
        _see_that_one(picture, classify)
        raise
    if not cutting.alone:
        _see_that_one(picture, classify)
    digit = _read([cutting.ink], [cutting.box], [0], classify)[0]
    if digit.probabilities[digit.digit] < _LEAST_SURE:
        raise NoDigitError("what is there resembles no digit")
    return digit


def read_digits(picture: Picture, classify: Classify) -> list[Digit]:
    """Read all digits of a picture, line by line, from left to right.

    Raises
    ------
    NoDigitError
        If there is none. Is a ValueError.
    """

    pieces = find_digits(picture, _judge(classify))
    inks, boxes, lines = zip(*((p.ink, p.box, p.line) for p in pieces), strict=True)
    return _read(inks, boxes, lines, classify)


def _judge(classify: Classify) -> Judge:
    def judge(inks: Sequence[np.ndarray]) -> np.ndarray:
        views = np.stack([normalised(ink) for ink in inks])
        likeliest: np.ndarray = _chances(views, classify).max(axis=1)
        return likeliest

    return judge


def _see_that_one(picture: Picture, classify: Classify) -> None:
    """Raise SeveralDigitsError where there are several and most are clearly digits."""
    judge = _judge(classify)
    try:
        pieces = find_digits(picture, judge)
    except NoDigitError:
        return
    sure = (judge([piece.ink for piece in pieces]) > _SURE).sum()
    if sure > max(1, len(pieces) / 2):
        raise SeveralDigitsError(len(pieces))


def _framed(picture: Picture) -> np.ndarray | None:
    height, width, channels = picture.pixels.shape
    if (height, width) != (SIZE, SIZE):
        return None
    if channels > 1 and np.ptp(picture.pixels, axis=2).max() > 0.02:
        return None  # coloured, which MNIST never is
    return already_framed(picture.pixels.mean(axis=2))


def _read(
    inks: Sequence[np.ndarray], boxes: Sequence[Box], lines: Sequence[int], classify: Classify
) -> list[Digit]:
    """The digits of some inks, each read in all views."""
    views = np.stack([normalised(ink, _WIDTHS, _SLANTS) for ink in inks])
    return [
        Digit(int(mean.argmax()), mean, box, line, seen)
        for mean, box, line, seen in zip(
            _chances(views, classify), boxes, lines, views[:, 0], strict=True
        )
    ]


def _chances(views: np.ndarray, classify: Classify) -> np.ndarray:
    """The probabilities (N, 10), means over the views (N, V, 28, 28) and these a pixel aside."""
    shifted = np.stack([np.roll(views, shift, (2, 3)) for shift in _SHIFTS], axis=1)
    probabilities = classify(shifted.reshape(-1, SIZE, SIZE))
    means: np.ndarray = probabilities.reshape(len(views), -1, probabilities.shape[1]).mean(axis=1)
    return means
