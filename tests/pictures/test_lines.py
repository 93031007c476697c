"""Several digits in one picture: order, lines, digits that touch, marks that are none."""

import nasty_pictures
import numpy as np
import pytest

from mnistcore.pictures.files import open_picture, picture_of
from mnistcore.pictures.lines import find_digits
from mnistcore.pictures.marks import NoDigitError


@pytest.fixture(scope="module")
def glyphs():
    return nasty_pictures.pen_glyphs(40, 5, pen=0.09)[0]


def sure_of_all(inks):
    """A judge that knows whatever it is shown."""
    return np.full(len(inks), 0.95)


def sure_of_narrow(inks):
    """A judge without a network: digits are narrower than tall."""
    widths = np.array([np.ptp(np.flatnonzero((ink > 0.5).any(axis=0))) + 1 for ink in inks])
    heights = np.array([np.ptp(np.flatnonzero((ink > 0.5).any(axis=1))) + 1 for ink in inks])
    return np.where(widths < 0.9 * heights, 0.99, 0.2)


def row_of(glyphs, gap, height=60):
    """Glyphs in a row on a page of nothing, and the column each one's middle is in."""
    parts = [nasty_pictures._resized(glyph, height / len(glyph)) for glyph in glyphs]
    page = np.zeros((3 * height, sum(p.shape[1] + gap for p in parts) + 2 * height))
    left, middles = height, []
    for part in parts:
        area = page[height : height + len(part), left : left + part.shape[1]]
        np.maximum(area, part, out=area)
        middles.append(left + part.shape[1] / 2)
        left += part.shape[1] + gap
    return 1 - 0.9 * page, middles


def test_digits_are_found_from_left_to_right(glyphs):
    pixels, middles = row_of(glyphs[:8], 20)
    pieces = find_digits(picture_of(pixels), sure_of_all)
    assert len(pieces) == 8
    np.testing.assert_allclose([(p.box[0] + p.box[2]) / 2 for p in pieces], middles, atol=4)
    assert {piece.line for piece in pieces} == {0}


def test_lines_are_found_from_top_to_bottom(glyphs):
    rng = np.random.default_rng(0)
    lines = [glyphs[:6], glyphs[6:10], glyphs[10:17]]
    pieces = find_digits(open_picture(nasty_pictures.number(rng, lines)), sure_of_all)
    assert [sum(piece.line == line for piece in pieces) for line in range(3)] == [6, 4, 7]
    for line in range(3):
        lefts = [piece.box[0] for piece in pieces if piece.line == line]
        assert lefts == sorted(lefts)
    middles = [np.mean([p.box[1] + p.box[3] for p in pieces if p.line == i]) for i in range(3)]
    assert middles == sorted(middles)


def zero(height=60, width=40, pen=7):
    y, x = np.mgrid[:height, :width]
    inside = np.hypot((y - height / 2) / (height / 2), (x - width / 2) / (width / 2))
    return ((inside < 1) & (inside > 1 - 2 * pen / width)) * 1.0


@pytest.mark.parametrize("gap", [-2, -1, 0, 3])
def test_digits_that_touch_are_cut_where_they_do(gap):
    pixels, middles = row_of([zero()] * 3, gap)
    pieces = find_digits(picture_of(pixels), sure_of_narrow)
    assert len(pieces) == 3
    np.testing.assert_allclose([(p.box[0] + p.box[2]) / 2 for p in pieces], middles, atol=4)


def test_a_wide_digit_that_the_network_knows_is_not_cut():
    pixels, _ = row_of([zero(60, 58)], 0)
    assert len(find_digits(picture_of(pixels), sure_of_all)) == 1


def test_dashes_dots_and_rules_are_no_digits(glyphs):
    pixels, _ = row_of(glyphs[:5], 60)
    pixels[90:95, 130:155] = 0.1  # a dash between two digits
    pixels[112:118, 250:256] = 0.1
    pixels[150:153] = 0.1  # underlined
    assert len(find_digits(picture_of(pixels), sure_of_all)) == 5


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_empty_page(value):
    with pytest.raises(NoDigitError):
        find_digits(picture_of(np.full((200, 300), value)), sure_of_all)


def test_a_printed_page_of_texture_is_refused_quickly():
    rng = np.random.default_rng(0)
    with pytest.raises(NoDigitError):
        find_digits(picture_of((rng.random((900, 1200)) > 0.5) * 1.0), sure_of_all)
