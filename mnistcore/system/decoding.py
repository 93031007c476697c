"""Decode a picture that Pillow has opened: in little memory, and without words of libtiff."""

import logging
from typing import Any

from .silence import no_stderr

_MOST = 400_000_000  # bytes of a strip or tile of TIFF, which libtiff holds beside the picture
_WIDTH, _HEIGHT, _ROWS, _SAMPLES, _BITS = 322, 323, 278, 277, 258  # TIFF's tags

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to stderr


def decode(picture: Any) -> None:
    """Load the pixels of a picture.

    Raises
    ------
    ValueError
        If it is a TIFF whose strips or tiles are too large.
    Exception
        If it is damaged: decoders raise almost anything.
    """
    if picture.format != "TIFF":
        picture.load()
        return
    tags = picture.tag_v2
    rows = tags.get(_HEIGHT) or min(tags.get(_ROWS, picture.height), picture.height)
    bits = (
        tags.get(_WIDTH, picture.width) * rows * tags.get(_SAMPLES, 1) * max(tags.get(_BITS, [1]))
    )
    if bits > 8 * _MOST:
        raise ValueError(f"strips or tiles of {bits // 8:,} bytes are not read")
    with no_stderr():
        picture.load()
