"""Digits that touch: where one ends and the next begins.

A group of marks that is wider than a digit is cut wherever that could be, and the network judges:
of all ways through the cuts, the one whose pieces it knows best is taken. (Y. LeCun, L. Bottou,
Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998, section
V: heuristic over-segmentation.)
"""

from collections.abc import Callable

import numpy as np

from .regions import Regions, find_regions

# Lengths are in heights of the line, costs in the logarithm of a probability.
_NARROW = 0.5  # a group that is narrower is not cut,
_USUAL, _SURE = 0.85, 0.9  # nor one of a digit's width that the network is sure of
_NEAR = 0.12  # two cuts are at least so far apart, and a digit is at least so wide
_WIDEST = 1.5
_LEAST_HEIGHT = 0.5
_CUTS = 4  # in a height's width
_DOUBT = 1e-4  # the least probability that counts
_PIECE = 0.35  # what a digit costs for being there,
_WIDE = 6.0  # for what it is wider than 0.9 heights,
_THROUGH = 3.0  # and for the height of ink that the cut behind it goes through,
_AGAIN = 1.5  # for every stroke but the first

Lifted = tuple[np.ndarray, tuple[int, int, int, int]]
# Takes inks as :func:`.finding.lifted` makes them; returns each one's highest probability (N,).
Judge = Callable[[list[np.ndarray]], np.ndarray]


def split(
    regions: Regions,
    group: np.ndarray,
    height: float,
    lift: Callable[[np.ndarray], Lifted],
    judge: Judge,
) -> list[np.ndarray]:
    """The masks (H, W) of the digits of a group: the group itself unless it is better cut.

    Parameters
    ----------
    regions, group
        All marks, and the indices of those that hang together.
    height
        Of the line.
    lift
        Makes ink of a mask.
    judge
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
    """The columns at which a group (H, W) may be cut: both ends, and where there is least ink."""
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
    """Pairs of cuts between which there may be a digit."""
    return [
        (i, j)
        for i in range(len(cuts))
        for j in range(i + 1, len(cuts))
        if j == i + 1 or cuts[j] - cuts[i] <= _WIDEST * height
    ]


def _tall(piece: np.ndarray) -> int:
    """The height of the largest mark of a piece."""
    marks = find_regions(piece)
    if not len(marks):
        return 0
    return int((marks.bottom - marks.top)[marks.area.argmax()])


def _best_way(
    sure: dict[tuple[int, int], float], cuts: list[int], part: np.ndarray, height: float
) -> list[tuple[int, int]]:
    """The spans, end to end, of the least cost; none where no way leads to the end."""
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
