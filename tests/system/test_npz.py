"""Arrays of ``.npz`` files whose headers are odd, false or damaged."""

import io
import zipfile

import numpy as np
import pytest

from mnistcore.system.npz import Npz


def member(header: str, content: bytes = b"") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def declared(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def file_of(path, content, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", content)
    return Npz(path)


@pytest.mark.parametrize(
    "content",
    [
        member("{'descr': '<f4', 'shape': (("),  # TokenError in NumPy's reader
        member("{'descr': '<f4'\n  'shape'\n 3"),
        member("(" * 5000),
        member(declared("'<f4'", "(2, 2)"), bytes(12)),
        member(declared("'<f4'", "(-2, -2)"), bytes(16)),
        member(declared("'<U0'", "(9000000000,)")),  # nothing, nine thousand million times
        member(declared("'|V0'", "(2, 9000000000)")),
        member(declared("'<U1'", "(2,)"), b"\xff" * 8),  # SystemError when it is made a text
        member(declared("[('a', '<U1')]", "(2,)"), b"\xff" * 8),
        b"\x93NUMPY\x09\x00",
        b"",
    ],
    ids=range(11),
)
def test_odd_arrays_are_refused_by_a_value_error(content, tmp_path):
    file = file_of(tmp_path / "w.npz", content)
    with pytest.raises(ValueError, match=r"is a damaged \.npz file"):
        _ = file.header("x"), file.read("x")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_compression_is_a_value_error(method, tmp_path):
    path = tmp_path / "w.npz"
    content = io.BytesIO()
    np.save(content, np.random.default_rng(0).integers(0, 9, 5000))
    file_of(path, content.getvalue(), method)
    whole = bytearray(path.read_bytes())
    for place in range(60, len(whole) - 200, 97):
        damaged = bytearray(whole)
        damaged[place : place + 9] = b"\xff" * 9
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"is a damaged \.npz file"):
            Npz(path).read("x")


def test_very_many_files_are_not_opened_one_by_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        for number in range(1001):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(ValueError, match="more than 1,000 files in it"):
        Npz(tmp_path / "w.npz")


def test_a_size_is_told_from_the_header_alone(tmp_path):
    content = io.BytesIO()
    np.save(content, np.zeros((3, 5), np.float16))
    header = file_of(tmp_path / "w.npz", content.getvalue()).header("x")
    assert (header.size(1), header.pixels, header.size(8)) == (30, 60, 120)


def test_texts_in_both_byte_orders_are_read(tmp_path):
    for order in "<>":
        names = np.array(["a\u00e9", "\U0010ffff", ""], f"{order}U2")
        np.savez(tmp_path / "w.npz", x=names)
        np.testing.assert_array_equal(Npz(tmp_path / "w.npz").read("x"), names)
