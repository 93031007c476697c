"""Whole pages: of text, which is not digits, and of digits: forms, tables and lists of numbers.

Text is typed in the fonts that matplotlib carries with it; the letter is bent as if by hand.
Digits are glyphs (H, W) in [0, 1] with their labels, from MNIST or drawn with a pen.
"""

from pathlib import Path

import numpy as np
from nasty_pictures import _resized
from PIL import Image, ImageDraw, ImageFont

PROSE = """
The harbour was quiet when the last boat came in and nobody on the quay said a word about the
weather. Two men carried the boxes up the steps while a third one counted them twice, as he had
done on every evening of the past eleven years. Somebody had painted the door of the old office
green again; the smell of it hung over the whole street until the wind turned. In the morning of
21 March they would start before five, he said, and be back by noon if the engine behaved itself.
She nodded, wrote the name of the boat in her book and closed it without looking up.
"""
CODE = """
def running_mean(values, window=25, *, centred=True):
    total, result = 0.0, np.zeros(len(values) - window + 1)
    for index, value in enumerate(values):
        total += value
        if index >= window:
            total -= values[index - window]
        if index + 1 >= window:
            result[index + 1 - window] = total / window
    assert np.isfinite(result).all(), f"{len(result)} values"
    return result[window // 2 :] if centred else result
"""
NAMES = (
    "Anna Ruth",
    "Harper",
    "Kim West",
    "Mr. Tanner",
    "Uncle Fred",
    "Dentist",
    "Karen",
    "Garage",
)


def text_page(text, font, size=17, width=1000, height=1400, lines=None):
    """A page (H, W) in [0, 1] of typed text, again and again to its end; 1 is ink."""
    typeface = _font(font, size)
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    page = text.strip("\n").splitlines()
    for number, top in enumerate(range(90, height - 90, round(1.6 * size))):
        if lines is None or number < lines:
            draw.text((90, top), page[number % len(page)], fill=255, font=typeface)
    return np.asarray(image) / 255


def handwritten_letter(rng, size=30, lines=None):
    """Text as if by hand: an italic whose lines are pulled about."""
    page = text_page(PROSE, "cmti10", size, 1200, 1600, lines)
    y, x = np.mgrid[: page.shape[0], : page.shape[1]].astype(float)
    for _ in range(2):
        y = y + 2 * np.sin(x / rng.uniform(25, 90) + rng.uniform(0, 6))
        x = x + 2 * np.sin(y / rng.uniform(15, 60) + rng.uniform(0, 6))
    rows, columns = y.round().astype(int), x.round().astype(int)
    return page[rows.clip(0, page.shape[0] - 1), columns.clip(0, page.shape[1] - 1)]


def form(rng, glyphs, labels, columns=6, cell=110, titles=()):
    """A grid with a digit in each cell, and perhaps printed titles above it; and its text."""
    rows = len(glyphs) // columns
    page = np.zeros(((rows + 2) * cell, (columns + 2) * cell))
    for row in range(rows + 1):
        page[(row + 1) * cell : (row + 1) * cell + 2, cell : (columns + 1) * cell] = 0.7
    for column in range(columns + 1):
        page[cell : (rows + 1) * cell, (column + 1) * cell : (column + 1) * cell + 2] = 0.7
    for index, glyph in enumerate(glyphs[: rows * columns]):
        row, column = divmod(index, columns)
        top, left = ((1 + row + 0.22) * cell, (1 + column + 0.25) * cell)
        place(page, glyph, top + rng.normal(0, 3), left + rng.normal(0, 3), 0.56 * cell)
    image = Image.fromarray(np.rint(255 * page).astype(np.uint8))
    for index, title in enumerate(titles):
        spot = (cell + 0.02 * cell, (1 + index) * cell + 4)
        ImageDraw.Draw(image).text(spot, title, fill=200, font=_font("DejaVuSans", 13))
    return np.asarray(image) / 255, _lines(labels, columns)


def list_of_numbers(rng, glyphs, labels, names=(), digits=10, height=36):
    """Lines of digits, each perhaps behind a printed name; and the digits as text."""
    n = len(glyphs) // digits
    page = np.zeros((int((n + 1.5) * 1.9 * height), int((digits * 1.05 + 9) * height)))
    for line in range(n):
        left = 7.5 * height
        for glyph in glyphs[line * digits : (line + 1) * digits]:
            top = (1 + 1.9 * line) * height + rng.normal(0, 0.04 * height)
            left += place(page, glyph, top, left, height) + rng.uniform(0.25, 0.4) * height
    image = Image.fromarray(np.rint(255 * page).astype(np.uint8))
    for line in range(n if names else 0):
        spot = (0.5 * height, (1.1 + 1.9 * line) * height)
        name = names[line % len(names)]
        ImageDraw.Draw(image).text(
            spot, name, fill=255, font=_font("DejaVuSans", int(0.8 * height))
        )
    return np.asarray(image) / 255, _lines(labels, digits)


def _lines(labels, length):
    rows = [labels[i : i + length] for i in range(0, len(labels), length)]
    return "\n".join("".join(map(str, row)) for row in rows)


def place(page, glyph, top, left, height):
    """Draw a glyph on a page at a height of its own; return its width."""
    glyph = _resized(glyph, height / len(glyph))
    top, left = int(top), int(left)
    area = page[top : top + glyph.shape[0], left : left + glyph.shape[1]]
    np.maximum(area, glyph[: area.shape[0], : area.shape[1]], out=area)
    return glyph.shape[1]


def _font(name, size):
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")), size)
