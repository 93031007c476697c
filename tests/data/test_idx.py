"""IDX files: what is written is read, and no damage goes unnoticed or unexplained."""

import gzip
import hashlib
import os
import re
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mnistcore.data.idx import IdxError, idx_sha256, map_idx, read_idx, write_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
arrays_of_any_type = st.sampled_from([*CODES, ">i4", ">f8"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
)


def idx_bytes(code: int, shape: tuple[int, ...], data: bytes) -> bytes:
    """Compose an IDX file by the letter of its definition."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape) + data


GOOD = idx_bytes(8, (2, 3), bytes(range(6)))
GZ = gzip.compress(GOOD, mtime=0)


def damaged(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position:][1:]


MALFORMED = {
    "empty": (b"", "is empty"),
    "one-byte": (b"\0", "truncated"),
    "no-dimension-count": (b"\0\0\x08", "truncated"),
    "web-page": (b"<!DOCTYPE html><title>403</title>", "not an IDX file"),
    "wrong-magic": (b"\x01" + GOOD[1:], "not an IDX file"),
    "little-endian-magic": (struct.pack("<I", 0x803) + GOOD[4:], "not an IDX file"),
    "type-0": (idx_bytes(0, (2, 3), bytes(6)), "unknown element type 0x00"),
    "type-0a": (idx_bytes(0x0A, (2, 3), bytes(6)), "unknown element type 0x0A"),
    "many-dimensions": (idx_bytes(8, (1,) * 33, b"x"), "33 dimensions"),
    "header-cut": (GOOD[:10], "truncated: ends inside the header"),
    "no-dimensions-in-header": (GOOD[:4], "truncated: ends inside the header"),
    "no-data": (GOOD[:12], "truncated"),
    "data-cut": (GOOD[:-1], "truncated"),
    "data-cut-inside-element": (idx_bytes(0x0C, (2,), bytes(7)), "truncated"),
    "trailing-byte": (GOOD + b"\0", "trailing bytes"),
    "data-after-nothing": (idx_bytes(8, (0, 3), b"x"), "trailing bytes"),
    "huge": (idx_bytes(8, (2**20, 2**20), bytes(6)), "declares 1048576 x 1048576"),
    "product-overflows": (idx_bytes(0x0E, (2**32 - 1,) * 4, bytes(6)), "declares"),
    "product-wraps-to-small": (idx_bytes(8, (2**31, 2**31, 4), b""), "declares"),
    "huge-but-empty": (idx_bytes(8, (2**32 - 1, 2**32 - 1, 0), b""), "declares"),
    "gz-magic-alone": (b"\x1f\x8b", "gzip data is damaged"),
    "gz-cut": (GZ[:-9], "gzip data is damaged"),
    "gz-without-checksum": (GZ[:-8], "gzip data is damaged"),
    "gz-wrong-checksum": (damaged(GZ, len(GZ) - 8), "gzip data is damaged"),
    "gz-wrong-length": (damaged(GZ, len(GZ) - 1), "gzip data is damaged"),
    "gz-damaged-stream": (damaged(GZ, 12), "gzip data is damaged"),
    "gz-unknown-method": (damaged(GZ, 2), "gzip data is damaged"),
    "gz-then-garbage": (GZ + b"garbage", "gzip data is damaged"),
    "gz-of-gz": (gzip.compress(GZ), "not an IDX file"),
    "gz-of-nothing": (gzip.compress(b""), "is empty"),
    "gz-data-cut": (gzip.compress(GOOD[:-1]), "truncated"),
    "gz-trailing-byte": (gzip.compress(GOOD + b"\0"), "trailing bytes"),
    "gz-huge": (gzip.compress(idx_bytes(8, (2**20, 2**20), b"")), "declares"),
}


@pytest.mark.parametrize(("content", "what"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_file_gets_one_clear_line(content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(IdxError, match=re.escape(what)) as caught:
        read_idx(path)
    assert_one_line(caught.value, path)
    with pytest.raises(IdxError) as caught:
        map_idx(path)
    assert_one_line(caught.value, path)


def assert_one_line(error: Exception, path: Path) -> None:
    """The line names the file and, after a semicolon, says what to do."""
    assert re.fullmatch(re.escape(str(path)) + r": [^\n]+; [^\n]+", str(error))


def test_what_is_no_file_gets_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="is a folder") as caught:
        read_idx(tmp_path)
    assert_one_line(caught.value, tmp_path)
    with pytest.raises(IdxError, match="cannot be read") as caught:
        read_idx(tmp_path / ("x" * 5000))
    assert_one_line(caught.value, tmp_path / ("x" * 5000))
    with pytest.raises(IdxError, match="cannot be read") as caught:
        read_idx(tmp_path / ("x" * 5000))
    assert_one_line(caught.value, tmp_path / ("x" * 5000))
    with pytest.raises(FileNotFoundError, match="no such file") as missing:
        read_idx(tmp_path / "none")
    assert_one_line(missing.value, tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IdxError, match="not a regular file"):
        read_idx(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_unreadable_file_gets_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(IdxError, match="cannot be read") as caught:
        read_idx(path)
    assert_one_line(caught.value, path)


def test_gzip_bomb_is_not_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    bomb = gzip.compress(idx_bytes(8, (10,), bytes(64 * 2**20)), compresslevel=1)
    path.write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(IdxError, match="trailing bytes"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**22


def test_cap_is_on_the_bytes_that_the_header_declares(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    write_idx(path, np.arange(10, dtype=np.float64))
    assert read_idx(path, max_bytes=80).size == 10
    with pytest.raises(IdxError, match="more than the 79 bytes"):
        read_idx(path, max_bytes=79)


@pytest.mark.parametrize(("dtype", "code"), CODES.items())
def test_reads_every_type_as_defined(dtype: str, code: int, tmp_path: Path) -> None:
    values = np.array([[1, 2, 3], [4, 5, -6 if dtype != "u1" else 6]])
    data = values.astype(np.dtype(dtype).newbyteorder(">")).tobytes()
    (tmp_path / "file").write_bytes(idx_bytes(code, (2, 3), data))
    array = read_idx(tmp_path / "file")
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    assert array.flags.writeable
    np.testing.assert_array_equal(array, values)
    np.testing.assert_array_equal(map_idx(tmp_path / "file"), values)


def test_content_decides_about_compression_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "raw.gz").write_bytes(GOOD)
    (tmp_path / "compressed").write_bytes(GZ)
    np.testing.assert_array_equal(read_idx(tmp_path / "raw.gz"), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(read_idx(tmp_path / "compressed"), [[0, 1, 2], [3, 4, 5]])


@given(array=arrays_of_any_type, name=st.sampled_from(["file", "file.gz"]))
def test_what_is_written_is_read(
    array: np.ndarray, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    write_idx(path, array)
    back = read_idx(path)
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    raw = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == idx_sha256(array) == idx_sha256(back)
    if name == "file":
        np.testing.assert_array_equal(map_idx(path), array)


@given(st.binary(max_size=64) | st.binary(max_size=32).map(lambda data: b"\0\0\x08\x01" + data))
def test_any_bytes_give_an_array_or_a_clear_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    try:
        array = read_idx(path)
    except IdxError as error:
        assert_one_line(error, path)
    else:
        assert path.stat().st_size == 4 + 4 * array.ndim + array.nbytes


@given(position=st.integers(0, len(GZ) - 1), byte=st.integers(0, 255))
def test_damaged_gzip_never_gives_another_array(
    tmp_path_factory: pytest.TempPathFactory, position: int, byte: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(GZ[:position] + bytes([byte]) + GZ[position + 1 :])
    try:
        array = read_idx(path)
    except IdxError as error:
        assert_one_line(error, path)
    else:
        np.testing.assert_array_equal(array, [[0, 1, 2], [3, 4, 5]])


def test_strided_array_is_written_in_order(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 6).T[::2]
    write_idx(tmp_path / "file", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "file"), array)


def test_same_array_gives_same_gz_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path / "a.gz", np.arange(5, dtype=np.uint8))
    monkeypatch.setattr(time, "time", lambda: 1e9)
    write_idx(tmp_path / "b.gz", np.arange(5, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.bool_, np.float16, np.complex64, "U3"])
def test_type_without_a_code_is_refused_and_nothing_written(dtype: type, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="convert to uint8"):
        write_idx(tmp_path / "file", np.zeros(3, dtype))
    assert not list(tmp_path.iterdir())


def test_too_many_dimensions_are_refused(tmp_path: Path) -> None:
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("this NumPy has no array of 33 dimensions")
    with pytest.raises(ValueError, match="33 dimensions"):
        write_idx(tmp_path / "file", np.zeros((1,) * 33, np.uint8))


def test_the_most_dimensions_survive_a_round_trip(tmp_path: Path) -> None:
    write_idx(tmp_path / "file", np.full((1,) * 32, 7, np.uint8))
    np.testing.assert_array_equal(read_idx(tmp_path / "file"), np.full((1,) * 32, 7))
    assert read_idx(tmp_path / "file").ndim == 32


def test_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_idx(path, np.arange(3, dtype=np.uint8))

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_idx(path, np.arange(9, dtype=np.uint8))
    np.testing.assert_array_equal(read_idx(path), [0, 1, 2])
    assert list(tmp_path.iterdir()) == [path]


def test_write_onto_a_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises((IsADirectoryError, PermissionError)):
        write_idx(tmp_path / "file", np.arange(3, dtype=np.uint8))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_map_is_read_only_and_not_a_copy(tmp_path: Path) -> None:
    write_idx(tmp_path / "file", np.arange(6, dtype=np.uint8).reshape(2, 3))
    array = map_idx(tmp_path / "file")
    assert isinstance(array.base, np.memmap)
    assert not array.flags.writeable


def test_compressed_file_is_not_mapped(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(GZ)
    with pytest.raises(IdxError, match="compressed"):
        map_idx(tmp_path / "file.gz")
