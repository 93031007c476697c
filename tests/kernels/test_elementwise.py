"""Activations, losses, dropout and updates against float64 and against loops."""

import math

import naive
import numpy as np
import pytest
from tolerances import ULPS, assert_relative, assert_ulps, assert_within

from mnistcore.kernels import layout, numpy_kernels

SHAPES = [(1, 1), (3, 5), (2, 16), (5, 17), (7, 33), (64, 10), (1, 1000)]
SPREAD = np.concatenate(
    [[-np.inf, -200, -88, -0.0, 0.0, 1e-30, 88, 200, np.inf], np.linspace(-12, 12, 4001)]
).astype(np.float32)
FORWARD = {
    "tanh_forward": np.tanh,
    "relu_forward": lambda z: np.maximum(z, 0),
    "logistic_forward": lambda z: 1 / (1 + np.exp(-z)),
}
BACKWARD = {
    "tanh_backward": lambda da, a: da * (1 - a * a),
    "relu_backward": lambda da, a: da * (a > 0),
    "logistic_backward": lambda da, a: da * (a * (1 - a)),
}


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", FORWARD)
def test_activation_over_the_whole_range(kernels, name):
    z = SPREAD.reshape(1, -1)
    a = np.full_like(z, np.nan)
    getattr(kernels, name)(z, a)
    with np.errstate(over="ignore"):
        exact = FORWARD[name](z.astype(np.float64))
    assert_ulps(a, np.where(np.abs(exact) < 1e-37, a, exact))
    assert (np.abs(a[np.abs(exact) < 1e-37]) < 1.2e-37).all()


@pytest.mark.parametrize("name", FORWARD)
def test_activation_keeps_nan(kernels, name):
    z = np.zeros((2, 21), np.float32)
    z[1, 20] = np.nan
    a = np.zeros_like(z)
    getattr(kernels, name)(z, a)
    assert np.isnan(a[1, 20])
    assert not np.isnan(a[:, :20]).any()


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("shape", SHAPES)
def test_activation_of_any_shape_also_in_place(kernels, name, shape):
    z = _normal(1, *shape)
    a = np.full_like(z, np.nan)
    getattr(kernels, name)(z, a)
    assert_ulps(a, FORWARD[name](z.astype(np.float64)))
    getattr(kernels, name)(z, z)
    np.testing.assert_array_equal(z, a)


@pytest.mark.parametrize("name", BACKWARD)
@pytest.mark.parametrize("shape", SHAPES)
def test_derivative(kernels, name, shape):
    da, a = _normal(2, *shape), np.tanh(_normal(3, *shape))
    dz = np.full_like(a, np.nan)
    getattr(kernels, name)(da, a, dz)
    exact = BACKWARD[name](da.astype(np.float64), a.astype(np.float64))
    assert_within(dz, exact, ULPS * 2.0**-23 * np.abs(da))


@pytest.mark.parametrize("shape", SHAPES)
def test_add_bias_and_sum_rows(kernels, shape):
    z, b = _normal(4, *shape), _normal(5, shape[1])
    out, column = np.full_like(z, np.nan), np.full(shape[1], np.nan, np.float32)
    kernels.add_bias(z, b, out)
    np.testing.assert_array_equal(out, z + b)
    whole = np.random.default_rng(6).integers(-9, 9, shape).astype(np.float32)
    kernels.sum_rows(whole, column)
    np.testing.assert_array_equal(column, whole.sum(axis=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_softmax(kernels, shape):
    logits = 20 * _normal(7, *shape)
    probs = np.full_like(logits, np.nan)
    kernels.softmax(logits, probs)
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    exact = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert_within(probs, exact, (shape[1] + 40) * 2.0**-23 * exact + 1e-37)
    assert_within(probs.sum(axis=1), np.ones(shape[0]), 1e-5)


def test_softmax_of_huge_logits(kernels):
    logits = np.array([[1e30, -1e30, 1e30], [-1e4, -1e4, -2e4]], np.float32)
    probs = np.full_like(logits, np.nan)
    kernels.softmax(logits, probs)
    np.testing.assert_allclose(probs, [[0.5, 0, 0.5], [0.5, 0.5, 0]], atol=1e-37)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_against_loops(kernels, shape, weighted):
    rng = np.random.default_rng(8)
    logits = 5 * _normal(9, *shape)
    labels = rng.integers(0, shape[1], shape[0]).astype(np.int32)
    weights = rng.uniform(0.5, 2, shape[0]).astype(np.float32) if weighted else np.zeros(0, "f4")
    dlogits = np.full_like(logits, np.nan)
    loss = kernels.softmax_cross_entropy(logits, labels, weights, dlogits)
    ones = np.ones(shape[0])
    exact, gradient = naive.softmax_cross_entropy(logits, labels, weights if weighted else ones)
    assert math.isclose(loss, exact, rel_tol=1e-5, abs_tol=1e-6)
    assert_relative(dlogits, gradient, 1e-5 if shape[1] > 1 else 1e3)


def test_cross_entropy_of_zero_logits_is_log_10(kernels):
    dlogits = np.full((4, 10), np.nan, np.float32)
    labels = np.array([0, 3, 9, 3], np.int32)
    loss = kernels.softmax_cross_entropy(
        np.zeros((4, 10), np.float32), labels, np.zeros(0, np.float32), dlogits
    )
    assert math.isclose(loss, math.log(10), rel_tol=1e-6)
    expected = np.full((4, 10), 0.1 / 4)
    expected[np.arange(4), labels] -= 0.25
    assert_within(dlogits, expected, 1e-8)


def test_cross_entropy_of_weights_that_are_all_zero(kernels):
    dlogits = np.full((2, 3), np.nan, np.float32)
    labels, weights = np.zeros(2, np.int32), np.zeros(2, np.float32)
    assert kernels.softmax_cross_entropy(_normal(1, 2, 3), labels, weights, dlogits) == 0.0
    assert (dlogits == 0).all()


@pytest.mark.parametrize("weight", [1e-45, 1e-39, 1e38])
def test_the_reference_divides_by_tiny_and_huge_sums_of_weights(weight):
    labels, logits = np.zeros(2, np.int32), _normal(1, 2, 3)
    results = []
    for weights in ([1, 1], [weight, weight]):
        dlogits = np.empty_like(logits)
        loss = numpy_kernels.softmax_cross_entropy(
            logits, labels, np.array(weights, np.float32), dlogits
        )
        results.append([loss, *dlogits.ravel()])
    np.testing.assert_allclose(*results, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_cross_entropy_shows_a_logit_that_is_not_finite(kernels, bad):
    logits = np.zeros((3, 20), np.float32)
    logits[1, 17] = bad
    labels, none = np.full(3, 17, np.int32), np.zeros(0, np.float32)
    loss = kernels.softmax_cross_entropy(logits, labels, none, np.empty_like(logits))
    assert not math.isfinite(loss)


def test_dropout_is_the_hash_of_the_contract(kernels):
    a = np.ones((3, 37), np.float32)
    out = np.full_like(a, np.nan)
    samples, seed, epoch, layer = np.array([5, 59999, 2**31]), 123456789, 7, 2
    kernels.dropout(a, samples, 0.3, seed, epoch, layer, out)
    threshold = int(0.3 * 2**32)
    for r, sample in enumerate(samples):
        for unit in range(37):
            bits = naive.random_bits(seed, epoch, int(sample), layer, unit)
            expected = 0.0 if bits < threshold else 1 / 0.7
            assert math.isclose(out[r, unit], expected, rel_tol=1e-6)


def test_dropout_keeps_its_share_and_its_mean(kernels):
    a = np.ones((400, 100), np.float32)
    out = np.empty_like(a)
    kernels.dropout(a, np.arange(400), 0.25, 1, 0, 0, out)
    # 40,000 draws: five standard deviations of the share are 0.011.
    assert abs((out == 0).mean() - 0.25) < 0.011
    other = np.empty_like(a)
    kernels.dropout(a, np.arange(400), 0.25, 1, 1, 0, other)
    assert 0.3 < ((out == 0) != (other == 0)).mean() < 0.45  # 2 * 0.25 * 0.75


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("n", [1, 16, 35])
def test_sgd_against_loops(kernels, momentum, nesterov, decay, n):
    if nesterov and not momentum:
        pytest.skip("Nesterov's look-ahead needs momentum")
    params, velocity = _normal(1, n), np.zeros(n if momentum else 0, np.float32)
    w, u = params.astype(np.float64), np.zeros(n)
    for step in range(5):
        gradient = _normal(10 + step, n)
        kernels.sgd_update(gradient, 0.1, momentum, nesterov, decay, params, velocity)
        for i in range(n):
            w[i], u[i] = naive.sgd(w[i], gradient[i], 0.1, momentum, nesterov, decay, u[i])
    assert_relative(params, w, 1e-6)
    assert not momentum or np.linalg.norm(velocity - u) < 1e-6 * np.linalg.norm(u)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize(("n", "eps"), [(1, 1e-8), (16, 0.1), (35, 1e-8)])
def test_adam_against_loops(kernels, decoupled, decay, n, eps):
    params, m, v = _normal(1, n), np.zeros(n, np.float32), np.zeros(n, np.float32)
    w, first, second = params.astype(np.float64), np.zeros(n), np.zeros(n)
    for step in range(1, 6):
        gradient = _normal(20 + step, n)
        constants = (0.01, 0.9, 0.999, eps, decay, decoupled, step)
        kernels.adam_update(gradient, *constants, params, m, v)
        for i in range(n):
            w[i], first[i], second[i] = naive.adam(
                w[i], gradient[i], *constants, first[i], second[i]
            )
    assert_relative(params, w, 1e-6)
    assert_relative(m, first, 1e-6)
    assert_relative(v, second, 1e-6)


def test_random_bits_of_the_layout_are_those_of_the_oracle():
    bits = layout.random_bits(np.array([3, 2**33 + 1]), 5, seed=-1, epoch=2, layer=3)
    for r, sample in enumerate((3, 2**33 + 1)):
        assert [int(b) for b in bits[r]] == [
            naive.random_bits(-1, 2, sample, 3, unit) for unit in range(5)
        ]
