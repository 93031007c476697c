"""EMNIST and QMNIST as they are published, and as torchvision and archives lay them out."""

import numpy as np
import pytest

from mnistcore.data import DataError, DataNotFoundError, IdxError, load_data, write_idx
from mnistcore.data.named_sets import file_names
from mnistcore.data.synthetic import make_digits

pytestmark = pytest.mark.usefixtures("clean_place")

DIGITS, DIGIT_LABELS = make_digits(120, 0)
MERGED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"


def write_set(folder, name, labels, images=None, end=".gz"):
    """Write a set with these training labels, transposed as EMNIST's images are."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.asarray(labels)
    images = np.resize(DIGITS, (len(labels), 28, 28)) if images is None else images
    n_test = len(labels) // 2
    turned = images.transpose(0, 2, 1) if name.startswith("emnist") else images
    for file, array in zip(
        file_names(name), (turned, labels, turned[:n_test], labels[:n_test]), strict=True
    ):
        write_idx(folder / f"{file}{end}", array)
    return images


def letters(n=104):
    return (np.arange(n) % 26 + 1).astype(np.uint8)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("inside", ["", "gzip", "raw", "raw/gzip", "EMNIST/raw"])
def test_letters_are_upright_and_named(inside, end, tmp_path):
    folder = tmp_path / "published"
    images = write_set(folder / inside, "emnist-letters", letters(), end=end)
    dataset = load_data(folder)
    np.testing.assert_array_equal(dataset.train_images, images)
    np.testing.assert_array_equal(dataset.test_images, images[:52])
    assert dataset.class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    np.testing.assert_array_equal(dataset.train_labels, letters() - 1)
    assert dataset.name == "emnist-letters"
    assert load_data(dataset.folder).checksum == dataset.checksum


def test_digits_of_emnist_lie_as_mnist_does(tmp_path):
    write_set(tmp_path / "set", "emnist-digits", DIGIT_LABELS.astype(np.uint8), DIGITS)
    dataset = load_data(tmp_path / "set")
    assert dataset.looks[0] == "upright"
    (notice,) = dataset.notices
    assert notice.startswith("60 of the 60 test images of emnist-digits are training images too")


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("emnist-balanced", MERGED),
        ("emnist-bymerge", MERGED),
        ("emnist-byclass", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        ("emnist-mnist", "0123456789"),
    ],
)
def test_each_set_has_its_characters(name, characters, tmp_path):
    n = len(characters)
    write_set(tmp_path / "set", name, (np.arange(4 * n) % n).astype(np.uint8))
    assert load_data(tmp_path / "set").class_names == tuple(characters)


def test_a_mapping_file_comes_before_what_is_known(tmp_path):
    write_set(tmp_path, "emnist-letters", letters())
    mapping = tmp_path / "emnist-letters-mapping.txt"
    mapping.write_text("".join(f"{n} {96 + n} {64 + n}\r\n" for n in range(1, 27)))
    assert load_data(tmp_path).class_names == tuple("abcdefghijklmnopqrstuvwxyz")
    mapping.write_text("1 65 97\n2 b\n")
    with pytest.raises(DataError, match=r"emnist-letters-mapping.txt: line 2 is '2 b', where"):
        load_data(tmp_path)
    mapping.write_bytes(b"1 65\n" * 20_000)
    with pytest.raises(DataError, match="is larger than 65536 bytes"):
        load_data(tmp_path)


def test_several_sets_in_a_folder_are_listed_and_each_can_be_named(tmp_path):
    folder = tmp_path / "gzip"
    write_set(folder, "emnist-letters", letters())
    write_set(folder, "emnist-mnist", DIGIT_LABELS.astype(np.uint8))
    for named in (folder, tmp_path):
        with pytest.raises(DataError, match="holds several sets; name one of") as caught:
            load_data(named)
        for name in ("emnist-letters", "emnist-mnist"):
            assert str(folder / name) in str(caught.value)
    assert load_data(folder / "emnist-mnist").class_names == tuple("0123456789")
    assert load_data(tmp_path / "emnist-letters").name == "emnist-letters"
    joined = load_data(f"{folder}/emnist-mnist+synthetic")
    assert joined.name == "emnist-mnist+synthetic"
    with pytest.raises(DataNotFoundError, match="emnist-digits: no such file or folder"):
        load_data(folder / "emnist-digits")


def test_what_is_missing_or_does_not_fit_is_said(tmp_path):
    write_set(tmp_path, "emnist-letters", letters())
    (tmp_path / "emnist-letters-test-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataNotFoundError, match="lacks emnist-letters-test-labels-idx1-ubyte"):
        load_data(tmp_path)
    write_set(tmp_path, "emnist-letters", letters(), np.zeros((104, 28, 20), np.uint8))
    with pytest.raises(DataError, match="20 x 28 pixels, but those of EMNIST are square"):
        load_data(tmp_path)


def test_emnist_is_not_turned_twice(tmp_path):
    write_set(tmp_path, "emnist-letters", letters())
    with pytest.raises(DataError, match=r"turned upright already.*leave transpose out"):
        load_data(tmp_path, transpose=True)


@pytest.mark.parametrize("inside", ["", "QMNIST/raw"])
def test_the_first_label_of_a_row_of_qmnist_is_the_digit(inside, tmp_path):
    rows = np.stack([DIGIT_LABELS, *np.full((7, 120), 99)], axis=1).astype(np.int32)
    images = write_set(tmp_path / "set" / inside, "qmnist", rows, DIGITS)
    dataset = load_data(tmp_path / "set")
    np.testing.assert_array_equal(dataset.train_images, images)
    np.testing.assert_array_equal(dataset.train_labels, DIGIT_LABELS)
    np.testing.assert_array_equal(dataset.test_labels, DIGIT_LABELS[:60])
    assert dataset.class_names == tuple("0123456789")


def test_rows_of_labels_without_a_label_are_refused(tmp_path):
    write_set(tmp_path, "qmnist", np.zeros((120, 0), np.int32), DIGITS)
    with pytest.raises(IdxError, match=r"holds no labels \(120 x 0\)"):
        load_data(tmp_path)
