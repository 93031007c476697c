"""Images in a terminal, as half-block characters that show two pixels each."""

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_BLOCKS = (" ", "▄", "▀", "█")  # by upper pixel * 2 + lower pixel
_LETTERS = (" ", ".", "'", "#")  # in their place where an encoding has ASCII alone
_SHADES = 16  # per channel; few, so that runs of equal pixels share one escape sequence


def in_colour(console: "Console") -> bool:
    """Whether :func:`half_blocks` draws in colours there."""
    return console.color_system is not None and not console.options.ascii_only


def half_blocks(pixels: np.ndarray, console: "Console", bright: np.ndarray | None = None) -> "Text":
    """Draw an image as lines of half-blocks, two rows of pixels per line.

    Parameters
    ----------
    pixels
        (H, W) grey or (H, W, 3) RGB, uint8.
    console
        Where it will be printed, in colours if there are any. Without Unicode it has letters for
        the blocks.
    bright
        (H, W) bool, the pixels to draw without colours. By default those brighter than the
        middle of the image's range.
    """
    from rich.text import Text

    if not in_colour(console):
        if bright is None:
            grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
            bright = grey > (float(grey.max()) + float(grey.min())) / 2
        upper, lower = _halves(bright.astype(int))
        signs = _LETTERS if console.options.ascii_only else _BLOCKS
        return Text("\n".join("".join(signs[cell] for cell in row) for row in 2 * upper + lower))
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
    """Split rows into upper and lower halves; an odd last row is paired with a black one."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    return pixels[::2], pixels[1::2]


def _hex(pixel: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*map(int, pixel))
