"""Images in a terminal: half-blocks make two pixels of a character."""

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.text import Text

_BLOCKS = (" ", "▄", "▀", "█")  # by upper pixel * 2 + lower pixel
_GREYS = 16  # shades that are drawn; few, so that runs of equal pixels share one escape sequence


def half_blocks(pixels: np.ndarray, colour: bool) -> "Text":
    """An image as lines of half-blocks, two rows of pixels a line.

    Parameters
    ----------
    pixels
        (H, W) uint8.
    colour
        Draw shades of grey. Without, a pixel above the middle of the range is drawn, others are
        not.
    """
    from rich.text import Text

    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    if not colour:
        bright = (pixels > (int(pixels.max()) + int(pixels.min())) / 2).astype(int)
        cells = 2 * bright[::2] + bright[1::2]
        return Text("\n".join("".join(_BLOCKS[cell] for cell in row) for row in cells))
    shades = pixels.astype(int) * (_GREYS - 1) // 255 * (255 // (_GREYS - 1))
    text = Text(no_wrap=True)
    for number, (upper, lower) in enumerate(zip(shades[::2], shades[1::2], strict=True)):
        if number:
            text.append("\n")
        for (above, below), run in groupby(zip(upper, lower, strict=True)):
            text.append("▀" * len(list(run)), style=f"{_grey(above)} on {_grey(below)}")
    return text


def _grey(shade: int) -> str:
    return f"#{shade:02x}{shade:02x}{shade:02x}"
