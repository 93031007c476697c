"""What is said of paths that hold no data, or data that must first be unpacked."""

import gzip
import io
import os
import tarfile
import zipfile

import pytest

from mnistcore.data import DataNotFoundError, IdxError, load_data
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.formats import read_data

pytestmark = pytest.mark.usefixtures("clean_place")


def archive(kind) -> bytes:
    content = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(content, "w") as file:
            file.writestr("train-images-idx3-ubyte", b"x")
    else:
        with tarfile.open(fileobj=content, mode="w:gz") as file:
            file.addfile(tarfile.TarInfo("train-images-idx3-ubyte"))
    return content.getvalue()


KINDS = {
    "zip": (archive("zip"), "a zip archive; unpack it and name the folder"),
    "tar.gz": (archive("tar"), "a tar archive; unpack it and name the folder"),
    "7z": (b"7z\xbc\xaf\x27\x1c....", "a 7-Zip archive; unpack it"),
    "xz": (b"\xfd7zXZ\0...", "compressed by xz; decompress it"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "html": (b"<!DOCTYPE html>", "a web page, not data; download the file itself"),
    "mat": (b"MATLAB 5.0 MAT-file", "a MATLAB file; export its arrays with numpy.savez"),
}


@pytest.mark.parametrize(("content", "words"), KINDS.values(), ids=KINDS.keys())
def test_files_of_other_kinds_are_named(content, words, tmp_path, make_folder):
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "digits"
    path.write_bytes(content)
    with pytest.raises(DataNotFoundError, match=f"digits: is {words}") as caught:
        load_data(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataNotFoundError, match=f"digits is {words.split(';')[0]}"):
        load_data(tmp_path / "set")
    folder = make_folder("four")
    (folder / FILE_NAMES[0]).write_bytes(content)
    with pytest.raises(IdxError, match=f"{FILE_NAMES[0]}: not an IDX file: is {words}"):
        load_data(folder)


def test_gzip_inside_gzip_is_named(make_folder):
    path = make_folder("set", ".gz") / f"{FILE_NAMES[0]}.gz"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(IdxError, match="is gzip inside gzip; decompress it once") as caught:
        load_data(path.parent)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("end", ["", ".gz"])
def test_one_of_the_four_files_names_its_folder(end, make_folder):
    path = make_folder("set", end) / f"{FILE_NAMES[0]}{end}"
    with pytest.raises(
        DataNotFoundError, match=f"is one of the IDX files .* folder, {path.parent}"
    ):
        load_data(path)


def test_folders_below_are_listed(make_folder, tmp_path):
    make_folder("data/FashionMNIST/raw")
    make_folder("data/KMNIST/raw")
    (tmp_path / "data" / "others").mkdir()
    with pytest.raises(DataNotFoundError, match="holds folders of data; name one") as caught:
        load_data(tmp_path / "data")
    assert f"{tmp_path / 'data' / 'FashionMNIST'}, {tmp_path / 'data' / 'KMNIST'}" in str(
        caught.value
    )
    assert load_data(tmp_path / "data" / "KMNIST").name == "KMNIST"


def test_what_is_there_is_listed(tmp_path):
    for name in ("b.txt", "a.txt", *(f"c{n}.txt" for n in range(9))):
        (tmp_path / name).write_text("some text")
    with pytest.raises(DataNotFoundError) as caught:
        read_data(tmp_path)
    assert "but a.txt, b.txt, c0.txt, c1.txt, c2.txt, c3.txt and 6 more; looked for the" in str(
        caught.value
    )
    with pytest.raises(DataNotFoundError, match=r"a\.txt: is no known format of data; looked for"):
        read_data(tmp_path / "a.txt")


def test_what_is_neither_file_nor_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataNotFoundError, match="is neither a file nor a folder"):
        read_data(tmp_path / "pipe")
    with pytest.raises(DataNotFoundError, match="holds no known format of data, but pipe"):
        read_data(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(DataNotFoundError, match="empty: is no known format"):
        read_data(tmp_path / "empty")
