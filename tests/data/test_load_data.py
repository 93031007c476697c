"""`load_data`: what is loaded for each way of asking, and what is said where it cannot be."""

import dataclasses
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from small_digits import write_small_digits

from mnistcore.data import (
    DataError,
    DataNotFoundError,
    Dataset,
    IdxError,
    load_data,
    loading,
    write_idx,
)
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.mnist import MnistFinder
from mnistcore.data.named_sets import file_names
from mnistcore.data.preprocess import pixel_statistics

NAMED_FOLDER = os.environ.get("MNISTCORE_DATA_DIR")
REAL_MNIST = Path(NAMED_FOLDER).absolute() if NAMED_FOLDER else None

pytestmark = pytest.mark.usefixtures("clean_place")


@pytest.fixture(autouse=True)
def synthetic(arrays, monkeypatch):
    """Let the small data set stand in for the built-in digits; collect where it is kept."""
    folders = []

    def load_synthetic(cache_dir):
        folders.append(cache_dir)
        return arrays

    import mnistcore.data.orientation  # noqa: F401, it draws digits of the real kind

    stand_in = types.SimpleNamespace(load_synthetic=load_synthetic, cached_sha256=lambda cache: ())
    monkeypatch.setitem(sys.modules, "mnistcore.data.synthetic", stand_in)
    return folders


@pytest.fixture
def published(release, monkeypatch):
    """Let the small data set stand in for MNIST."""
    monkeypatch.setattr(loading, "MnistFinder", lambda cache: MnistFinder(cache, release))


def assert_is(dataset: Dataset, arrays) -> None:
    for name, expected in arrays._asdict().items():
        array = getattr(dataset, name)
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == (np.uint8 if "images" in name else np.int32)
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        assert type(array) is np.ndarray


def test_folder_of_other_data(make_folder, arrays, tmp_path):
    dataset = load_data(make_folder("shapes", ".gz"))
    assert_is(dataset, arrays)
    assert dataset.name == "shapes"
    assert dataset.folder == str(tmp_path / "shapes")
    assert dataset.class_names == ("0", "1", "2", "3")
    assert "shapes (not mnist)" in dataset.source
    assert dataset.notice is None


@pytest.mark.parametrize("name", ["mnist", "synthetic"])
def test_other_data_does_not_borrow_a_known_name(name, make_folder, tmp_path):
    assert load_data(str(make_folder(name))).name == f"{tmp_path.name}/{name}"


def test_folders_of_the_same_name_are_told_apart(make_folder):
    names = [load_data(make_folder(f"{place}/raw")).name for place in ("Fashion", "Kuzushiji")]
    assert names == ["Fashion", "Kuzushiji"]


def test_mnist_in_a_named_folder(make_folder, arrays, published, monkeypatch):
    folder = make_folder("anything")
    monkeypatch.setenv("MNISTCORE_DATA_DIR", str(folder))
    for dataset in (
        load_data("auto", folder),
        load_data("mnist", str(folder)),
        load_data(folder),
        load_data(),
        load_data("mnist"),
    ):
        assert_is(dataset, arrays)
        assert dataset.name == "mnist"
        assert dataset.class_names == tuple("0123456789")
        assert str(folder) in dataset.source
        assert dataset.notice is None


def test_argument_comes_before_the_environment(make_folder, monkeypatch):
    monkeypatch.setenv("MNISTCORE_DATA_DIR", str(make_folder("second")))
    assert load_data("auto", make_folder("first")).name == "first"
    assert load_data().name == "second"


@pytest.mark.parametrize("data", ["auto", "mnist"])
def test_bad_named_folder_is_an_error_and_never_skipped(
    data, make_folder, clean_place, monkeypatch, mirrors, synthetic, published
):
    make_folder("work/data")  # would be found next
    damaged = make_folder("damaged")
    (damaged / FILE_NAMES[0]).write_bytes(b"<html>")
    lacking = make_folder("lacking")
    (lacking / FILE_NAMES[3]).unlink()
    for folder, error, words in (
        (damaged, IdxError, f"{damaged / FILE_NAMES[0]}: not an IDX file"),
        (lacking, DataNotFoundError, f"{lacking}: lacks {FILE_NAMES[3]}"),
        (clean_place / "none", DataNotFoundError, f"{clean_place / 'none'}: no such folder"),
    ):
        monkeypatch.delenv("MNISTCORE_DATA_DIR", raising=False)
        with pytest.raises(error) as caught:
            load_data(data, folder, mirrors=[mirrors.url("good")])
        assert str(caught.value).startswith(words)
        assert "\n" not in str(caught.value)
        monkeypatch.setenv("MNISTCORE_DATA_DIR", str(folder))
        with pytest.raises(error) as caught:
            load_data(data, mirrors=[mirrors.url("good")])
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        if error is DataNotFoundError:
            assert "$MNISTCORE_DATA_DIR" in str(caught.value)
    assert not mirrors.requests
    assert not synthetic


def test_mnist_by_name_refuses_other_data(make_folder, monkeypatch):
    folder = make_folder("shapes")
    with pytest.raises(DataError, match=f"{FILE_NAMES[0]}: is not MNIST's.*give data {folder}"):
        load_data("mnist", folder)
    monkeypatch.setenv("MNISTCORE_DATA_DIR", str(folder))
    with pytest.raises(DataError, match="is not MNIST's"):
        load_data("mnist")


def test_data_folder_beside(make_folder, published, synthetic):
    make_folder("work/data")
    assert load_data("mnist", mirrors=[]).name == load_data("auto", mirrors=[]).name == "mnist"
    assert not synthetic


def test_download(mirrors, published, arrays):
    dataset = load_data("mnist", mirrors=[mirrors.url("missing"), mirrors.url("good")])
    assert dataset.name == "mnist"
    assert "downloaded" in dataset.source
    assert_is(dataset, arrays)


def test_auto_stands_in_the_built_in_digits_and_says_so(mirrors, arrays, clean_place, synthetic):
    address = mirrors.url("wrong")
    dataset = load_data("auto", mirrors=[address])
    assert_is(dataset, arrays)
    assert dataset.name == "synthetic"
    assert dataset.class_names == tuple("0123456789")
    assert synthetic == [clean_place / "cache"]
    for words in (
        "./data: no such folder",
        address,
        "SHA256",
        "To get MNIST",
        "--data-dir",
        "built-in digits",
        "not accuracies on MNIST",
    ):
        assert words in dataset.notice


def test_mnist_by_name_fails_with_the_same_message(mirrors, synthetic):
    address = mirrors.url("missing")
    notice = load_data("auto", mirrors=[address]).notice
    synthetic.clear()
    with pytest.raises(DataNotFoundError) as caught:
        load_data("mnist", mirrors=[address])
    assert notice.startswith(str(caught.value))
    assert not synthetic


def test_synthetic_needs_no_notice_and_looks_nowhere(mirrors, monkeypatch, clean_place):
    monkeypatch.setenv("MNISTCORE_DATA_DIR", str(clean_place / "none"))
    dataset = load_data("synthetic", mirrors=[mirrors.url("good")])
    assert dataset.name == "synthetic"
    assert dataset.notice is None
    assert not mirrors.requests


def test_second_run_without_a_network_does_not_wait(mirrors, monkeypatch):
    monkeypatch.setattr("mnistcore.data.download.SILENCE_SECONDS", 0.3)
    monkeypatch.setattr("mnistcore.data.mnist._LONG_SECONDS", 0.2)
    notice = load_data(mirrors=[mirrors.url("silent")]).notice
    assert "silent for 0.3 s" in notice or "timed out" in notice
    assert len(mirrors.requests) == 1
    assert "tried 0 min ago" in load_data(mirrors=[mirrors.url("silent")]).notice
    assert len(mirrors.requests) == 1


@pytest.mark.parametrize(
    ("data", "data_dir", "error", "words"),
    [
        ("minst", None, DataNotFoundError, "minst: no such file or folder.*give data auto"),
        ("synthetic", ".", ValueError, "data_dir is for data auto or mnist"),
        (".", ".", ValueError, "leave it out"),
        (None, None, TypeError, "data is None"),
        ("", None, DataNotFoundError, "holds no known format of data, but nothing"),
        ("x" * 5000, None, DataNotFoundError, "cannot be read .File name too long"),
    ],
)
def test_bad_arguments(data, data_dir, error, words):
    with pytest.raises(error, match=words):
        load_data(data, data_dir)


def test_import_is_light():
    program = (
        "import sys, mnistcore.data\n"
        "heavy = {'pooch', 'requests', 'rich', 'platformdirs', 'numba', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "[]\n", ran.stderr


@pytest.mark.skipif(REAL_MNIST is None, reason="MNISTCORE_DATA_DIR names no folder with MNIST")
def test_real_mnist():
    dataset = load_data("mnist", REAL_MNIST)
    assert dataset.train_images.shape == (60_000, 28, 28)
    assert dataset.test_images.shape == (10_000, 28, 28)
    mean, std = pixel_statistics(dataset.train_images)
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)  # as PyTorch users know them
    np.testing.assert_array_equal(dataset.train_labels[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    assert dataset.checksum == "ca679089cd9dd461d7b26e36e51216fc71f9271f8082e09656a7c1d29a50483b"
    assert dataclasses.replace(dataset).checksum == dataset.checksum
    started = time.perf_counter()
    again = load_data("mnist", REAL_MNIST)
    assert time.perf_counter() - started < 0.1
    assert not again.train_images.flags.owndata


def test_transpose_and_names_of_digits_that_are_known(make_folder, published, synthetic):
    folder = make_folder("anything")
    for data, data_dir in (
        ("mnist", folder),
        ("auto", folder),
        (folder, None),
        ("synthetic", None),
    ):
        with pytest.raises(ValueError, match="upright; leave transpose out"):
            load_data(data, data_dir, transpose=True)
    names = ("zero", "one", "two", "three", *"456789")
    assert load_data("mnist", folder, class_names=names).class_names == names


def test_transpose_turns_what_a_path_of_a_sum_gives(tmp_path, arrays, synthetic):
    square = arrays._replace(
        train_images=arrays.train_images[:, :5], test_images=arrays.test_images[:, :5]
    )
    (tmp_path / "set").mkdir()
    for name, array in zip(FILE_NAMES, square, strict=True):
        write_idx(tmp_path / "set" / name, array)
    alone = load_data(tmp_path / "set", transpose=True)
    turned = square.train_images.transpose(0, 2, 1)
    np.testing.assert_array_equal(alone.train_images, turned)
    (tmp_path / "other").mkdir()
    for name, array in zip(FILE_NAMES, square, strict=True):
        write_idx(tmp_path / "other" / name, array[::-1])
    both = load_data(f"{tmp_path / 'set'}+{tmp_path / 'other'}", transpose=True)
    np.testing.assert_array_equal(both.train_images, np.concatenate([turned, turned[::-1]]))


def test_other_data_in_the_folder_of_mnist_is_to_be_named_as_data(tmp_path, monkeypatch):
    rows = np.zeros((2, 8), np.int32)
    for name, array in zip(
        file_names("qmnist"), (np.ones((2, 9, 9), np.uint8), rows) * 2, strict=True
    ):
        write_idx(tmp_path / name, array)
    words = f"{tmp_path}: holds no MNIST but other data; give data {tmp_path} to use that"
    with pytest.raises(DataNotFoundError, match=f"^{words}"):
        load_data("auto", tmp_path)
    monkeypatch.setenv("MNISTCORE_DATA_DIR", str(tmp_path))
    with pytest.raises(DataNotFoundError, match=rf"^\$MNISTCORE_DATA_DIR: {words}"):
        load_data()
    assert load_data(tmp_path).class_names == ("0",)


# Sets that are joined


def test_joined_sets_train_on_all_and_are_measured_on_the_first(make_folder, arrays):
    first = make_folder("first")
    second = make_folder("second", test_images=arrays.test_images[::-1])
    third = make_folder("third", test_images=arrays.test_images // 2)
    dataset = load_data(f"{first}+{second}+{third}")
    n = len(arrays.train_labels)
    assert dataset.name == "first+second+third"
    np.testing.assert_array_equal(dataset.train_images, np.concatenate([arrays.train_images] * 3))
    np.testing.assert_array_equal(dataset.train_labels, np.concatenate([arrays.train_labels] * 3))
    np.testing.assert_array_equal(dataset.test_images, arrays.test_images)
    assert not dataset.train_images.flags.writeable
    alone = load_data(first)
    train, validation = dataset.split(0.25, 7)
    own_train, own_validation = alone.split(0.25, 7)
    np.testing.assert_array_equal(validation, own_validation)  # the others change nothing
    np.testing.assert_array_equal(train, np.concatenate([own_train, np.arange(n, 3 * n)]))
    folds = zip(dataset.folds(3, 7), alone.folds(3, 7), strict=True)
    for (train, validation), (own_train, own_validation) in folds:
        np.testing.assert_array_equal(validation, own_validation)
        np.testing.assert_array_equal(train, np.concatenate([own_train, np.arange(n, 3 * n)]))


def test_mnist_joined_with_the_built_in_digits(make_folder, published, synthetic, monkeypatch):
    folder = make_folder("anything")
    other_sums = types.SimpleNamespace(**vars(sys.modules["mnistcore.data.synthetic"]))
    other_sums.cached_sha256 = lambda cache: tuple("abcd")
    monkeypatch.setitem(sys.modules, "mnistcore.data.synthetic", other_sums)
    dataset = load_data("mnist+synthetic", folder)
    assert dataset.name == "mnist+synthetic"
    assert str(folder) in dataset.source
    assert "built-in digits" in dataset.source
    assert len(synthetic) == 1


def test_a_folder_may_have_a_plus_in_its_name(make_folder):
    assert load_data(make_folder("c++")).name == "c++"


@pytest.mark.parametrize("data", ["mnist+", "+synthetic", "auto+synthetic", "synthetic+synthetic"])
def test_sums_that_make_no_sense(data):
    with pytest.raises(ValueError, match="join sets as in mnist\\+synthetic"):
        load_data(data)


@pytest.mark.parametrize("other", ["{}/../{}", "{}/../link", "./{}"])
def test_a_set_is_joined_only_once_by_any_name(make_folder, tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    name = make_folder("set").name
    (tmp_path / "link").symlink_to(name)
    with pytest.raises(ValueError, match="only once"):
        load_data(f"{name}+{other.format(name, name)}")


def test_what_is_wrong_with_a_part_is_said_of_the_part(make_folder, tmp_path):
    with pytest.raises(DataNotFoundError, match="nowhere"):
        load_data(f"synthetic+{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="data_dir is for data auto or mnist"):
        load_data("synthetic+other", tmp_path)


def test_sets_that_do_not_fit_together(make_folder, tmp_path):
    small = write_small_digits(tmp_path / "small")
    with pytest.raises(ValueError, match=r"^small has images of 6 x 6 pixels, shapes of 6 x 5"):
        load_data(f"{make_folder('shapes')}+{small}")
