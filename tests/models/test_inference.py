import numpy as np
import pytest

from mnistcore.models.inference import activations_of, logits_of
from mnistcore.models.network import Network


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_the_last_hidden_layer_makes_the_logits(kernels, activation):
    rng = np.random.default_rng(0)
    network = Network((6, 5, 4, 3), activation, 0.5)
    params = network.init(rng)
    images = rng.integers(0, 256, (7, 2, 3), np.uint8)
    layers = activations_of(kernels, network, params, images, 1 / 255, -0.5)
    assert [layer.shape for layer in layers] == [(7, 5), (7, 4)]
    weights, bias = network.views(params)[-1]
    expected = logits_of(kernels, network, params, images, 1 / 255, -0.5)
    np.testing.assert_allclose(layers[-1] @ weights + bias, expected, rtol=1e-4, atol=1e-5)


def test_without_hidden_layers_there_are_no_activations(kernels):
    network = Network((4, 2))
    assert (
        activations_of(
            kernels, network, network.init(np.random.default_rng(0)), np.ones((1, 4), np.float32)
        )
        == []
    )
