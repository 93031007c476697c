"""Small pictures of labelled data: their sizes and their grey pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mnistcore.data.raw import DataError
from mnistcore.system.decoding import decode
from mnistcore.system.text import one_line

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MOST_PIXELS = 2**22  # of one picture; a network reads all of it


@contextmanager
def opened(source: str | BinaryIO, name: str) -> Iterator["Image.Image"]:
    """Open a picture; errors of its decoder become one line with the file's name."""
    from PIL import Image

    try:
        with Image.open(source, formats=_FORMATS) as picture:
            yield picture
    except (DataError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise almost anything
        reason = one_line(str(error).removesuffix(f" {name!r}"), 200) or type(error).__name__
        raise DataError(
            f"{name}: cannot be read as a picture ({reason}); replace or remove it"
        ) from error


def grey(name: str, picture: "Image.Image") -> np.ndarray:
    """Return the picture upright as (H, W) of uint8."""
    width, height = picture.size  # as the file's header says, before anything is decoded
    if width * height > _MOST_PIXELS:
        raise DataError(
            f"{name}: has {width:,} x {height:,} pixels; a network reads every pixel, so make the"
            " pictures small, 28 x 28 for instance"
        )
    decode(picture)
    if picture.size != (width, height):  # Pillow turned a TIFF file; 13 mixes up its pixels
        raise DataError(f"{name}: lies on its side; turn it, and save it again")
    if picture.mode == "L" and "exif" not in picture.info and "transparency" not in picture.info:
        return np.asarray(picture)
    from PIL import Image, ImageOps

    if picture.mode in ("I", "F"):
        raise DataError(f"{name}: has {picture.mode} pixels of 32 bits; save it with 8 bits, grey")
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I;16"):
        return np.asarray(np.asarray(picture) >> 8, np.uint8)
    if picture.has_transparency_data:
        ink = picture.convert("RGBA")
        paper = Image.new("RGBA", ink.size, "white")
        picture = Image.alpha_composite(paper, ink)
    return np.asarray(picture.convert("L"))


def check_ink(images: np.ndarray, name: str) -> None:
    """Raise DataError if pictures (N, H, W) are blank, all of them."""
    if images.size and images.min() == images.max():
        raise DataError(
            f"{name}: all its pictures are blank as they are read; pixels of 16 bits must use the"
            " whole range, and ink on a transparent ground must not be white"
        )
