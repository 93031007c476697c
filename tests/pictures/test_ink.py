"""Ink and paper: threshold, light, lines, colour, noise."""

import nasty_pictures
import numpy as np
import pytest

from mnistcore.pictures import ink


@pytest.fixture(scope="module")
def glyph():
    """A digit of 160 pixels."""
    return nasty_pictures.pen_glyphs(3, 0, pen=0.1)[0][2]


@pytest.fixture
def page(glyph):
    """That digit on a page of nothing."""
    return nasty_pictures.laid(glyph, (300, 400), 160, np.random.default_rng(1))


def spread(values, threshold):
    """The variance between the two classes, as Otsu defines it."""
    low, high = values[values <= threshold], values[values > threshold]
    return len(low) * len(high) * (low.mean() - high.mean()) ** 2


def test_otsu_splits_as_well_as_the_best_of_all_thresholds():
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.8):
        dark = rng.random(3000) < share
        values = np.where(dark, rng.normal(0.3, 0.08, 3000), rng.normal(0.8, 0.05, 3000))
        best = max(spread(values, threshold) for threshold in np.unique(values)[:-1:7])
        assert spread(values, ink.otsu(values)) > 0.999 * best
    assert ink.otsu(np.repeat([0.0, 1.0], 50)) == pytest.approx(0.5, abs=0.01)


def test_otsu_of_values_that_differ_in_their_rounding_alone():
    low = np.float32(0.7)
    values = np.repeat([low, np.nextafter(low, np.float32(1))], 50)
    assert low <= ink.otsu(values) <= values[-1]


def overlap(strength, page):
    """How well ink that was found matches what was drawn: intersection over union."""
    found, drawn = strength > strength.max() / 2, page > 0.5
    return (found & drawn).sum() / (found | drawn).sum()


@pytest.mark.parametrize("dark", [True, False])
def test_ink_is_what_was_drawn(page, dark):
    grey = (0.9 - 0.7 * page if dark else 0.1 + 0.7 * page).astype(np.float32)
    assert overlap(ink.ink_of(grey, dark, 181).strength, page) > 0.95
    assert ink.ink_of(grey, not dark, 181).strength[page > 0.9].max() < 0.1


def test_ink_in_a_shadow_counts_as_ink_in_the_light(page):
    light = np.where(np.arange(400) < 200, 1.0, 0.5)
    grey = ((0.9 - 0.7 * page) * light).astype(np.float32)
    plain = ink.ink_of((0.9 - 0.7 * page).astype(np.float32), True, 181).strength
    np.testing.assert_allclose(ink.ink_of(grey, True, 61).strength.max(), plain.max(), rtol=0.2)


def test_lines_are_looked_for_wherever_there_may_be_some(glyph, monkeypatch):
    """Leaving the search out changes nothing, also for lines that are barely visible."""
    rng = np.random.default_rng(0)
    pages = []
    for strength in (0.0, 0.02, 0.025, 0.03, 0.1):
        for share in (0.7, 0.8, 0.9, 1.0):
            page = nasty_pictures.laid(glyph, (200, 240), 120, rng)
            page[60:63, : int(share * 240)] += strength
            pages.append((page + rng.normal(0, 0.004, page.shape)).astype(np.float32))
    quick = [ink._without_lines(page) for page in pages]
    left_out = sum(result is page for result, page in zip(quick, pages, strict=True))
    assert 0 < left_out < len(pages)
    monkeypatch.setattr(ink, "_may_have_line", lambda strips: True)
    for result, page in zip(quick, pages, strict=True):
        np.testing.assert_array_equal(result, ink._without_lines(page))


def test_ruled_lines_go_and_the_digit_on_them_stays(page):
    y, x = np.mgrid[:300, :400]
    lines = ((y + 0.03 * x) % 40 < 2) * 0.3
    grey = np.minimum(0.9 - 0.7 * page, 0.9 - lines).astype(np.float32)
    strength = ink.ink_of(grey, True, 181).strength
    assert strength[(lines > 0) & (page < 0.01)].mean() < 0.03
    assert overlap(strength, page) > 0.85


@pytest.mark.parametrize(("thickness", "tilt"), [(1, 0), (2, 0.03), (3, 0), (3, 0.03)])
@pytest.mark.parametrize("ruled", ["rows", "columns", "both"])
def test_lines_as_dark_as_the_digit_do_not_cut_it(page, thickness, tilt, ruled):
    """What they cover of it is closed, but for strokes along a line."""
    y, x = np.mgrid[:300, :400]
    rows, columns = (y + tilt * x) % 40 < thickness, (x + tilt * y) % 40 < thickness
    lines = {"rows": rows, "columns": columns, "both": rows | columns}[ruled]
    grey = np.where(lines, 0.2, 0.9 - 0.7 * page).astype(np.float32)
    strength = ink.ink_of(grey, True, 181).strength
    assert strength[lines & (page < 0.01)].mean() < 0.05
    assert strength[lines & (page > 0.9)].mean() > 0.6 * strength[~lines & (page > 0.9)].mean()


@pytest.mark.parametrize("upright", [True, False])
def test_a_stroke_that_fills_the_picture_is_no_line(upright):
    """The bar of a 7 that is cropped to its ink, and the stem of a 4."""
    page = np.zeros((160, 128), np.float32)
    page[:14] = 1
    y, x = np.mgrid[:160, :128]
    page[np.abs(x - 120 + 0.5 * y) < 7] = 1
    page = page if upright else page.T
    strength = ink.ink_of(0.9 - 0.7 * page, True, 181).strength
    assert overlap(strength, page) > 0.95


def test_a_shade_across_the_picture_goes(page):
    """The dark half of a desk; else it is taken for ink, and the digit for the paper in it."""
    page[:, :] = np.maximum(page, (np.arange(300) > 180)[:, None] * 0.8)
    left = ink._without_lines(page.astype(np.float32))
    assert left[190:].max() < 0.25


def test_uneven_light_is_levelled(page):
    light = nasty_pictures._gradient(page.shape, np.random.default_rng(2), 0.5, 1.0)
    levelled = ink.levelled((light - 0.3 * page).astype(np.float32))
    assert np.ptp(light[page == 0]) > 0.3
    assert np.ptp(levelled[page == 0]) < 0.03


def test_salt_and_pepper_go_and_a_thin_line_stays():
    grey = np.full((50, 50), 0.5, np.float32)
    grey[10, 10], grey[20, 30], grey[35, 5:45] = 0, 1, 0
    clean = ink.without_specks(grey)
    assert clean[10, 10] == clean[20, 30] == 0.5
    assert (clean[35, 6:44] == 0).all()


def test_colours_of_one_lightness_are_told_apart(page):
    red, green = np.array([0.8, 0.3, 0.3]), np.array([0.28, 0.58, 0.28])
    pixels = (red * page[:, :, None] + green * (1 - page[:, :, None])).astype(np.float32)
    grey = ink.grey_of(pixels)
    assert abs(grey[page > 0.9].mean() - grey[page == 0].mean()) > 0.3
    assert abs(pixels.mean(axis=2)[page > 0.9].mean() - pixels.mean(axis=2)[page == 0].mean()) < 0.1


def test_noise_is_measured(page):
    rng = np.random.default_rng(0)
    for level in (0.01, 0.05):
        grey = (0.8 - 0.5 * page + rng.normal(0, level, page.shape)).astype(np.float32)
        assert ink._fine_noise(grey) == pytest.approx(level, rel=0.15)


@pytest.mark.parametrize("window", [1, 3, 7, 20])
def test_sliding_maximum(window):
    values = np.random.default_rng(0).random((23, 5)).astype(np.float32)
    window = 2 * (window // 2) + 1
    half = window // 2
    wanted = [values[max(i - half, 0) : i + half + 1].max(axis=0) for i in range(23)]
    np.testing.assert_array_equal(ink._sliding_max(values, window, 0), wanted)
