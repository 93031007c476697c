"""Pictures read by a network: each digit is shown to it as MNIST would, in several views."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .files import Picture
from .finding import NoDigitError, find_digit
from .frame import SIZE, already_framed, normalised
from .lines import find_digits

# Takes images (N, 28, 28) uint8, ink bright; returns the probabilities (N, 10).
Classify = Callable[[np.ndarray], np.ndarray]

# Stroke width in pixels of MNIST's box (None: as it is) and slant. Writers lean either way and
# pens differ; the mean over views errs less than the first, which is what is shown.
_VIEWS: tuple[tuple[float | None, float], ...] = (
    (None, 0.0), (None, -0.15), (None, 0.15), (2.6, 0.0), (3.4, 0.0),
)  # fmt: skip
_LEAST_SURE = 0.4  # a likeliest digit of less is a guess


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
    box: tuple[float, float, float, float]
    line: int
    seen: np.ndarray


def read_digit(picture: Picture, classify: Classify) -> Digit:
    """Read the one digit of a picture.

    What is in the frame of MNIST already is shown to the network as it is.

    Raises
    ------
    NoDigitError
        If there is none, or nothing that resembles one. Is a ValueError.
    """
    framed = _framed(picture)
    if framed is not None:
        width, height = picture.size
        return _digit(classify(framed[None])[0], (0.0, 0.0, width, height), 0, framed)
    cutting = find_digit(picture)
    images = _views(cutting.ink)
    digit = _digit(classify(images).mean(axis=0), cutting.box, 0, images[0])
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

    def judge(inks: Sequence[np.ndarray]) -> np.ndarray:
        likeliest: np.ndarray = classify(np.stack([normalised(ink) for ink in inks])).max(axis=1)
        return likeliest

    pieces = find_digits(picture, judge)
    images = np.stack([_views(piece.ink) for piece in pieces])
    probabilities = classify(images.reshape(-1, *images.shape[2:]))
    means = probabilities.reshape(len(pieces), len(_VIEWS), -1).mean(axis=1)
    return [
        _digit(mean, piece.box, piece.line, views[0])
        for piece, mean, views in zip(pieces, means, images, strict=True)
    ]


def _framed(picture: Picture) -> np.ndarray | None:
    height, width, channels = picture.pixels.shape
    if (height, width) != (SIZE, SIZE):
        return None
    if channels > 1 and np.ptp(picture.pixels, axis=2).max() > 0.02:
        return None  # coloured, which MNIST never is
    return already_framed(picture.pixels.mean(axis=2))


def _views(ink: np.ndarray) -> np.ndarray:
    """The views (V, 28, 28) of a digit."""
    return np.stack([normalised(ink, width, slant) for width, slant in _VIEWS])


def _digit(
    probabilities: np.ndarray,
    box: tuple[float, float, float, float],
    line: int,
    seen: np.ndarray,
) -> Digit:
    return Digit(int(probabilities.argmax()), probabilities, box, line, seen)
