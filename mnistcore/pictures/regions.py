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
    upper, lower = _touching(row, start, stop, width)
    region = _join(upper, lower, len(row))
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
    # The outline: all four sides of a run but for those that it shares with the run above or below.
    shared = np.minimum(stop[upper], stop[lower]) - np.maximum(start[upper], start[lower])
    outline = 2 * (area + np.bincount(region, minlength=n) - np.bincount(region[upper], shared, n))
    # Sides of pixels are 4 / pi times as long as the outline itself, on average.
    stroke = 2 * area / np.maximum(outline * (np.pi / 4), 1)
    return Regions(labels, area, top, left, bottom, right, contact, stroke)


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    """Dilate a mask (H, W) by ``by`` pixels."""
    for _ in range(by):
        padded = np.pad(mask, 1)
        mask = (
            padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1]
            | padded[1:-1, :-2] | padded[1:-1, 2:]
        )  # fmt: skip
    return mask


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, first column and end column (exclusive) of each run, row by row."""
    width = mask.shape[1] + 1  # with a gap after each row
    padded = np.zeros((mask.shape[0], width), bool)
    padded[:, :-1] = mask
    flat = np.append(False, padded)
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    row, start = np.divmod(ends[::2], width)
    return row, start, ends[1::2] - row * width


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
            break
        root = joined
    number: np.ndarray = np.cumsum(root == np.arange(n)) - 1
    return number[root]
