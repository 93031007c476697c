"""Name files of other kinds by how they begin, so that an error can say what to do with them."""

from pathlib import Path

_LONGEST = 512
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive", "unpack it and name the folder"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and name the folder"),
    (b"Rar!", "a RAR archive", "unpack it and name the folder"),
    (b"\xfd7zXZ\0", "compressed by xz", "decompress it"),
    (b"BZh", "compressed by bzip2", "decompress it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "run git lfs pull"),
    (
        b"MATLAB",
        "a MATLAB file",
        "export its arrays with numpy.savez after scipy.io.loadmat, or download the set as IDX,"
        " which EMNIST calls the binary format",
    ),
    (b"\x93NUMPY", "a single array", "save images and labels as numpy.savez(..., x=..., y=...)"),
    (b"\x80", "a pickle, which could run any program", "save its arrays with numpy.savez"),
    (b"@relation", "an ARFF table", "save it as CSV"),
    (b"@RELATION", "an ARFF table", "save it as CSV"),
    (b"\x89PNG", "a picture", "name a folder that has a folder of pictures for each class"),
    (b"\xff\xd8\xff", "a picture", "name a folder that has a folder of pictures for each class"),
    (b"<", "a web page, not data", "download the file itself"),
)


def described(beginning: bytes) -> tuple[str, str] | None:
    """Say what a file is that begins with these bytes, and what to do with it; None if unknown."""
    if beginning[257:262] == b"ustar":
        return "a tar archive", "unpack it and name the folder"
    for start, words, advice in _BEGINNINGS:
        if beginning.startswith(start):
            return words, advice
    return None


def beginning_of(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed if they are gzip's; empty if it has none.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    import gzip

    with path.open("rb") as file:
        head = file.read(_LONGEST)
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        with gzip.open(path) as file:
            return file.read(_LONGEST)
    except (OSError, EOFError, ValueError):  # damaged
        return head
