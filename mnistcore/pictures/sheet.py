"""Draw what was read: the original, what the network saw, and the probabilities."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import Picture
from .reading import Digit

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

_GROUND, _TEXT, _FAINT = (255, 255, 255), (34, 34, 34), (150, 150, 150)
_CHOSEN, _OTHER = (36, 96, 168), (190, 200, 212)  # bars of the digit that was read and the others
_BOX = (205, 92, 0)
_MARGIN, _LETTER = 24, 18
_VIEW = 280  # ten times the 28 pixels that the network sees
_WIDE, _HIGH = 960, 1200  # limits for a picture of several digits
_SMALL_VIEW, _PER_ROW = 84, 8
_MOST_BARS = 10


def draw_sheet(picture: Picture, digits: Sequence[Digit], title: str) -> "Image":
    """Draw a picture with boxes around its digits, the network's view of each, and probabilities.

    Parameters
    ----------
    picture, digits
        What was opened, and what was read in it; there may be no digit.
    title
        The line at the top.

    Returns
    -------
    PIL.Image.Image
        In RGB.
    """
    if len(digits) > 1:
        return _many(picture, digits, title)
    return _one(picture, digits[0] if digits else None, title)


def thumbnail(picture: Picture, width: int, height: int) -> "Image":
    """Fit the picture into a box of ``width`` x ``height`` pixels, as RGB, enlarged if small."""
    from PIL import Image

    rows, columns = picture.pixels.shape[:2]
    factor = min(width / columns, height / rows)
    pixels = np.broadcast_to(picture.pixels, (rows, columns, 3))
    image = Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    return image.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST)


def _one(picture: Picture, digit: Digit | None, title: str) -> "Image":
    original = _boxed(picture, [] if digit is None else [digit], _VIEW * 3 // 2, _VIEW)
    views = 0 if digit is None else 2 * (_VIEW + _MARGIN)
    top = 2 * _MARGIN + _LETTER
    sheet, draw = _paper(
        max(original.width + views + 2 * _MARGIN, 640), top + _VIEW + 2 * _MARGIN + _LETTER
    )
    _write(draw, (_MARGIN, _MARGIN), title)
    sheet.paste(original, (_MARGIN, top))
    caption = top + _VIEW + 8
    _write(draw, (_MARGIN, caption), "the picture", _FAINT)
    if digit is not None:
        left = _MARGIN + original.width + _MARGIN
        sheet.paste(_view(digit, _VIEW), (left, top))
        _write(draw, (left, caption), "what the network saw", _FAINT)
        _bars(draw, digit, left + _VIEW + _MARGIN, top)
    return sheet


def _many(picture: Picture, digits: Sequence[Digit], title: str) -> "Image":
    """Draw the picture with its boxes, and below it the network's view of each digit."""
    original = _boxed(picture, digits, _WIDE, _HIGH)
    top = 2 * _MARGIN + _LETTER
    views = top + original.height + _MARGIN
    pitch = _SMALL_VIEW + _LETTER + _MARGIN
    rows = -(-len(digits) // _PER_ROW)
    width = max(original.width, _PER_ROW * (_SMALL_VIEW + _MARGIN)) + 2 * _MARGIN
    sheet, draw = _paper(width, views + rows * pitch + _MARGIN)
    _write(draw, (_MARGIN, _MARGIN), title)
    sheet.paste(original, (_MARGIN, top))
    for index, digit in enumerate(digits):
        row, column = divmod(index, _PER_ROW)
        place = _MARGIN + column * (_SMALL_VIEW + _MARGIN), views + row * pitch
        sheet.paste(_view(digit, _SMALL_VIEW), place)
        sure = f"{digit.name}  {100 * digit.probabilities[digit.index]:.0f} %"
        _write(draw, (place[0], place[1] + _SMALL_VIEW + 4), sure)
    return sheet


def _paper(width: int, height: int) -> tuple["Image", "ImageDraw"]:
    from PIL import Image, ImageDraw

    sheet = Image.new("RGB", (width, height), _GROUND)
    return sheet, ImageDraw.Draw(sheet)


def _write(
    draw: "ImageDraw", place: tuple[float, float], text: str, colour: tuple[int, int, int] = _TEXT
) -> None:
    draw.text(place, text, fill=colour, font=_font(text.isascii()))


@cache
def _font(ascii_only: bool) -> "FreeTypeFont | ImageFont":
    """Return Pillow's own font, or for other letters DejaVu Sans, which comes with matplotlib."""
    from PIL import ImageFont

    if ascii_only:
        return ImageFont.load_default(_LETTER)
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _LETTER)


def _boxed(picture: Picture, digits: Sequence[Digit], width: int, height: int) -> "Image":
    """Return the picture, fitted into a box, with a frame around each digit."""
    from PIL import ImageDraw

    image = thumbnail(picture, width, height)
    draw = ImageDraw.Draw(image)
    factor = max(image.size) / max(picture.size)
    for digit in digits:
        left, top, right, bottom = (side * factor for side in digit.box)
        draw.rectangle((left - 3, top - 3, right + 2, bottom + 2), outline=_BOX, width=2)
    draw.rectangle((0, 0, image.width - 1, image.height - 1), outline=_OTHER)
    return image


def _view(digit: Digit, size: int) -> "Image":
    from PIL import Image

    return Image.fromarray(digit.seen).resize((size, size), Image.Resampling.NEAREST).convert("RGB")


def _bars(draw: "ImageDraw", digit: Digit, left: int, top: int) -> None:
    """Draw the probabilities of the ten likeliest classes as bars, over the height of the view."""
    pitch = _VIEW / _MOST_BARS
    shown = digit.likeliest(_MOST_BARS)
    names = [digit.names[index] for index in shown]
    indent = 10 + max(draw.textlength(name, font=_font(name.isascii())) for name in names)
    room = _VIEW - 80 - indent  # beside the class's name and the percentage
    for row, index in enumerate(shown):
        y, chance = top + row * pitch, float(digit.probabilities[index])
        chosen = index == digit.index
        _write(draw, (left, y + 3), digit.names[index], _TEXT if chosen else _FAINT)
        length = max(1.0, room * chance)
        bar = (left + indent, y + 5, left + indent + length, y + pitch - 5)
        draw.rectangle(bar, fill=_CHOSEN if chosen else _OTHER)
        if chance > 0.005:
            _write(draw, (left + indent + 8 + length, y + 3), f"{100 * chance:.0f} %")
