"""A network over any number of samples, part by part: memory stays bounded, Ctrl-C is heard."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..data.preprocess import flatten, scale_images
from .metrics import accuracy, confusion_matrix, cross_entropy
from .network import Network

PART = 1000  # samples at a time: large enough for the kernels, small enough for the cache


def logits_of(
    kernels: ModuleType,
    network: Network,
    params: np.ndarray,
    x: np.ndarray,
    scale: float = 1.0,
    shift: float = 0.0,
    check: Callable[[], None] | None = None,
) -> np.ndarray:
    """The logits (N, C) of x: (N, I), or (N, ...) flattened; uint8 or float.

    As :meth:`.Network.forward`, with ``check`` called before each part; it may raise.
    """
    logits = np.empty((len(x), network.layer_sizes[-1]), params.dtype)
    predictor = network.predictor(kernels, params, scale, shift)
    for first in range(0, len(x), PART):
        if check is not None:
            check()
        part = slice(first, first + PART)
        with np.errstate(over="ignore", invalid="ignore"):  # the loss tells of both
            logits[part] = predictor.forward(x[part])
    return logits


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Mean cross-entropy, share of right answers, and the confusion matrix (C, C), int64."""

    loss: float
    accuracy: float
    confusion: np.ndarray


def evaluate(
    kernels: ModuleType,
    network: Network,
    params: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    scale: float = 1.0,
    shift: float = 0.0,
    check: Callable[[], None] | None = None,
) -> Evaluation:
    """How a network does on samples x (N, I) with labels (N,); arguments as :func:`logits_of`."""
    logits = logits_of(kernels, network, params, x, scale, shift, check)
    predictions = logits.argmax(axis=1)
    return Evaluation(
        cross_entropy(logits, labels),
        accuracy(labels, predictions),
        confusion_matrix(labels, predictions, logits.shape[1]),
    )


def activations_of(
    kernels: ModuleType,
    network: Network,
    params: np.ndarray,
    x: np.ndarray,
    scale: float = 1.0,
    shift: float = 0.0,
) -> list[np.ndarray]:
    """The outputs (N, units) of each hidden layer, in turn; none where there is no hidden layer.

    Made of the backend's own kernels, one by one, without dropout. Arguments as
    :func:`logits_of`.
    """
    a = scale_images(flatten(np.ascontiguousarray(x)), scale, shift).astype(params.dtype)
    outputs = []
    for weights, bias in network.views(params)[:-1]:
        z = np.empty((len(a), weights.shape[1]), params.dtype)
        kernels.matmul(a, np.ascontiguousarray(weights), z)
        kernels.add_bias(z, bias, z)
        a = z
        if network.activation != "identity":
            a = np.empty_like(z)
            getattr(kernels, f"{network.activation}_forward")(z, a)
        outputs.append(a)
    return outputs
