"""Every backend has the names, signatures, checks and words of the contract."""

import inspect

import numpy as np
import pytest

from mnistcore.kernels import KERNELS, PROGRAMS, numpy_kernels
from mnistcore.network import Network


@pytest.mark.parametrize("name", KERNELS + PROGRAMS)
def test_signature(kernels, name):
    reference = inspect.signature(getattr(numpy_kernels, name))
    assert inspect.signature(getattr(kernels, name)) == reference
    assert getattr(kernels, name).__doc__


def _floats(*shape):
    return np.ones(shape, np.float32)


BAD_CALLS = {
    "inner lengths differ": (ValueError, "matmul", (_floats(2, 3), _floats(4, 5), _floats(2, 5))),
    "out too small": (ValueError, "matmul", (_floats(2, 3), _floats(3, 5), _floats(2, 4))),
    "not a matrix": (ValueError, "matmul", (_floats(3), _floats(3, 5), _floats(2, 4))),
    "integers": (TypeError, "matmul", (np.ones((2, 2), int), _floats(2, 2), _floats(2, 2))),
    "mixed dtypes": (
        TypeError,
        "matmul",
        (_floats(2, 2), np.ones((2, 2), np.float16), _floats(2, 2)),
    ),
    "a list": (TypeError, "matmul", ([[1.0]], _floats(1, 1), _floats(1, 1))),
    "a transposed view": (TypeError, "matmul", (_floats(2, 3).T, _floats(2, 5), _floats(3, 5))),
    "tn": (ValueError, "matmul_tn", (_floats(2, 3), _floats(3, 5), _floats(3, 5))),
    "nt": (ValueError, "matmul_nt", (_floats(2, 3), _floats(5, 4), _floats(2, 5))),
    "bias too long": (ValueError, "add_bias", (_floats(2, 3), _floats(4), _floats(2, 3))),
    "sum of another width": (ValueError, "sum_rows", (_floats(2, 3), _floats(4))),
    "activation of another shape": (ValueError, "tanh_forward", (_floats(2, 3), _floats(3, 2))),
    "derivative of another shape": (
        ValueError,
        "relu_backward",
        (_floats(2, 3), _floats(2, 3), _floats(3, 3)),
    ),
    "label too large": (
        ValueError,
        "softmax_cross_entropy",
        (_floats(2, 3), np.array([0, 3], np.int32), _floats(0), _floats(2, 3)),
    ),
    "label negative": (
        ValueError,
        "softmax_cross_entropy",
        (_floats(2, 3), np.array([0, -1], np.int32), _floats(0), _floats(2, 3)),
    ),
    "labels of another dtype": (
        TypeError,
        "softmax_cross_entropy",
        (_floats(2, 3), np.array([0, 1]), _floats(0), _floats(2, 3)),
    ),
    "rate of 1": (
        ValueError,
        "dropout",
        (_floats(2, 3), np.arange(2), 1.0, 0, 0, 0, _floats(2, 3)),
    ),
    "no velocity": (
        ValueError,
        "sgd_update",
        (_floats(3), 0.1, 0.9, False, 0.0, _floats(3), _floats(0)),
    ),
    "step 0": (
        ValueError,
        "adam_update",
        (_floats(3), 0.1, 0.9, 0.9, 1e-8, 0.0, False, 0, _floats(3), _floats(3), _floats(3)),
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls_are_refused_in_the_reference_s_words(kernels, case):
    error, name, arguments = case
    with pytest.raises(error) as expected:
        getattr(numpy_kernels, name)(*arguments)
    with pytest.raises(error) as actual:
        getattr(kernels, name)(*arguments)
    # The compiled backends take float32 alone; all else is the same to the letter.
    words = str(expected.value)
    if kernels is not numpy_kernels:
        words = words.replace("float32 or float64", "float32")
    assert str(actual.value) == words
    assert str(actual.value).startswith(name)
    assert "\n" not in str(actual.value)


def test_float64_is_the_reference_s_alone(kernels):
    arguments = [np.ones((2, 2)) for _ in range(3)]
    if kernels is numpy_kernels:
        kernels.matmul(*arguments)
    else:
        with pytest.raises(TypeError, match="a must be float32, got float64"):
            kernels.matmul(*arguments)


def test_out_may_not_overlap_an_operand(kernels):
    a = _floats(4, 4)
    with pytest.raises(ValueError, match="overlap"):
        kernels.matmul(a, _floats(4, 4), a)


BAD_INPUTS = {
    "too few columns": (ValueError, _floats(2, 4), _floats(2, 3)),
    "too few rows": (ValueError, _floats(2, 5), _floats(1, 3)),
    "other classes": (ValueError, _floats(2, 5), _floats(2, 4)),
    "one image without its axis": (ValueError, _floats(5), _floats(2, 3)),
    "logits of integers": (TypeError, _floats(2, 5), np.ones((2, 3), np.int32)),
    "inputs of integers": (TypeError, np.ones((2, 5), np.int16), _floats(2, 3)),
    "a list": (TypeError, [[1.0] * 5], _floats(1, 3)),
    "a transposed view": (TypeError, _floats(5, 2).T, _floats(2, 3)),
}


@pytest.mark.parametrize("case", BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_a_predictor_refuses_what_forward_refuses(kernels, case):
    error, x, logits = case
    network = Network((5, 3))
    params, layers = network.init(np.random.default_rng(0)), network.layers()
    workspace = np.empty(kernels.workspace_size(layers, 4, 0), np.float32)
    with pytest.raises(error) as of_forward:
        kernels.forward(x, params, layers, 1.0, 0.0, workspace, logits)
    with pytest.raises(error) as of_predictor:
        kernels.Predictor(params, layers, 1.0, 0.0)(x, logits)
    assert str(of_predictor.value) == str(of_forward.value).replace("forward", "Predictor")
    with pytest.raises(ValueError, match="Predictor: layers reach beyond"):
        kernels.Predictor(params[:-1], layers, 1.0, 0.0)
