"""What a target is, and how the parts of a file make one whose checksums are right.

A seed is a dict of parts, and ``pack`` makes files of it: so the members of a zip file are
changed while its checksums stay right. The seed's files themselves are changed as well.
"""

import dataclasses
import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

Parts = Mapping[str, bytes]


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader: its valid files, how their parts make files, and what it may raise."""

    seeds: Callable[[], Sequence[Parts]]
    read: Callable[[Path], object]  # of a file, or of a folder
    allowed: tuple[type[Exception], ...] = (ValueError,)
    pack: Callable[[Parts], Parts] = dict  # files by name
    folder: bool = False  # whether it reads a folder with all files rather than a single one
    writes: bool = False  # whether it changes files of this folder, or adds some
    seconds: float = 5.0
    megabytes: float = 400.0
    short: int = 150  # executions in the suite


def written(write, name="x"):
    """Return the content of the file that a function writes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name))
        return Path(folder, name).read_bytes()


def npz(*rows, **arrays):
    """Return the members of a .npz file."""
    packed = io.BytesIO()
    np.savez(packed, *rows, **arrays)
    return members(packed.getvalue())


def members(content):
    """Return the members of a zip file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(name):
    """Return what packs members into a zip file of this name."""

    def pack(parts):
        packed = io.BytesIO()
        method = zipfile.ZIP_DEFLATED if zlib.crc32(b"".join(parts.values())) % 4 == 0 else 0
        with zipfile.ZipFile(packed, "w", method) as archive:
            for member, content in parts.items():
                archive.writestr(member, content)
        return {name: packed.getvalue()}

    return pack


def split(content):
    """Return the two parts of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return {"header": content[8 : 8 + length], "numbers": content[8 + length :]}


def joined(parts, name="x.safetensors"):
    """Return the safetensors file of two parts; the length of the header is right."""
    return {name: len(parts["header"]).to_bytes(8, "little") + parts["header"] + parts["numbers"]}
