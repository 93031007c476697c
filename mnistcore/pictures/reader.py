"""A network as a reader: what its classes are called, and what it makes of ink that was cut out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .frame import averaged, normalised
from .likeness import digit_margins

# Takes images (N, 28, 28) uint8, ink bright; returns the probabilities (N, C).
Classify = Callable[[np.ndarray], np.ndarray]

DIGITS = tuple("0123456789")
_FOUR = "4"
# Of 300 of MNIST's training 4s that were cut open, 97 % have these: at least this probability of
# a 4, and this margin of likeness. Of 600 pairs of neighbouring digits one has, and it is wide.
_FOUR_SURE, _FOUR_MARGIN = 0.5, 1.5
_CLEAR_MARGIN = 7.0  # 85 to 90 % of digits exceed it, and 3 to 23 % of the letters in pages of text


@dataclass(frozen=True, eq=False)
class Reader:
    """A network that reads characters.

    Attributes
    ----------
    classify
        See :data:`Classify`.
    names
        The name of each class.
    """

    classify: Classify
    names: tuple[str, ...]

    @property
    def noun(self) -> str:
        """What it reads: see :func:`noun_of`."""
        return noun_of(self.names)

    @property
    def of_digits(self) -> bool:
        """Whether all classes are digits, so that other ink can be told from them."""
        return self.noun == "digit"

    def chances(self, views: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C), averaged over views (N, V, 28, 28) and shifts."""
        return averaged(self.classify, views)

    def sure(self, inks: Sequence[np.ndarray]) -> np.ndarray:
        """Return the highest probability (N,) of N inks."""
        likeliest: np.ndarray = self.chances(_views(inks)).max(axis=1)
        return likeliest

    def is_four(self, inks: Sequence[np.ndarray]) -> np.ndarray:
        """Return which of N inks, each two strokes side by side, are a 4, (N,) bool."""
        if _FOUR not in self.names:
            return np.zeros(len(inks), bool)
        views = _views(inks)
        chances = self.chances(views)[:, self.names.index(_FOUR)]
        fours: np.ndarray = (chances > _FOUR_SURE) & (digit_margins(views) > _FOUR_MARGIN)
        return fours

    def is_clear(self, inks: Sequence[np.ndarray]) -> np.ndarray:
        """Return which of N inks are clearly digits, (N,) bool."""
        clear: np.ndarray = digit_margins(_views(inks)) > _CLEAR_MARGIN
        return clear


def noun_of(names: Sequence[str]) -> str:
    """Return what a network with these classes reads: "digit" or "character"."""
    return "digit" if set(names) <= set(DIGITS) else "character"


def _views(inks: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([normalised(ink) for ink in inks])
