"""Read pictures with a network: each digit is brought into MNIST's frame, in several views."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .files import Picture
from .finding import Box, Cutting, find_digit
from .frame import SIZE, already_framed, normalised
from .likeness import digit_margins
from .lines import Piece, TooManyMarksError, find_digits
from .marks import NoDigitError
from .reader import DIGITS, Reader

# The mean over several views of a digit errs less than any one of them. The views are the digit as
# it is, slanted either way, and with two other stroke widths in pixels of MNIST's box; each is
# also shifted by a pixel in four directions, because the centre of mass falls between pixels.
_WIDTHS = (None, None, None, 2.6, 3.4)
_SLANTS = (0.0, -0.15, 0.15, 0.0, 0.0)
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
    """A digit that was read, or another character.

    Attributes
    ----------
    index
        The likeliest class, from 0.
    names
        (C,) the names of all classes.
    probabilities
        (C,) float32, the mean over the views.
    box
        Left, top, right, bottom in the picture file's pixels, the last two exclusive.
    line
        Number of its line, from 0 at the top.
    seen
        (28, 28) uint8, the first view that the network saw.
    """

    index: int
    names: tuple[str, ...]
    probabilities: np.ndarray
    box: Box
    line: int
    seen: np.ndarray

    @property
    def name(self) -> str:
        """The name of the likeliest class."""
        return self.names[self.index]

    def likeliest(self, most: int) -> list[int]:
        """Return all classes in their order, or the ``most`` likeliest of more, by probability."""
        if len(self.names) <= most:
            return list(range(len(self.names)))
        return [int(index) for index in np.argsort(-self.probabilities, kind="stable")[:most]]

    @property
    def digit(self) -> int | None:
        """The digit, 0 to 9; None if it is another character."""
        return int(self.name) if self.name in DIGITS else None


def read_digit(picture: Picture, reader: Reader) -> Digit:
    """Read the one digit of a picture, or the one character if the network knows others.

    A picture that is already framed as in MNIST is shown to the network unchanged. Ink that does
    not resemble a digit is refused if the network knows digits alone.

    Raises
    ------
    NoDigitError
        If nothing resembles a digit, or it is part of a word. A subclass of ValueError.
    SeveralDigitsError
        If there are several digits. A subclass of NoDigitError.
    """
    framed = _framed(picture)
    if framed is not None:
        if reader.of_digits and digit_margins(framed[None, None])[0] < 0:
            raise NoDigitError(_UNLIKE)
        width, height = picture.size
        chances = reader.classify(framed[None])[0]
        full = (0, 0, width, height)
        return Digit(int(chances.argmax()), reader.names, chances, full, 0, framed)
    try:
        cutting = find_digit(picture)
    except NoDigitError:
        _see_that_one(picture, reader)
        raise
    ink, box = cutting.ink, cutting.box
    if not cutting.alone:
        whole = _see_that_one(picture, reader)
        if whole is not None and _covers(whole.box, box):  # the other stroke of an open 4
            ink, box = whole.ink, whole.box
            cutting = replace(cutting, dotted=None, beside=())
    if not reader.of_digits and cutting.dotted is not None:
        ink = cutting.dotted
    views = normalised(ink, _WIDTHS, _SLANTS)[None]
    (digit,) = _read(views, [box], [0], reader)
    unlike = reader.of_digits and digit_margins(views)[0] < 0
    if unlike or digit.probabilities[digit.index] < _LEAST_SURE:
        raise NoDigitError(_UNLIKE)
    if reader.of_digits and _in_a_word(cutting):
        raise NoDigitError("the mark is part of a sign or of a word")
    return digit


def _covers(whole: Box, part: Box) -> bool:
    """Return whether a box is at least as large as another on all sides, up to rounding."""
    slack = 0.1 * (part[3] - part[1])
    inside = np.array(part) * (1, 1, -1, -1) >= np.array(whole) * (1, 1, -1, -1) - slack
    return bool(inside.all())


def _in_a_word(cutting: Cutting) -> bool:
    """Return whether the marks beside a digit, or the digit with its dots, are not digits."""
    company = cutting.beside if cutting.dotted is None else (cutting.dotted, *cutting.beside)
    if not company:
        return False
    return bool((digit_margins(np.stack([normalised(ink) for ink in company])) < 0).any())


def read_digits(picture: Picture, reader: Reader) -> tuple[list[Digit], int, int]:
    """Read all digits or characters of a picture, line by line, from left to right.

    Returns
    -------
    digits
    left_out
        How many marks as large as digits were left out: they do not resemble digits, or are
        parts of words. 0 if the network knows other characters.
    at_edge
        How many more were left out because they lie along the edge of the picture.

    Raises
    ------
    NoDigitError
        If there is no digit. A subclass of ValueError.
    """
    pieces, views, foreign, at_edge = _marks(picture, reader)
    if foreign.all():
        raise NoDigitError(_UNLIKE)
    boxes, lines = [piece.box for piece in pieces], [piece.line for piece in pieces]
    digits = _read(views, boxes, lines, reader)
    kept = [d for d, out in zip(digits, foreign, strict=True) if not out]
    return kept, int(foreign.sum()), at_edge


def _see_that_one(picture: Picture, reader: Reader) -> Piece | None:
    """Raise SeveralDigitsError if there are several marks and most are clearly digits.

    Returns the only mark if there is one.
    """
    try:
        pieces, _, foreign, _ = _marks(picture, reader)
    except TooManyMarksError:
        raise
    except NoDigitError:
        return None
    pieces = [piece for piece, out in zip(pieces, foreign, strict=True) if not out]
    if len(pieces) == 1:
        return pieces[0]
    sure = reader.sure([piece.ink for piece in pieces]) if pieces else np.zeros(0)
    if (sure > _SURE).sum() > max(1, len(pieces) / 2):
        raise SeveralDigitsError(len(pieces))
    return None


def _marks(picture: Picture, reader: Reader) -> tuple[Sequence[Piece], np.ndarray, np.ndarray, int]:
    """Return the marks in lines, their views (N, V, 28, 28), and which are not digits (N,).

    And how many were left out at the edge of the picture.
    """
    is_clear = reader.is_clear if reader.of_digits else None
    pieces, at_edge = find_digits(picture, reader.sure, reader.is_four, is_clear)
    views = np.stack([normalised(piece.ink, _WIDTHS, _SLANTS) for piece in pieces])
    foreign = np.zeros(len(pieces), bool)
    if reader.of_digits:
        boxes, lines = np.array([p.box for p in pieces]), np.array([p.line for p in pieces])
        foreign = _foreign(digit_margins(views), boxes, lines)
    return pieces, views, foreign, at_edge


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
    views: np.ndarray, boxes: Sequence[Box], lines: Sequence[int], reader: Reader
) -> list[Digit]:
    """Read digits from all their views (N, V, 28, 28)."""
    return [
        Digit(int(mean.argmax()), reader.names, mean, box, line, seen)
        for mean, box, line, seen in zip(
            reader.chances(views), boxes, lines, views[:, 0], strict=True
        )
    ]
