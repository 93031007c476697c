"""The frame of MNIST: box, centre, stroke width, and pictures that are in it already."""

import nasty_pictures
import numpy as np
import pytest

from mnistcore.pictures import frame


@pytest.fixture(scope="module")
def glyphs():
    """Thirty digits of 160 pixels, thin and thick."""
    return nasty_pictures.pen_glyphs(30, 0)[0]


def ink_of(glyph):
    return np.pad(glyph, 7).astype(np.float32)


def test_box_and_centre(glyphs):
    for glyph in glyphs:
        (seen,) = frame.normalised(ink_of(glyph))
        assert seen.dtype == np.uint8
        rows, columns = np.flatnonzero(seen.max(axis=1)), np.flatnonzero(seen.max(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == frame.BOX
        weights = seen / seen.sum()
        for axis in (0, 1):
            centre = weights.sum(axis=1 - axis) @ np.arange(28)
            assert centre == pytest.approx(14, abs=0.51)


def test_proportions_are_kept():
    ink = np.zeros((80, 200), np.float32)
    ink[20:60, 40:160] = 1  # a bar of 40 x 120
    (seen,) = frame.normalised(ink, [None], [0.0])
    rows, columns = (np.flatnonzero(seen.max(axis=axis) > 127) for axis in (1, 0))
    assert len(columns) == 20
    assert len(rows) == pytest.approx(20 / 3, abs=2)


@pytest.mark.parametrize("factor", [0.15, 0.4, 3])
def test_size_does_not_matter(factor):
    for glyph in nasty_pictures.pen_glyphs(20, 0, pen=0.1)[0]:
        (wanted,), (seen,) = (
            frame.normalised(ink_of(g)) for g in (glyph, nasty_pictures._resized(glyph, factor))
        )
        shifts = [np.roll(seen, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        alike = [np.corrcoef(wanted.ravel(), other.ravel())[0, 1] for other in shifts]
        assert max(alike) > (0.85 if factor > 0.3 else 0.75)


def test_strokes_are_brought_near_those_of_mnist(glyphs):
    for glyph in glyphs:
        before = frame.stroke_width(ink_of(glyph))
        (seen,) = frame.normalised(ink_of(glyph))
        after = frame.stroke_width(seen / 255)
        assert 1.9 < after < 4.6
        if 2.4 < before < 4:
            assert after == pytest.approx(before, abs=0.7)
        thinner, thicker = frame.normalised(ink_of(glyph), [2.4, 4.0], [0.0, 0.0])
        assert thinner.sum() < thicker.sum()


def test_a_slant_leans_to_the_right():
    ink = np.zeros((100, 60), np.float32)
    ink[5:95, 25:35] = 1
    left, upright, right = frame.normalised(ink, [None] * 3, [-0.3, 0.0, 0.3])
    upper, lower = (
        [part @ np.arange(28) / part.sum() for part in rows]
        for rows in zip(*((v[4:9].sum(axis=0), v[19:24].sum(axis=0)) for v in
                          (left, upright, right)), strict=True)
    )  # fmt: skip
    assert upper[0] < lower[0] - 1
    assert abs(upper[1] - lower[1]) < 0.2
    assert upper[2] > lower[2] + 1


def test_no_ink():
    with pytest.raises(ValueError, match="no ink"):
        frame.normalised(np.zeros((30, 30), np.float32))


def test_ink_that_is_all_specks_is_still_ink():
    ink = np.zeros((100, 100), np.float32)
    ink[::8, ::8] = 1
    assert frame.normalised(ink).max() > 0


def test_what_is_in_the_frame_passes_unchanged(glyphs):
    for glyph in glyphs[:10]:
        (seen,) = frame.normalised(ink_of(glyph))
        np.testing.assert_array_equal(frame.already_framed(seen / 255), seen)
        np.testing.assert_array_equal(frame.already_framed(1 - seen / 255), seen)


def test_what_is_not_in_the_frame_does_not_pass(glyphs):
    (seen,) = frame.normalised(ink_of(glyphs[0]))
    values = seen / 255
    assert frame.already_framed(np.roll(values, 3, axis=1)) is None  # off-centre
    assert frame.already_framed((values > 0.5) * 1.0) is None  # drawn with a hard pen
    assert frame.already_framed(np.zeros((28, 28))) is None
    assert frame.already_framed(np.pad(values, 1)) is None


def test_distance_is_the_distance_to_the_edge():
    mask = np.random.default_rng(0).random((17, 23)) < 0.1
    places = np.argwhere(mask)
    wanted = [[np.hypot(*(places - (i, j)).T).min() - 0.5 for j in range(23)] for i in range(17)]
    np.testing.assert_allclose(frame._distance_to(mask), np.maximum(wanted, 0), rtol=1e-5)
