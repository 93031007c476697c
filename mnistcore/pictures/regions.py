"""Connected regions of a mask and their measurements, in NumPy.

A mask is cut into runs, the unbroken stretches of its rows. Runs that touch from one row to the
next are joined until nothing changes; most measurements of a region are sums over its runs.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Regions:
    """The 8-connected regions of a mask (H, W): arrays (N,) with an entry per region.

    Attributes
    ----------
    labels
        (H, W) int32: the region of each pixel, -1 where the mask is false.
    area
        Number of pixels.
    top, left, bottom, right
        The bounding box; ``bottom`` and ``right`` are exclusive.
    contact
        Number of pixels on the edge of the picture.
    width
        Stroke width, as twice the area over the length of the outline: exact for a long stroke,
        half the side of a square.
    """

    labels: np.ndarray
    area: np.ndarray
    top: np.ndarray
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray
    contact: np.ndarray
    width: np.ndarray

    def __len__(self) -> int:
        return len(self.area)

    @property
    def long_side(self) -> np.ndarray:
        """The longer side of each box."""
        return np.maximum(self.bottom - self.top, self.right - self.left)

    def mask(self, chosen: np.ndarray) -> np.ndarray:
        """Return the mask (H, W) of the regions for which ``chosen`` (N,) is true."""
        return np.append(chosen, False)[self.labels]


def find_regions(mask: np.ndarray) -> Regions:
    """Return the regions of a boolean mask (H, W), in the row-major order of their first pixels."""
    height, width = mask.shape
    row, start, stop = _runs(mask)
    region = _join(*_touching(row, start, stop, width), len(row))
    n = int(region.max()) + 1 if len(region) else 0
    lengths = stop - start
    labels = np.full(mask.shape, -1, np.int32)
    labels[mask] = np.repeat(region, lengths)
    area = np.bincount(region, lengths, n).astype(np.int64)
    top, left = np.full(n, height), np.full(n, width)
    bottom, right = np.zeros(n, np.int64), np.zeros(n, np.int64)
    np.minimum.at(top, region, row)
    np.minimum.at(left, region, start)
    np.maximum.at(bottom, region, row + 1)
    np.maximum.at(right, region, stop)
    at_edge = np.where((row == 0) | (row == height - 1), lengths, 0)
    at_edge = np.maximum(at_edge, (start == 0) * 1 + (stop == width) * 1)
    contact = np.bincount(region, at_edge, n).astype(np.int64)
    return Regions(
        labels, area, top, left, bottom, right, contact, _stroke_width(mask, labels, area)
    )


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, first column and end column (exclusive) of each run, row by row."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    row, start = np.nonzero(steps == 1)
    return row, start, np.nonzero(steps == -1)[1]


def _touching(
    row: np.ndarray, start: np.ndarray, stop: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of runs in neighbouring rows that touch, also at corners."""
    # With all rows placed on one line, gaps between them, the runs of the next row that overlap
    # a given run are consecutive, so two binary searches find them.
    pitch = width + 2
    begins, ends = row * pitch + start, row * pitch + stop
    first = np.searchsorted(ends, begins + pitch, side="left")
    last = np.searchsorted(begins, ends + pitch, side="right")
    count = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(row)), count)
    within = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    return upper, np.repeat(first, count) + within


def _join(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Number the connected components of n nodes with edges (a, b), by their first nodes."""
    root = np.arange(n)
    while True:
        low = np.minimum(root[a], root[b])
        joined = root.copy()
        np.minimum.at(joined, root[a], low)
        np.minimum.at(joined, root[b], low)
        joined = joined[joined]
        if (joined == root).all():
            return np.unique(root, return_inverse=True)[1]
        root = joined


def _stroke_width(mask: np.ndarray, labels: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return twice the area over the outline; pixel sides overestimate it by 4 / pi on average."""
    n = len(area)
    sides = np.zeros(n)
    for axis in (0, 1):
        outside = np.diff(mask, axis=axis, prepend=False, append=False)
        # A side lies between two pixels; it belongs to the region of the inner one.
        before = np.delete(outside, -1, axis=axis) & mask
        after = np.delete(outside, 0, axis=axis) & mask
        for inside in (before, after):
            sides += np.bincount(labels[inside], minlength=n)
    return 2 * area / np.maximum(sides * (np.pi / 4), 1)
