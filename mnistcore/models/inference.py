"""Inference on any number of samples, in parts: bounded memory, prompt response to Ctrl-C."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from .metrics import accuracy, confusion_matrix, cross_entropy
from .network import Network

NOT_FINITE = (
    "the outputs of the network are not finite; its training diverged or its weights are damaged"
)
PART = 1000  # samples per part: enough for efficient kernels, few enough for the cache


def logits_of(
    kernels: ModuleType,
    network: Network,
    params: np.ndarray,
    x: np.ndarray,
    scale: float = 1.0,
    shift: float = 0.0,
    check: Callable[[], None] | None = None,
) -> np.ndarray:
    """Return the logits (N, C) of x, (N, I) or (N, ...), uint8 or float; dtype as ``params``.

    Like :meth:`.Network.forward`, but calls ``check``, which may raise, before each part.
    """
    logits = np.empty((len(x), network.layer_sizes[-1]), params.dtype)
    predictor = network.predictor(kernels, params, scale, shift)
    for first in range(0, len(x), PART):
        if check is not None:
            check()
        part = slice(first, first + PART)
        with np.errstate(over="ignore", invalid="ignore"):  # both show up in the loss
            logits[part] = predictor.forward(x[part])
    return logits


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Mean cross-entropy in nats, accuracy in [0, 1], and the confusion matrix (C, C) int64."""

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
    """Evaluate a network on samples x (N, I) with labels (N,); arguments as :func:`logits_of`."""
    logits = logits_of(kernels, network, params, x, scale, shift, check)
    predictions = logits.argmax(axis=1)
    return Evaluation(
        cross_entropy(logits, labels),
        accuracy(labels, predictions),
        confusion_matrix(labels, predictions, logits.shape[1]),
    )
