"""Quantised weights: their error, the integers' range, and sums that fit into 32 bits."""

import dataclasses

import numpy as np
import pytest
from small_digits import small_digits
from small_models import make_model

from mnistcore.interchange.int8 import int8_logits, max_fan_in, quantize
from mnistcore.interchange.int8_loss import Int8Loss, measure
from mnistcore.kernels import numpy_kernels


def test_every_weight_is_within_half_a_step(model):
    for (weights, _), layer in zip(model.network.views(model.params), quantize(model), strict=True):
        assert layer.weights.dtype == np.int8
        assert np.abs(layer.weights.astype(int)).max(axis=0).tolist() == [127] * weights.shape[1]
        error = np.abs(layer.weights * layer.scales.astype(np.float64) - weights)
        assert (error <= 0.5001 * layer.scales).all()


def test_the_logits_are_near_those_of_the_model(model, images):
    exact = model.logits(numpy_kernels, images)
    error = int8_logits(quantize(model), model.scale, images) - exact
    assert np.sqrt((error**2).mean()) < 0.03 * np.sqrt((exact**2).mean())
    assert error.any()


def test_weights_that_8_bits_hold_lose_nothing():
    model = make_model((4, 3), scale=1.0)
    weights, bias = model.network.views(model.params)[0]
    weights[...] = np.arange(12).reshape(4, 3) - 6
    weights[0] = 127
    bias[...] = [0.5, -3, 0]
    images = np.random.default_rng(0).integers(0, 256, (50, 4), np.uint8)
    exact = images.astype(np.float64) @ weights + bias
    np.testing.assert_array_equal(int8_logits(quantize(model), 1.0, images), exact)


def test_a_hidden_layer_is_rounded_to_the_nearest_step():
    model = make_model((1, 2, 1), "relu", scale=1.0)
    (first, bias), (second, last) = model.network.views(model.params)
    first[...], bias[...] = [[1, 0]], [0, 10.47]  # 255, which makes a step 1, and what is rounded
    second[...], last[...] = [[0], [1]], 0
    logits = int8_logits(quantize(model), 1.0, np.full((1, 1), 255, np.uint8))
    np.testing.assert_allclose(logits, [[10]], rtol=1e-6)
    bias[1] = 10.53
    logits = int8_logits(quantize(model), 1.0, np.full((1, 1), 255, np.uint8))
    np.testing.assert_allclose(logits, [[11]], rtol=1e-6)


def test_offsets_make_up_for_the_number_that_stands_for_zero():
    layers = quantize(make_model((6, 5, 4, 3), "tanh"))
    assert [layer.input_zero for layer in layers] == [0, 128, 128]
    for layer in layers:
        weights = layer.weights.astype(np.int64)
        x = np.random.default_rng(0).integers(0, 256, (9, len(weights)))
        exact = (x - layer.input_zero) @ weights
        np.testing.assert_array_equal(x @ weights + layer.offsets, exact)
        assert (layer.zero, layer.levels) == (128, 127)


def test_units_without_weights_or_values_are_zero():
    model = make_model((6, 4, 3), "relu")
    for weights, bias in model.network.views(model.params):
        weights[...] = 0
        bias[...] = -1
    logits = int8_logits(quantize(model), model.scale, np.full((2, 6), 255, np.uint8))
    np.testing.assert_array_equal(logits, np.full((2, 3), -1))


def test_the_largest_sums_fit_into_32_bits():
    assert max_fan_in(0) * 255 * 127 < 2**31 <= (max_fan_in(0) + 1) * 255 * 127
    with pytest.raises(ValueError, match=r"layer 0 has 66,312 inputs; .* at most 66,311"):
        quantize(make_model((66_312, 1)))
    quantize(make_model((66_311, 1)))
    with pytest.raises(ValueError, match=r"layer 1 has 44,150 inputs; .* at most 44,149"):
        quantize(make_model((1, 44_150, 1), "tanh"))
    quantize(make_model((1, 44_150, 1), "relu"))


def test_a_scale_that_float32_does_not_hold_is_refused(model):
    with pytest.raises(ValueError, match=r"scale 1e\+39 and shift .* too large for float32"):
        quantize(dataclasses.replace(model, scale=1e39))


def test_weights_that_are_not_finite_are_refused(model):
    params = model.params.copy()
    params[-1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        quantize(dataclasses.replace(model, params=params))


@pytest.mark.parametrize(
    ("exact", "rounded", "words"),
    [
        (0.98, 0.979, "0.10 points worse than with float weights"),
        (0.98, 0.9812, "0.12 points better than with float weights"),
        (0.98, 0.98, "as many as with float weights"),
    ],
)
def test_the_loss_is_told_in_a_sentence(exact, rounded, words):
    assert str(Int8Loss("mnist", 10000, exact, rounded, 9990)).endswith(words)


def test_the_loss_of_a_network_of_floats_is_that_of_the_bytes_that_its_file_takes(tmp_path):
    dataset = small_digits(tmp_path / "data")
    floats = dataclasses.replace(
        dataset, train_images=dataset.train_images / np.float32(255),
        test_images=dataset.test_images / np.float32(255) - np.float32(0.3),
    )  # fmt: skip
    model = make_model((36, 4), shape=(6, 6), scale=1.0, pixel_max=1.0)
    found = measure(dataclasses.replace(model, float_pixels=True), floats)
    as_bytes = np.rint(floats.test_images * 255).clip(0, 255).astype(np.uint8)
    logits = int8_logits(quantize(model.taking_bytes()), 1 / 255, as_bytes)
    assert found.int8_accuracy == (logits.argmax(axis=1) == dataset.test_labels).mean()


def test_data_of_another_kind_is_refused(tmp_path):
    dataset = small_digits(tmp_path / "data")
    with pytest.raises(ValueError, match="of which 3 is not among 0, 1, 2"):
        measure(make_model((36, 3), shape=(6, 6)), dataset)
    with pytest.raises(ValueError, match="takes images of 5 x 7 pixels; data has 6 x 6"):
        measure(make_model((35, 4), shape=(5, 7)), dataset)
