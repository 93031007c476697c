"""Images in a terminal: half-blocks make two pixels of a character."""

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.text import Text

_BLOCKS = (" ", "▄", "▀", "█")  # by upper pixel * 2 + lower pixel
_SHADES = 16  # of a channel; few, so that runs of equal pixels share one escape sequence


def half_blocks(pixels: np.ndarray, colour: bool, bright: np.ndarray | None = None) -> "Text":
    """An image as lines of half-blocks, two rows of pixels a line.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, 3) uint8, shades of grey or colours.
    colour
        Whether the terminal has colours.
    bright
        (H, W) bool: what is drawn where it has none. Else, the pixels above the middle of the
        range.
    """
    from rich.text import Text

    if not colour:
        if bright is None:
            grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
            bright = grey > (float(grey.max()) + float(grey.min())) / 2
        upper, lower = _halves(bright.astype(int))
        return Text("\n".join("".join(_BLOCKS[cell] for cell in row) for row in 2 * upper + lower))
    step = 255 // (_SHADES - 1)
    shades = pixels.astype(int) * (_SHADES - 1) // 255 * step
    if shades.ndim == 2:
        shades = np.repeat(shades[:, :, None], 3, axis=2)
    text = Text(no_wrap=True)
    for number, (upper, lower) in enumerate(zip(*_halves(shades), strict=True)):
        if number:
            text.append("\n")
        pairs = zip(map(_hex, upper), map(_hex, lower), strict=True)
        for (above, below), run in groupby(pairs):
            text.append("▀" * len(list(run)), style=f"{above} on {below}")
    return text


def _halves(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are upper and lower halves; darkness below the last where it is alone."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    return pixels[::2], pixels[1::2]


def _hex(pixel: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*map(int, pixel))
