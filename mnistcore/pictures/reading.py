"""Read pictures with a network: each digit is brought into MNIST's frame, in several views."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .files import Picture
from .finding import Box, find_digit
from .frame import SIZE, already_framed, normalised
from .likeness import digit_margins
from .lines import Piece, find_digits
from .marks import NoDigitError
from .splitting import Judge

# Takes images (N, 28, 28) uint8, ink bright; returns the probabilities (N, 10).
Classify = Callable[[np.ndarray], np.ndarray]

# The mean over several views of a digit errs less than any one of them. The views are the digit as
# it is, slanted either way, and with two other stroke widths in pixels of MNIST's box; each is
# also shifted by a pixel in four directions, because the centre of mass falls between pixels.
_WIDTHS = (None, None, None, 2.6, 3.4)
_SLANTS = (0.0, -0.15, 0.15, 0.0, 0.0)
_SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
_LEAST_SURE = 0.3  # below this probability the network is guessing
_SURE = 0.8  # a fragment of a broken digit seldom looks this much like another digit

# Marks close together form a word, which consists either of digits or of letters.
_SPACE = 0.4  # gap between two words, in heights of a digit
_CLEARLY = 3.0  # a mark this far below the threshold is not a digit
_SHARE = 0.25  # if more than this share of a word is clearly not digits, none of it is
_UNLIKE = "nothing there resembles a digit"


class SeveralDigitsError(NoDigitError):
    """There are several digits where one was expected; ``found`` is how many."""

    def __init__(self, found: int) -> None:
        super().__init__(f"there are {found} digits; use many to read them all")
        self.found = found


@dataclass(frozen=True, eq=False)
class Digit:
    """A digit that was read.

    Attributes
    ----------
    digit
        The likeliest digit, 0 to 9.
    probabilities
        (10,) float32, the mean over the views.
    box
        Left, top, right, bottom in the picture file's pixels, the last two exclusive.
    line
        Number of its line, from 0 at the top.
    seen
        (28, 28) uint8, the first view that the network saw.
    """

    digit: int
    probabilities: np.ndarray
    box: Box
    line: int
    seen: np.ndarray


def read_digit(picture: Picture, classify: Classify) -> Digit:
    """Read the one digit of a picture.

    A picture that is already framed as in MNIST is shown to the network unchanged.

    Raises
    ------
    NoDigitError
        If nothing resembles a digit, or it is part of a word. A subclass of ValueError.
    SeveralDigitsError
        If there are several digits. A subclass of NoDigitError.
    """
    framed = _framed(picture)
    if framed is not None:
        if digit_margins(framed[None, None])[0] < 0:
            raise NoDigitError(_UNLIKE)
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
    views = normalised(cutting.ink, _WIDTHS, _SLANTS)[None]
    (digit,) = _read(views, [cutting.box], [0], classify)
    if digit_margins(views)[0] < 0 or digit.probabilities[digit.digit] < _LEAST_SURE:
        raise NoDigitError(_UNLIKE)
    if cutting.company:
        company = np.stack([normalised(ink) for ink in cutting.company])
        if (digit_margins(company) < 0).any():
            raise NoDigitError("the mark is part of a sign or of a word")
    return digit


def read_digits(picture: Picture, classify: Classify) -> tuple[list[Digit], int]:
    """Read all digits of a picture, line by line, from left to right.

    Returns
    -------
    digits
    left_out
        How many marks as large as digits were left out: they do not resemble digits, or are
        parts of words.

    Raises
    ------
    NoDigitError
        If there is no digit. A subclass of ValueError.
    """
    pieces, views, foreign = _marks(picture, _judge(classify))
    if foreign.all():
        raise NoDigitError(_UNLIKE)
    boxes, lines = [piece.box for piece in pieces], [piece.line for piece in pieces]
    digits = _read(views, boxes, lines, classify)
    return [d for d, out in zip(digits, foreign, strict=True) if not out], int(foreign.sum())


def _judge(classify: Classify) -> Judge:
    def judge(inks: Sequence[np.ndarray]) -> np.ndarray:
        views = np.stack([normalised(ink) for ink in inks])
        likeliest: np.ndarray = _chances(views, classify).max(axis=1)
        return likeliest

    return judge


def _see_that_one(picture: Picture, classify: Classify) -> None:
    """Raise SeveralDigitsError if there are several marks and most are clearly digits."""
    judge = _judge(classify)
    try:
        pieces, _, foreign = _marks(picture, judge)
    except NoDigitError:
        return
    inks = [piece.ink for piece, out in zip(pieces, foreign, strict=True) if not out]
    if len(inks) > 1 and (judge(inks) > _SURE).sum() > max(1, len(inks) / 2):
        raise SeveralDigitsError(len(inks))


def _marks(picture: Picture, judge: Judge) -> tuple[Sequence[Piece], np.ndarray, np.ndarray]:
    """Return the marks in lines, their views (N, V, 28, 28), and which are not digits (N,)."""
    pieces = find_digits(picture, judge)
    views = np.stack([normalised(piece.ink, _WIDTHS, _SLANTS) for piece in pieces])
    boxes, lines = np.array([p.box for p in pieces]), np.array([p.line for p in pieces])
    return pieces, views, _foreign(digit_margins(views), boxes, lines)


def _foreign(margins: np.ndarray, boxes: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Return which marks (N,) are not digits, from likeness margins, boxes (N, 4) and lines.

    Marks are judged by words; a single mark is judged together with its line.
    """
    height = np.median(boxes[:, 3] - boxes[:, 1])
    apart = boxes[1:, 0] - boxes[:-1, 2] > _SPACE * height
    word = np.append(0, np.cumsum(apart | (np.diff(lines) != 0)))
    clearly = margins < -_CLEARLY
    marks = np.bincount(word)[word]
    sums = np.where(marks > 1, np.bincount(word, margins)[word], np.bincount(lines, margins)[lines])
    foreign: np.ndarray = (sums < 0) | (np.bincount(word, clearly)[word] > _SHARE * marks) | clearly
    return foreign


def _framed(picture: Picture) -> np.ndarray | None:
    height, width, channels = picture.pixels.shape
    if (height, width) != (SIZE, SIZE):
        return None
    if channels > 1 and np.ptp(picture.pixels, axis=2).max() > 0.02:
        return None  # coloured, which MNIST never is
    return already_framed(picture.pixels.mean(axis=2))


def _read(
    views: np.ndarray, boxes: Sequence[Box], lines: Sequence[int], classify: Classify
) -> list[Digit]:
    """Read digits from all their views (N, V, 28, 28)."""
    return [
        Digit(int(mean.argmax()), mean, box, line, seen)
        for mean, box, line, seen in zip(
            _chances(views, classify), boxes, lines, views[:, 0], strict=True
        )
    ]


def _chances(views: np.ndarray, classify: Classify) -> np.ndarray:
    """Return probabilities (N, 10), averaged over views (N, V, 28, 28) and shifts of a pixel."""
    shifted = np.stack([np.roll(views, shift, (2, 3)) for shift in _SHIFTS], axis=1)
    probabilities = classify(shifted.reshape(-1, SIZE, SIZE))
    means: np.ndarray = probabilities.reshape(len(views), -1, probabilities.shape[1]).mean(axis=1)
    return means
