"""Separate digits that touch.

A group of marks wider than a digit is cut at every plausible place. Of all segmentations by these
cuts, the one whose pieces the network recognises best is used: heuristic over-segmentation
(Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", 1998, section V).
"""

from collections.abc import Callable

import numpy as np

from .regions import Regions, find_regions

# Lengths are in heights of the line, costs in the logarithm of a probability.
_NARROW = 0.5  # a narrower group is not cut
_USUAL, _SURE = 0.85, 0.9  # nor is one narrower than _USUAL with a probability above _SURE
_NEAR = 0.12  # smallest distance of two cuts, and so the smallest width of a digit
_WIDEST = 1.5
_LEAST_HEIGHT = 0.5
_CUTS = 4  # per height of the line
_DOUBT = 1e-4  # lower bound of a probability
_PIECE = 0.35  # cost of each digit
_WIDE = 6.0  # cost of width beyond 0.9 heights
_THROUGH = 3.0  # cost of the height of ink that the cut after a digit goes through
_AGAIN = 1.5  # cost of every stroke that it goes through but the first

Lifted = tuple[np.ndarray, tuple[int, int, int, int]]
# Takes N inks made by :func:`.marks.lifted`; returns the highest class probability (N,) of each.
Judge = Callable[[list[np.ndarray]], np.ndarray]


def split(
    regions: Regions,
    group: np.ndarray,
    height: float,
    lift: Callable[[np.ndarray], Lifted],
    judge: Judge,
) -> list[np.ndarray]:
    """Return the masks (H, W) of the digits of a group: itself, unless cutting it is better.

    Parameters
    ----------
    regions, group
        All marks, and the indices of those in the group.
    height
        Of the line, in pixels.
    lift
        Turns a mask (H, W) into ink and its box.
    judge
        See :data:`Judge`.
    """
    chosen = np.zeros(len(regions), bool)
    chosen[group] = True
    whole = regions.mask(chosen)
    left, right = int(regions.left[group].min()), int(regions.right[group].max())
    top, bottom = int(regions.top[group].min()), int(regions.bottom[group].max())
    height = max(height, 0.7 * (bottom - top))
    if right - left < _NARROW * height:
        return [whole]
    if right - left < _USUAL * height and judge([lift(whole)[0]])[0] > _SURE:
        return [whole]
    part = whole[top:bottom, left:right]
    cuts = _cuts(part, height)
    pieces = {}
    for i, j in _spans(cuts, height):
        if _tall(part[:, cuts[i] : cuts[j]]) >= _LEAST_HEIGHT * height:
            own = np.zeros_like(whole)
            own[top:bottom, left + cuts[i] : left + cuts[j]] = part[:, cuts[i] : cuts[j]]
            pieces[i, j] = own
    if not pieces:
        return [whole]
    sure = judge([lift(own)[0] for own in pieces.values()])
    way = _best_way(dict(zip(pieces, sure, strict=True)), cuts, part, height)
    return [pieces[span] for span in way] or [whole]


def _cuts(part: np.ndarray, height: float) -> list[int]:
    """Return the columns at which a group (H, W) may be cut: both ends, and where ink is least."""
    profile = part.sum(axis=0)
    width = len(profile)
    apart = max(2, round(_NEAR * height))
    cuts = [0, width]
    for column in np.argsort(profile, kind="stable"):
        if len(cuts) > _CUTS * width / height + 2:
            break
        if all(abs(column - other) >= apart for other in cuts):
            cuts.append(int(column))
    return sorted(cuts)


def _spans(cuts: list[int], height: float) -> list[tuple[int, int]]:
    """Return pairs of cuts between which there may be a digit."""
    return [
        (i, j)
        for i in range(len(cuts))
        for j in range(i + 1, len(cuts))
        if j == i + 1 or cuts[j] - cuts[i] <= _WIDEST * height
    ]


def _tall(piece: np.ndarray) -> int:
    """Return the height of the largest mark of a piece."""
    marks = find_regions(piece)
    if not len(marks):
        return 0
    return int((marks.bottom - marks.top)[marks.area.argmax()])


def _best_way(
    sure: dict[tuple[int, int], float], cuts: list[int], part: np.ndarray, height: float
) -> list[tuple[int, int]]:
    """Return the adjoining spans of least total cost; none if they cannot reach the end."""
    cost = np.full(len(cuts), np.inf)
    cost[0] = 0
    before = [0] * len(cuts)
    for i, j in sorted(sure, key=lambda span: span[1]):
        wide = max((cuts[j] - cuts[i]) / height - 0.9, 0)
        total = cost[i] - np.log(max(sure[i, j], _DOUBT)) + _PIECE + _WIDE * wide
        if j < len(cuts) - 1:
            column = part[:, cuts[j]]
            strokes = int((np.diff(column, prepend=False) & column).sum())
            total += _THROUGH * column.sum() / height + _AGAIN * max(strokes - 1, 0)
        if total < cost[j]:
            cost[j], before[j] = total, i
    way, at = [], len(cuts) - 1
    if not np.isfinite(cost[at]):
        return []
    while at:
        way.append((before[at], at))
        at = before[at]
    return way[::-1]
