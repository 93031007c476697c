"""Atomic replacement of files: a reader never sees a partly written file."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def check_target(path: Path) -> None:
    """Check that a file can be written at this path, before the work for it is done.

    Raises
    ------
    ValueError
        If the path is a folder, or its parent is missing or write-protected.
    """
    if path.is_dir():
        raise ValueError(f"{path}: cannot be written, because it is a folder; name a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: cannot be written, because there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written, because {path.parent} is write-protected")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` when the block ends without an error."""
    beside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    with beside.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            file.close()
            beside.unlink(missing_ok=True)
            raise
    try:
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as strict JSON, replacing the file atomically.

    Raises
    ------
    ValueError
        If a number is not finite; the file is not changed.
    OSError
        If the file cannot be written.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())
