"""The initial parameters of a network, by their definitions."""

import numpy as np
import pytest

from mnistcore.kernels import numpy_kernels
from mnistcore.models.forward_pass import ForwardPass
from mnistcore.models.network import Network

SIZES = (300, 100, 40, 10)


@pytest.mark.parametrize(
    ("activation", "scheme", "he"),
    [
        ("relu", "auto", True),
        ("relu", "glorot", False),
        ("tanh", "auto", False),
        ("tanh", "he", True),
    ],
)
def test_initial_weights_have_the_distribution_of_their_scheme(activation, scheme, he):
    """He: normal with variance 2 / fan_in. Glorot: uniform up to sqrt(6 / (fan_in + fan_out))."""
    network = Network(SIZES, activation)
    for w, _ in network.views(network.init(np.random.default_rng(0), scheme, np.float64)):
        fan_in, fan_out = w.shape
        bound = np.sqrt(6 / (fan_in + fan_out))
        variance = 2 / fan_in if he else bound**2 / 3
        error = 5 * np.sqrt(2 / w.size)  # five standard errors of a normal variance
        assert np.mean(w**2) == pytest.approx(variance, rel=error)
        assert (np.abs(w).max() > 1.5 * np.sqrt(3 * variance)) == he
        assert he or 0.95 * bound < np.abs(w).max() <= bound


def test_biases_begin_at_0_and_gains_at_1():
    network = Network(SIZES, batch_norm=True)
    params = network.init(np.random.default_rng(0))
    assert not any(bias.any() for _, bias in network.views(params))
    assert [gains.tolist() for gains in network.gains(params)] == [[1] * 100, [1] * 40]


@pytest.mark.parametrize("activation", ["tanh", "identity"])
def test_statistics_are_those_that_normalise_every_layer(kernels, activation):
    """Folded, they give each unit the mean of its bias and the deviation of its gain."""
    rng = np.random.default_rng(0)
    network = Network((5, 7, 6, 3), activation, batch_norm=True)
    params = network.init(rng)
    for gains, (_, bias) in zip(network.gains(params), network.views(params)[:-1], strict=True):
        gains[:], bias[:] = rng.uniform(0.5, 2, len(gains)), rng.normal(size=len(bias))
    x = rng.normal(3, 2, (50, 5)).astype(np.float32)
    folded = network.folded(params, network.statistics(kernels, params, x, 1e-5))
    forward = ForwardPass(numpy_kernels, network.plain, folded, x)
    layers = zip(forward.hidden, network.gains(params), network.views(params)[:-1], strict=True)
    for a, gains, (_, bias) in layers:
        z = np.arctanh(a.astype(np.float64)) if activation == "tanh" else a
        np.testing.assert_allclose(z.mean(axis=0), bias, atol=2e-3)
        np.testing.assert_allclose(z.std(axis=0), gains, rtol=2e-3)


def test_the_workspace_of_many_rows_is_bounded(monkeypatch):
    asked = []

    def workspace_size(layers, rows, slots):
        asked.append(rows)
        return 0

    monkeypatch.setattr(numpy_kernels, "workspace_size", workspace_size)
    network = Network((1, 2))
    params = network.init(np.random.default_rng(0))
    for rows in (0, 5, 100_000):
        assert network.forward(numpy_kernels, params, np.zeros((rows, 1))).shape == (rows, 2)
    assert asked == [1, 5, 8192]
