"""Splits, one-hot labels and the scaling of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistcore.data.preprocess import (
    as_bytes,
    flatten,
    fold_split,
    input_scaling,
    one_hot,
    pixel_range,
    pixel_statistics,
    same_scale,
    scale_images,
    train_validation_split,
)

label_arrays = st.lists(st.integers(0, 6), min_size=2, max_size=80).map(np.array)


@given(label_arrays, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_split_is_a_sorted_partition_of_the_exact_size(labels, fraction, seed):
    train, validation = train_validation_split(labels, fraction, seed)
    for indices in (train, validation):
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(indices, np.sort(indices))
    np.testing.assert_array_equal(np.union1d(train, validation), np.arange(len(labels)))
    assert len(train) + len(validation) == len(labels)
    assert abs(len(validation) - fraction * len(labels)) <= 0.5 or 1 in map(
        len, (train, validation)
    )


@given(label_arrays, st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_split_has_every_class_on_both_sides_where_that_can_be(labels, fraction, seed):
    train, validation = train_validation_split(labels, fraction, seed)
    classes, sizes = np.unique(labels, return_counts=True)
    common = classes[sizes >= 2]
    if len(validation) >= len(common):
        assert set(common) <= set(labels[validation])
    if len(validation) <= (sizes - 1).sum():
        assert set(classes) <= set(labels[train])


def test_split_is_stratified():
    labels = np.repeat([0, 1, 2], [1000, 300, 3])
    _, validation = train_validation_split(labels, 0.1, seed=3)
    np.testing.assert_array_equal(np.bincount(labels[validation]), [99, 30, 1])


def test_split_is_decided_by_the_seed():
    labels = np.arange(1000) % 10
    one, again, other = (train_validation_split(labels, 0.2, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_fraction_zero_trains_on_everything():
    train, validation = train_validation_split(np.array([3, 1, 2]), 0, seed=0)
    np.testing.assert_array_equal(train, [0, 1, 2])
    assert validation.shape == (0,)
    assert train.dtype == validation.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "fraction", "seed", "error", "words"),
    [
        ([0, 1], 1.0, 0, ValueError, "below 1"),
        ([0, 1], -0.1, 0, ValueError, "at least 0"),
        ([0, 1], float("nan"), 0, ValueError, "fraction is nan"),
        ([0, 1], 0.5, -1, ValueError, "seed is -1"),
        ([0], 0.5, 0, ValueError, "1 samples cannot be split"),
        ([0.0, 1.0], 0.5, 0, TypeError, "must be integers"),
        ([[0, 1]], 0.5, 0, ValueError, r"must be \(N,\)"),
    ],
)
def test_split_refuses(labels, fraction, seed, error, words):
    with pytest.raises(error, match=words):
        train_validation_split(np.array(labels), fraction, seed)


def test_one_hot():
    encoded = one_hot(np.array([2, 0, 3], np.int32), 4)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    assert one_hot(np.empty(0, np.int32), 4).shape == (0, 4)


def test_one_hot_refuses():
    for labels in ([0, 4], [-1, 0]):
        with pytest.raises(ValueError, match=r"must lie in 0\.\.3"):
            one_hot(np.array(labels), 4)
    with pytest.raises(TypeError):
        one_hot(np.array([0.5]), 4)


def test_pixel_statistics_are_those_of_float64():
    rng = np.random.default_rng(5)
    images = (rng.integers(0, 256, (2000, 28, 28)) * (rng.random((2000, 28, 28)) < 0.2)).astype(
        np.uint8
    )  # more than one chunk
    mean, std = pixel_statistics(images)
    scaled = images.astype(np.longdouble) / 255
    assert mean == pytest.approx(float(scaled.mean()), rel=1e-14)
    assert std == pytest.approx(float(scaled.std()), rel=1e-14)


def test_pixel_statistics_of_a_hand_worked_image():
    assert pixel_statistics(np.array([0, 255, 255, 0], np.uint8)) == (0.5, 0.5)


def test_pixel_statistics_refuse():
    with pytest.raises(TypeError, match="must be uint8"):
        pixel_statistics(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="no pixels"):
        pixel_statistics(np.zeros((0, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("low", "high", "dtype", "wanted"),
    [
        (0, 255, np.uint8, 255),
        (0, 128, np.uint8, 255),
        (0, 127, np.uint8, 127),
        (0, 16, np.uint8, 16),
        (0, 1, np.uint8, 1),
        (0, 0, np.uint8, 255),
        (0.0, 1.0, np.float32, 1),
        (0.0, 0.75, np.float32, 0.75),
        (0.0, 200.0, np.float32, 255),
        (0.0, 65535.0, np.float32, 65535),
        (-3.0, 2.0, np.float32, 3),
    ],
)
def test_the_range_is_that_of_the_pixels(low, high, dtype, wanted):
    images = np.full((3, 700, 1000), low, dtype)  # more than one chunk
    images[2, 600, 900] = high
    assert pixel_range(images) == wanted
    assert input_scaling(images, standardize=False) == (1 / wanted, 0.0)


def test_no_image_has_a_byte_for_its_range():
    assert pixel_range(np.empty((0, 28, 28), np.uint8)) == 255


def test_a_scale_is_another_from_a_factor_of_two_on():
    for one, other in ((16, 15), (1, 0.6)):
        assert same_scale((0, one), (0, other))
    for one, other in ((1, 2), (2, 1), (255, 127), (1, 255)):
        assert not same_scale((0, one), (0, other))
    assert same_scale((-1, 1), (-0.8, 1))
    assert not same_scale((-1, 1), (0, 1))
    assert not same_scale((-1, 1), (-1, 0))


def test_images_are_shown_in_bytes():
    images = np.array([[0, 4, 16]], np.uint8)
    np.testing.assert_array_equal(as_bytes(images, 16), [[0, 64, 255]])
    np.testing.assert_array_equal(as_bytes(np.array([-0.5, 0.2, 2]), 1), [0, 51, 255])
    assert as_bytes(images, 255) is images


def test_standardised_floats_have_mean_0_and_deviation_1():
    images = np.random.default_rng(1).random((2000, 28, 28), np.float32)
    scale, shift = input_scaling(images, standardize=True)
    standardised = images.astype(np.float64) * scale + shift
    assert standardised.mean() == pytest.approx(0, abs=1e-9)
    assert standardised.std() == pytest.approx(1)


def test_plain_scaling_maps_bytes_to_zero_and_one():
    assert input_scaling(np.zeros((1, 2, 2), np.uint8), standardize=False) == (1 / 255, 0.0)
    scaled = scale_images(np.array([0, 51, 255], np.uint8), 1 / 255, 0.0)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [0, 0.2, 1], rtol=np.finfo(np.float32).eps)


def test_standardised_images_have_mean_0_and_deviation_1():
    images = np.random.default_rng(1).integers(0, 256, (50, 9, 7), np.uint8)
    scale, shift = input_scaling(images, standardize=True)
    mean, std = pixel_statistics(images)
    np.testing.assert_allclose(
        scale_images(images, scale, shift), (images / 255 - mean) / std, atol=1e-6
    )
    standardised = images * scale + shift
    assert standardised.mean() == pytest.approx(0, abs=1e-12)
    assert standardised.std() == pytest.approx(1)


def test_constant_images_cannot_be_standardised():
    with pytest.raises(ValueError, match="same value"):
        input_scaling(np.full((3, 2, 2), 7, np.uint8), standardize=True)


def test_flatten_is_a_view():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    rows = flatten(images)
    assert rows.shape == (2, 12)
    assert np.shares_memory(rows, images)
    np.testing.assert_array_equal(rows[1], np.arange(12, 24))
    assert flatten(images[:0]).shape == (0, 12)
    assert flatten(rows).shape == rows.shape


def test_flatten_refuses_what_it_would_have_to_copy():
    with pytest.raises(ValueError, match="not contiguous"):
        flatten(np.zeros((2, 3, 4), np.uint8)[:, ::2])
    with pytest.raises(ValueError, match=r"must be \(N, H, W\)"):
        flatten(np.zeros(4, np.uint8))


def test_every_sample_is_validated_in_one_fold():
    labels = np.arange(103) % 4
    folds = fold_split(labels, 5, seed=0)
    assert sorted(np.concatenate([validation for _, validation in folds])) == list(range(103))
    for train, validation in folds:
        assert sorted([*train, *validation]) == list(range(103))
        assert len(validation) in (20, 21)
        counts = np.bincount(labels[validation], minlength=4)
        assert counts.max() - counts.min() <= 2


def test_folds_depend_on_the_seed():
    labels = np.arange(100) % 4
    first, again, other = (fold_split(labels, 4, seed)[0][1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("folds", "seed"), [(1, 0), (101, 0), (5, -1)])
def test_impossible_folds_are_refused(folds, seed):
    with pytest.raises(ValueError, match=r"folds is|seed is"):
        fold_split(np.arange(100) % 4, folds, seed)
