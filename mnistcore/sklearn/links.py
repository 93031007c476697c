"""How the outputs of a network are read: their mean, the loss of a row, whether it is right.

Each loss is the one whose derivative by the logits is ``mean - target``, summed over the outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Link:
    """Three functions of logits (N, O) and targets.

    Attributes
    ----------
    mean
        Of logits alone: what is predicted, (N, O) in their dtype.
    losses
        The loss of each row, (N,).
    hits
        Whether each row is right, (N,); None where that has no meaning.
    averaged
        The loss that is told is a mean over the outputs, as scikit-learn's squared error is,
        though the derivative is that of their sum.
    """

    mean: Callable[[np.ndarray], np.ndarray]
    losses: Callable[[np.ndarray, np.ndarray], np.ndarray]
    hits: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    averaged: bool = False


def logistic(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written with exp(-|z|), which cannot overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, z.dtype.type(1)) / (1 + e)


def softmax(logits: np.ndarray) -> np.ndarray:
    """exp(logits) / sum, row by row, the row's maximum subtracted."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax, finite also where the softmax underflows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -log_softmax(logits)[np.arange(len(labels)), labels]


def _binary_cross_entropy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.logaddexp(0, z) - y * z).sum(axis=1)


def _half_squared_error(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.5 * np.square(z - y).mean(axis=1)


def _half_poisson_deviance(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    logs = np.log(y, out=np.zeros_like(y), where=y > 0)
    return (y * (logs - z) - y + np.exp(z)).sum(axis=1)


# The targets of the softmax are class ids (N,), those of the others (N, O).
SOFTMAX = Link(softmax, _cross_entropy, lambda z, ids: z.argmax(axis=1) == ids)
LOGISTIC = Link(logistic, _binary_cross_entropy, lambda z, y: ((z > 0) == (y > 0)).all(axis=1))
IDENTITY = Link(lambda z: z, _half_squared_error, averaged=True)
EXP = Link(np.exp, _half_poisson_deviance)
