"""Lines of a text file, plain or compressed, and the file with the test set beside one."""

import bz2
import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mnistcore.data.raw import DataError

COMPRESSED = (".gz", ".bz2", ".xz")
_BLANK = 100_000  # lines that hold nothing, of which a compressed file has any number
_LONGEST = 2**24  # characters of a line: 2,048 x 2,048 pixels of three digits
_UNREADABLE = "\ufffd"  # what stands for bytes that are no letter of the encoding
_SNIFFED = 2**16  # bytes that decide what a file is
_EXAMINED = 200  # entries of a folder that decide what it is
_TRAIN = re.compile(r"train(?:ing)?|tra(?=\.|$)", re.IGNORECASE)
_PARTNERS = {"train": ("test", "testing"), "training": ("testing", "test"), "tra": ("tes",)}


def text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file, without line ends, as many as there are, blank ones included.

    The file may be compressed by gzip, bzip2 or xz, and in UTF-8 or UTF-16, with or without a
    byte order mark, whatever its name is.

    Raises
    ------
    DataError
        If it cannot be read, is damaged, or holds bytes that are no text.
    """
    with _opened(path) as file:
        text = io.TextIOWrapper(file, _encoding(file), errors="replace")
        number = blank = 0
        while line := text.readline(_LONGEST):
            number += 1
            if "\0" in line:
                raise DataError(
                    f"{path}: line {number} holds bytes that are no text; check the file"
                )
            if _UNREADABLE in line:  # two letters that look alike as this would be one class
                raise DataError(
                    f"{path}: line {number} holds letters that are not in UTF-8; save the file as"
                    " UTF-8 text"
                )
            if len(line) == _LONGEST:
                raise DataError(
                    f"{path}: line {number} has {_LONGEST:,} characters or more; check the file"
                )
            blank += line.isspace()
            if blank > _BLANK:
                raise DataError(f"{path}: has more than {_BLANK:,} blank lines; check the file")
            yield line.rstrip("\r\n")


def first_line(path: Path, comments: tuple[str, ...] = ()) -> str | None:
    """Return the first line of a text file that is not blank, nor begins so; None if it is none."""
    try:
        if not os.path.isfile(path):
            return None
        with _opened(path) as file:
            encoding = _encoding(file)
            start = file.read(_SNIFFED).decode(encoding, errors="replace")
    except (DataError, OSError):
        return None
    if "\0" in start:
        return None
    lines = (line for line in start.splitlines() if not line.startswith(comments))
    return next((line for line in lines if line.strip()), None)


def files_in(folder: Path) -> list[Path]:
    """Return the first files of a folder that are not hidden; none if it cannot be read."""
    try:
        entries = sorted(folder.iterdir())[:_EXAMINED]
        return [path for path in entries if not path.name.startswith(".") and path.is_file()]
    except OSError:
        return []


def stem_of(name: str) -> str:
    """Return the name of a file without the ending of a compressed one."""
    for end in COMPRESSED:
        name = name.removesuffix(end)
    return name


def is_training(name: str) -> bool:
    """Whether the name of a file says that it holds a training set."""
    return bool(_TRAIN.search(stem_of(name)))


def partner_of(path: Path) -> Path | None:
    """Return the file beside `path` whose name says that it is the test set of the same data.

    The last "train" in the name is replaced by "test", "training" by "testing", ".tra" by
    ".tes"; the names of LIBSVM add ".t". Either may be compressed.
    """
    stem = stem_of(path.name)
    stems = [f"{stem}.t"]
    if found := list(_TRAIN.finditer(stem)):
        old = found[-1]
        for new in _PARTNERS[old[0].lower()]:
            new = new.upper() if old[0].isupper() else new
            new = new.capitalize() if old[0].istitle() else new
            stems.append(stem[: old.start()] + new + stem[old.end() :])
    for stem in stems:
        for end in ("", *COMPRESSED):
            candidate = path.with_name(stem + end)
            if candidate != path and candidate.is_file():
                return candidate
    return None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, decompressing it by its first bytes; errors become one clear line."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start.startswith(b"\x1f\x8b"):
                yield io.BufferedReader(gzip.GzipFile(fileobj=file))
            elif start.startswith(b"BZh"):
                yield io.BufferedReader(bz2.BZ2File(file))
            elif start.startswith(b"\xfd7zXZ\0"):
                with lzma.LZMAFile(file) as unpacked:
                    yield io.BufferedReader(unpacked)
            else:
                yield file
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the name") from error
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(
            f"{path}: its compressed data is damaged ({error}); download it again"
        ) from error
    except OSError as error:
        if error.errno is None:  # bz2 has no error of its own
            raise DataError(
                f"{path}: its compressed data is damaged ({error}); download it again"
            ) from error
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def _encoding(file: IO[bytes]) -> str:
    start = file.peek(4)[:4]  # type: ignore[attr-defined]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if start[1::2] == b"\0\0" and b"\0" not in start[::2]:
        return "utf-16-le"  # without a mark
    return "utf-8-sig"
