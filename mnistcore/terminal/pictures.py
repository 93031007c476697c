"""A person's own picture and the digits read in it, drawn in a terminal with half-blocks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..pictures.files import Picture
from ..pictures.ink import levelled, otsu
from ..pictures.reading import Digit
from ..pictures.sheet import thumbnail
from .half_blocks import half_blocks, in_colour

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_VIEW = 28
_SMALL_VIEW = 14  # for each of several digits
_BAR = 12  # characters for probability 1
_MOST_BARS = 10
_BOX = (205, 92, 0)


def draw(console: "Console", picture: Picture, digits: Sequence[Digit]) -> "RenderableType":
    """Draw a picture, the network's input for each digit, and the class probabilities.

    Uses two shades if the console has no colours, and letters if it has no Unicode. Probability
    bars are shown for a single digit.
    """
    from rich.columns import Columns
    from rich.console import Group

    if len(digits) > 1:
        width = min(console.width, 80) - 2
        original = _original(picture, digits, width, 2 * width // 3, console)
        views = [_small(digit, console) for digit in digits]
        return Group(original, Columns(views, padding=(0, 2)))
    original = _original(picture, digits, _VIEW, _VIEW, console)
    if not digits:
        return original
    view = _drawn(_grey(digits[0].seen), console)
    return _beside([original, view, _bars(digits[0], console)], console)


def _drawn(pixels: np.ndarray, console: "Console") -> "Text":
    """Draw pixels (H, W, 3) as half-blocks; without colour, split them by Otsu's threshold."""
    light = levelled(pixels.mean(axis=2) / 255)
    return half_blocks(pixels, console, light > otsu(light))


def _grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[:, :, None], 3, axis=2)


def _original(
    picture: Picture, digits: Sequence[Digit], width: int, height: int, console: "Console"
) -> "Text":
    """Draw the picture, with the corners of each digit's box if the console has colours."""
    pixels = np.array(thumbnail(picture, width, height))
    factor = max(pixels.shape[:2]) / max(picture.size)
    if in_colour(console):
        for digit in digits:
            left, top, right, bottom = (round(side * factor) for side in digit.box)
            rows = (max(top - 1, 0), min(bottom, len(pixels) - 1))
            columns = (max(left - 1, 0), min(right, pixels.shape[1] - 1))
            pixels[rows[0] : rows[1] + 1, columns] = _BOX
            pixels[rows, columns[0] : columns[1] + 1] = _BOX
    return _drawn(pixels, console)


def _beside(parts: Sequence["Text"], console: "Console") -> "RenderableType":
    """Set parts side by side, as many as fit, and the rest below."""
    from rich.console import Group
    from rich.table import Table

    for count in range(len(parts), 0, -1):
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in parts[:count]:
            table.add_column(vertical="top", no_wrap=True)
        table.add_row(*parts[:count])
        if count == 1 or console.measure(table).maximum <= console.width - 1:
            break
    rest = parts[count:]
    return Group(table, "", _beside(rest, console)) if rest else table


def _bars(digit: Digit, console: "Console") -> "Text":
    """Draw the probabilities of the ten likeliest classes."""
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    text = Text()
    shown, block = digit.likeliest(_MOST_BARS), "#" if console.options.ascii_only else "█"
    width = max(cell_len(digit.names[index]) for index in shown)
    for index in shown:
        name, chance = digit.names[index], digit.probabilities[index]
        style = "bold" if index == digit.index else "dim"
        text.append(set_cell_size(name, width) + " ", style=style)
        text.append(block * round(_BAR * float(chance)), style="blue" if style == "bold" else "")
        text.append(f" {100 * chance:.0f} %\n" if chance > 0.005 else "\n", style=style)
    text.rstrip()
    return text


def _small(digit: Digit, console: "Console") -> "Text":
    half = _VIEW // _SMALL_VIEW
    pixels = digit.seen.reshape(_SMALL_VIEW, half, _SMALL_VIEW, half).mean(axis=(1, 3))
    text = _drawn(_grey(pixels.astype(np.uint8)), console)
    text.append(f"\n{digit.name}  {100 * digit.probabilities[digit.index]:.0f} %", style="bold")
    return text
