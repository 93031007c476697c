"""Every backend has the names, signatures, checks and words of the contract."""

import inspect
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from problems import UNCOMPILED

from mnistcore.kernels import EXPORTS, KERNELS, PROGRAMS, layout, numpy_kernels
from mnistcore.kernels.backends import get_backend
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state


def test_a_backend_exports_the_names_of_the_contract(kernels):
    assert sorted(kernels.__all__) == sorted(EXPORTS)
    assert all(hasattr(kernels, name) for name in EXPORTS)


@pytest.mark.parametrize("name", [*KERNELS, *PROGRAMS, "compiled"])
def test_signature(kernels, name):
    reference = inspect.signature(getattr(numpy_kernels, name))
    assert inspect.signature(getattr(kernels, name)) == reference
    assert getattr(kernels, name).__doc__


def test_a_predictor_is_called_alike(kernels):
    reference = inspect.signature(numpy_kernels.Predictor.__call__)
    assert inspect.signature(kernels.Predictor.__call__) == reference


def test_a_backend_says_its_name_and_its_instruction_set(kernels):
    assert get_backend(kernels.NAME) is kernels
    assert isinstance(kernels.INSTRUCTION_SET, str)
    assert bool(kernels.INSTRUCTION_SET) == (kernels is not numpy_kernels)


@pytest.mark.parametrize("name", [None, ["numba"], 1, "cuda"])
def test_what_is_no_name_of_a_backend_is_refused(name):
    with pytest.raises(ValueError, match="unknown backend"):
        get_backend(name)


def test_a_backend_says_whether_it_would_have_to_compile(kernels, tmp_path):
    """True once it has trained, for other processes too; False where its cache is empty."""
    for call in _programs(kernels, NETWORK.layers(), make_options(batch_size=2)).values():
        call()
    assert kernels.compiled() is True
    code = f"from mnistcore import get_backend; print(get_backend({kernels.NAME!r}).compiled())"
    uses_cache = kernels.NAME == "numba" and not UNCOMPILED
    for folder, expected in ((None, True), (str(tmp_path), not uses_cache)):
        environment = dict(os.environ)
        if folder:
            environment["MNISTCORE_CACHE_DIR"] = environment["NUMBA_CACHE_DIR"] = folder
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == str(expected), done.stderr[-2000:]


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


# ---------------------------------------------------------------------------------------------
# Values out of range
# ---------------------------------------------------------------------------------------------

NETWORK = Network((5, 4, 3), "relu")
BAD_TABLES = {
    "kind": ((0, layout.KIND, 5), "layers[0] has kind 5; known: 0"),
    "activation": ((0, layout.ACTIVATION, 9), "layers[0] has activation 9; known: 0, 1, 2, 3"),
    "negative activation": ((0, layout.ACTIVATION, -1), "layers[0] has activation -1"),
    "decay": ((1, layout.DECAY, 2), "layers[1] has decay 2; known: 0, 1"),
    "everything drops": ((0, layout.DROPOUT, 2**32), "layers[0] drops out 4294967296 / 2**32"),
    "negative dropout": ((0, layout.DROPOUT, -1), "no negative number"),
    "no outputs": ((1, layout.FAN_OUT, 0), "positive sizes"),
    "negative offset": ((1, layout.BIAS_OFFSET, -3), "no negative number"),
    "layers that do not fit": ((1, layout.FAN_IN, 5), "the fan_in of a layer must be"),
    "logits of an activation": ((1, layout.ACTIVATION, 3), "must have no activation"),
    "logits that drop": ((1, layout.DROPOUT, 7), "must have no activation"),
    "normalised logits": ((1, layout.KIND, layout.NORMALIZED), "or batch normalisation"),
}
# Those that a table alone does not show, but its parameters.
BAD_OFFSETS = {
    "beyond the end": ((1, layout.BIAS_OFFSET, 37), "layers reach beyond the 39 params"),
    "beyond an int64": ((0, layout.FAN_IN, 2**62), "layers reach beyond the 39 params"),
    "twice the same": ((1, layout.BIAS_OFFSET, 20), "each of the 39 params once"),
    "a gap": ((1, layout.WEIGHT_OFFSET, 25), "each of the 39 params once"),
}
BAD_OPTIONS = {
    "batch_size 0": ({"batch_size": 0}, "batch_size must be in [1, 2147483647], got 0"),
    "batch_size beyond int32": ({"batch_size": 2**31}, "batch_size must be in [1, 2147483647]"),
    "optimizer": ({"optimizer": 3}, "options have optimizer 3; known: 0, 1, 2"),
    "nesterov": ({"nesterov": 2}, "options have nesterov 2; known: 0, 1"),
    "momentum": ({"momentum": 1.0}, "momentum must be in [0, 1), got 1.0"),
    "momentum is no number": ({"momentum": np.nan}, "momentum must be in [0, 1), got nan"),
    "beta1": ({"beta1": -0.1}, "beta1 must be in [0, 1), got -0.1"),
    "beta2": ({"beta2": 1.0}, "beta2 must be in [0, 1), got 1.0"),
    "eps": ({"eps": 0.0}, "eps must be positive, at least 1.2e-38, got 0.0"),
    "weight_decay": ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1.0"),
    "infinite weight_decay": ({"weight_decay": np.inf}, "weight_decay must be at least 0"),
    "probs_clip": ({"probs_clip": 0.5}, "probs_clip must be in [0, 0.5), got 0.5"),
}


def _programs(kernels, layers, options, **changes):
    """Every program by name, ready to be called with this table and these options."""
    params, none = np.zeros(NETWORK.n_params, np.float32), np.zeros(0, np.float32)
    given = {
        "x": _floats(2, 5), "targets": np.zeros(2, np.int32), "sample_weight": none,
        "order": np.arange(2), "learning_rates": np.zeros(1), "layers": layers,
        "options": options, "first_step": 0, "params": params,
        "state": np.zeros((2, params.size), np.float32), "buffers": none,
        "workspace": np.zeros(1 << 16, np.float32), "metrics": np.zeros(3), "scale": 1.0,
        "shift": 0.0, "gradient": params.copy(), "logits": _floats(2, 3), "batch_size": 2,
        "slots": 1,
    } | changes  # fmt: skip

    def call(name):
        function = getattr(kernels, name)
        return lambda: function(
            **{key: given[key] for key in inspect.signature(function).parameters}
        )

    return {name: call(name) for name in PROGRAMS}


def _assert_programs_refuse(kernels, names, words, layers, options, **changes):
    for name in names:
        with pytest.raises(ValueError, match="^" + re.escape(f"{name}: ")) as caught:
            _programs(kernels, layers, options, **changes)[name]()
        assert words in str(caught.value)


@pytest.mark.parametrize("case", BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_a_bad_table_is_refused_by_every_program(kernels, case):
    (row, column, value), words = case
    layers = NETWORK.layers()
    layers[row, column] = value
    _assert_programs_refuse(kernels, PROGRAMS, words, layers, make_options(batch_size=2))


@pytest.mark.parametrize("case", BAD_OFFSETS.values(), ids=BAD_OFFSETS.keys())
def test_layers_take_each_parameter_once(kernels, case):
    (row, column, value), words = case
    layers = NETWORK.layers()
    layers[row, column] = value
    names = [name for name in PROGRAMS if name != "workspace_size"]
    _assert_programs_refuse(kernels, names, words, layers, make_options(batch_size=2))


@pytest.mark.parametrize("case", BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_bad_options_are_refused_by_what_takes_them(kernels, case):
    fields, words = case
    options = make_options(batch_size=2)
    for name, value in fields.items():
        options[name] = value
    names = ("loss_and_gradient", "train_steps")
    _assert_programs_refuse(kernels, names, words, NETWORK.layers(), options)


BAD_STEPS = {
    "a learning rate that is no number": ({"learning_rates": np.array([np.nan])}, "finite"),
    "steps before the first": ({"first_step": -1}, "first_step must be in [0, 2**62), got -1"),
    "steps beyond all": ({"first_step": 2**63}, "first_step must be in [0, 2**62), got 922"),
    "an index too large": ({"order": np.array([0, 2])}, "order must be indices in [0, 2), got 0"),
    "a negative index": ({"order": np.array([1, -1])}, "order must be indices in [0, 2), got -1"),
    "buffers, which nothing uses yet": ({"buffers": _floats(1)}, "buffers must have shape (0)"),
}


@pytest.mark.parametrize("case", BAD_STEPS.values(), ids=BAD_STEPS.keys())
def test_bad_steps_are_refused(kernels, case):
    change, words = case
    options = make_options(batch_size=2)
    _assert_programs_refuse(kernels, ["train_steps"], words, NETWORK.layers(), options, **change)


BAD_LABELS = (-1, 3, 2**31 - 1, -(2**31))


@pytest.mark.parametrize("label", BAD_LABELS)
@pytest.mark.parametrize("program", ["loss_and_gradient", "train_steps"])
def test_a_label_out_of_range_is_refused_before_anything_is_written(kernels, program, label):
    options = make_options(batch_size=2)
    written = {
        "params": np.ones(NETWORK.n_params, np.float32), "metrics": np.ones(3),
        "state": np.ones((2, NETWORK.n_params), np.float32),
        "workspace": np.ones(1 << 16, np.float32),
        "gradient": np.ones(NETWORK.n_params, np.float32),
    }  # fmt: skip
    # In the last and partial batch, which is reached after two updates.
    data = {
        "x": _floats(5, 5), "targets": np.array([0, 1, 2, 0, label], np.int32),
        "order": np.arange(5), "learning_rates": np.ones(3),
    }  # fmt: skip
    with pytest.raises(ValueError, match=f"^{program}: targets must be class ids in ") as caught:
        _programs(kernels, NETWORK.layers(), options, **written, **data)[program]()
    assert str(label) in str(caught.value)
    assert all((array == 1).all() for array in written.values())


def test_labels_that_a_call_does_not_read_are_not_looked_at(kernels):
    """So that a call costs what its own samples cost, however many there are."""
    data = {"x": _floats(4, 5), "targets": np.array([9, 1, -1, 2], np.int32)}
    data["order"] = np.array([3, 1])
    options = make_options(batch_size=2)
    assert _programs(kernels, NETWORK.layers(), options, **data)["train_steps"]() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((2**31, 1), "batch_size must be in"),
        ((0, 1), "batch_size must be in"),
        ((4, 4), "slots must be in [0, 3], got 4"),
        ((4, -1), "slots must be in [0, 3], got -1"),
    ],
)
def test_workspace_size_refuses_what_has_none(kernels, change, words):
    with pytest.raises(ValueError, match=r"^workspace_size: ") as caught:
        kernels.workspace_size(NETWORK.layers(), *change)
    assert words in str(caught.value)
    wide = NETWORK.layers()
    wide[0, layout.FAN_IN] = 2**60
    with pytest.raises(ValueError, match="more than any memory holds"):
        kernels.workspace_size(wide, 4, 1)


@pytest.mark.parametrize(
    ("name", "constants", "words"),
    [
        ("sgd_update", (0.1, 1.5, False, 0.0), "momentum must be in [0, 1), got 1.5"),
        ("sgd_update", (0.1, 0.5, False, -1.0), "weight_decay must be at least 0, got -1.0"),
        ("adam_update", (0.1, 1.0, 0.9, 1e-8, 0.0, False, 1), "beta1 must be in [0, 1), got 1.0"),
        ("adam_update", (0.1, 0.9, 1.0, 1e-8, 0.0, False, 1), "beta2 must be in [0, 1), got 1.0"),
        (
            "adam_update",
            (0.1, 0.9, 0.9, 0.0, 0.0, False, 1),
            "eps must be positive, at least 1.2e-38, got 0.0",
        ),
        ("adam_update", (0.1, 0.9, 0.9, 1e-8, 0.0, False, 0), "step counts from 1, "),
        ("adam_update", (0.1, 0.9, 0.9, 1e-8, 0.0, False, 2**63), "step counts from 1, "),
    ],
)
def test_constants_out_of_range_are_refused(kernels, name, constants, words):
    state = (_floats(3), _floats(3), _floats(3))[: 2 if name == "sgd_update" else 3]
    with pytest.raises(ValueError, match=f"^{name}: {re.escape(words)}"):
        getattr(kernels, name)(_floats(3), *constants, *state)


@pytest.mark.parametrize("decayed", [(), (0,), (1,), (0, 2)], ids=str)
@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam", "adamw"])
def test_weight_decay_acts_on_the_weights_of_flagged_layers_alone(kernels, rule, decayed):
    """All samples weigh nothing, so the gradient is 0 and nothing but the decay moves a weight."""
    network = Network((20, 33, 17, 10))
    momentum = 0.9 if rule == "momentum" else 0.0
    optimizer = "sgd" if rule == "momentum" else rule
    options = make_options(optimizer, batch_size=8, momentum=momentum, weight_decay=0.1)
    layers, params = network.layers(), np.ones(network.n_params, np.float32)
    layers[:, layout.DECAY] = 0
    layers[list(decayed), layout.DECAY] = 1
    x = np.random.default_rng(0).random((16, 20)).astype(np.float32)
    state = make_state(options, params)
    steps = kernels.train_steps(
        x, np.zeros(16, np.int32), np.zeros(16, np.float32), np.arange(16), np.full(2, 0.05),
        layers, options, 0, params, state, _floats(0),
        np.zeros(kernels.workspace_size(layers, 8, len(state)), np.float32), np.zeros(3),
    )  # fmt: skip
    assert steps == 2
    for index, (weights, bias) in enumerate(network.views(params)):
        assert (bias == 1).all()
        assert ((weights < 1) if index in decayed else (weights == 1)).all()


# ---------------------------------------------------------------------------------------------
# Nothing to do
# ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_logits_whose_difference_is_infinite_are_sure(kernels):
    logits = np.array([[3e38, -3e38, 3e38]], np.float32)
    probs = np.empty_like(logits)
    kernels.softmax(logits, probs)
    np.testing.assert_array_equal(probs, [[0.5, 0, 0.5]])
    equal_weights = np.empty(0, np.float32)
    loss = kernels.softmax_cross_entropy(logits, np.zeros(1, np.int32), equal_weights, probs)
    assert loss == pytest.approx(np.log(2))
    np.testing.assert_array_equal(probs, [[-0.5, 0, 0.5]])


@pytest.mark.parametrize("rows", [0, 3])
def test_a_softmax_of_no_classes_is_refused(kernels, rows):
    logits, labels, none = _floats(rows, 0), np.zeros(0, np.int32), _floats(0)
    with pytest.raises(ValueError, match=rf"^softmax: .*class, got shape \({rows}, 0\)"):
        kernels.softmax(logits, _floats(rows, 0))
    with pytest.raises(ValueError, match=r"^softmax_cross_entropy: .* at least one class"):
        kernels.softmax_cross_entropy(logits, labels, none, _floats(rows, 0))


def test_of_no_rows_nothing_is_left_but_zeros(kernels):
    no_rows, none, labels = _floats(0, 5), _floats(0), np.zeros(0, np.int32)
    kernels.softmax(no_rows, _floats(0, 5))
    assert kernels.softmax_cross_entropy(no_rows, labels, none, _floats(0, 5)) == 0.0
    sums, layers, options = _floats(5), NETWORK.layers(), make_options(batch_size=2)
    kernels.sum_rows(no_rows, sums)
    assert (sums == 0).all()
    params, workspace = np.ones(NETWORK.n_params, np.float32), np.zeros(1 << 16, np.float32)
    gradient, metrics = np.full_like(params, np.nan), np.zeros(3)
    for weights in (none, _floats(0)):
        loss = kernels.loss_and_gradient(
            no_rows, labels, weights, params, layers, options, workspace, gradient
        )
        assert loss == 0.0
        assert (gradient == 0).all()
    steps = kernels.train_steps(
        no_rows, labels, none, np.zeros(0, np.int64), np.zeros(0), layers, options, 0, params,
        np.zeros((2, params.size), np.float32), none, workspace, metrics,
    )  # fmt: skip
    assert steps == 0
    assert (params == 1).all()
    assert not metrics.any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
@pytest.mark.parametrize("name", ["tanh", "relu", "logistic"])
def test_empty_matrices(kernels, name, shape):
    empty = [np.zeros(shape, np.float32) for _ in range(3)]
    getattr(kernels, f"{name}_forward")(*empty[:2])
    getattr(kernels, f"{name}_backward")(*empty)
    kernels.add_bias(empty[0], np.zeros(shape[1], np.float32), empty[1])
    kernels.sum_rows(empty[0], np.zeros(shape[1], np.float32))
    kernels.dropout(empty[0], np.arange(shape[0]), 0.5, 1, 2, 3, empty[1])
    nothing = [np.zeros(0, np.float32) for _ in range(4)]
    kernels.sgd_update(nothing[0], 0.1, 0.9, False, 0.0, *nothing[1:3])
    kernels.adam_update(nothing[0], 0.1, 0.9, 0.9, 1e-8, 0.0, False, 1, *nothing[1:])


def test_a_step_that_is_no_whole_number_is_refused(kernels):
    arrays = [_floats(3) for _ in range(4)]
    for step in (1.5, math.nan):
        with pytest.raises(TypeError, match="integer"):
            kernels.adam_update(arrays[0], 0.1, 0.9, 0.9, 1e-8, 0.0, False, step, *arrays[1:])


@pytest.mark.parametrize("number", [-1, 2**63, 2**70 + 5, np.int32(-1), np.uint8(200)])
def test_seeds_of_any_size_count_by_their_low_bits(kernels, number):
    a, outs = _floats(3, 40), [_floats(3, 40), _floats(3, 40)]
    for seed, out in zip((number, int(number) % 2**32), outs, strict=True):
        kernels.dropout(a, np.arange(3), 0.5, seed, seed, seed, out)
    np.testing.assert_array_equal(*outs)
