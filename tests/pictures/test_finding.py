"""Where the digit is, in pictures of every kind; and pictures that have none."""

import nasty_pictures
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mnistcore.pictures.files import open_picture, picture_of
from mnistcore.pictures.finding import find_digit
from mnistcore.pictures.frame import normalised
from mnistcore.pictures.marks import NoDigitError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def glyphs():
    return nasty_pictures.pen_glyphs(8, 3, pen=0.07)[0]


def likeness(a, b):
    """The correlation of two images (28, 28), a pixel's shift allowed."""
    shifted = [np.roll(b, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return max(np.corrcoef(a.ravel(), other.ravel())[0, 1] for other in shifted)


@pytest.mark.parametrize("kind", nasty_pictures.KINDS)
def test_what_is_found_looks_like_what_was_drawn(glyphs, kind):
    """In seven of eight pictures; their noise, gaps and dirt may spoil one."""
    rng = np.random.default_rng(0)
    alike = []
    for glyph in glyphs:
        cutting = find_digit(open_picture(nasty_pictures.KINDS[kind](rng, glyph)))
        drawn = normalised(np.pad(glyph, 5).astype(np.float32), [3.0], [0.0])
        seen = normalised(cutting.ink, [3.0], [0.0])
        alike.append(likeness(drawn[0] / 255, seen[0] / 255))
    assert sorted(alike)[1] > (0.75 if kind in ("tiny", "mouse_28", "thick", "broken") else 0.85)


def test_the_box_is_in_pixels_of_the_file():
    pixels = np.full((1500, 2600), 240, np.uint8)
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).line((1800, 500, 1950, 900), fill=20, width=30)
    box = find_digit(open_picture(nasty_pictures.file_of(image))).box
    np.testing.assert_allclose(box, (1786, 494, 1964, 906), atol=16)


def test_the_box_of_a_small_digit_on_a_large_page():
    image = Image.new("L", (2600, 2000), 240)
    ImageDraw.Draw(image).line((2000, 300, 2030, 360), fill=20, width=6)
    box = find_digit(open_picture(nasty_pictures.file_of(image))).box
    np.testing.assert_allclose(box, (1998, 298, 2032, 362), atol=5)


def drawn(draw):
    image = Image.new("L", (400, 300), 245)
    draw(ImageDraw.Draw(image))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1)))


def hatched(draw):
    for i in range(14):
        draw.line((120 + 12 * i, 80, 140 + 12 * i, 220), fill=20, width=3)


def _nothing():
    rng = np.random.default_rng(0)
    grain = 0.8 + 0.03 * nasty_pictures._grain((300, 400), rng, 4)
    return {
        "white": np.full((200, 300), 255, np.uint8),
        "black": np.zeros((200, 300), np.uint8),
        "grey, 28 x 28": np.full((28, 28), 128, np.uint8),
        "light from a side": nasty_pictures._gradient((300, 400), rng),
        "an exact ramp": np.add.outer(np.linspace(0.1, 0.2, 46), np.linspace(0, 0.1, 57)),
        "noise": rng.random((300, 400)),
        "noise, 28 x 28": rng.random((28, 28)),
        "noisy paper": 0.8 + 0.03 * rng.normal(size=(300, 400)),
        "grainy paper": grain + 0.03 * nasty_pictures._grain((300, 400), rng, 15),
        "a shadow": 0.8 - 0.4 * (np.add.outer(np.arange(300), np.arange(400)) > 380),
        "half black": np.tile(np.arange(400) < 200, (300, 1)) * 1.0,
        "a disk": drawn(lambda draw: draw.ellipse((150, 100, 250, 200), fill=20)),
        "a square": drawn(lambda draw: draw.rectangle((150, 100, 250, 200), fill=20)),
        "a triangle": drawn(lambda draw: draw.polygon((150, 200, 250, 200, 200, 100), fill=20)),
        "a dot": drawn(lambda draw: draw.ellipse((195, 145, 205, 155), fill=20)),
        "a dash": drawn(lambda draw: draw.line((60, 150, 340, 150), fill=20, width=6)),
        "a rule": drawn(lambda draw: draw.line((200, 0, 200, 300), fill=20, width=3)),
        "hatching": drawn(hatched),
        "a chessboard": np.kron(np.indices((10, 13)).sum(axis=0) % 2, np.ones((30, 30))) * 1.0,
    }


@pytest.mark.parametrize("name", _nothing())
def test_there_is_no_digit(name):
    with pytest.raises(NoDigitError):
        find_digit(picture_of(np.clip(_nothing()[name], 0, 255 if name in _BYTES else 1)))


_BYTES = {name for name, pixels in _nothing().items() if pixels.dtype == np.uint8}
