"""Drawings of what was read: boxes lie on their digits."""

from types import SimpleNamespace

import numpy as np
import pytest

from mnistcore.pictures import sheet
from mnistcore.pictures.files import Picture


@pytest.mark.parametrize("tall", [True, False])
def test_boxes_in_a_narrow_picture_lie_where_its_digits_are(tall):
    """301 x 9,000 pixels, kept as 60 x 1,800: a box at its end, drawn in 1,200 pixels."""
    size, box = (301, 9000), (100, 8800, 200, 8950)
    pixels = np.ones((1800, 60, 1), np.float32)
    if not tall:
        size, box, pixels = size[::-1], (8800, 100, 8950, 200), pixels.transpose(1, 0, 2)
    digit = SimpleNamespace(box=box)
    drawn = np.asarray(sheet._boxed(Picture(pixels, size), [digit], 1200, 1200))
    along = np.flatnonzero((drawn == sheet._BOX).all(axis=2).any(axis=1 if tall else 0))
    assert along[0] + 3 == pytest.approx(8800 * 1200 / 9000, abs=1)
    assert along[-1] - 2 == pytest.approx(8950 * 1200 / 9000, abs=1)
