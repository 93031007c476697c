"""Pictures, as ``predict`` opens and reads them."""

import functools
import io
import zlib

import numpy as np
from PIL import Image, ImageDraw

from mnistcore.models.ensemble import Ensemble
from mnistcore.pictures.files import PictureError, open_picture
from mnistcore.pictures.readings import predict_pictures

from .data_files import right_sums
from .hostile import DIGITS, hostile_model
from .target import Target

READ = 100  # one of so many pictures is read as digits, which takes 0.1 s; the others are opened


def _picture_seeds():
    grey = Image.fromarray(np.arange(24 * 20, dtype=np.uint8).reshape(24, 20))
    colour = Image.merge("RGB", [grey] * 3)
    wide = Image.fromarray(np.arange(24 * 20, dtype=np.uint16).reshape(24, 20) * 130)
    indexed = colour.quantize(16)
    indexed.info["transparency"] = 3
    kinds = [(grey, "PNG", {}), (wide, "PNG", {}), (indexed, "PNG", {"transparency": 3})]
    kinds += [(colour, name, {}) for name in ("JPEG", "BMP", "GIF", "WEBP")]
    kinds += [(colour, "TIFF", {"compression": c}) for c in ("raw", "tiff_lzw", "jpeg")]
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds += [
        (wide, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (grey.convert("I"), "TIFF", {}),
        (colour.convert("CMYK"), "JPEG", {"exif": turned}),
        *_strokes(),
    ]
    return [{"x": _saved(*kind)} for kind in kinds]


def _saved(image, kind, settings):
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def _with_right_sums(parts):
    return {"x": right_sums(parts["x"])}


def _strokes():
    page = Image.new("L", (90, 60), 250)
    draw = ImageDraw.Draw(page)
    draw.line([(20, 8), (20, 50)], 20, 5)
    draw.ellipse([40, 10, 70, 50], outline=30, width=5)
    return [(page, "PNG", {}), (page, "BMP", {}), (page.convert("RGB"), "JPEG", {})]


@functools.cache
def _reader():
    return Ensemble([hostile_model(DIGITS)], ["x"])


def _read(path):
    number = zlib.crc32(path.read_bytes())
    if number % READ:
        open_picture(path)
        return
    for reading in predict_pictures(_reader(), [str(path)], number // READ % 2 == 0, "numpy"):
        assert len(reading.reason) < 500
        assert reading.reason.isprintable()


TARGETS = {
    "picture": Target(
        _picture_seeds, _read, (PictureError,), _with_right_sums, megabytes=1000, short=1000
    ),
}
