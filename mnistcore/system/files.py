"""Atomic replacement of files: a reader never sees a partly written file."""

import errno
import io
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .locks import open_folder, try_lock

_FULL = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY = re.compile(r"\.mnistcore-[0-9a-f]{16}\.tmp")
_BEGINNING = 60.0  # seconds after which an empty temporary file has no owner any more
_MOST = 2**26
_DESCRIPTORS = ("/dev", "/dev/fd", "/proc/self/fd")


def check_target(path: Path, *sources: Path) -> None:
    """Check that a file can be written at this path, before the work for it is done.

    Raises
    ------
    ValueError
        If the path is a folder or one of the ``sources``, which are read, or its parent is missing
        or write-protected.
    """
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise ValueError(f"{path}: is the file that is read; give output another name")
    if path.is_dir():
        raise ValueError(f"{path}: cannot be written, because it is a folder; name a file")
    path = _behind(path)
    if _is_special(path):
        if not os.access(path, os.W_OK):
            raise ValueError(f"{path}: cannot be written, because it is write-protected")
        return
    if not path.parent.is_dir():
        raise ValueError(f"{path}: cannot be written, because there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written, because {path.parent} is write-protected")


def check_folder(path: Path) -> None:
    """Check that files can be written into this folder, or that it can be made.

    Raises
    ------
    ValueError
        If it cannot.
    """
    try:
        with suppress(OSError):
            os.lstat(path)
    except ValueError:
        raise ValueError(f"{os.fspath(path)!r}: is no name of a folder") from None
    parents = (path.absolute(), *path.absolute().parents)
    existing = next(parent for parent in parents if parent.exists())
    if not existing.is_dir():
        raise ValueError(f"{path}: cannot be written, because {existing} is not a folder")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{path}: cannot be written, because {existing} is write-protected")


def read_bounded(path: Path) -> bytes:
    """Return the content of a regular file, such as one of options.

    Raises
    ------
    ValueError
        If it is something else, or larger than such a file can be.
    OSError
        If it cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: is not a regular file")
    with path.open("rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"{path}: is larger than {_MOST:,} bytes")
    return content


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` when the block ends without an error.

    The new file is on the disk, and known there by its name, when this ends. Temporary files that
    killed processes have left in the folder are removed. A link stays, and leads to the new file. A
    device or a pipe is not replaced: what is written goes into it.

    Raises
    ------
    OSError
        If the file cannot be written, such as on a full disk; it names ``path``, and nothing is
        left of the temporary file.
    """
    path = _behind(path)
    if _is_special(path):
        with naming(path), _opened(path) as special:
            yield special
        return
    remove_leftovers(path.parent)
    beside = path.with_name(f".mnistcore-{secrets.token_hex(8)}.tmp")
    try:
        with naming(path, beside):
            with beside.open("xb", buffering=0) as raw:
                locked = try_lock(raw.fileno())
                file = io.BufferedWriter(raw)
                try:
                    yield file
                    file.flush()
                    os.fsync(raw.fileno())
                except BaseException:
                    raw.close()  # first: closing the buffer would write the rest
                    raise
                if locked:  # without which another process would take it for a leftover
                    os.replace(beside, path)
            if not locked:  # Windows moves no open file
                os.replace(beside, path)
            _sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def _behind(path: Path) -> Path:
    """Return where a link leads to, unless that is a device or a pipe."""
    return Path(os.path.realpath(path)) if path.is_symlink() and not _is_special(path) else path


def _is_special(path: Path) -> bool:
    """Whether there is a device or a pipe, or what stands for the output of a process."""
    there = path.exists() and not path.is_dir()
    return there and (not path.is_file() or str(path.absolute().parent) in _DESCRIPTORS)


def _opened(path: Path) -> BinaryIO:
    """Open a device or a pipe; what is standard output goes on where that is."""
    found = os.stat(path)
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(found, os.fstat(descriptor)):
                if sys.stdout is not None:
                    sys.stdout.flush()
                return os.fdopen(os.dup(descriptor), "wb")
    return path.open("ab")


def is_empty(folder: Path) -> bool:
    """Return whether a folder has no files, or at most temporary ones of :func:`replacing`."""
    return all(_TEMPORARY.fullmatch(path.name) for path in folder.iterdir())


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of :func:`replacing` whose processes were killed.

    A process at work holds a lock on its file, except in the moment before it begins to write.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and path.is_file():
                with suppress(OSError), path.open("rb") as file:
                    found = os.stat(file.fileno())
                    begun = found.st_size > 0 or time.time() - found.st_mtime > _BEGINNING
                    if begun and try_lock(file.fileno()):
                        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = open_folder(folder)
        if descriptor is not None:
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Give an OSError of the block that names no file, or the temporary one, the path's name.

    The system names no file when a disk is full.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None and str(error.filename) != str(temporary)
        if error.errno is None or named:
            raise
        reason = f"cannot be written ({os.strerror(error.errno)})"
        if error.errno in _FULL:
            reason += "; free some space, or write elsewhere"
        raise OSError(error.errno, reason, str(path)) from error


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


def append_line(path: Path, line: str) -> None:
    """Append a line to a text file; where that fails, the file is as before.

    Raises
    ------
    OSError
        If it cannot be written; the error names ``path``.
    """
    with naming(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        content = memoryview(f"{line}\n".encode())
        try:
            while content:
                content = content[file.write(content) :]
        except BaseException:
            with suppress(OSError):
                file.truncate(before)
            raise
