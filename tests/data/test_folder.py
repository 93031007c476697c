"""Folders of four IDX files: which are found, and which do not fit together."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from mnistcore.data.folder import FILE_NAMES, find_files, read, read_files
from mnistcore.data.idx import IdxError, write_idx
from mnistcore.data.raw import DataNotFoundError


def rename(folder, change):
    for name in FILE_NAMES:
        (folder / name).rename(folder / change(name))


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("stem", [str, lambda name: name.replace("-idx", ".idx")])
def test_files_are_found_by_each_of_their_names(end, stem, make_folder, arrays):
    folder = make_folder("set")
    rename(folder, lambda name: stem(name) + end)
    files = find_files(folder)
    assert [file.name for file in files] == [stem(name) + end for name in FILE_NAMES]
    for found, written in zip(read_files(files), arrays, strict=True):
        np.testing.assert_array_equal(found, written)


def test_files_are_found_where_torchvision_keeps_them(make_folder, tmp_path):
    folder = make_folder("data/MNIST/raw")
    assert find_files(tmp_path / "data") == find_files(folder)
    fashion = make_folder("data/FashionMNIST/raw")
    assert find_files(tmp_path / "data/FashionMNIST") == find_files(fashion)


def test_kmnist_is_known_by_its_compressed_file_or_its_folder(make_folder, arrays, monkeypatch):
    from mnistcore.data import published

    monkeypatch.setattr(published, "HASHED_SHAPE", arrays.train_images.shape)
    assert read(make_folder("set")).class_names == {}
    for name in ("KMNIST/raw", "data/kuzushiji-mnist"):
        names = read(make_folder(name)).class_names
        assert [names[n] for n in (0, 1, 9)] == ["o", "ki", "wo"]
    folder = make_folder("other", ".gz")
    assert read(folder).class_names == {}
    content = (folder / f"{FILE_NAMES[0]}.gz").read_bytes()
    monkeypatch.setattr(published, "_KMNIST_GZ_MD5", hashlib.md5(content).hexdigest())
    assert read(folder).class_names[2] == "su"


def test_raw_file_is_taken_before_a_compressed_one(make_folder):
    folder = make_folder("set")
    for name in FILE_NAMES:
        (folder / f"{name}.gz").write_bytes(b"")
    assert find_files(folder) == [folder / name for name in FILE_NAMES]


def test_file_is_taken_before_a_folder_of_another_of_its_names(make_folder):
    """As some archives unpack: a folder train-images-idx3-ubyte beside the file."""
    folder = make_folder("set")
    rename(folder, lambda name: name.replace("-idx", ".idx"))
    (folder / FILE_NAMES[0]).mkdir()
    assert find_files(folder)[0].is_file()


@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_file_inside_a_folder_of_its_name_is_read(end, make_folder):
    """As 7-Zip and Kaggle unpack."""
    folder = make_folder("set", end)
    for name in FILE_NAMES[:2]:
        path = folder / f"{name}{end}"
        path.rename(folder / "moved")
        path.mkdir()
        (folder / "moved").rename(path / f"{name.replace('-idx', '.idx')}{end}")
    files = find_files(folder)
    assert files[0].parent.name == f"{FILE_NAMES[0]}{end}"
    assert len(read_files(files).train_images) == 3000


def test_folder_in_place_of_a_file_is_named(make_folder):
    folder = make_folder("set")
    (folder / FILE_NAMES[1]).unlink()
    (folder / FILE_NAMES[1]).mkdir()
    with pytest.raises(IdxError, match=re.escape(f"{folder / FILE_NAMES[1]}: is a folder")):
        read_files(find_files(folder))


def test_a_folder_that_cannot_be_looked_into_is_named(monkeypatch):
    def is_dir(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", is_dir)
    with pytest.raises(DataNotFoundError, match=r"secret: cannot be read \(Permission denied\)"):
        find_files(Path("secret"))


def test_missing_files_are_named(make_folder, tmp_path):
    folder = make_folder("set")
    (folder / FILE_NAMES[1]).unlink()
    (folder / FILE_NAMES[3]).unlink()
    with pytest.raises(DataNotFoundError, match=f"lacks {FILE_NAMES[1]}, {FILE_NAMES[3]} "):
        find_files(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFoundError, match="empty: holds none of the four"):
        find_files(tmp_path / "empty")
    with pytest.raises(DataNotFoundError, match="nowhere: no such folder"):
        find_files(tmp_path / "nowhere")
    with pytest.raises(DataNotFoundError, match="is not a folder"):
        find_files(folder / FILE_NAMES[0])


IMAGES = np.zeros((40, 6, 5), np.uint8)
LABELS = np.arange(40, dtype=np.uint8) % 4
UNFIT = {
    "fewer-labels": ({"test_labels": LABELS[:-1]}, 3, "holds 39 labels, t10k-images"),
    "more-labels": ({"test_labels": np.arange(41, dtype=np.uint8) % 4}, 3, "holds 41 labels"),
    "no-labels": ({"test_labels": LABELS[:0]}, 3, "holds 0 labels"),
    "no-images": ({"test_images": IMAGES[:0], "test_labels": LABELS[:0]}, 2, "holds no pixels"),
    "no-pixels": ({"test_images": IMAGES[:, :0]}, 2, r"holds no pixels \(40 x 0 x 5\)"),
    "other-size": ({"test_images": IMAGES[:, :, :4]}, 2, "are 6 x 4 pixels, those in train"),
    "turned": ({"test_images": IMAGES.transpose(0, 2, 1)}, 2, "are 5 x 6 pixels"),
    "labels-for-images": ({"test_images": LABELS}, 2, "holds an array of 1 dimensions"),
    "images-for-labels": ({"test_labels": IMAGES}, 3, "holds an array of 3 dimensions"),
    "flat-images": ({"test_images": IMAGES.reshape(40, 30)}, 2, "2 dimensions"),
    "float-images": ({"test_images": IMAGES.astype("f4")}, 2, "3 dimensions of float32"),
    "int-labels": ({"test_labels": LABELS.astype("i4")}, 3, "1 dimensions of int32"),
    "signed-labels": ({"test_labels": LABELS.astype("i1")}, 3, "1 dimensions of int8"),
    "train-unfit": ({"train_images": IMAGES}, 1, "holds 3000 labels, train-images"),
}


@pytest.mark.parametrize(("changed", "blamed", "words"), UNFIT.values(), ids=UNFIT.keys())
def test_files_that_do_not_fit_together_get_one_clear_line(changed, blamed, words, make_folder):
    folder = make_folder("set", **changed)
    with pytest.raises(IdxError, match=words) as caught:
        read_files(find_files(folder))
    path = re.escape(str(folder / FILE_NAMES[blamed]))
    assert re.fullmatch(path + r": [^\n]+[;,] [^\n]+", str(caught.value))


def test_damaged_file_is_named(make_folder):
    folder = make_folder("set")
    path = folder / FILE_NAMES[2]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(IdxError, match=re.escape(f"{path}: truncated")):
        read_files(find_files(folder))


def test_class_without_training_samples_in_between_is_allowed(make_folder, arrays):
    """Some data sets count their classes from 1."""
    one_up = {name: getattr(arrays, name) + np.uint8(1) for name in ("train_labels", "test_labels")}
    found = read_files(find_files(make_folder("set", **one_up)))
    assert set(found.test_labels) == {1, 2, 3, 4}


def test_not_found_is_also_a_value_error():
    assert issubclass(DataNotFoundError, FileNotFoundError)
    assert issubclass(DataNotFoundError, ValueError)


def test_one_image_is_a_data_set(tmp_path):
    one = np.zeros((1, 1, 1), np.uint8), np.zeros(1, np.uint8)
    for name, array in zip(FILE_NAMES, one * 2, strict=True):
        write_idx(tmp_path / name, array)
    assert read_files(find_files(tmp_path)).test_images.shape == (1, 1, 1)
