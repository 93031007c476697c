"""Connected regions, against a flood fill."""

import numpy as np
import pytest

from mnistcore.pictures.regions import find_regions


def flood(mask):
    """Labels by walking from pixel to pixel."""
    labels = np.full(mask.shape, -1)
    n = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start] >= 0:
            continue
        todo = [start]
        while todo:
            y, x = todo.pop()
            inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
            if inside and mask[y, x] and labels[y, x] < 0:
                labels[y, x] = n
                todo += [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        n += 1
    return labels, n


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 11), (30, 40)])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 1.0])
def test_regions_are_those_of_a_flood_fill(shape, share):
    mask = np.random.default_rng(0).random(shape) < share
    labels, n = flood(mask)
    regions = find_regions(mask)
    assert len(regions) == n
    for i in range(n):
        own = labels == i
        j = regions.labels[own][0]
        assert (own == (regions.labels == j)).all()
        rows, columns = np.nonzero(own)
        box = regions.top[j], regions.bottom[j], regions.left[j], regions.right[j]
        assert box == (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        assert regions.area[j] == own.sum()
    assert (regions.labels[~mask] == -1).all()


def test_a_spiral_is_one_region():
    mask = np.zeros((41, 41), bool)
    low, high = 0, 40
    while high - low > 4:
        mask[low, low : high + 1] = mask[low : high + 1, high] = True
        mask[high, low : high + 1] = mask[low + 2 : high + 1, low] = True
        mask[low + 2, low : low + 3] = True
        low, high = low + 2, high - 2
    assert len(find_regions(mask)) == flood(mask)[1]


def test_stroke_width():
    mask = np.zeros((60, 200), bool)
    mask[10:16, 5:190] = True
    y, x = np.mgrid[:60, :200]
    assert find_regions(mask).width[0] == pytest.approx(6, rel=0.3)
    disk = np.hypot(y - 30, x - 100) < 20
    assert find_regions(disk).width[0] == pytest.approx(20, rel=0.1)


def test_mask_and_contact():
    mask = np.zeros((5, 6), bool)
    mask[0, :3] = mask[3:, 4] = True
    regions = find_regions(mask)
    assert list(regions.contact) == [3, 1]
    chosen = np.array([False, True])
    assert (regions.mask(chosen) == (regions.labels == 1)).all()
