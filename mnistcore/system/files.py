"""Files that are replaced whole or not at all: a reader never sees half of one."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def check_target(path: Path) -> None:
    """See, before the work is done, that a file could be written under this name.

    Raises
    ------
    ValueError
        If it is a folder, or there is no folder to write it to, or that is write-protected.
    """
    if path.is_dir():
        raise ValueError(f"{path}: cannot be written, because it is a folder; name a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: cannot be written, because there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written, because {path.parent} is write-protected")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place when the block ends without an error."""
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
    """Replace a file by an object as strict JSON.

    Raises
    ------
    ValueError
        If a number is not finite; the file is left as it was.
    OSError
        If it cannot be written.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())
