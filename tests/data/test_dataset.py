"""Data sets that are given as arrays: kinds, ranges, identity, and what must be said of them."""

import dataclasses
import warnings

import numpy as np
import pytest

from mnistcore.data import Dataset, load_data
from mnistcore.data.dataset import join
from mnistcore.data.synthetic import make_digits
from mnistcore.models.model import TrainedOn, parse_trained_on

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 5, 4), np.uint8)
LABELS = (np.arange(40) % 3).astype(np.int32)
SIGNALLING = np.full((10, 5, 4), 0x7FF0_0000_0000_0001, np.uint64).view(np.float64)


def dataset_of(images=IMAGES, labels=LABELS, test_images=None, test_labels=None, names="abc"):
    test_images = images[:10] if test_images is None else test_images
    test_labels = labels[:10] if test_labels is None else test_labels
    return Dataset("given", images, labels, test_images, test_labels, tuple(names), "a test")


@pytest.mark.parametrize(
    ("images", "dtype", "pixel_max"),
    [
        (IMAGES, np.uint8, 255),
        (IMAGES.astype(np.int64), np.uint8, 255),
        (IMAGES.astype(">u2"), np.uint8, 255),
        (IMAGES.astype(np.uint16) * 257, np.float32, 65535),
        (IMAGES > 127, np.uint8, 1),
        (IMAGES // 16, np.uint8, 15),
        (IMAGES.astype(np.float64), np.float32, 255),
        (IMAGES / 255, np.float32, 1),
        ((IMAGES / 255).astype(np.float16), np.float32, 1),
        ((IMAGES / 255).astype(">f4"), np.float32, 1),
        (IMAGES / 127.5 - 1, np.float32, 1),
        (np.asfortranarray(IMAGES), np.uint8, 255),
        (np.zeros_like(IMAGES), np.uint8, 255),
    ],
)
def test_images_of_every_kind_become_what_the_kernels_take(images, dtype, pixel_max):
    dataset = dataset_of(images)
    for array in (dataset.train_images, dataset.test_images):
        assert array.dtype == dtype
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    np.testing.assert_allclose(dataset.train_images, images, rtol=1e-6)
    assert dataset.pixel_max == pixel_max


@pytest.mark.parametrize("images", [IMAGES, IMAGES.astype(np.float32)])
def test_a_buffer_that_its_owner_fills_anew_does_not_change_the_data(images):
    buffers = [images.copy(), LABELS.copy(), images[:10].copy(), LABELS[:10].copy()]
    given = dataset_of(*buffers)
    arranged = Dataset.from_arrays(*buffers)
    for buffer in buffers:
        assert buffer.flags.writeable
        buffer[:] = 0
    for data in (given, arranged):
        assert np.array_equal(data.train_images, images)
        assert np.array_equal(data.test_images, images[:10])
        assert np.array_equal(data.train_labels, LABELS)
        assert np.array_equal(data.test_labels, LABELS[:10])
    assert given.checksum == dataset_of(images).checksum


def test_what_nobody_can_change_is_not_copied():
    images = IMAGES.copy()
    images.flags.writeable = False
    assert np.shares_memory(dataset_of(images).train_images, images)


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"images": IMAGES * 1j}, TypeError, "train_images are complex128; they must be"),
        ({"images": IMAGES.astype(str)}, TypeError, "train_images are <U"),
        ({"images": IMAGES[:, 0, 0]}, ValueError, r"train_images have shape \(40,\)"),
        ({"images": np.where(IMAGES > 5, IMAGES, np.nan)}, ValueError, "not finite"),
        ({"test_images": np.full((10, 5, 4), np.inf)}, ValueError, "pixels of test_images"),
        ({"images": IMAGES * 1e300}, ValueError, "not finite in float32"),
        ({"test_images": SIGNALLING}, ValueError, "not finite in float32"),
        ({"images": IMAGES[:30]}, ValueError, "given has 30 train images and 40 labels"),
        ({"labels": LABELS * 1.0}, TypeError, "train_labels are float64"),
        ({"labels": LABELS[:, None]}, ValueError, r"train_labels have shape \(40, 1\)"),
        ({"labels": LABELS + 1}, ValueError, r"train_labels span 1\.\.3; .* 0\.\.2"),
        ({"labels": LABELS - 1}, ValueError, r"train_labels span -1\.\.1"),
        ({"labels": LABELS + np.int64(2) ** 32}, ValueError, "outside int32"),
        ({"test_images": IMAGES[:10, :4]}, ValueError, "they must be the same"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused_in_a_line(changed, error, match):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=match) as caught:
            dataset_of(**changed)
    assert "\n" not in str(caught.value)


def test_the_checksum_is_that_of_the_content():
    checksum = dataset_of().checksum
    assert len(checksum) == 64
    same = [
        dataset_of(IMAGES.astype(np.int64), LABELS.astype(np.uint8)),
        dataset_of(np.asfortranarray(IMAGES), LABELS.astype(">i8")),
        dataclasses.replace(dataset_of(), name="another", source="elsewhere", class_names="xyz"),
        dataset_of().noted("a remark"),
    ]
    assert {dataset.checksum for dataset in same} == {checksum}
    changed = IMAGES.copy()
    changed[39, 4, 3] ^= 1
    others = [
        dataset_of(changed, test_images=IMAGES[:10]),
        dataset_of(IMAGES.reshape(40, 4, 5)),
        dataset_of(labels=np.roll(LABELS, 1), test_labels=LABELS[:10]),
        dataset_of(test_images=IMAGES[1:11]),
        dataset_of(test_labels=LABELS[1:11]),
        dataset_of(IMAGES / 255),
    ]
    assert len({checksum, *(dataset.checksum for dataset in others)}) == 1 + len(others)


def test_a_changed_data_set_has_another_checksum(clean_place, make_folder):
    dataset = load_data(make_folder("some"))
    turned = dataclasses.replace(dataset, test_images=dataset.test_images[::-1])
    assert turned.checksum != dataset.checksum


def test_the_checksum_of_the_files_is_that_of_the_arrays(clean_place, make_folder):
    for folder in (make_folder("raw"), make_folder("compressed", ".gz")):
        dataset = load_data(folder)
        assert dataset.checksum == dataclasses.replace(dataset).checksum


def test_test_images_of_another_scale_are_told():
    (remark,) = dataset_of(IMAGES // 16, test_images=IMAGES[:10]).remarks
    words = "pixels of given go up to 255 in its test images, up to 15 in its training images"
    assert words in remark
    (remark,) = dataset_of(IMAGES, test_images=IMAGES / 255, test_labels=LABELS).remarks
    assert "up to 1 in its test images, up to 255 in its training images" in remark
    unit = np.float32(IMAGES / 255)
    (remark,) = dataset_of(unit, test_images=2 * unit - 1, test_labels=LABELS).remarks
    assert "from -0.94902 to 0.898039 in its test images, up to 1 in its training" in remark
    assert dataset_of(IMAGES // 16, test_images=IMAGES[:10] // 18).remarks == ()
    assert dataset_of(test_images=IMAGES[:0], test_labels=LABELS[:0]).remarks == ()


@pytest.mark.parametrize(
    ("change", "paper", "ink"),
    [
        (lambda x: x, 0, 1),
        (lambda x: 255 - x, 1, 0),
        (lambda x: 255 - x // 4, 1, 192 / 255),  # in grey
        (lambda x: (180 - x * (160 / 255)).astype(np.uint8), 180 / 255, 0),  # on grey
        (lambda x: 250 - x // 17 * 15, 1, 0),  # from 250 to 25
        (lambda x: x / np.float32(255), 0, 1),
        (lambda x: x / np.float32(127.5) - 1, -1, 1),
        (lambda x: 1 - x / np.float32(127.5), 1, -1),
        (lambda x: x // 3 + 60, 60 / 255, 145 / 255),
        (lambda x: (x / np.float32(255) - np.float32(0.13)) / np.float32(0.31), -0.13 / 0.87, 1),
        (lambda x: (np.float32(0.13) - x / np.float32(255)) / np.float32(0.31), 0.13 / 0.87, -1),
        (lambda x: x / np.float32(255) - np.float32(1e-4), 0, 1),
    ],
)
def test_the_rims_of_images_tell_paper_from_ink(change, paper, ink):
    images, labels = make_digits(200, 0)
    dataset = Dataset.from_arrays(change(images), labels)
    assert dataset.paper_and_ink == pytest.approx((paper, ink))
    assert (TrainedOn.of(dataset).paper, TrainedOn.of(dataset).ink) == dataset.paper_and_ink
    assert parse_trained_on(TrainedOn.of(dataset).to_dict()) == TrainedOn.of(dataset)


def test_images_without_ink_tell_nothing():
    images, labels = make_digits(200, 0)
    dark = 255 - images
    dark[::3] = 0
    assert Dataset.from_arrays(dark, labels).paper_and_ink == (1, 0)
    assert Dataset.from_arrays(np.full_like(images, 200), labels).paper_and_ink == (0, 1)


def test_sets_with_dark_and_with_light_ink_are_told_apart():
    images, labels = make_digits(200, 0)
    light = Dataset.from_arrays(images, labels, name="light")
    dark = Dataset.from_arrays(255 - images, labels, name="dark")
    words = "dark has dark ink, light light ink: invert one of them."
    assert words in join([light, dark]).notices
    more = Dataset.from_arrays(images[::-1], labels[::-1], name="more")
    assert not any("ink" in notice for notice in join([light, more]).notices)


def test_test_images_with_the_ink_the_other_way_round_are_told():
    images, labels = make_digits(200, 0)
    halves = (images[:100], labels[:100]), (images[100:], labels[100:])
    alike = Dataset.from_arrays(*halves[0], *halves[1], name="alike")
    assert alike.notices == ()
    other = Dataset.from_arrays(*halves[0], 255 - halves[1][0], halves[1][1], name="other")
    words = "other has dark ink in its test images, light ink in its training images: invert one"
    assert other.notices == (f"{words} of them.",)


def test_test_images_that_are_training_images_are_counted():
    images, labels = make_digits(200, 0)
    dataset = Dataset.from_arrays(images, labels, images[190:], labels[190:], name="seen")
    (notice,) = dataset.notices
    assert notice.startswith("10 of the 10 test images of seen are training images too, so the")
    twice = Dataset.from_arrays(np.tile(images, (2, 1, 1)), np.tile(labels, 2), name="twice")
    assert any("test images of twice are training images too" in n for n in twice.notices)


def test_sets_around_0_and_from_0_are_not_joined():
    images, labels = make_digits(50, 0)
    unit = np.float32(images / 255)
    around = Dataset.from_arrays(2 * unit - 1, labels, name="around")
    with pytest.raises(ValueError, match=r"unit has pixels up to 1, around from -1 to 1; only"):
        join([around, Dataset.from_arrays(unit, labels, name="unit")])


def test_a_set_is_not_joined_with_itself():
    """Else validation images would be among the training images."""
    images, labels = make_digits(50, 0)
    one = Dataset.from_arrays(images, labels, name="one")
    same = Dataset.from_arrays(images.copy(), labels.copy(), name="same")
    with pytest.raises(ValueError, match="one is joined with itself"):
        join([one, same])


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_images_of_both_sets_are_counted(kind):
    images, labels = make_digits(90, 0)
    parts = [(images[i : i + 30], labels[i : i + 30]) for i in (0, 30, 60)]
    first = Dataset.from_arrays(*parts[0], *parts[1], name="first")
    mixed = (images[25:65].astype(kind), labels[25:65])  # 5 of training, 30 of test, 5 new
    found = join([first, Dataset.from_arrays(*mixed, *mixed, name="mixed")]).remarks
    assert any("35 of the 40 images of mixed are also in first" in remark for remark in found)
    new = Dataset.from_arrays(*parts[2], name="new")
    assert not any("also in" in remark for remark in join([first, new]).remarks)


def test_digits_that_lie_on_their_side_are_told():
    images, labels = make_digits(600, 3)
    names = "0123456789"
    turned = images.transpose(0, 2, 1)
    (remark,) = dataset_of(turned, labels, turned[:200], labels[:200], names).remarks
    assert "training and test images of given look like digits that are transposed" in remark
    (remark,) = dataset_of(images, labels, turned[:200], labels[:200], names).remarks
    assert remark.startswith("The test images of given look")
    assert dataset_of(images, labels, images[:200], labels[:200], names).remarks == ()
    assert dataset_of(turned, labels, turned, labels, "abcdefghij").remarks == ()


def test_notices_add_up():
    dataset = dataset_of(IMAGES // 16, test_images=IMAGES[:10])
    noted = dataset.noted("First.").noted("Second.")
    assert noted.notice == "First.\nSecond."
    assert noted.notices == (noted.notice, *dataset.remarks)
    assert dataset.notice is None
