"""Marks, the inked regions of a picture: find them, classify their shapes, cut them out."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from .ink import LEAST_CONTRAST, Ink, grey_of, ink_of, levelled, otsu, softened, without_specks
from .regions import Regions, find_regions, grown

_UNSURE = -0.5  # above this vote dark ink is tried first, because most ink is dark


class NoDigitError(ValueError):
    """A picture has nothing that could be a digit; the message says what it has instead."""


def prepared(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels (H, W, C) to grey (H, W), with shading, specks and grain removed."""
    grey = levelled(without_specks(grey_of(pixels)))
    return softened(grey) if max(grey.shape) >= 200 else grey


def polarities(grey: np.ndarray) -> dict[bool, float]:
    """Return the evidence against dark (True) and light (False) ink, the likelier one first.

    The evidence runs from 0 to 1: most of the picture and most of its rim should be paper.
    """
    threshold = otsu(grey)
    depth = max(1, min(grey.shape) // 20)
    sides = grey[:depth], grey[-depth:], grey[:, :depth], grey[:, -depth:]
    rim = np.concatenate([side.ravel() for side in sides])
    vote = float((rim > threshold).mean() + (grey > threshold).mean() - 1)
    against = {True: max(-vote, 0.0), False: max(vote, 0.0)}
    return against if vote > _UNSURE else dict(reversed(against.items()))


def inks_of(
    grey: np.ndarray, votes: Mapping[bool, float], side: int, shares: Iterable[float]
) -> Iterator[tuple[float, Ink]]:
    """Yield the ink of a picture (H, W) as dark and as light, with each window.

    Parameters
    ----------
    votes
        Of :func:`polarities`, whose order is followed.
    side, shares
        The windows are these shares of this number of pixels, and odd.

    Yields
    ------
    share, ink
    """
    for dark in votes:
        for share in shares:
            yield share, ink_of(grey, dark, 2 * int(share * side / 2) + 1)


def find_marks(ink: Ink, strength: np.ndarray) -> Regions:
    """Return the regions with ink; faint ones count only if connected to clear ones.

    Raises
    ------
    NoDigitError
        If nothing stands out from the paper and its noise.
    """
    count = min(max(4, strength.size // 10_000), strength.size)
    strongest = np.partition(strength, -count, axis=None)[-count:]
    top = float(np.median(strongest))
    if top < max(6 * ink.noise, LEAST_CONTRAST):
        raise NoDigitError("nothing is written there")
    faint, clear = max(3.5 * ink.noise, 0.25 * top), max(5 * ink.noise, 0.45 * top)
    regions = find_regions(strength > faint)
    sure = np.bincount(regions.labels[strength > clear], minlength=len(regions)) > 0
    return _freed(find_regions(regions.mask(sure)))


def _freed(regions: Regions) -> Regions:
    """Take away the lines of boxes that digits touch, which else are one region with them."""
    boxed = np.flatnonzero(regions.long_side > 0.2 * max(regions.labels.shape))
    if not len(boxed):
        return regions
    mask = regions.labels >= 0
    frames = is_frame(regions)
    changed = False
    for i in boxed:
        box = np.s_[regions.top[i] : regions.bottom[i], regions.left[i] : regions.right[i]]
        own = regions.labels[box] == i
        sides = (own, own[::-1], own.T, own[:, ::-1].T)
        if not frames[i] and all(_has_line(side) for side in sides):
            lines = np.zeros_like(own)
            for side, line in zip(
                sides, (lines, lines[::-1], lines.T, lines[:, ::-1].T), strict=True
            ):
                line |= _first_line(side)
            rest = find_regions(own & ~lines)
            if (rest.bottom - rest.top > 0.3 * len(own)).any():  # not a digit of seven segments
                mask[box] &= ~lines
                changed = True
    return find_regions(mask) if changed else regions


def _strip(own: np.ndarray) -> np.ndarray:
    return own[: len(own) // 7 + 1]


def _has_line(own: np.ndarray) -> bool:
    """Return whether a line of little thickness runs along the upper side of a region (H, W)."""
    strip = _strip(own)
    return bool(strip.any(axis=0).mean() > 0.85 and _thickness(strip) < 0.1 * len(own))


def _thickness(strip: np.ndarray) -> float:
    """Return the median thickness of what comes first in the columns of a strip (H, W)."""
    inked = strip[:, strip.any(axis=0)]
    below = np.arange(len(strip))[:, None] >= inked.argmax(axis=0)
    end = np.where((below & ~inked).any(axis=0), (below & ~inked).argmax(axis=0), len(strip))
    return float(np.median(end - inked.argmax(axis=0)))


def _first_line(own: np.ndarray) -> np.ndarray:
    """Return the mask (H, W) of the line along the upper side of a region, which may be tilted."""
    strip = _strip(own)
    depth = np.arange(len(own))[:, None] - strip.argmax(axis=0)
    line: np.ndarray = own & strip.any(axis=0) & (depth >= 0) & (depth <= _thickness(strip))
    return line


def is_rule(regions: Regions) -> np.ndarray:
    """Return which regions (N,) are thin lines from one side of the picture to the other."""
    height, width = regions.labels.shape
    across = (regions.left == 0) & (regions.right == width)
    down = (regions.top == 0) & (regions.bottom == height)
    short = np.minimum(regions.bottom - regions.top, regions.right - regions.left)
    slender = (regions.width < 0.1 * regions.long_side) & (short < 0.2 * regions.long_side)
    return (across | down) & slender


def is_blob(regions: Regions) -> np.ndarray:
    """Return which regions (N,) are filled shapes, too wide for strokes of a pen."""
    height, width = regions.bottom - regions.top, regions.right - regions.left
    slender = np.maximum(height, width) > 2.2 * np.minimum(height, width)
    filled = regions.area > 0.75 * height * width
    return ((regions.width > 0.33 * regions.long_side) | filled) & ~slender


def is_frame(regions: Regions) -> np.ndarray:
    """Return which regions (N,) are boxes drawn around other regions, with ink on all sides."""
    frames = np.zeros(len(regions), bool)
    for i in np.flatnonzero(regions.long_side > 0.2 * max(regions.labels.shape)):
        top, left = regions.top[i], regions.left[i]
        height, width = regions.bottom[i] - top, regions.right[i] - left
        inside = (
            (regions.top > top) & (regions.bottom < top + height)
            & (regions.left > left) & (regions.right < left + width)
            & (regions.long_side > 0.25 * min(height, width))
        )  # fmt: skip
        if not inside.any():
            continue
        own = regions.labels[top : top + height, left : left + width] == i
        y, x = height // 7 + 1, width // 7 + 1
        corners = (own[:y, :x], own[:y, -x:], own[-y:, :x], own[-y:, -x:])
        frames[i] = own[y:-y, x:-x].sum() < 0.1 * own.sum() and all(c.any() for c in corners)
    return frames


def lifted(
    strength: np.ndarray, own: np.ndarray, inked: np.ndarray
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Cut out a digit: its ink alone (h, w), and its box (left, top, right, bottom).

    Otsu's threshold for this digit, within bounds, becomes one half.

    Parameters
    ----------
    strength
        (H, W) ink strength of the picture.
    own, inked
        (H, W) bool, the masks of the digit and of all ink.
    """
    height, width = strength.shape
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    rim = np.s_[max(top - 2, 0) : min(bottom + 2, height), max(left - 2, 0) : min(right + 2, width)]
    values, own = strength[rim], own[rim]
    full = float(np.percentile(values[own], 80))
    threshold = min(max(otsu(np.minimum(values, full)), 0.35 * full), 0.6 * full)
    foreign = (inked[rim] & ~own) | ~grown(own, 2)
    ink = np.where(foreign, 0, values / (2 * threshold)).clip(0, 1).astype(np.float32)
    return ink, (int(left), int(top), int(right), int(bottom))


def support(ink: Ink, regions: Regions, chosen: np.ndarray) -> float:
    """Return the share of the outline along which the ink is clearly darker than its surroundings.

    Near 1 for strokes. Lower for shadows, whose rims are soft, and for strokes wider than the
    window, of which only pieces are seen.
    """
    width = float(np.average(regions.width[chosen], weights=regions.area[chosen]))
    step = max(1, round(width / 2))
    room = 3 * step + 1
    top, left = regions.top[chosen].min() - room, regions.left[chosen].min() - room
    bottom, right = regions.bottom[chosen].max() + room, regions.right[chosen].max() + room
    area = np.s_[max(top, 0) : bottom, max(left, 0) : right]
    own = regions.mask(chosen)[area]
    near = grown(own, step)
    beside = grown(near, step) & ~near & (regions.labels[area] < 0)
    if not beside.any():
        return 0.0
    light = ink.light[area]
    drop = light[beside] - np.median(light[own])
    return float((drop > 0.4 * np.median(ink.strength[area][own])).mean())
