"""A picture from a file, a pipe or memory, as upright pixels, however the file may be made.

What is opened comes from strangers. Only formats that people's pictures have are decoded, size
and pixel count are limited before anything is allocated for them, and whatever a decoder
complains of is told as a :class:`PictureError`.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 100_000_000
LEAST_SIDE = 8  # of the longer one
LONG_SIDE = 2000  # pixels that are kept of a larger picture: a digit of a hundredth is legible

_OVERSHOOT = 0.1  # of the largest value: negative ones beyond that are no rounding
_EXCESS = 0.25  # of the value of white, which others may exceed by so much
_TOO_LARGE = 1e30  # so that sums of float32 stay finite
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class PictureError(ValueError):
    """A file is not a picture that can be read; the message says why."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it is to be looked at: turned upright, transparency filled.

    Attributes
    ----------
    pixels
        (H, W, 1) or (H, W, 3) float32 in [0, 1], grey or red, green and blue.
    size
        Width and height that the file has, once upright; ``pixels`` may be a smaller copy.
    """

    pixels: np.ndarray
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """The file's pixels per pixel of ``pixels``, at least 1."""
        return self.size[0] / self.pixels.shape[1]


def open_picture(source: str | Path | bytes | BinaryIO) -> Picture:
    """Read a picture: a path, the bytes of a file, or a binary file such as standard input.

    Of an animation or of several pages, the first is taken.

    Raises
    ------
    PictureError
        If it is too large, damaged, or none of `FORMATS`. Is a ValueError.
    OSError
        If the file cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    content = _content(source)
    if not content:
        raise PictureError("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its notes on odd metadata; sizes are checked below
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return _picture(image)
    except PictureError:
        raise
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise PictureError(f"is not a picture, or damaged; {known} can be read") from None
    except Image.DecompressionBombError:
        raise PictureError(f"has more than {MAX_PIXELS:,} pixels; make it smaller") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged files raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"is a damaged picture ({reason})") from error


def picture_of(pixels: np.ndarray, white: float = 255.0) -> Picture:
    """A picture from an array, grey or red, green and blue, perhaps with opacity behind them.

    What stands for white is told by the largest value, whatever the type: of 1, 255 and 65,535 the
    first that it does not exceed by more than a quarter, so that 0/1 masks, floats in [0, 1] and
    bytes in any type are read alike. Values a little outside are clipped: resizing makes such.
    Where there are others below 0, the smallest value is black and the largest white.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, C) with 1 to 4 channels: booleans, integers or floats of any size.
    white
        Another value that may stand for white: that of the data which a network has learnt from.

    Raises
    ------
    TypeError, ValueError
        If the array is none of these, smaller than a digit can be, or not finite.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype.kind not in "buif":
        raise TypeError(f"pixels must be booleans, integers or floats, got {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or not pixels.size:
        raise ValueError(f"pixels must be (H, W) or (H, W, 1 to 4), got {pixels.shape}")
    if not (float(pixels.min()) > -_TOO_LARGE and float(pixels.max()) < _TOO_LARGE):
        raise ValueError(f"pixels must be finite, and below {_TOO_LARGE:g}")
    height, width, channels = pixels.shape
    _check_size(width, height)
    values = shrink(pixels, -(-max(width, height) // LONG_SIDE))
    if channels in (2, 4):
        values = _filled(_in_unit(values[:, :, :-1], white), _in_unit(values[:, :, -1:]))
    else:
        values = _in_unit(values, white)
    return Picture(np.ascontiguousarray(values), (width, height))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"has {width:,} x {height:,} pixels, more than {MAX_PIXELS:,}; make it smaller"
        )
    if max(width, height) < LEAST_SIDE:
        raise PictureError(f"has {width} x {height} pixels, too few for a digit")


def _in_unit(values: np.ndarray, white: float = 255.0) -> np.ndarray:
    """Finite values in [0, 1], float32, by the rule of :func:`picture_of`."""
    low, high = float(values.min()), float(values.max())
    if -low > _OVERSHOOT * max(high, 0):
        values, white = values - np.float64(low), high - low
    else:
        whites = sorted((1.0, white, 255.0, 65535.0))
        white = next((white for white in whites if high <= white * (1 + _EXCESS)), high)
    scaled: np.ndarray = np.multiply(values, 1 / (white or 1.0)).astype(np.float32)
    return scaled.clip(0, 1, out=scaled)


def _content(source: str | Path | bytes | BinaryIO) -> bytes:
    """The bytes of a file, never more than `MAX_BYTES` of them."""
    if isinstance(source, bytes):
        content = source
    elif isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    else:
        content = source.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise PictureError(f"is larger than {MAX_BYTES // 2**20} MiB; make it smaller")
    return content


def _picture(image: "Image.Image") -> Picture:
    from PIL import ImageOps

    width, height = image.size
    _check_size(width, height)
    draft = max(max(image.size) / LONG_SIDE, 1)
    image.draft(None, (int(width / draft), int(height / draft)))  # a JPEG is decoded smaller
    image.load()
    decoded = image.size
    ImageOps.exif_transpose(image, in_place=True)
    if image.size != decoded:
        width, height = height, width
    return Picture(_pixels(image, -(-max(decoded) // LONG_SIDE)), (width, height))


def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """The means of blocks of ``factor`` by ``factor`` pixels of (H, W, C); odd rests are cut off.

    A side shorter than ``factor`` becomes one pixel.
    """
    if factor == 1:
        return pixels
    height, width, channels = pixels.shape
    down, across = min(factor, height), min(factor, width)
    rows, columns = height // down, width // across
    sums = np.zeros((rows, columns, channels), np.float32)
    for i in range(down):  # far quicker than a mean over two axes of many short blocks
        for j in range(across):
            sums += pixels[i : rows * down : down, j : columns * across : across]
    return sums / np.float32(down * across)


def _pixels(image: "Image.Image", reduction: int) -> np.ndarray:
    """Grey or colour in [0, 1], (H, W, 1 or 3), at a fraction of the size.

    What is transparent gets the colour that suits the rest.
    """
    if image.mode in _WIDE_MODES:
        values = np.nan_to_num(np.asarray(image).astype(np.float32))
        return shrink(_in_unit(values)[:, :, None], reduction)
    transparent = image.has_transparency_data
    mode = "RGBA" if transparent else "L" if image.mode in ("1", "L") else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    small = image if reduction == 1 else image.reduce(reduction)
    pixels = np.multiply(np.asarray(small), np.float32(1 / 255), dtype=np.float32)
    if transparent:
        return _filled(pixels[:, :, :3], pixels[:, :, 3:])
    return pixels.reshape(*pixels.shape[:2], -1)


def _filled(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay a transparent picture on the paper that its author must have thought of.

    Ink alone, one colour on nothing, is laid on black or white, whichever is further from it. A
    picture with paper and ink of its own, cut out of its surroundings, is continued in its
    most common colour.
    """
    weights = alpha[:, :, 0]
    solid = colour[weights > 0.5]
    if not len(solid):
        solid = colour[weights > 0] if (weights > 0).any() else np.ones((1, 3), np.float32)
    typical = np.median(solid, axis=0)
    if np.abs(solid - typical).max(axis=1).mean() < 0.06:
        typical = np.full(3, float(typical.mean() < 0.5), np.float32)
    return colour * alpha + typical * (1 - alpha)
