"""Models that predict together: the mean of their probabilities, and what they must share."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from small_models import make_model

from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.models.ensemble import Ensemble, averaged, load_together
from mnistcore.models.model import Model

make = partial(make_model, pixel_max=255.0)
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 6), np.uint8)


def softmax(logits):
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def members():
    """Networks of the same task that differ in layers, activation and scaling."""
    return [
        make((36, 8, 4), "relu", (6, 6), gain=4),
        make((36, 5, 7, 4), "tanh", (6, 6), scale=0.01, shift=-0.4, gain=3, seed=1),
        make((36, 4), shape=(36,), scale=1 / 16, seed=2),
    ]


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_averaged_logits_have_the_mean_of_the_probabilities(size):
    logits = (size * np.random.default_rng(0).normal(size=(5, 9, 4))).astype(np.float32)
    found = averaged(logits)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_allclose(softmax(found), softmax(logits).mean(axis=0), atol=1e-6)


def test_one_part_keeps_its_bits():
    logits = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert averaged([logits]) is logits


def test_what_is_not_finite_does_not_vanish_in_a_mean():
    for value in (np.nan, np.inf):
        logits = np.zeros((3, 2, 4), np.float32)
        logits[1, 0, 2] = value
        assert not np.isfinite(averaged(logits)[0]).any()
        assert np.isfinite(averaged(logits)[1]).all()


def test_an_ensemble_gives_the_mean_of_its_members(kernels, members):
    ensemble = Ensemble(members)
    each = [member.predict_proba(IMAGES.reshape(20, 36), kernels) for member in members]
    expected = np.mean(each, axis=0)
    assert np.abs(each[0] - each[1]).max() > 0.1
    np.testing.assert_allclose(ensemble.predict_proba(IMAGES, kernels), expected, atol=1e-6)
    np.testing.assert_allclose(softmax(ensemble.logits(kernels, IMAGES)), expected, atol=1e-6)
    np.testing.assert_array_equal(ensemble.predict(IMAGES, kernels), expected.argmax(axis=1))
    assert (ensemble.input_shape, ensemble.pixel_max) == ((6, 6), 255.0)


def test_an_ensemble_of_one_is_its_member(members):
    ensemble, model = Ensemble(members[:1]), members[0]
    found, expected = (one.logits(numpy_kernels, IMAGES) for one in (ensemble, model))
    np.testing.assert_array_equal(found, expected)


def test_members_of_other_pixels_see_the_same_image(members):
    """One learnt from bytes, one from floats in [0, 1]: images are on the scale of the first."""
    first = members[0]
    unit = dataclasses.replace(members[1].taking(1.0), float_pixels=True)
    expected = Ensemble(members[:2]).predict_proba(IMAGES, numpy_kernels)
    mixed = Ensemble([first, unit])
    np.testing.assert_allclose(mixed.predict_proba(IMAGES, numpy_kernels), expected, atol=1e-5)
    in_unit = mixed.predict_proba(IMAGES / 255, numpy_kernels, pixel_max=1)
    np.testing.assert_allclose(in_unit, expected, atol=1e-5)
    np.testing.assert_allclose(
        softmax(mixed.taking_bytes().logits(numpy_kernels, IMAGES)), expected, atol=1e-5
    )


def test_images_on_another_scale_are_refused_as_by_a_model(members):
    with pytest.raises(ValueError, match="pixel_max=1"):
        Ensemble(members).predict(IMAGES / 255)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make((30, 4), shape=(5, 6)), "member 2: takes images of 5 x 6 pixels, member 1 of 6 x 6"),
        (make((36, 4), shape=(4, 9)), "takes images of 4 x 9 pixels"),
        (make((36, 5), shape=(6, 6)), "member 2: has other classes than member 1"),
        (make((36, 8, 4), "relu", (6, 6), gain=4), "member 2: is the same network as member 1"),
    ],
)
def test_members_that_do_not_agree_are_refused(members, other, message):
    with pytest.raises(ValueError, match=message):
        Ensemble([members[0], other])


def test_no_members_are_refused():
    with pytest.raises(ValueError, match="of 0 members"):
        Ensemble([])


def test_models_are_loaded_by_themselves_or_together(members, tmp_path):
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path, member in zip(paths, members, strict=True):
        checkpoint.save(path, member)
    assert isinstance(load_together(str(paths[0])), Model)
    assert isinstance(load_together(paths[:1]), Model)
    assert load_together(members[0]) is members[0]
    together = load_together(paths)
    assert isinstance(together, Ensemble)
    found = together.predict_proba(IMAGES, numpy_kernels)
    np.testing.assert_array_equal(found, Ensemble(members).predict_proba(IMAGES, numpy_kernels))
    with pytest.raises(ValueError, match=f"{paths[1]}: is the same network as {paths[1]}"):
        load_together([paths[1], paths[1]])
    paths[2].write_text("years of work")
    with pytest.raises(checkpoint.CheckpointError, match=f"{paths[2]}: is not a safetensors file"):
        load_together(paths)
