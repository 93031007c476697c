"""Pictures of what is no digit: letters, words, symbols, doodles and photographs of nothing.

Letters, words and symbols come from the fonts that matplotlib carries with it, most of them
written again with a pen and bent; doodles are drawn with Pillow; nothing is grain, light and
noise. No line of it is shared with the program that draws what the judge of `mnistcore.pictures`
was taught with.
"""

from functools import cache, partial
from pathlib import Path

import nasty_pictures
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Letters that are also written as a digit are in no count: 0 is O, o, D and Q, 1 is I, i, l, j and
# J, 2 is Z and z, 4 is Y and y, 5 is S and s, 6 is b and G, 8 is B, 9 is g and q.
LETTERS = "ACEFHKLMNPRTUVWXacdefhkmnprtuvwx"
SYMBOLS = "?&@#%*+=√∑∞Ω♥♪Ψ∂πλψΔΣЖФЩЮЯДéñ→⇒±€$≈☺☎✓★µ∀∃∇⊕♫"
WORDS = (
    "Hello", "4 apples", "yes", "no way", "Paris", "milk", "tea", "cat", "max", "the end", "km/h",
    "via", "Tuesday", "exit", "Anna", "when", "red", "keep out", "Mr.", "ready", "fox", "nut",
    "name:", "up", "wet", "amen", "Ken", "tax", "park", "mum",
)  # fmt: skip
_FONTS = (
    "DejaVuSans", "DejaVuSerif-Italic", "DejaVuSansMono-Oblique", "STIXGeneralItalic",
    "cmr10", "cmss10", "cmti10", "STIXGeneral",
)  # fmt: skip
_FULL_FONTS = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold")  # they have every symbol
_SETTINGS = (
    "black_on_white", "white_on_black", "coloured_gradient", "coloured_ink", "vignette", "jpeg",
    "noisy", "canvas", "photograph", "pencil", "ruled", "far_off",
)  # fmt: skip


def pictures(seed):
    """A hundred pictures: a list of (sort, what, the bytes of a file)."""
    rng = np.random.default_rng(seed)
    shapes = [
        *(("letter", letter, _written(letter, _FONTS, rng)) for letter in _some(LETTERS, 36, rng)),
        *(("symbol", symbol, _written(symbol, _FULL_FONTS, rng)) for symbol in SYMBOLS[::2]),
        *(("doodle", *_doodle(index, rng)) for index in range(14)),
    ]
    found = [(sort, what, shown(shape, rng)) for sort, what, shape in shapes]
    for word in WORDS[::2]:
        shape = bent(typed(word, rng.choice(_FONTS)), rng)
        found.append(("word", word, nasty_pictures.black_on_white(rng, shape)))
    for index in range(12):
        pixels = _NOTHING[index % len(_NOTHING)](rng, tuple(rng.integers(150, 400, 2)))
        found.append(("nothing", str(index), nasty_pictures.encoded(pixels, "JPEG")))
    return found


def _some(texts, n, rng):
    return rng.permutation(list(texts) * -(-n // len(texts)))[:n]


def shown(shape, rng):
    """A shape on paper of some kind."""
    return nasty_pictures.KINDS[rng.choice(_SETTINGS)](rng, shape)


# Shapes (H, W) in [0, 1], 1 where ink is.


@cache
def _font(name):
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")), 160)


def typed(text, font="DejaVuSans"):
    """A text in a font of matplotlib's."""
    left, top, right, bottom = _font(str(font)).getbbox(text)
    image = Image.new("L", (int(right - left) + 40, int(bottom - top) + 40))
    ImageDraw.Draw(image).text((20 - left, 20 - top), text, fill=255, font=_font(str(font)))
    return nasty_pictures.cropped(np.asarray(image) / 255)


def bent(shape, rng):
    """As if by hand: leant, turned, and pulled about by slow waves."""
    page = np.pad(shape, int(0.3 * max(shape.shape)))
    y, x = np.mgrid[: page.shape[0], : page.shape[1]].astype(np.float32)
    y, x = y - page.shape[0] / 2, x - page.shape[1] / 2
    angle, lean, scale = rng.uniform(-0.12, 0.12), rng.uniform(-0.1, 0.3), max(shape.shape)
    across = np.cos(angle) * x + np.sin(angle) * y + lean * y
    down = np.cos(angle) * y - np.sin(angle) * x
    for _ in range(2):
        across, down = across + _wave(down, scale, rng), down + _wave(across, scale, rng)
    rows = (down + page.shape[0] / 2).round().astype(int).clip(0, page.shape[0] - 1)
    columns = (across + page.shape[1] / 2).round().astype(int).clip(0, page.shape[1] - 1)
    return nasty_pictures.cropped(page[rows, columns])


def _wave(along, scale, rng):
    phase = along / scale * rng.uniform(3, 8) + rng.uniform(0, 6)
    return rng.uniform(0, 0.03) * scale * np.sin(phase)


def _written(text, fonts, rng):
    """A typed shape as a pen of some width would write it; one in four stays typed."""
    shape = typed(text, rng.choice(fonts))
    if rng.random() < 0.25:
        return shape
    return nasty_pictures.rewritten(
        bent(shape, rng), np.exp(rng.uniform(np.log(0.025), np.log(0.12)))
    )


def drawing(name, width=10):
    """One of the drawings, such as "smiley", with a pen of some pixels."""
    return _on_canvas(_DRAWINGS[name], {"outline": 255, "width": width}, width)


def _on_canvas(draw_on, more, width):
    image = Image.new("L", (320, 320))
    draw_on(ImageDraw.Draw(image), {"fill": 255, "width": width}, more)
    return nasty_pictures.cropped(np.asarray(image) / 255)


def _doodle(index, rng):
    """A scribble or one of the drawings: its name and its shape."""
    width = int(rng.integers(6, 22))
    if index % 2:
        return "scribble", bent(_on_canvas(_scribble, rng, width), rng)
    name = list(_DRAWINGS)[index // 2 % len(_DRAWINGS)]
    return name, bent(drawing(name, width), rng)


def _scribble(draw, pen, rng):
    """A line that wanders, once to three times."""
    t = 2.8 * np.pi * np.linspace(0, 1, 150)
    for _ in range(rng.integers(1, 4)):
        waves = [
            sum(rng.normal() / k * np.sin(k * t + rng.uniform(0, 6)) for k in range(1, 6))
            for _ in range(2)
        ]
        x, y = (160 + 75 * (wave - wave.mean()) / wave.std() for wave in waves)
        draw.line(list(zip(x, y, strict=True)), joint="curve", **pen)


def _smiley(draw, pen, ring):
    draw.ellipse((40, 40, 280, 280), **ring)
    for x in (115, 195):
        draw.ellipse((x, 110, x + 14, 130), fill=255)
    draw.arc((100, 120, 220, 230), 20, 160, **pen)


def _house(draw, pen, ring):
    draw.line((60, 150, 60, 280, 260, 280, 260, 150), **pen)
    draw.line((40, 160, 160, 50, 280, 160), **pen)
    draw.rectangle((130, 210, 180, 280), **ring)


def _stick_man(draw, pen, ring):
    draw.ellipse((130, 30, 190, 90), **ring)
    draw.line((160, 90, 160, 190), **pen)
    draw.line((90, 130, 230, 130), **pen)
    draw.line((100, 290, 160, 190, 220, 290), **pen)


def _flower(draw, pen, ring):
    for angle in np.arange(0, 2 * np.pi, np.pi / 3):
        x, y = 160 + 60 * np.cos(angle), 110 + 60 * np.sin(angle)
        draw.ellipse((x - 32, y - 32, x + 32, y + 32), **ring)
    draw.line((160, 150, 160, 300), **pen)


def _star(draw, pen, ring):
    angles = -np.pi / 2 + np.arange(6) * 4 * np.pi / 5
    draw.line([(160 + 130 * np.cos(a), 160 + 130 * np.sin(a)) for a in angles], **pen)


def _spiral(draw, pen, ring):
    t = np.linspace(0, 6.5 * np.pi, 200)
    draw.line(list(zip(160 + 6 * t * np.cos(t), 160 + 6 * t * np.sin(t), strict=True)), **pen)


def _fish(draw, pen, ring):
    draw.ellipse((50, 110, 220, 210), **ring)
    draw.line((215, 160, 290, 110, 290, 210, 215, 160), **pen)


def _cube(draw, pen, ring):
    draw.rectangle((50, 110, 200, 260), **ring)
    draw.rectangle((110, 60, 260, 210), **ring)
    for x, y in ((50, 110), (200, 110), (50, 260), (200, 260)):
        draw.line((x, y, x + 60, y - 50), **pen)


def _tree(draw, pen, ring):
    draw.line((160, 290, 160, 160), **pen)
    for x, y in ((80, 90), (120, 50), (200, 50), (240, 90)):
        draw.line((160, 200, x, y), **pen)


def _zigzag(draw, pen, ring):
    draw.line([(40 + 40 * i, 100 + 120 * (i % 2)) for i in range(7)], **pen)


def _arrow(draw, pen, ring):
    draw.line((40, 220, 270, 90), **pen)
    draw.line((210, 80, 270, 90, 240, 150), **pen)


def _crossed_box(draw, pen, ring):
    draw.rectangle((60, 60, 260, 260), **ring)
    draw.line((60, 60, 260, 260), **pen)
    draw.line((60, 260, 260, 60), **pen)


_DRAWINGS = {
    draw_on.__name__[1:]: draw_on
    for draw_on in (
        _smiley, _house, _stick_man, _flower, _star, _spiral, _fish, _cube, _tree, _zigzag, _arrow,
        _crossed_box,
    )
}  # fmt: skip


# Photographs of nothing (H, W), about 0 to 1.


def _clouds(rng, shape):
    return 0.5 + 0.15 * nasty_pictures._grain(shape, rng, rng.uniform(5, 60))


def _light(rng, shape):
    return nasty_pictures._gradient(shape, rng, 0.2, 1.0) + rng.normal(0, 0.02, shape)


def _noise(rng, shape):
    return rng.random(shape)


def _wood(rng, shape):
    grain = partial(nasty_pictures._grain, shape, rng)
    rings = np.sin(np.cumsum(0.3 + 0.2 * grain(40), axis=1) + 2 * grain(60))
    return 0.5 + 0.1 * rings + 0.03 * grain(2)


def _edges(rng, shape):
    """Floorboards, the edge of a table."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    angles = rng.uniform(0, 3, 2)
    place = (x * np.cos(angles[0]) + y * np.sin(angles[1])) % rng.uniform(80, 300)
    return 0.3 + 0.4 * (place > 40) + 0.05 * nasty_pictures._grain(shape, rng, 3)


_NOTHING = (_clouds, _light, _noise, _wood, _edges)
