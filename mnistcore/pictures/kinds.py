"""Say what a file is that is not an ordinary picture, from its first bytes, and what to do.

The signatures are those of each format's specification: ISO 14496-12 (MP4, HEIC and AVIF are
boxes that begin with ``ftyp`` and a brand), PDF, ZIP (whose first name tells Office's documents),
Matroska, RIFF, and the heads of cameras' raw files.
"""

import re
from typing import Literal

_CONVERT = "export it as JPEG or PNG"
_PAGES = "save the page as PNG, for example with pdftoppm -png -r 200"
_FRAME = "save a frame as PNG"

# The brands of ISO media files that are pictures, not videos.
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
_HEAD = 4096  # bytes that are looked at

_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "a PDF", _PAGES),
    (b"%!PS", "PostScript", _PAGES),
    (b"\xc5\xd0\xd3\xc6", "PostScript", _PAGES),
    (b"8BPS", "a Photoshop file", _CONVERT),
    (b"gimp xcf", "a GIMP file", _CONVERT),
    (b"\xff\x0a", "a JPEG XL picture", _CONVERT),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", _CONVERT),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", _CONVERT),
    (b"AT&TFORM", "a DjVu document", _PAGES),
    (b"\0\0\x01\0", "an icon", _CONVERT),
    (b"\x1aE\xdf\xa3", "a video", _FRAME),
    (b"FLV\x01", "a video", _FRAME),
    (b"\0\0\x01\xba", "a video", _FRAME),
    (b"FUJIFILMCCD-RAW", "a camera's raw file", _CONVERT),
    (b"IIRO", "a camera's raw file", _CONVERT),
    (b"IIRS", "a camera's raw file", _CONVERT),
    (b"IIU\0", "a camera's raw file", _CONVERT),
    (b"\0MRM", "a camera's raw file", _CONVERT),
    (b"II*\0\x10\0\0\0CR", "a camera's raw file", _CONVERT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", _PAGES),
    (b"{\\rtf", "a text document", _PAGES),
    (b"\x93NUMPY", "a NumPy array", "load it and give predict_pictures the array"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it"),
    (b"\0\0\x08\x03", "a file of IDX images", "give it to evaluate --data"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it"),
    (b"7z\xbc\xaf'\x1c", "an archive", "unpack it"),
    (b"Rar!", "an archive", "unpack it"),
)
_RAW_MAKERS = (b"NIKON", b"SONY", b"PENTAX", b"SAMSUNG", b"Hasselblad", b"Canon")


def is_heif(content: bytes) -> bool:
    """Return whether the bytes of a file are a HEIC or HEIF picture, as iPhones take them."""
    brands = _brands(content)
    return not brands & _AVIF and bool(brands & _HEIF)


def is_avif(content: bytes) -> bool:
    """Return whether the bytes of a file are an AVIF picture."""
    return bool(_brands(content) & _AVIF)


def _brands(content: bytes) -> set[bytes]:
    """Return the brands of an ISO media file; empty if it is none."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4], "big"), 256)
    return {content[8:12]} | {content[i : i + 4] for i in range(16, end - 3, 4)}


def what_it_is(content: bytes) -> tuple[str, str] | None:
    """Name the kind of a file that cannot be read as a picture, and say what to do with it.

    Parameters
    ----------
    content
        The bytes of the file; the first 4,096 are looked at.

    Returns
    -------
    (kind, advice), or None if it is not known.
    """
    head = content[:_HEAD]
    for start, kind, advice in _STARTS:
        if head.startswith(start):
            return kind, advice
    if is_heif(head) or is_avif(head):
        return None
    if head[4:8] == b"ftyp":
        raw = head[8:11] == b"crx"
        return ("a camera's raw file", _CONVERT) if raw else ("a video", _FRAME)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "a video", _FRAME
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "a sound", "give a picture"
    if head[:4] == b"PK\x03\x04":
        return _zipped(head)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.match(rb"(<\?xml.*?|<!--.*?|<!doctype svg.*?)?<svg[\s>/]", text, re.DOTALL):
        return "an SVG drawing", "export it as PNG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page", "save the picture itself"
    return None


def _zipped(head: bytes) -> tuple[str, str]:
    if b"word/" in head or b"[Content_Types].xml" in head or b"mimetypeapplication/vnd" in head:
        return "an Office document", _PAGES
    return "an archive", "unpack it"


def is_raw(content: bytes) -> bool:
    """Return whether a TIFF is a camera's raw file, whose first picture is only a thumbnail.

    DNG is recognised by its tag DNGVersion (50706), which it must have, the others by the name of
    the camera's maker and by the tag of the raw pictures behind the first, SubIFDs (330).
    """
    if content[:4] not in (b"II*\0", b"MM\0*"):
        return False
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    at = int.from_bytes(content[4:8], order)
    count = int.from_bytes(content[at : at + 2], order)
    entries = range(at + 2, at + 2 + 12 * min(count, 200), 12)
    tags = {int.from_bytes(content[i : i + 2], order) for i in entries}
    made = any(maker.lower() in content[:_HEAD].lower() for maker in _RAW_MAKERS)
    return 50706 in tags or (330 in tags and made)
