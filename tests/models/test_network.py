"""The initial parameters of a network, by their definitions."""

import numpy as np
import pytest

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
