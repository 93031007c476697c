"""Pictures of what is no digit: letters, words, symbols, doodles and photographs of nothing.

Letters, words and symbols come from the fonts that matplotlib and Pillow carry with them, written
again with a pen and bent; doodles are drawn with Pillow; nothing is grain, light and noise. None
of it shares a line with the program that draws what the measure of likeness was trained on.
"""

from functools import cache
from pathlib import Path

import nasty_pictures
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Letters that are also written as a digit are in no count: 0 is O, o, D and Q, 1 is I, i, l, j and
# J, 2 is Z and z, 4 is Y and y, 5 is S and s, 6 is b and G, 8 is B, 9 is g and q.
LETTERS = "ACEFHKLMNPRTUVWXacdefhkmnprtuvwx"
SYMBOLS = "?&@#%*+=√∑∞Ω♥♪Ψ∂πλψΔΣЖФЩЮЯДéñ→⇒±€$≈☺☎✓★µ∀∃∇⊕"
WORDS = (
    "Hello", "4 apples", "yes", "no way", "Paris", "milk", "tea", "cat", "max", "the end", "km/h",
    "via", "Tuesday", "exit", "Anna", "when", "red", "keep out", "Mr.", "ready", "fox", "nut",
    "name:", "up", "wet", "amen", "Ken", "tax", "park", "mum",
)  # fmt: skip
FONTS = (
    "DejaVuSans", "DejaVuSerif-Italic", "DejaVuSansMono-Oblique", "STIXGeneralItalic",
    "cmr10", "cmss10", "cmti10", "STIXGeneral",
)  # fmt: skip
COMMON = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold")  # they have every symbol


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    if name == "Pillow":
        return ImageFont.load_default(160)
    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")), 160)


def typed(text, font):
    """The shape of a text (H, W) in [0, 1]; ``font`` is a name in matplotlib's or Pillow."""
    font = _font(font) if isinstance(font, str) else font
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (right - left + 40, bottom - top + 40))
    ImageDraw.Draw(image).text((20 - left, 20 - top), text, fill=255, font=font)
    return nasty_pictures.cropped(np.asarray(image) / 255)


def bent(glyph, rng):
    """As if by hand: leant, turned, stretched, and pulled about by a slow wave."""
    height, width = glyph.shape
    room = int(0.3 * max(height, width))
    page = np.pad(glyph, room)
    y, x = np.mgrid[: page.shape[0], : page.shape[1]].astype(np.float32)
    y, x = y - page.shape[0] / 2, x - page.shape[1] / 2
    angle, lean = rng.uniform(-0.12, 0.12), rng.uniform(-0.1, 0.3)
    along = np.cos(angle) * x + np.sin(angle) * y + lean * y
    down = np.cos(angle) * y - np.sin(angle) * x
    scale = max(height, width)
    for _ in range(2):
        along, down = (
            z + rng.uniform(0, 0.03) * scale * np.sin(other / scale * rng.uniform(3, 8) + phase)
            for z, other, phase in zip((along, down), (down, along), rng.uniform(0, 6, 2), strict=True)
        )
    rows = (down + page.shape[0] / 2).round().astype(int).clip(0, page.shape[0] - 1)
    columns = (along + page.shape[1] / 2).round().astype(int).clip(0, page.shape[1] - 1)
    return nasty_pictures.cropped(page[rows, columns])


def by_hand(glyph, rng):
    """A typed shape, bent and as a pen of some width would write it; one in four stays typed."""
    if rng.random() < 0.25:
        return glyph
    return nasty_pictures.rewritten(bent(glyph, rng), rng.uniform(0.03, 0.12) * rng.choice([1, 0.7]))


def _canvas(draw, pen):
    image = Image.new("L", (320, 320))
    draw(ImageDraw.Draw(image), pen)
    return nasty_pictures.cropped(np.asarray(image) / 255)


def _smiley(draw, pen):
    draw.ellipse((40, 40, 280, 280), outline=255, width=pen)
    for x in (115, 195):
        draw.ellipse((x, 110, x + 14, 130), fill=255)
    draw.arc((100, 120, 220, 230), 20, 160, fill=255, width=pen)


def _house(draw, pen):
    draw.line((60, 150, 60, 280, 260, 280, 260, 150), fill=255, width=pen)
    draw.line((40, 160, 160, 50, 280, 160), fill=255, width=pen)
    draw.rectangle((130, 210, 180, 280), outline=255, width=pen)


def _stick_man(draw, pen):
    draw.ellipse((130, 30, 190, 90), outline=255, width=pen)
    for line in ((160, 90, 160, 190), (90, 130, 230, 130), (160, 190, 100, 290), (160, 190, 220, 290)):
        draw.line(line, fill=255, width=pen)


def _flower(draw, pen):
    for angle in np.arange(0, 2 * np.pi, np.pi / 3):
        x, y = 160 + 60 * np.cos(angle), 110 + 60 * np.sin(angle)
        draw.ellipse((x - 32, y - 32, x + 32, y + 32), outline=255, width=pen)
    draw.line((160, 150, 160, 300), fill=255, width=pen)


def _star(draw, pen):
    angles = -np.pi / 2 + np.arange(6) * 4 * np.pi / 5
    draw.line([(160 + 130 * np.cos(a), 160 + 130 * np.sin(a)) for a in angles], fill=255, width=pen)


def _spiral(draw, pen):
    t = np.linspace(0, 6.5 * np.pi, 200)
    line = zip(160 + 6 * t * np.cos(t), 160 + 6 * t * np.sin(t), strict=True)
    draw.line(list(line), fill=255, width=pen)


def _fish(draw, pen):
    draw.ellipse((50, 110, 220, 210), outline=255, width=pen)
    draw.line((215, 160, 290, 110, 290, 210, 215, 160), fill=255, width=pen)


def _cube(draw, pen):
    draw.rectangle((50, 110, 200, 260), outline=255, width=pen)
    draw.rectangle((110, 60, 260, 210), outline=255, width=pen)
    for x, y in ((50, 110), (200, 110), (50, 260), (200, 260)):
        draw.line((x, y, x + 60, y - 50), fill=255, width=pen)


def _tree(draw, pen):
    draw.line((160, 290, 160, 160), fill=255, width=pen)
    for x, y in ((80, 90), (120, 50), (200, 50), (240, 90)):
        draw.line((160, 200, x, y), fill=255, width=pen)


def _zigzag(draw, pen):
    draw.line([(40 + 40 * i, 100 + 120 * (i % 2)) for i in range(7)], fill=255, width=pen)


def _arrow(draw, pen):
    draw.line((40, 220, 270, 90), fill=255, width=pen)
    draw.line((210, 80, 270, 90, 240, 150), fill=255, width=pen)


def _box_with_cross(draw, pen):
    draw.rectangle((60, 60, 260, 260), outline=255, width=pen)
    draw.line((60, 60, 260, 260), fill=255, width=pen)
    draw.line((60, 260, 260, 60), fill=255, width=pen)


DOODLES = (
    _smiley, _house, _stick_man, _flower, _star, _spiral, _fish, _cube, _tree, _zigzag, _arrow,
    _box_with_cross,
)  # fmt: skip


def scribble(rng, pen):
    """A line that wanders: low frequencies, some strokes."""
    def draw(draw, pen):
        for _ in range(rng.integers(1, 4)):
            t = np.linspace(0, 1, 150)
            waves = [
                sum(rng.normal() / k * np.sin(2 * np.pi * k * t * 1.4 + rng.uniform(0, 6)) for k in range(1, 6))
                for _ in range(2)
            ]
            x, y = (160 + 75 * (wave - wave.mean()) / wave.std() for wave in waves)
            draw.line(list(zip(x, y, strict=True)), fill=255, width=pen, joint="curve")

    return _canvas(draw, pen)


def nothing(rng, kind):
    """Photographs of nothing, floats in [0, 1]: (H, W)."""
    shape = (int(rng.integers(150, 400)), int(rng.integers(150, 400)))
    grain = nasty_pictures._grain
    if kind == 0:
        return 0.5 + 0.15 * grain(shape, rng, rng.uniform(5, 60))
    if kind == 1:
        return nasty_pictures._gradient(shape, rng, 0.2, 1.0) + rng.normal(0, 0.02, shape)
    if kind == 2:
        return rng.random(shape)
    if kind == 3:
        wood = np.sin(np.cumsum(0.3 + 0.2 * grain(shape, rng, 40), axis=1) + 2 * grain(shape, rng, 60))
        return 0.5 + 0.1 * wood + 0.03 * grain(shape, rng, 2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    edge = (x * np.cos(rng.uniform(0, 3)) + y * np.sin(rng.uniform(0, 3))) % rng.uniform(80, 300)
    return 0.3 + 0.4 * (edge > 40) + 0.05 * grain(shape, rng, 3)


SETTINGS = tuple(
    nasty_pictures.KINDS[name]
    for name in (
        "black_on_white", "white_on_black", "coloured_gradient", "coloured_ink", "vignette",
        "jpeg", "noisy", "canvas", "photograph", "pencil", "ruled", "far_off", "on_a_table",
    )
)  # fmt: skip


def shown(rng, glyph):
    """A shape on paper of some kind; the pens that `canvas` and `photograph` take are their own."""
    return SETTINGS[rng.integers(len(SETTINGS))](rng, glyph)


def pictures(seed, letters=80, words=30, symbols=45, doodles=25, nothings=20, fonts=FONTS, common=COMMON):
    """Pictures of every sort: a list of (sort, what, bytes of a file)."""
    rng = np.random.default_rng(seed)
    found = []
    for letter in rng.permutation(list(LETTERS * (letters // len(LETTERS) + 1)))[:letters]:
        glyph = by_hand(typed(letter, fonts[rng.integers(len(fonts))]), rng)
        found.append(("letter", letter, shown(rng, glyph)))
    for word in rng.permutation(WORDS)[:words]:
        glyph = typed(word, fonts[rng.integers(len(fonts))])
        found.append(("word", word, nasty_pictures.black_on_white(rng, bent(glyph, rng))))
    for symbol in rng.permutation(list(SYMBOLS))[:symbols]:
        glyph = by_hand(typed(symbol, common[rng.integers(len(common))]), rng)
        found.append(("symbol", symbol, shown(rng, glyph)))
    for index in range(doodles):
        pen = int(rng.integers(6, 22))
        if index % 2:
            found.append(("doodle", "scribble", shown(rng, scribble(rng, pen))))
        else:
            draw = DOODLES[index // 2 % len(DOODLES)]
            found.append(("doodle", draw.__name__[1:], shown(rng, bent(_canvas(draw, pen), rng))))
    for index in range(nothings):
        pixels = nothing(rng, index % 5)
        found.append(("nothing", str(index % 5), nasty_pictures.encoded(pixels, "JPEG")))
    return found
