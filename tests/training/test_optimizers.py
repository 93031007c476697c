"""The record of options: what each number is by default and may be, and the state beside it."""

import numpy as np
import pytest

from mnistcore.kernels.layout import OPTIMIZERS
from mnistcore.training.optimizers import LEARNING_RATES, make_options, make_state

DEFAULTS = {
    "optimizer": OPTIMIZERS["adam"],
    "batch_size": 64,
    "momentum": 0.0,
    "nesterov": 0,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "scale": 1.0,
    "shift": 0.0,
    "seed": 0,
    "epoch": 0,
    "probs_clip": 0.0,
    "label_smoothing": 0.0,
    "norm_momentum": 0.1,
    "norm_eps": 1e-5,
    "max_norm": 0.0,
    "ema_decay": 0.0,
    "clip_norm": 0.0,
    "skip_zeros": 1,
}
GIVEN = {
    "batch_size": 7,
    "momentum": 0.8,
    "nesterov": True,
    "beta1": 0.7,
    "beta2": 0.6,
    "eps": 1e-3,
    "weight_decay": 0.3,
    "scale": 0.25,
    "shift": -0.5,
    "seed": 3,
    "epoch": 4,
    "probs_clip": 0.125,
    "label_smoothing": 0.375,
    "norm_momentum": 0.75,
    "norm_eps": 1e-2,
    "max_norm": 1.5,
    "ema_decay": 0.875,
    "clip_norm": 2.5,
    "skip_zeros": False,
}


def fields(options):
    (record,) = options
    return {name: record[name].item() for name in options.dtype.names}


def test_defaults_are_those_of_adam():
    assert fields(make_options()) == DEFAULTS


def test_each_option_goes_to_its_own_field():
    given = GIVEN | {"label_smoothing": 0.0}  # which excludes probs_clip
    expected = given | {"optimizer": OPTIMIZERS["sgd"], "nesterov": 1, "skip_zeros": 0}
    assert fields(make_options("sgd", **given)) == expected
    given = GIVEN | {"probs_clip": 0.0}
    assert fields(make_options("sgd", **given)) == expected | given


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_momentum_is_for_gradient_descent(optimizer):
    record = fields(make_options(optimizer, momentum=0.9, nesterov=True))
    assert record == DEFAULTS | {"optimizer": OPTIMIZERS[optimizer]}


def test_learning_rates_are_those_of_the_frameworks():
    assert LEARNING_RATES == {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; choose from sgd, adam, adamw"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, "momentum must be"),
        ({"beta1": 1.0}, r"beta1 must be in \[0, 1\)"),
        ({"beta2": float("nan")}, r"beta2 must be in \[0, 1\)"),
        ({"eps": 0.0}, "eps must be positive, at least 1.2e-38, got 0.0"),
        ({"weight_decay": -1e-9}, "weight_decay must be at least 0"),
        ({"probs_clip": 0.5}, r"probs_clip must be in \[0, 0.5\), got 0.5"),
        ({"probs_clip": -0.1}, "probs_clip must be"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
        ({"label_smoothing": 0.1, "probs_clip": 0.1}, "exclude each other"),
        ({"norm_momentum": 0.0}, r"norm_momentum must be in \(0, 1\], got 0.0"),
        ({"norm_momentum": 1.5}, "norm_momentum must be"),
        ({"norm_eps": 0.0}, "norm_eps must be positive"),
        ({"max_norm": -1.0}, "max_norm must be at least 0, got -1.0"),
        ({"max_norm": float("inf")}, "max_norm must be at least 0"),
        ({"clip_norm": -1.0}, "clip_norm must be at least 0, got -1.0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\), got 1.0"),
        ({"nesterov": True}, "nesterov needs a momentum above 0"),
        ({"batch_size": 0}, "batch_size must be in"),
    ],
)
def test_a_number_outside_its_range_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        make_options(**option)


def test_a_number_at_the_end_of_its_range_is_taken():
    ends = {"momentum": 0.0, "beta1": 0.0, "beta2": 0.0, "weight_decay": 0.0, "batch_size": 1}
    ends |= {"probs_clip": 0.4999, "eps": 2.0**-126, "norm_momentum": 1.0}
    assert fields(make_options(**ends)) == DEFAULTS | ends


@pytest.mark.parametrize(
    ("optimizer", "momentum", "slots"),
    [("sgd", 0.0, 0), ("sgd", 0.9, 1), ("adam", 0.9, 2), ("adamw", 0.0, 2)],
)
def test_the_state_is_zeros_of_the_rows_that_the_rule_keeps(optimizer, momentum, slots):
    params = np.ones(5, np.float64)
    state = make_state(make_options(optimizer, momentum=momentum), params)
    assert state.shape == (slots, 5)
    assert state.dtype == params.dtype
    assert not state.any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_state_ends_with_an_average_that_is_the_parameters_at_first(optimizer):
    params = np.arange(5.0)
    *rows, average = make_state(make_options(optimizer, ema_decay=0.9), params)
    assert len(rows) == (2 if optimizer == "adam" else 0)
    assert not np.any(rows)
    np.testing.assert_array_equal(average, params)
