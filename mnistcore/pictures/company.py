"""Marks next to a digit: the "o" of "fox" is not a 0, and a 7 above a dot is a question mark."""

import numpy as np

from .marks import is_blob, is_frame, is_rule, lifted
from .regions import Regions

# Two marks are neighbours if their lengths, strokes and contrasts differ by at most the factor
# _LIKE, they overlap vertically by _ROW of the shorter one's height, and the gap between them is
# below _APART. _APART, _DOTS and _ABOVE are in units of the digit's length.
_LIKE = 2.0
_ROW = 0.5
_APART = 1.0
_DOTS = (0.07, 0.35)  # the size of dots
_ABOVE = 0.35  # how far dots lie above or below the digit


def company_of(
    strength: np.ndarray, regions: Regions, chosen: np.ndarray
) -> tuple[np.ndarray | None, tuple[np.ndarray, ...]]:
    """Return the inks around a digit that must also look like digits if it really is one.

    These are the digit together with dots in, above or below it, None if there are no dots, and
    the next mark on either side.

    Parameters
    ----------
    strength
        (H, W) ink strength of the picture.
    regions
        Its N marks.
    chosen
        (N,) bool, the marks that form the digit.
    """
    top, bottom = regions.top[chosen].min(), regions.bottom[chosen].max()
    left, right = regions.left[chosen].min(), regions.right[chosen].max()
    length = max(bottom - top, right - left)
    inked = regions.labels >= 0
    contrast = np.bincount(regions.labels[inked], strength[inked], len(regions)) / regions.area
    around = regions.area[chosen]
    alike = _within(contrast / np.average(contrast[chosen], weights=around)) & ~chosen
    filled = is_blob(regions)

    def ink(part: np.ndarray) -> np.ndarray:
        return lifted(strength, regions.mask(part), inked)[0]

    middle = (regions.top + regions.bottom) / 2, (regions.left + regions.right) / 2
    size = regions.long_side / length
    dots = alike & filled & (size > _DOTS[0]) & (size < _DOTS[1])
    dots &= (middle[0] > top - _ABOVE * length) & (middle[0] < bottom + _ABOVE * length)
    dots &= (middle[1] > left) & (middle[1] < right)
    dotted = ink(chosen | dots) if dots.any() else None

    pen = np.average(regions.width[chosen], weights=around)
    common = np.minimum(regions.bottom, bottom) - np.maximum(regions.top, top)
    lower = np.minimum(regions.bottom - regions.top, bottom - top)
    near = alike & _within(size) & _within(regions.width / pen) & (common >= _ROW * lower)
    near &= (regions.contact == 0) & ~(filled | is_rule(regions) | is_frame(regions))
    beside = []
    for gap in (left - regions.right, regions.left - right):
        able = near & (gap > -0.3 * length) & (gap < _APART * length)
        if able.any():
            nearest = int(np.where(able, gap, np.inf).argmin())
            beside.append(ink(np.arange(len(regions)) == nearest))
    return dotted, tuple(beside)


def _within(ratio: np.ndarray) -> np.ndarray:
    return (ratio >= 1 / _LIKE) & (ratio <= _LIKE)
