"""The arguments of ``train_steps``, and how a function of one mini-batch comes to take them."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ...kernels import checks
from ...kernels.layout import BIAS_OFFSET, FAN_IN, FAN_OUT, HIT_SUM, LOSS_SUM, WEIGHT_SUM
from ...kernels.layout import WEIGHT_OFFSET as WEIGHTS
from ...kernels.threads import limited_threads

Layer = tuple[np.ndarray, np.ndarray]  # weights (fan_in, fan_out) and bias (fan_out,)
BatchStep = Callable[[np.ndarray, np.ndarray, list[Layer], float], tuple[float, int]]
TrainSteps = Callable[..., int]


class Arguments(NamedTuple):
    """What ``train_steps`` takes: see the contract of the kernels."""

    x: np.ndarray
    targets: np.ndarray
    sample_weight: np.ndarray
    order: np.ndarray
    learning_rates: np.ndarray
    layers: np.ndarray
    options: np.ndarray
    first_step: int
    params: np.ndarray
    state: np.ndarray
    buffers: np.ndarray
    workspace: np.ndarray
    metrics: np.ndarray


def batches(given: Arguments) -> Iterator[Arguments]:
    """Return the arguments for each mini-batch in turn."""
    size = int(given.options["batch_size"][0])
    for step in range(len(given.learning_rates)):
        yield given._replace(
            order=given.order[step * size :][:size],
            learning_rates=given.learning_rates[step:][:1],
            first_step=given.first_step + step,
        )


def each_batch(step: BatchStep) -> TrainSteps:
    """Return a function with the arguments of ``train_steps`` that calls ``step`` for each batch.

    ``step(a, labels, layers, rate)`` gets the inputs of a batch as float32 and the weights and
    bias of each layer, which it changes; it returns the mean loss and how many were right. It
    trains by plain gradient descent, with ReLU, and without any other option.
    """

    @functools.wraps(step)
    def train_steps(*arguments: Any) -> int:
        given = Arguments(*arguments)
        checks.check_train_steps(*given, (checks.FLOAT32,))
        scale, shift = (np.float32(given.options[name][0]) for name in ("scale", "shift"))
        layers = [_views(given.params, row) for row in given.layers]
        for batch in batches(given):
            rows, rate = batch.order, float(batch.learning_rates[0])
            a = given.x[rows] * scale + shift
            loss, hits = step(a, given.targets[rows], layers, rate)
            given.metrics[[LOSS_SUM, HIT_SUM, WEIGHT_SUM]] += loss * len(rows), hits, len(rows)
        return len(given.learning_rates)

    return train_steps


def _views(params: np.ndarray, row: np.ndarray) -> Layer:
    """Return the weights and the bias of a layer, given its row of the layer table."""
    weights = params[row[WEIGHTS] : row[BIAS_OFFSET]].reshape(row[FAN_IN], row[FAN_OUT])
    return weights, params[row[BIAS_OFFSET] :][: row[FAN_OUT]]


def on_one_core(train_steps: TrainSteps) -> TrainSteps:
    """Return the same function, whose kernels use one thread."""

    @functools.wraps(train_steps)
    def alone(*arguments: Any) -> int:
        with limited_threads(1):
            return train_steps(*arguments)

    return alone
