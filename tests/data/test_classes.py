"""From labels to classes: ids, names, test sets that are held out, and what does not fit."""

from pathlib import Path

import numpy as np
import pytest

from mnistcore.data import DataError, Dataset, load_data
from mnistcore.data import classes as classes_module
from mnistcore.data.dataset import dataset_of, join
from mnistcore.data.idx import idx_sha256
from mnistcore.data.raw import Part, RawData
from mnistcore.data.synthetic import make_digits

RNG = np.random.default_rng(0)


def raw(labels, test_labels=None, **settings) -> RawData:
    def part(labels):
        labels = np.asarray(labels)
        return Part(RNG.integers(0, 256, (len(labels), 4, 3), np.uint8), labels)

    test = None if test_labels is None else part(test_labels)
    return RawData(Path("some/place"), "a test", part(labels), test, **settings)


@pytest.mark.parametrize("test_labels", [[9, 0], ["9", "0"]])
def test_numbers_of_the_test_are_names_where_training_has_letters(test_labels):
    dataset = dataset_of(raw(["0", "9", "A"], test_labels))
    assert dataset.class_names == ("0", "9", "A")
    np.testing.assert_array_equal(dataset.test_labels, [1, 0])
    mirrored = dataset_of(raw([0, 9], ["9", "0"]))
    np.testing.assert_array_equal(mirrored.test_labels, [1, 0])


@pytest.mark.parametrize(
    ("labels", "names", "ids"),
    [
        ([3, 8, 8, 3], ["3", "8"], [0, 1, 1, 0]),
        ([26, 1, 7], ["1", "7", "26"], [2, 0, 1]),
        ([-1, 1], ["-1", "1"], [0, 1]),
        (np.array([2**40, 5]), ["5", "1099511627776"], [1, 0]),
        (["cat", "ant", "Bee"], ["Bee", "ant", "cat"], [2, 1, 0]),
        (["10", "9", "2"], ["2", "9", "10"], [2, 1, 0]),
        (["10", "9", "x"], ["10", "9", "x"], [0, 1, 2]),
    ],
)
def test_labels_become_ids_of_the_classes_that_are_there(labels, names, ids):
    dataset = dataset_of(raw(labels, labels))
    assert dataset.class_names == tuple(names)
    for found in (dataset.train_labels, dataset.test_labels):
        np.testing.assert_array_equal(found, ids)


def test_published_names_are_those_of_the_labels():
    dataset = dataset_of(raw([8, 3, 5], [3], class_names={3: "three", 8: "eight"}))
    assert dataset.class_names == ("three", "5", "eight")


@pytest.mark.parametrize(
    ("labels", "given", "names"),
    [
        ([3, 8], ["three", "eight"], ["three", "eight"]),
        ([0, 2], ["zero", "one", "two"], ["zero", "two"]),  # a name for each label from 0
        (["b", "a"], ["first", "second"], ["first", "second"]),
    ],
)
def test_given_names_come_first(labels, given, names):
    dataset = dataset_of(raw(labels, labels, class_names={3: "not this"}), class_names=given)
    assert dataset.class_names == tuple(names)


@pytest.mark.parametrize("labels", [[3, 8, 9], [-1, 0, 1], ["a", "b", "c"]])
def test_names_that_do_not_fit_the_classes_are_refused(labels):
    with pytest.raises(DataError, match=r"has 3 classes, labelled .* class_names gives 2 names"):
        dataset_of(raw(labels, labels), class_names=["x", "y"])
    with pytest.raises(ValueError, match="two classes of the name 'x'"):
        dataset_of(raw(labels, labels), class_names=["x", "y", "x"])


def test_a_class_without_training_images_is_an_error():
    with pytest.raises(DataError, match=r"label 8 of the test images .* \(3, 5\)"):
        dataset_of(raw([3, 5], [3, 8]))
    with pytest.raises(DataError, match="labels x, y of the test images"):
        dataset_of(raw(["a"], ["x", "y"]))


def test_test_images_are_held_out_in_the_same_mix_and_always_the_same():
    source = raw(np.repeat([2, 4, 7], [70, 140, 35]))
    first, second = dataset_of(source), dataset_of(source)
    np.testing.assert_array_equal(np.bincount(first.test_labels), [10, 20, 5])
    np.testing.assert_array_equal(np.bincount(first.train_labels), [60, 120, 30])
    assert first.checksum == second.checksum
    assert first.notice == (
        "place has no test images of its own: 35 of its 245 images were held out for the test,"
        " the same in every run."
    )
    together = np.concatenate([first.train_images, first.test_images])
    images = {image.tobytes() for image in source.train.images}
    assert {image.tobytes() for image in together} == images


def test_a_single_image_cannot_be_split():
    with pytest.raises(DataError, match="place has a single image"):
        dataset_of(raw([1]))


def test_images_are_transposed_once():
    source = raw([3, 8, 3], [8])
    turned = dataset_of(source, transpose=True)
    np.testing.assert_array_equal(turned.train_images, source.train.images.transpose(0, 2, 1))
    np.testing.assert_array_equal(turned.test_images, source.test.images.transpose(0, 2, 1))
    assert turned.checksum != dataset_of(source).checksum
    with pytest.raises(DataError, match="leave transpose out"):
        dataset_of(source._replace(upright=True), transpose=True)


def test_the_checksum_of_counted_labels_is_that_of_the_files():
    source = raw([0, 1, 2, 1], [2])
    arrays = (a for part in (source.train, source.test) for a in part)
    sums = [idx_sha256(array.astype(np.uint8)) for array in arrays]
    assert dataset_of(source, sha256=sums).checksum == dataset_of(source).checksum
    turned = dataset_of(source, sha256=sums, transpose=True)
    assert turned.checksum != dataset_of(source).checksum


def test_published_data_is_known_by_its_images(monkeypatch):
    source = raw([1, 0, 1], [0])
    known = {idx_sha256(source.train.images): {0: "Coat", 1: "Bag"}}
    monkeypatch.setattr(classes_module, "PUBLISHED", known)
    assert dataset_of(source).class_names == ("0", "1")  # not of the shape that is looked up
    monkeypatch.setattr(classes_module, "HASHED_SHAPE", (3, 4, 3))
    assert dataset_of(source).class_names == ("Coat", "Bag")
    assert dataset_of(source, class_names=["x", "y"]).class_names == ("x", "y")


def test_two_digits_are_seen_to_lie_upright():
    images, labels = make_digits(2000, 0)
    some = np.isin(labels, (2, 3, 4, 5, 6, 7))
    part = Part(images[some], labels[some])
    dataset = dataset_of(RawData(Path("digits"), "a test", part, part))
    assert dataset.looks == ("upright", "upright")
    turned = dataset_of(RawData(Path("digits"), "a test", part, part), transpose=True)
    (remark,) = turned.remarks
    assert "--transpose turns them" in remark


def aligned(labels, names, target) -> Dataset:
    part = Part(np.zeros((len(labels), 2, 2), np.uint8), np.asarray(labels))
    whole = dataset_of(RawData(Path("set"), "a test", part, part), class_names=names)
    return whole.aligned(target)


def test_classes_are_aligned_by_name():
    dataset = aligned([3, 8, 8], (), tuple("0123456789"))
    np.testing.assert_array_equal(dataset.train_labels, [3, 8, 8])
    assert dataset.class_names == tuple("0123456789")
    assert dataset.checksum == aligned([3, 8, 8], (), ("3", "8")).checksum
    permuted = aligned([0, 1, 2], ("a", "b", "c"), ("c", "a", "b"))
    np.testing.assert_array_equal(permuted.train_labels, [1, 2, 0])
    with pytest.raises(ValueError, match="set has the classes 3, 8, of which 8 is not among 1, 3"):
        aligned([3, 8], (), ("1", "3"))


def test_sets_of_some_classes_are_joined_by_name():
    def set_of(labels, name):
        part = Part(np.full((len(labels), 2, 2), 255, np.uint8), np.asarray(labels))
        return dataset_of(RawData(Path(name), name, part, part))

    both = join([set_of([0, 3, 8], "all"), set_of([8, 3], "two")])
    np.testing.assert_array_equal(both.train_labels, [0, 1, 2, 2, 1])
    with pytest.raises(ValueError, match="9 is not among 0, 3, 8, the classes of all; only then"):
        join([set_of([0, 3, 8], "all"), set_of([8, 9], "others")])


@pytest.mark.usefixtures("clean_place")
def test_four_files_of_letters(make_folder, arrays):
    shifted = {n: getattr(arrays, n) * np.uint8(2) + np.uint8(1) for n in LABELS}
    dataset = load_data(make_folder("letters", **shifted))
    assert dataset.class_names == ("1", "3", "5", "7")
    np.testing.assert_array_equal(dataset.train_labels, arrays.train_labels)
    named = load_data(make_folder("again", **shifted), class_names=list("ACEG"))
    assert named.class_names == tuple("ACEG")


LABELS = ("train_labels", "test_labels")
