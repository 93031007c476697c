"""Several digits in one picture: order, lines, digits that touch, marks that are none."""

import nasty_pictures
import numpy as np
import pytest
from PIL import Image, ImageDraw

from mnistcore.pictures.files import open_picture, picture_of
from mnistcore.pictures.lines import find_digits
from mnistcore.pictures.marks import NoDigitError
from mnistcore.pictures.regions import find_regions

pytestmark = pytest.mark.slow


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
    pieces, _ = find_digits(picture_of(pixels), sure_of_all)
    assert len(pieces) == 8
    np.testing.assert_allclose([(p.box[0] + p.box[2]) / 2 for p in pieces], middles, atol=4)
    assert {piece.line for piece in pieces} == {0}


def test_lines_are_found_from_top_to_bottom(glyphs):
    rng = np.random.default_rng(0)
    lines = [glyphs[:6], glyphs[6:10], glyphs[10:17]]
    pieces, _ = find_digits(open_picture(nasty_pictures.number(rng, lines)), sure_of_all)
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
    pieces, _ = find_digits(picture_of(pixels), sure_of_narrow)
    assert len(pieces) == 3
    np.testing.assert_allclose([(p.box[0] + p.box[2]) / 2 for p in pieces], middles, atol=4)


def test_a_wide_digit_that_the_network_knows_is_not_cut():
    pixels, _ = row_of([zero(60, 58)], 0)
    assert len(find_digits(picture_of(pixels), sure_of_all)[0]) == 1


def test_dashes_dots_and_rules_are_no_digits(glyphs):
    pixels, _ = row_of(glyphs[:5], 60)
    pixels[90:95, 130:155] = 0.1  # a dash between two digits
    pixels[112:118, 250:256] = 0.1
    pixels[150:153] = 0.1  # underlined
    assert len(find_digits(picture_of(pixels), sure_of_all)[0]) == 5


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_empty_page(value):
    with pytest.raises(NoDigitError):
        find_digits(picture_of(np.full((200, 300), value)), sure_of_all)


def test_a_printed_page_of_texture_is_refused_quickly():
    rng = np.random.default_rng(0)
    with pytest.raises(NoDigitError):
        find_digits(picture_of((rng.random((900, 1200)) > 0.5) * 1.0), sure_of_all)


@pytest.fixture(scope="module")
def connected():
    """Digits of one stroke that nobody would cut in two."""
    drawn = nasty_pictures.pen_glyphs(200, 77, pen=0.09)[0]
    pieces = [len(find_regions(np.pad(glyph, 2) > 0.3)) for glyph in drawn]
    return [
        glyph
        for glyph, n in zip(drawn, pieces, strict=True)
        if n == 1 and 0.3 < glyph.shape[1] / glyph.shape[0] < 0.8
    ]


def found_as_written(connected, light, seed):
    """Whether five digits under a light are all found, where they are, and nothing else is."""
    rng = np.random.default_rng(seed)
    chosen = [connected[i] for i in rng.choice(len(connected), 5, replace=False)]
    page, middles = nasty_pictures.row(rng, chosen, 60)
    try:
        pieces, _ = find_digits(open_picture(light(rng, page)), sure_of_all)
    except NoDigitError:
        return False
    found = np.array([(piece.box[0] + piece.box[2]) / 2 for piece in pieces])
    return len(found) == 5 and np.abs(found - middles).max() < 6


@pytest.mark.parametrize("ground", ["paper", "board"])
@pytest.mark.parametrize("edge", ["hard", "soft"])
@pytest.mark.parametrize("kind", ["glare", "shade", "both"])
def test_light_and_shade_from_the_rim_are_no_ink(connected, kind, edge, ground):
    """All but one of the pictures of a kind; where a patch cuts through digits, see below."""
    lights = [
        light
        for name, light in nasty_pictures.LIGHTS.items()
        if name.startswith(kind) and name.endswith(f"{edge}, {ground}")
        if name.split(", ")[1] not in ("middle", "diagonal")
    ]
    lights = lights * (4 if kind == "both" else 1)
    right = [found_as_written(connected, light, seed) for seed, light in enumerate(lights)]
    assert sum(right) >= len(right) - 1


@pytest.mark.parametrize(
    "name", ["vignette, paper", "vignette, board", "even, paper", "even, board"]
)
def test_even_light_and_dark_corners(connected, name):
    light = nasty_pictures.LIGHTS[name]
    assert all(found_as_written(connected, light, seed) for seed in range(4))


def test_patches_that_lie_over_digits(connected):
    """Soft ones hardly matter; the hard rim of a patch may look like a stroke."""
    right = {"hard": [], "soft": []}
    for seed, (name, light) in enumerate(nasty_pictures.LIGHTS.items()):
        parts = name.split(", ")
        if parts[1] in ("middle", "diagonal"):
            right[parts[3]].append(found_as_written(connected, light, seed))
    assert np.mean(right["soft"]) >= 0.7
    assert np.mean(right["hard"]) >= 0.4


def test_a_lamp_at_the_bottom_of_a_grey_page(connected):
    """Five digits on grey 150; the glare of 250 covers a twentieth of the page."""
    y, x = np.mgrid[:600, :800]
    glare = np.hypot((x - 400) / 1.5, y - 600) < 101
    for seed in range(6):
        rng = np.random.default_rng(seed)
        chosen = [connected[i] for i in rng.choice(len(connected), 5, replace=False)]
        row, middles = nasty_pictures.row(rng, chosen, 70)
        page = np.zeros((600, 800))
        page[200 : 200 + row.shape[0], 20 : 20 + row.shape[1]] = row
        pixels = np.where(glare, 250, 150 - 110 * page) + rng.normal(0, 2, page.shape)
        pieces, _ = find_digits(picture_of(pixels.astype(np.uint8)), sure_of_all)
        found = [(piece.box[0] + piece.box[2]) / 2 - 20 for piece in pieces]
        np.testing.assert_allclose(found, middles, atol=6)


def test_digits_that_lie_along_the_rim_are_kept(connected):
    """A picture cut closely around its digits, two upright lines at its sides."""
    one = np.ones((60, 6))
    parts = [one, *(nasty_pictures._resized(g, 60 / len(g))[:60] for g in connected[:3]), one]
    parts = [np.pad(part, ((0, 60 - len(part)), (0, 0))) for part in parts]
    row = np.concatenate([np.pad(part, ((0, 0), (0, 15))) for part in parts], axis=1)[:, :-15]
    assert len(find_digits(picture_of(1 - 0.9 * row), sure_of_all)[0]) == 5


def four_of_two_strokes(height=60, gap=4):
    """The left hook of a 4, a gap, and its stem, which goes further down."""
    image = Image.new("L", (50, height), 0)
    draw = ImageDraw.Draw(image)
    draw.line((8, 2, 3, 36, 30 - gap, 36), fill=255, width=5, joint="curve")
    draw.line((34, 6, 32, height - 2), fill=255, width=5)
    return np.asarray(image) / 255


def all_or_none(answer):
    return lambda inks: np.full(len(inks), answer)


def test_the_strokes_of_an_open_four_are_joined_if_the_network_says_so(connected):
    parts = [connected[0], four_of_two_strokes(), connected[1]]
    pixels, _ = row_of(parts, 24)
    picture = picture_of(pixels)
    assert len(find_digits(picture, sure_of_all)[0]) == 4
    assert len(find_digits(picture, sure_of_all, all_or_none(False))[0]) == 4
    pieces, _ = find_digits(picture, sure_of_all, all_or_none(True))
    assert len(pieces) == 3
    assert pieces[1].ink.shape[1] > 25  # both strokes


def test_digits_far_apart_are_not_joined_whatever_the_network_says(connected):
    one = np.ones((60, 6))
    for parts in ([one, one], [connected[0], connected[1]]):
        pixels, _ = row_of(parts, 30)
        assert len(find_digits(picture_of(pixels), sure_of_all, all_or_none(True))[0]) == 2


def cut_off(connected, columns):
    """A row of digits, the last of which is an upright line cut by the edge; (H, W)."""
    parts = [*connected[:4], np.ones((60, 14))]
    pixels, _ = row_of(parts, 24)
    right = np.flatnonzero(pixels.min(axis=0) < 0.5).max() + 1
    return pixels[:, : right - columns]


def test_digits_at_the_edge_are_found_or_counted(connected):
    whole, cut = (picture_of(cut_off(connected, columns)) for columns in (0, 11))
    for picture in (whole, cut):
        pieces, at_edge = find_digits(picture, sure_of_all)
        assert len(pieces) + at_edge == 5
        assert len(pieces) >= 4
    assert find_digits(picture_of(row_of(connected[:4], 24)[0]), sure_of_all)[1] == 0


def test_what_enters_from_the_edge_and_is_larger_is_not_counted(connected):
    """The rim of a table, as light as strokes, along a whole side."""
    pixels, _ = row_of(connected[:4], 24)
    pixels[:, :9] = 0.1
    pieces, at_edge = find_digits(picture_of(pixels), sure_of_all)
    assert (len(pieces), at_edge) == (4, 0)


def boxed(connected, tilt=0.0):
    """Five digits in a drawn box, the second of which stands on its lower line; (H, W)."""
    page = np.zeros((260, 760))
    for index, glyph in enumerate(connected[:5]):
        part = nasty_pictures._resized(glyph, 70 / len(glyph))
        top, left = (118 if index == 1 else 90), 70 + 90 * index
        page[top : top + len(part), left : left + part.shape[1]] = part[: 260 - top]
    y, x = np.mgrid[:260, :760]
    across, down = x - 280, y - 125 - tilt * (x - 280)
    inside = (np.abs(across) < 240) & (np.abs(down) < 67)
    line = inside & ((np.abs(across) > 237) | (np.abs(down) > 64))
    return 1 - 0.9 * np.maximum(page, line)


@pytest.mark.parametrize("tilt", [0.0, 0.02])
def test_a_digit_that_touches_its_box_does_not_take_the_others_with_it(connected, tilt):
    pieces, _ = find_digits(picture_of(boxed(connected, tilt)), sure_of_all)
    assert len(pieces) == 5
    assert all(piece.box[2] - piece.box[0] < 90 for piece in pieces)


def test_digits_of_seven_segments_are_no_boxes(connected):
    eight = np.zeros((60, 36))
    for rows in (np.s_[:5], np.s_[28:33], np.s_[55:]):
        eight[rows] = 1
    eight[:, :5] = eight[:, 31:] = 1
    zero_ = eight.copy()
    zero_[28:33, 5:31] = 0
    for segments in (eight, zero_):
        pieces, _ = find_digits(picture_of(1 - 0.9 * np.pad(segments, 30)), sure_of_all)
        assert [round(p.box[3] - p.box[1]) for p in pieces] == [60]
