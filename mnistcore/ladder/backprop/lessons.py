"""The steps in their order, each with an example on which its derivatives can be measured."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import steps
from .differences import Gradient, compare

Example = tuple[Callable[..., Any], tuple[Any, ...]]  # a function for compare, and its arguments


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    name
        A few words, for tables.
    functions
        Its functions in the order of reading; the first one's docstring explains the step.
    example
        ``example(rng)`` returns a function for :func:`compare`, made of those, and arguments.
    """

    name: str
    functions: tuple[Callable[..., Any], ...]
    example: Callable[[np.random.Generator], Example]


def _neuron(rng: np.random.Generator) -> Example:
    return steps.neuron, (1.5, 0.8, -0.3, 2.0)


def _layer(rng: np.random.Generator) -> Example:
    da = rng.normal(size=4)

    def layer(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
        # A loss whose derivatives by a are da: the sum over j of da[j] a[j].
        a, *gradients = steps.layer_loops(x, w, b, da)
        return (da @ a, *gradients)

    return layer, (rng.normal(size=3), rng.normal(size=(3, 4)), rng.normal(size=4))


def _matrices(rng: np.random.Generator) -> Example:
    da = rng.normal(size=(5, 4))

    def layer(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[Any, ...]:
        a = steps.relu(steps.linear(x, w, b))
        return (np.sum(da * a), *steps.linear_backward(x, w, steps.relu_backward(a, da)))

    return layer, (rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4))


def _network(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a batch for a network of three layers, and w and b of each in turn."""
    params = [array for layer in steps.init((4, 6, 5, 3), rng, np.float64) for array in layer]
    return rng.normal(size=(5, 4)), [array + 0.1 * rng.normal(size=array.shape) for array in params]


def _pairs(arrays: tuple[np.ndarray, ...]) -> steps.Params:
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def _many_layers(rng: np.random.Generator) -> Example:
    x, arrays = _network(rng)
    dz = rng.normal(size=(5, 3))

    def network(*params: np.ndarray) -> tuple[Any, ...]:
        activations = steps.network_forward(x, _pairs(params))
        gradients = steps.network_backward(activations, _pairs(params), dz)
        return (np.sum(dz * activations[-1]), *(array for layer in gradients for array in layer))

    return network, tuple(arrays)


def _loss(rng: np.random.Generator) -> Example:
    labels = rng.integers(0, 4, 6)
    return steps.softmax_cross_entropy, (3 * rng.normal(size=(6, 4)), labels)


def _trainer(rng: np.random.Generator) -> Example:
    x, arrays = _network(rng)
    labels = rng.integers(0, 3, 5)

    def network(*params: np.ndarray) -> tuple[Any, ...]:
        loss, gradients = steps.loss_and_gradients(_pairs(params), x, labels)
        return (loss, *(array for layer in gradients for array in layer))

    return network, tuple(arrays)


STEPS = (
    Step("one neuron", (steps.neuron,), _neuron),
    Step("one layer", (steps.layer_loops,), _layer),
    Step(
        "matrices",
        (steps.linear, steps.linear_backward, steps.relu, steps.relu_backward),
        _matrices,
    ),
    Step("many layers", (steps.network_forward, steps.network_backward), _many_layers),
    Step("the loss", (steps.softmax_cross_entropy,), _loss),
    Step(
        "the trainer",
        (steps.train_epoch, steps.loss_and_gradients, steps.init, steps.predict),
        _trainer,
    ),
)


def measure(step: Step, seed: int = 0) -> list[Gradient]:
    """Return the derivatives of a step's example beside central differences."""
    function, arguments = step.example(np.random.default_rng(seed))
    return compare(function, *arguments)
