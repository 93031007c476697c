import numpy as np
import pytest
from tolerances import assert_relative

from mnistcore.kernels import layout, numpy_kernels
from mnistcore.models.forward_pass import ForwardPass
from mnistcore.models.network import Network


@pytest.mark.parametrize("activation", layout.ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(5, 4), (7, 6, 3), (3, 4, 1, 5, 2)], ids=str)
def test_the_gradient_is_that_of_central_differences(activation, sizes):
    rng = np.random.default_rng(0)
    network = Network(sizes, activation)
    params = network.init(rng, dtype=np.float64)
    x, weights = rng.standard_normal((6, sizes[0])), rng.standard_normal((6, sizes[-1]))
    direction = rng.standard_normal(x.shape)
    outputs = [
        ForwardPass(numpy_kernels, network, params, x + step * direction).logits
        for step in (1e-6, -1e-6)
    ]
    slopes = ((outputs[0] - outputs[1]) / 2e-6 * weights).sum(axis=1)
    gradient = ForwardPass(numpy_kernels, network, params, x).input_gradient(weights)
    np.testing.assert_allclose((gradient * direction).sum(axis=1), slopes, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", layout.ACTIVATIONS)
def test_backends_agree_with_the_reference(kernels, activation):
    rng = np.random.default_rng(1)
    network = Network((784, 65, 33, 10), activation)
    params = network.init(rng)
    x, dlogits = (rng.standard_normal((21, n)).astype(np.float32) for n in (784, 10))
    forward = ForwardPass(kernels, network, params, x)
    exact = ForwardPass(numpy_kernels, network, params.astype(float), x.astype(float))
    assert_relative(forward.logits, exact.logits, 1e-5)
    assert [layer.shape for layer in forward.hidden] == [(21, 65), (21, 33)]
    assert_relative(forward.logits, network.forward(kernels, params, x), 1e-5)
    weights, bias = network.views(params)[-1]
    assert_relative(forward.hidden[-1] @ weights + bias, forward.logits, 1e-5)
    assert_relative(forward.probabilities(), exact.probabilities(), 1e-5)
    gradient = forward.input_gradient(dlogits)
    assert gradient.dtype == np.float32
    assert_relative(gradient, exact.input_gradient(dlogits.astype(float)), 1e-5)
    np.testing.assert_array_equal(gradient, forward.input_gradient(dlogits))


def test_batch_normalisation_must_be_folded_first():
    network = Network((4, 3, 2), batch_norm=True)
    params = network.init(np.random.default_rng(0))
    with pytest.raises(ValueError, match="must be folded into the weights first"):
        ForwardPass(numpy_kernels, network, params, np.zeros((1, 4), np.float32))


def test_without_hidden_layers_the_gradient_is_that_of_the_weights(kernels):
    network = Network((4, 2))
    params = network.init(np.random.default_rng(0))
    forward = ForwardPass(kernels, network, params, np.ones((3, 4), np.float32))
    assert forward.hidden == []
    first = np.repeat(np.float32([[1, 0]]), 3, axis=0)
    expected = np.repeat(network.views(params)[0][0][:, :1].T, 3, axis=0)
    np.testing.assert_array_equal(forward.input_gradient(first), expected)
