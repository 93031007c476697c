"""Read, write and memory-map IDX, the file format in which MNIST is published.

A file holds one array: two zero bytes, one byte for the element type, one for the number of
dimensions, each dimension as a big-endian uint32, then the elements, big-endian, last
dimension fastest (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits",
section "File formats for the MNIST database").
"""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mnistcore.data.magic import described
from mnistcore.data.raw import DataError
from mnistcore.system.errors import by
from mnistcore.system.files import replacing

MAX_BYTES = 2**30  # twice EMNIST ByClass, the largest set of the family; a header may be wrong
_MAX_DIMENSIONS = 32  # the limit of NumPy before 2.0
_CHUNK = 2**20
_HEAD = 512  # bytes that tell what else a file may be
_GZIP_MAGIC = b"\x1f\x8b"
_DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


class IdxError(DataError):
    """An IDX file is malformed, or a set of IDX files does not match."""


def read_idx(path: str | Path, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read an IDX file, raw or gzip-compressed, judged by its content rather than its name.

    Parameters
    ----------
    path : str or Path
    max_bytes : int
        Refuse a file whose header declares more bytes of elements than this.

    Returns
    -------
    ndarray
        C-contiguous, in native byte order, with the shape and type that the file declares
        (uint8, int8, int16, int32, float32 or float64).

    Raises
    ------
    IdxError
        The file is malformed, damaged or too large. At most the declared size is decompressed.
    FileNotFoundError
        The file does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.data import read_idx, write_idx
    >>> write_idx("labels-idx1-ubyte.gz", np.array([7, 2, 1], np.uint8))
    >>> read_idx("labels-idx1-ubyte.gz")
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    with _opened(path) as stream:
        dtype, shape = _read_header(stream, path, max_bytes)
        data = np.empty(dtype.itemsize * math.prod(shape), np.uint8)
        n_read = _read_into(stream, data.data)
        if n_read < data.size:
            raise IdxError(_truncated(path, dtype, shape, n_read))
        if stream.read(1):  # reading to the end also makes gzip verify its checksum
            raise IdxError(_trailing(path, dtype, shape))
    return data.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def map_idx(path: str | Path) -> np.ndarray:
    """Map a raw IDX file into memory, read-only.

    Returns
    -------
    ndarray
        A view of a ``numpy.memmap`` with the shape and type that the file declares, in the
        file's byte order.

    Raises
    ------
    IdxError
        The file is malformed or compressed.
    FileNotFoundError
        The file does not exist.
    """
    path = Path(path)
    with _opened(path) as stream:
        if isinstance(stream, gzip.GzipFile):
            raise IdxError(f"{path}: is compressed and cannot be mapped; decompress it first")
        dtype, shape = _read_header(stream, path, MAX_BYTES)
        offset = stream.tell()
        n_bytes = dtype.itemsize * math.prod(shape)
        n_there = os.fstat(stream.fileno()).st_size - offset
        if n_there < n_bytes:
            raise IdxError(_truncated(path, dtype, shape, n_there))
        if n_there > n_bytes:
            raise IdxError(_trailing(path, dtype, shape))
        if n_bytes == 0:  # an empty range cannot be mapped
            return np.empty(shape, dtype)
        return np.asarray(np.memmap(stream, dtype, "r", offset, shape))


def write_idx(path: str | Path, array: np.ndarray) -> None:
    """Write an array as an IDX file, gzip-compressed if the name ends in ``.gz``.

    The file is replaced atomically: it is written beside `path` and then moved there.

    Parameters
    ----------
    path : str or Path
    array : ndarray
        Of type uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    TypeError
        IDX has no code for the type of `array`.
    ValueError
        `array` has too many dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.data import write_idx
    >>> write_idx("images-idx3-ubyte", np.zeros((2, 28, 28), np.uint8))
    """
    path = Path(path)
    array = np.asarray(array)
    header, elements = _encode(array)
    with replacing(path) as file:
        if path.suffix == ".gz":  # no name or time inside, so equal arrays give equal bytes
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
                stream.write(header)
                stream.write(elements)
        else:
            file.write(header)
            file.write(elements)


def idx_sha256(array: np.ndarray) -> str:
    """Return the hexadecimal SHA-256 of the raw IDX file that holds `array`.

    An array has only one IDX encoding, so this is the hash of the decompressed file that the
    array was read from.
    """
    header, elements = _encode(array)
    digest = hashlib.sha256(header)
    digest.update(elements)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    """Open a raw or compressed file for reading; turn errors into one clear line."""
    try:
        if path.is_dir():
            raise IdxError(f"{path}: is a folder, not an IDX file; name the file inside it")
        if path.exists() and not path.is_file():
            raise IdxError(f"{path}: is not a regular file; name an IDX file")
        with path.open("rb") as file:
            compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if compressed else file
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such file; check the name") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IdxError(f"{path}: gzip data is damaged ({error}); download it again") from error
    except OSError as error:
        reason = error.strerror or error
        raise IdxError(f"{path}: cannot be read ({reason}); check the file") from error


def _read_header(
    stream: BinaryIO | gzip.GzipFile, path: Path, max_bytes: int
) -> tuple[np.dtype, tuple[int, ...]]:
    """Read magic number and dimensions; refuse impossible sizes before allocating memory."""
    magic = stream.read(4)
    if not magic:
        raise IdxError(f"{path}: is empty; download it again")
    if magic[:2] != b"\0\0"[: len(magic)]:
        raise IdxError(_other_kind(path, magic, magic + stream.read(_HEAD)))
    if len(magic) < 4:
        raise IdxError(f"{path}: truncated: ends inside the header; download it again")
    code, n_dimensions = magic[2:]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02X}" for known in _DTYPES)
        raise IdxError(
            f"{path}: unknown element type 0x{code:02X} in the header, IDX has {known}; "
            "check the program that wrote it"
        )
    if n_dimensions > _MAX_DIMENSIONS:
        raise IdxError(
            f"{path}: declares {n_dimensions} dimensions, at most {_MAX_DIMENSIONS} can be "
            "read; check the program that wrote it"
        )
    sizes = stream.read(4 * n_dimensions)
    if len(sizes) < 4 * n_dimensions:
        raise IdxError(f"{path}: truncated: ends inside the header; download it again")
    dtype = _DTYPES[code]
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    # Zeros are left out because NumPy refuses shapes like (2**32 - 1, 2**32 - 1, 0) as well.
    declared = dtype.itemsize * math.prod(size for size in shape if size)
    if declared > max_bytes:
        raise IdxError(
            f"{path}: declares {_described(dtype, shape)}, more than the {max_bytes} bytes "
            "that are accepted; check where the file came from"
        )
    return dtype, shape


def _read_into(stream: BinaryIO | gzip.GzipFile, buffer: memoryview) -> int:
    """Fill `buffer` from `stream` in chunks; return the number of bytes read."""
    n_read = 0
    while n_read < len(buffer):
        chunk = stream.read(min(_CHUNK, len(buffer) - n_read))
        if not chunk:
            break
        buffer[n_read : n_read + len(chunk)] = chunk
        n_read += len(chunk)
    return n_read


def _encode(array: np.ndarray) -> tuple[bytes, memoryview]:
    """Return the header and the big-endian elements of the IDX file for `array`."""
    code = _CODES.get(array.dtype.newbyteorder(">"))
    if code is None:
        raise TypeError(
            f"IDX cannot hold {array.dtype} elements; convert to uint8, int8, int16, int32, "
            "float32 or float64"
        )
    if array.ndim > _MAX_DIMENSIONS:
        raise ValueError(f"array has {array.ndim} dimensions; IDX takes {_MAX_DIMENSIONS}")
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    elements = np.ascontiguousarray(array, _DTYPES[code])
    return header, elements.reshape(-1).view(np.uint8).data


def _other_kind(path: Path, magic: bytes, head: bytes) -> str:
    """Return the message for a file that is no IDX file."""
    if head.startswith(_GZIP_MAGIC):
        return f"{path}: not an IDX file: is gzip inside gzip; decompress it once, with gzip -d"
    if found := described(head):
        words, advice = found
        return f"{path}: not an IDX file: is {words}; {advice}"
    return (
        f"{path}: not an IDX file: begins with bytes {magic.hex(' ')}, where IDX has 00 00; check"
        " what was downloaded"
    )


def _described(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    return f"{by(shape) or 1} elements of type {dtype.name}"


def _truncated(path: Path, dtype: np.dtype, shape: tuple[int, ...], n_bytes: int) -> str:
    n_declared = dtype.itemsize * math.prod(shape)
    return (
        f"{path}: truncated: the header declares {_described(dtype, shape)} "
        f"({n_declared} bytes), the file holds {n_bytes}; download it again"
    )


def _trailing(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> str:
    return (
        f"{path}: trailing bytes after the {_described(dtype, shape)} that the header "
        "declares; download it again"
    )
