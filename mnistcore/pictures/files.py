"""Read a picture from a file, a pipe or memory as upright pixels.

Files are not trusted: only common picture formats are decoded, file size and pixel count are
limited before memory is allocated, and any error of a decoder becomes a :class:`PictureError`.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..system.decoding import decode
from ..system.errors import reason_of
from ..system.extras import MissingExtraError, installation, require
from .kinds import is_avif, is_heif, is_raw, what_it_is
from .regions import grown

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff",
    ".avif", ".heic", ".heif",
)  # fmt: skip
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 100_000_000
LEAST_SIDE = 8  # pixels of the longer side
_MAX_WEBP_PIXELS = 60_000_000  # its decoder keeps three copies
_BAND = 2**22  # pixels
LONG_SIDE = 2000  # larger pictures are reduced to this; a digit of a hundredth stays legible
_ORIENTATION = 0x0112  # Exif's tag: how to turn a picture upright
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels),
}
_FIRST_SIDEWAYS = 5  # from this one on width and height change places

_OVERSHOOT = 0.1  # of the largest value: lower negative values are not just rounding
_EXCESS = 0.25  # of white: values may exceed it by this much
_TOO_LARGE = 1e30  # limit that keeps sums of float32 finite
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class PictureError(ValueError):
    """A file is not a picture that can be read; the message says why."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, turned upright and with transparency filled.

    Attributes
    ----------
    pixels
        (H, W, 1) or (H, W, 3) float32 in [0, 1], grey or RGB.
    size
        Width and height of the file once upright; ``pixels`` may be a smaller copy.
    first_of_several
        Whether the file has further pages or frames, which were not read.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    first_of_several: bool = False

    @property
    def scale(self) -> float:
        """The file's pixels per pixel of ``pixels``, at least 1.

        From the longer side, where the incomplete blocks that were left out weigh less.
        """
        return max(self.size) / max(self.pixels.shape[:2])


def open_picture(source: str | Path | bytes | BinaryIO) -> Picture:
    """Read a picture from a path, the bytes of a file, or a binary file such as standard input.

    Only the first frame or page is read; ``first_of_several`` says if there are more. AVIF is read
    if Pillow can, HEIC and HEIF with the extra ``heic``.

    Raises
    ------
    PictureError
        If it is too large, damaged, or in another format, which is named. A subclass of
        ValueError.
    OSError
        If the file cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    content = _content(source)
    if not content:
        raise PictureError("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata; sizes are checked below
            with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
                return _picture(image)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(_not_readable(content)) from None
    except Image.DecompressionBombError:
        raise PictureError(f"has more than {MAX_PIXELS:,} pixels; make it smaller") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders of damaged files raise almost anything
        raise PictureError(f"is a damaged picture ({reason_of(error)})") from error


def _formats(content: bytes) -> tuple[str, ...]:
    """Return the formats that Pillow may try; raise PictureError if the file's lacks a library."""
    if is_heif(content):
        try:
            require("pillow_heif", "heic").register_heif_opener()
        except MissingExtraError:
            raise PictureError(
                f"is a HEIC photograph; to read it, {installation('heic')}, or export it as JPEG"
            ) from None
        return ("HEIF",)
    if is_avif(content):
        from PIL import features

        if not features.check("avif"):
            raise PictureError("is an AVIF picture; Pillow 11.3 can read it, or export it as PNG")
        return ("AVIF",)
    if is_raw(content):
        raise PictureError("is a camera's raw file; export it as JPEG or PNG")
    return FORMATS


def _not_readable(content: bytes) -> str:
    known = what_it_is(content)
    if known is not None:
        return f"is not a picture but {known[0]}; {known[1]}"
    return f"is not a picture, or damaged; {', '.join(FORMATS)} can be read"


def picture_of(pixels: np.ndarray, white: float = 255.0) -> Picture:
    """Make a picture from an array: grey or RGB, optionally followed by an alpha channel.

    The largest value, not the type, decides which value is white: the first of 1, 255 and 65,535
    that it exceeds by at most a quarter. So 0/1 masks, floats in [0, 1] and bytes of any type are
    read alike. Values slightly outside, as resizing produces, are clipped. If any value is
    clearly below 0, the smallest is black and the largest white.

    Parameters
    ----------
    pixels
        (H, W) or (H, W, C) with 1 to 4 channels: booleans, integers or floats of any size.
    white
        Another candidate for white: that of the data the network was trained on.

    Raises
    ------
    TypeError
        If ``pixels`` are not numbers or booleans.
    ValueError
        If the shape is another, too small for a digit or too large, or a value is not finite.
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


def _check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    if width * height > most:
        raise PictureError(
            f"has {width:,} x {height:,} pixels, more than {most:,}; make it smaller"
        )
    if max(width, height) < LEAST_SIDE:
        raise PictureError(f"has {width} x {height} pixels, too few for a digit")


def _in_unit(values: np.ndarray, white: float = 255.0) -> np.ndarray:
    """Scale finite values to [0, 1], float32, by the rule of :func:`picture_of`."""
    low, high = float(values.min()), float(values.max())
    if -low > _OVERSHOOT * max(high, 0):
        values, white = values - np.float64(low), high - low
    else:
        whites = sorted((1.0, white, 255.0, 65535.0))
        white = next((white for white in whites if high <= white * (1 + _EXCESS)), high)
    scaled: np.ndarray = np.multiply(values, 1 / (white or 1.0)).astype(np.float32)
    return scaled.clip(0, 1, out=scaled)


def _content(source: str | Path | bytes | BinaryIO) -> bytes:
    """Return the bytes of a file, which may hold at most `MAX_BYTES`."""
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
    width, height = image.size
    _check_size(width, height, _MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS)
    draft = max(max(image.size) / LONG_SIDE, 1)
    image.draft(None, (int(width / draft), int(height / draft)))  # decode a JPEG at reduced size
    decode(image)
    orientation = image.getexif().get(_ORIENTATION, 1)
    turn = _TURNS.get(orientation)
    pixels = _pixels(image, -(-max(image.size) // LONG_SIDE))
    several = _has_several(image)
    if turn is None:
        return Picture(pixels, (width, height), several)
    if orientation >= _FIRST_SIDEWAYS:
        width, height = height, width
    return Picture(np.ascontiguousarray(turn(pixels)), (width, height), several)


def _has_several(image: "Image.Image") -> bool:
    """Whether a file has further pages or frames.

    They are not counted: that would go through a file of any number of them. What follows the
    photograph in a camera's JPEG (MPO) is its preview or its depth.
    """
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged second frame is none
        return False


def shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of ``factor`` by ``factor`` pixels of (H, W, C), dropping incomplete ones.

    A side shorter than ``factor`` becomes one pixel.
    """
    if factor == 1:
        return pixels
    height, width, channels = pixels.shape
    down, across = min(factor, height), min(factor, width)
    rows, columns = height // down, width // across
    sums = np.zeros((rows, columns, channels), np.float32)
    for i in range(down):  # far faster than a mean over two short axes
        for j in range(across):
            sums += pixels[i : rows * down : down, j : columns * across : across]
    return sums / np.float32(down * across)


def _pixels(image: "Image.Image", reduction: int) -> np.ndarray:
    """Return grey or RGB pixels in [0, 1], (H, W, 1 or 3), reduced in size.

    Transparent parts are filled with a suitable colour, see :func:`_filled`.
    """
    if image.mode in _WIDE_MODES:
        values = _shrunk_in_bands(image, reduction)
        return _in_unit(np.nan_to_num(values.astype(np.float32, copy=False)))
    transparent = image.has_transparency_data
    mode = "RGBA" if transparent else "L" if image.mode in ("1", "L") else "RGB"
    bands = _bands(image, reduction, image.height)
    small = [np.asarray(band.convert(mode).reduce(reduction)) for band in bands]
    pixels = np.multiply(np.concatenate(small), np.float32(1 / 255), dtype=np.float32)
    if transparent:
        return _filled(pixels[:, :, :3], pixels[:, :, 3:])
    return pixels.reshape(*pixels.shape[:2], -1)


def _shrunk_in_bands(image: "Image.Image", reduction: int) -> np.ndarray:
    """Shrink a picture of wide pixels, without the rows and columns that fill no block."""
    whole = max(image.height - image.height % reduction, min(image.height, reduction))
    bands = (np.asarray(band)[:, :, None] for band in _bands(image, reduction, whole))
    return np.concatenate([shrink(band, reduction) for band in bands])


def _bands(image: "Image.Image", reduction: int, height: int) -> Iterator["Image.Image"]:
    """Yield the upper rows of a picture in bands of whole blocks.

    Copies of all of it would take too much memory.
    """
    width = image.width
    rows = reduction * max(_BAND // (width * reduction), 1)
    for top in range(0, height, rows):
        yield image.crop((0, top, width, min(top + rows, height)))


def _filled(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Put a transparent picture on the background that its author most likely had in mind.

    Ink of a single colour is put on black or white, whichever contrasts more. A cut-out picture
    with both paper and ink is continued in the colour along its cut. That is also the colour of
    paper that was made transparent: the ink's soft edges have nearly faded into it.
    """
    solid = alpha[:, :, 0] > 0.5
    if not solid.any():
        solid = alpha[:, :, 0] > 0
    own = colour[solid] if solid.any() else np.ones((1, 3), np.float32)
    ground = np.median(own, axis=0)
    if np.abs(own - ground).max(axis=1).mean() < 0.06:
        ground = np.full(3, float(ground.mean() < 0.5), np.float32)
    elif (rim := solid & grown(~solid, 1)).any():
        ground = np.median(colour[rim], axis=0)
    return colour * alpha + ground * (1 - alpha)
