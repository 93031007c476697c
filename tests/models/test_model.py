"""`Model.predict` and `predict_proba`: what shapes, types and scales of images they take."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from mnistcore.kernels import numpy_kernels
from mnistcore.models.model import Model, TrainedOn
from mnistcore.models.network import Network

RNG = np.random.default_rng(0)
NETWORK = Network((12, 5, 3))
PARAMS = NETWORK.init(RNG)
MODEL = Model(NETWORK, PARAMS, (3, 4), 1 / 255, 0.0, ("a", "b", "c"), pixel_max=255.0)
OF_FLOATS = dataclasses.replace(MODEL, scale=1.0, pixel_max=1.0, float_pixels=True)
IMAGES = RNG.integers(0, 256, (7, 3, 4), np.uint8)
PROBS = NETWORK.predict_proba(numpy_kernels, PARAMS, IMAGES, 1 / 255)


@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        IMAGES.reshape(7, 12),
        IMAGES[..., None],  # a channel, as Keras has it
        IMAGES[:, None],  # and as PyTorch has it
        IMAGES.tolist(),
        IMAGES.astype(np.int64),
        IMAGES.astype(">f8"),
        [Image.fromarray(image) for image in IMAGES],
        np.asfortranarray(IMAGES),
    ],
    ids=["images", "rows", "channel last", "channel first", "lists", "int64", "float64 big-endian",
         "PIL", "Fortran"],
)  # fmt: skip
def test_images_of_any_usual_form(images):
    np.testing.assert_allclose(MODEL.predict_proba(images), PROBS, atol=1e-6)
    ids = MODEL.predict(images)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, PROBS.argmax(axis=1))


@pytest.mark.parametrize("image", [IMAGES[0], IMAGES[0].ravel()], ids=["rows", "flat"])
def test_one_image_is_a_batch_of_one(image):
    np.testing.assert_allclose(MODEL.predict_proba(image), PROBS[:1], atol=1e-6)


def test_no_images_give_no_classes():
    assert MODEL.predict(IMAGES[:0]).shape == (0,)
    assert MODEL.predict_proba(IMAGES[:0]).shape == (0, 3)


def test_a_backend_is_a_name_or_a_module(kernels):
    for backend in (kernels, kernels.NAME):
        np.testing.assert_allclose(MODEL.predict_proba(IMAGES, backend), PROBS, atol=1e-5)
    with pytest.raises(ValueError, match="unknown backend"):
        MODEL.predict(IMAGES, "cuda")


@pytest.mark.parametrize(
    "images",
    [IMAGES[:, :2], IMAGES.transpose(0, 2, 1), IMAGES.reshape(7, 2, 6), IMAGES[0, 0], np.uint8(3),
     np.stack([IMAGES] * 3, axis=-1)],
)  # fmt: skip
def test_images_of_another_shape_are_refused(images):
    with pytest.raises(ValueError, match=r"images of 3 x 4 pixels, as an array \(N, 3, 4\); got"):
        MODEL.predict(images)


@pytest.mark.parametrize("images", [IMAGES.astype(object), IMAGES.astype(str), IMAGES * 1j])
def test_what_is_no_number_is_refused(images):
    with pytest.raises(TypeError, match="must be integers, booleans or floats"):
        MODEL.predict(images)


def test_full_ink_may_be_named():
    floats = IMAGES / 255
    np.testing.assert_allclose(MODEL.predict_proba(floats, pixel_max=1), PROBS, atol=1e-5)
    np.testing.assert_allclose(OF_FLOATS.predict_proba(floats), PROBS, atol=1e-5)
    np.testing.assert_allclose(OF_FLOATS.predict_proba(IMAGES, pixel_max=255), PROBS, atol=1e-5)


def test_true_is_full_ink():
    black_and_white = IMAGES > 127
    expected = MODEL.predict_proba(np.where(black_and_white, 255, 0))
    np.testing.assert_allclose(MODEL.predict_proba(black_and_white), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "images", "full"),
    [
        (MODEL, IMAGES / 255, 1),
        (MODEL, (IMAGES > 127).astype(np.uint8), 1),
        (MODEL, IMAGES.astype(np.uint16) * 257, 257 * int(IMAGES.max())),
        (OF_FLOATS, IMAGES, 255),
        (dataclasses.replace(MODEL, pixel_max=16.0, scale=1 / 16), IMAGES, 255),
        (dataclasses.replace(MODEL, pixel_max=None), IMAGES / 255, 1),
    ],
    ids=["unit range", "zeros and ones", "16 bits", "bytes", "bytes for 16 shades", "unknown"],
)
def test_images_on_another_scale_are_refused(model, images, full):
    with pytest.raises(ValueError, match=f"give pixel_max={full} if"):
        model.predict(images)
    model.predict(images, pixel_max=full)


def test_full_ink_that_is_unknown_is_255_where_inputs_are_scaled():
    unknown = dataclasses.replace(MODEL, pixel_max=None)
    in_unit_range = (IMAGES / 255).astype(np.float32)
    logits = MODEL.logits(numpy_kernels, IMAGES)
    for model in (unknown.scaled_alike(0.0, 1.0), unknown.taking(1.0)):
        np.testing.assert_allclose(model.logits(numpy_kernels, in_unit_range), logits, rtol=1e-4)
    assert unknown.scaled_alike(0.0, 255.0) is unknown
    features = dataclasses.replace(unknown, scale=1.0)
    assert features.scaled_alike(0.0, 3.0) is features


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.42, 2.8)])
def test_a_network_of_pixels_below_0_takes_images_of_any_range(low, high):
    """Its least pixel is paper, as 0 is in other images."""
    data = TrainedOn("x", "0" * 64, paper=low / high, ink=1.0)
    shift = {"scale": 1 / (high - low), "shift": -low / (high - low)}
    model = dataclasses.replace(OF_FLOATS, pixel_max=high, data=data, **shift)
    images = np.float32(low + IMAGES / 255 * (high - low))
    images[:, 0, 0] = low
    bytes_ = IMAGES.copy()
    bytes_[:, 0, 0] = 0
    expected = MODEL.predict_proba(bytes_)
    np.testing.assert_allclose(model.predict_proba(images), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(bytes_, pixel_max=255), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"(from -1|reach 2\.8); give pixel_max=1 if"):
        model.predict(bytes_ / 255)
    for ends in ((0, 255), (0, 1), (-3, 3), (-1, 0)):
        same = ends[0] + bytes_ / 255 * (ends[1] - ends[0])
        alike = model.scaled_alike(*ends)
        logits = alike.logits(numpy_kernels, np.float32(same))
        np.testing.assert_allclose(logits, MODEL.logits(numpy_kernels, bytes_), atol=1e-4)
        again = alike.scaled_alike(low, high).logits(numpy_kernels, images)
        np.testing.assert_allclose(again, logits, atol=1e-4)


def test_a_network_of_bytes_takes_images_around_0_by_their_ends():
    around = np.float32(IMAGES / 127.5 - 1)
    logits = MODEL.scaled_alike(-1.0, 1.0).logits(numpy_kernels, around)
    np.testing.assert_allclose(logits, MODEL.logits(numpy_kernels, IMAGES), atol=1e-4)
    known = dataclasses.replace(OF_FLOATS, data=TrainedOn("x", "0" * 64))
    with pytest.raises(ValueError, match="trained on pixels from 0"):
        known.predict(around)


def test_standardised_images_are_refused_by_a_network_of_bytes():
    standardised = (IMAGES / 255 - 0.13) / 0.31
    with pytest.raises(ValueError, match=r"go down to -0.4.* before they were standardised"):
        MODEL.predict(standardised)
    dataclasses.replace(OF_FLOATS, pixel_max=2.8).predict(standardised)


def test_dim_images_are_taken_as_they_are():
    dim = IMAGES // 100  # bytes up to 2
    expected = NETWORK.predict_proba(numpy_kernels, PARAMS, dim, 1 / 255)
    np.testing.assert_allclose(MODEL.predict_proba(dim), expected, atol=1e-5)
    MODEL.predict(np.zeros_like(IMAGES))


@pytest.mark.parametrize("pixel_max", [0, -1, np.inf, np.nan])
def test_full_ink_is_a_positive_number(pixel_max):
    with pytest.raises(ValueError, match="pixel_max must be above 0 and finite"):
        MODEL.predict(IMAGES, pixel_max=pixel_max)


def test_pixels_and_outputs_are_finite():
    with pytest.raises(ValueError, match="not finite in float32"):
        MODEL.predict(np.where(IMAGES > 99, np.nan, IMAGES))
    broken = dataclasses.replace(MODEL, params=np.full_like(PARAMS, np.nan))
    with pytest.raises(ValueError, match="outputs of the network are not finite"):
        broken.predict(IMAGES)


def test_images_are_only_read():
    images = IMAGES / np.float32(255)
    images.flags.writeable = False
    MODEL.predict(images, pixel_max=1)


def test_saliency_is_the_slope_of_the_answer_above_the_mean(kernels):
    gradient = MODEL.saliency(IMAGES, kernels)
    assert (gradient.dtype, gradient.shape) == (np.float32, IMAGES.shape)
    answers = PROBS.argmax(axis=1)

    def margins(inputs):
        logits = NETWORK.forward(numpy_kernels, PARAMS.astype(float), inputs)
        return logits[np.arange(len(logits)), answers] - logits.mean(axis=1)

    inputs = IMAGES.reshape(7, 12) / 255
    for pixel in range(12):
        step = np.eye(12)[pixel] * 1e-6
        slopes = (margins(inputs + step) - margins(inputs - step)) / 2e-6
        np.testing.assert_allclose(gradient.reshape(7, 12)[:, pixel], slopes, atol=1e-4)


def test_saliency_takes_what_predictions_take():
    np.testing.assert_allclose(
        MODEL.saliency(IMAGES / 255, pixel_max=1), MODEL.saliency(IMAGES), atol=1e-6
    )
    assert MODEL.saliency(IMAGES[0]).shape == (1, 3, 4)
    assert MODEL.saliency(IMAGES[:0]).shape == (0, 3, 4)
    with pytest.raises(ValueError, match=r"pixels reach 0\.99"):
        MODEL.saliency(IMAGES / 255)
    lost = dataclasses.replace(MODEL, params=np.full_like(PARAMS, np.nan))
    with pytest.raises(ValueError, match="not finite"):
        lost.saliency(IMAGES)
