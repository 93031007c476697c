"""What stands next to a digit: a mark that looks like a 0 is none in "fox"."""

import numpy as np

from .marks import is_blob, is_frame, is_rule, lifted
from .regions import Regions

_LIKE = 2.0  # lengths and widths of strokes differ by no more than this factor,
_ROW = 0.5  # marks stand side by side for this share of the lower one's height,
_APART = 1.0  # and so many heights of the digit apart at most


def inks_beside(
    strength: np.ndarray, regions: Regions, chosen: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The inks of the nearest mark to the left and to the right of a digit, where there are any.

    Parameters
    ----------
    strength
        (H, W), of the ink of the picture.
    regions
        Its marks.
    chosen
        (N,) bool, those that are the digit.
    """
    top, bottom = regions.top[chosen].min(), regions.bottom[chosen].max()
    left, right = regions.left[chosen].min(), regions.right[chosen].max()
    length = max(bottom - top, right - left)
    pen = np.average(regions.width[chosen], weights=regions.area[chosen])
    common = np.minimum(regions.bottom, bottom) - np.maximum(regions.top, top)
    lower = np.minimum(regions.bottom - regions.top, bottom - top)
    alike = _within(regions.long_side / length) & _within(regions.width / pen) & ~chosen
    alike &= (common >= _ROW * lower) & (regions.contact == 0)
    alike &= ~(is_blob(regions) | is_rule(regions) | is_frame(regions))
    inks = []
    for gap in (left - regions.right, regions.left - right):
        near = alike & (gap > -0.3 * length) & (gap < _APART * length)
        if near.any():
            nearest = np.arange(len(regions)) == np.where(near, gap, np.inf).argmin()
            inks.append(lifted(strength, regions.mask(nearest), regions.labels >= 0)[0])
    return tuple(inks)


def _within(ratio: np.ndarray) -> np.ndarray:
    return (ratio >= 1 / _LIKE) & (ratio <= _LIKE)
