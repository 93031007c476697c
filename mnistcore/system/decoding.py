"""Decode a picture that Pillow has opened: in little memory, and without words of libtiff."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_MOST = 400_000_000  # bytes of a strip or tile of TIFF, which libtiff holds beside the picture
_WIDTH, _HEIGHT, _ROWS, _SAMPLES, _BITS = 322, 323, 278, 277, 258  # TIFF's tags

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to stderr
_STDERR = threading.RLock()
# A fork waits for the lock; otherwise the child would wait for it forever.
os.register_at_fork(
    before=_STDERR.acquire, after_in_parent=_STDERR.release, after_in_child=_STDERR.release
)


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
    with _no_stderr():
        picture.load()


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Close the descriptor of standard error, to which libtiff writes by itself, for a moment."""
    with _STDERR:
        kept = null = None
        with suppress(OSError):  # it is closed already, or there are no more descriptors
            null = os.open(os.devnull, os.O_WRONLY)
            kept = os.dup(2)
            os.dup2(null, 2)
        try:
            yield
        finally:
            if kept is not None:
                os.dup2(kept, 2)
            for descriptor in (kept, null):
                if descriptor is not None:
                    os.close(descriptor)
