"""Measure the ink on each pixel, free of colour, polarity, shadows and ruled lines.

Strokes are thin; shadows and the edges of tables are not. A closing with a window wider than any
stroke (the largest value nearby, then the smallest of those; J. Serra, "Image Analysis and
Mathematical Morphology", 1982) therefore keeps the paper and its shadows and removes dark
strokes. The difference is ink.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .files import shrink

LEAST_CONTRAST = 0.025  # of ink against paper: six grey levels of 255
_STRIPS = 24  # vertical strips; a ruled line is present in nearly all of them
_THICKEST_LINE = 0.03  # of the picture's height: pens leave strokes of 5 % and more of a digit's
_THICKEST_STROKE = 0.25  # likewise; what is thicker is shade, which goes as lines do
_FAINTEST_STROKE = 0.3  # of the darkest ink; what is fainter is shade, too
_TILTS = np.arange(-40, 41) / 400  # slopes of ruled lines, up to 0.1 (5.7 degrees)


@dataclass(frozen=True, eq=False)
class Ink:
    """The ink of a picture under one assumption about its polarity.

    Attributes
    ----------
    strength
        (H, W) float32, 0 for paper, otherwise the contrast to the paper around it.
    noise
        Standard deviation of ``strength`` on plain paper.
    dark
        Whether the ink is darker than the paper.
    light
        (H, W) the picture, inverted if necessary so that ink is dark.
    """

    strength: np.ndarray
    noise: float
    dark: bool
    light: np.ndarray


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """Project pixels (H, W, 1 or 3) onto the channel (H, W) in which strokes stand out most.

    Red on green may be equally light and still easy to read, so the channel is the direction in
    colour space along which colours differ most from their surroundings (the first principal
    component). Lighter colours get larger values where that is defined.
    """
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    small = shrink(pixels, -(-max(pixels.shape[:2]) // 160))
    around = np.stack([_blurred(small[:, :, c], 8) for c in range(3)], axis=2)
    differences = (small - around).reshape(-1, 3).astype(np.float64)
    _, axes = np.linalg.eigh(differences.T @ differences)
    axis = axes[:, -1] * np.sign(axes[:, -1].sum() or 1)
    grey: np.ndarray = pixels @ (axis / np.abs(axis).sum()).astype(np.float32)
    return grey - min(grey.min(), np.float32(0))


def without_specks(grey: np.ndarray) -> np.ndarray:
    """Clip each pixel to the range of its eight neighbours (conservative smoothing).

    This removes salt-and-pepper noise and keeps lines one pixel wide.
    """
    padded = np.pad(grey, 1, mode="edge")
    height, width = grey.shape
    low, high = np.full_like(grey, np.inf), np.full_like(grey, -np.inf)
    for down in range(3):
        for across in range(3):
            if (down, across) != (1, 1):
                neighbour = padded[down : down + height, across : across + width]
                np.minimum(low, neighbour, out=low)
                np.maximum(high, neighbour, out=high)
    return np.clip(grey, low, high)


def softened(grey: np.ndarray) -> np.ndarray:
    """Blur slightly: removes the grain of paper, keeps strokes one pixel wide."""
    padded = np.pad(grey, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


def ink_of(grey: np.ndarray, dark: bool, window: int) -> Ink:
    """Return the ink on a picture (H, W) whose strokes are thinner than ``window`` pixels.

    The strength of dark ink is the share of light that it absorbs, which a shadow does not
    change; in the darkest parts of the paper this correction is limited.
    """
    light = grey if dark else grey.max() - grey
    paper = _closed(light, window)
    strength = paper - light
    if dark:
        bright = np.percentile(paper[::4, ::4], 95)
        gain = max(bright, 1e-6) / np.maximum(paper, 0.4 * bright + 1e-6)
        strength, light = strength * gain, light * gain
    strength = _without_lines(_without_lines(strength).T).T
    # Low percentiles, as with a thick pen less than half of the picture may be paper.
    low, plain = np.percentile(strength, (10, 30))
    spread = (plain - low) / 0.757  # the distance between the two in a standard normal
    noise = max(float(spread), _fine_noise(strength))
    plain += 0.524 * spread
    return Ink(np.maximum(strength - plain, 0).astype(np.float32), noise, dark, light)


def otsu(values: np.ndarray) -> float:
    """Return the threshold that maximises the variance between the two classes it makes.

    The middle of them if several thresholds do equally well (N. Otsu, "A threshold selection
    method from gray-level histograms", 1979).
    """
    # In float32 there are not 256 numbers between values that differ in their rounding alone.
    counts, edges = np.histogram(values.astype(np.float64), 256)
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
        variance = np.nan_to_num(below * above * gap**2)
    best = np.flatnonzero(variance >= variance.max() * (1 - 1e-9))
    return float((edges[best[0] + 1] + edges[best[-1] + 1]) / 2)


def levelled(grey: np.ndarray) -> np.ndarray:
    """Remove gradual changes of brightness: light from one side, or dark corners.

    A quadratic surface is fitted to the paper by iteratively reweighted least squares, where
    Cauchy's weights reduce the influence of outliers such as ink.
    """
    step = -(-max(grey.shape) // 64)
    small = shrink(grey[:, :, None], step)[:, :, 0]
    surface = np.stack([term.ravel() for term in _terms(small.shape)], axis=1)
    values = small.ravel().astype(np.float64)
    uneven = np.median(np.abs(values - np.median(values)))
    if uneven < 0.01:
        return grey
    weights = np.ones_like(values)
    for _ in range(8):
        weighted = surface * weights[:, None]
        factors = np.linalg.lstsq(weighted.T @ surface, weighted.T @ values, rcond=None)[0]
        distance = np.abs(values - surface @ factors)
        weights = 1 / (1 + (distance / (1e-3 + 1.4 * np.median(distance))) ** 2)
    if np.median(distance) > 0.5 * uneven:  # the surface does not fit
        return grey
    whole = np.zeros(grey.shape)
    for factor, term in zip(factors, _terms(grey.shape), strict=True):
        whole += factor * term
    return (grey - whole + np.median(whole)).astype(np.float32)


def _terms(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return the terms of a quadratic surface at every pixel, each (H, W)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    return np.ones_like(x), x, y, x * x, x * y, y * y


def _closed(grey: np.ndarray, window: int) -> np.ndarray:
    """Close a picture with squares, which may extend beyond it by a quarter."""
    for axis in (0, 1):
        grey = _sliding_max(grey, window, axis)
    rows, columns = (min(window // 4, (side - 1) // 2) for side in grey.shape)
    inside = grey[rows : len(grey) - rows, columns : grey.shape[1] - columns]
    grey = np.pad(inside, ((rows, rows), (columns, columns)), constant_values=np.inf)
    for axis in (0, 1):
        grey = -_sliding_max(-grey, window, axis)
    return grey


def _sliding_max(values: np.ndarray, window: int, axis: int) -> np.ndarray:
    """Return the largest value in the ``window`` (odd) around each place along an axis.

    The maximum over 2 n is that of two windows of n, so the work is logarithmic in the window.
    """
    values = np.moveaxis(values, axis, 0)
    pad = np.full((window // 2, *values.shape[1:]), -np.inf, values.dtype)
    values = np.concatenate([pad, values, pad])
    done = 1
    while done < window:
        step = min(done, window - done)
        values = np.maximum(values[:-step], values[step:])
        done += step
    return np.moveaxis(values, 0, axis)


def _blurred(grey: np.ndarray, radius: int) -> np.ndarray:
    """Average over a square around each pixel, cut off at the picture's edge."""
    for _ in range(2):
        length = len(grey)
        sums = np.concatenate([np.zeros_like(grey[:1]), np.cumsum(grey, axis=0)])
        first = np.maximum(np.arange(length) - radius, 0)
        last = np.minimum(np.arange(length) + radius + 1, length)
        grey = ((sums[last] - sums[first]) / (last - first)[:, None]).T
    return grey


def _fine_noise(values: np.ndarray) -> float:
    """Estimate the pixel noise (J. Immerkaer, "Fast noise variance estimation", 1996).

    The filter, a difference of two Laplacians, ignores flat areas and edges. Taking the median
    instead of the mean ignores strokes as well.
    """
    if min(values.shape) < 3:
        return 0.0
    rows = values[:-2] - 2 * values[1:-1] + values[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return 1.4826 * float(np.median(np.abs(both))) / 6


def _without_lines(strength: np.ndarray) -> np.ndarray:
    """Remove ruled lines: those that cross the whole picture from left to right, maybe tilted.

    The picture is cut into vertical strips, each shifted to undo the tilt. What at least four
    fifths of the strips have at the same height is a line, unless it is as thick as a stroke: the
    bar of a 7 that fills its picture. Its strength is subtracted everywhere, so that a digit
    written across it stays; what a line as dark as the digit takes of it is given back.
    """
    height, width = strength.shape
    if min(height, width) < 4 * _STRIPS:
        return strength
    edges = np.linspace(0, width, _STRIPS + 1).astype(int)
    strips = np.stack([strength[:, a:b].mean(axis=1) for a, b in pairwise(edges)])
    if not _may_have_line(strips):
        return strength
    centres = (edges[:-1] + edges[1:] - width) / 2
    rows = np.arange(height)
    moved = np.rint(_TILTS[:, None] * centres).astype(int)
    aligned = (
        strip[(rows + shift[:, None]).clip(0, height - 1)]
        for strip, shift in zip(strips, moved.T, strict=True)
    )
    levels = _fifth(aligned)  # (T, H), at each tilt
    levels = np.maximum(levels - np.median(levels, axis=1, keepdims=True), 0)
    best = (levels**2).sum(axis=1).argmax()
    line, shifts = levels[best], moved[best]
    if line.max() < LEAST_CONTRAST:
        return strength
    column_shift = np.interp(np.arange(width), (edges[:-1] + edges[1:]) / 2, shifts)
    source = (rows[:, None] - np.rint(column_shift).astype(int)).clip(0, height - 1)
    thicker = np.maximum(np.maximum(line, np.roll(line, 1)), np.roll(line, -1))
    taken = 1.3 * thicker[source]
    left = strength - np.minimum(taken, np.maximum(strength, 0))
    thickness, limit = _thickest(line), max(_THICKEST_LINE * height, 3)
    if thickness > limit:
        strongest = float(strength.max())
        is_stroke = (
            thickness < _THICKEST_STROKE * height
            and line.max() > _FAINTEST_STROKE * strongest
            and left.max() > strongest / 2  # the rest of the digit: no edge of a shade has one
        )
        return strength if is_stroke else left
    bridged = np.minimum(_bridged(left, thickness), strength)
    return np.where(taken > 0, np.maximum(left, bridged), left)


def _thickest(line: np.ndarray) -> int:
    """Return the longest run of rows (H,) above half of their maximum."""
    ends = np.flatnonzero(np.diff(np.pad(line > line.max() / 2, 1)))
    return int((ends[1::2] - ends[::2]).max(initial=0))


def _bridged(strength: np.ndarray, gap: int) -> np.ndarray:
    """Close gaps between what lies above and below them, of some rows and one more at each end."""
    window = 2 * (gap // 2 + 2) + 1
    return -_sliding_max(-_sliding_max(strength, window, 0), window, 0)


def _may_have_line(strips: np.ndarray) -> bool:
    """Whether strips (S, H) can have a line at some tilt, of at least the least contrast.

    In most drawings they cannot, as the digit is in too few of them.
    """
    strongest = _fifth(strips.max(axis=1)) - _fifth(strips.min(axis=1))
    return bool(strongest >= LEAST_CONTRAST)


def _fifth(strips: Iterable[np.ndarray]) -> np.ndarray:
    """Return what four fifths of the strips (S of any shape) reach, at each place.

    The least ones so far are kept in order, and each strip is sorted in: several times as fast as
    sorting the few strips of every place.
    """
    least: list[np.ndarray] = []
    for strip in strips:
        for i, lower in enumerate(least):
            least[i], strip = np.minimum(lower, strip), np.maximum(lower, strip)
        least = [*least, strip][: _STRIPS // 5 + 1]
    return least[-1]
