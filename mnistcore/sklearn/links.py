"""How the outputs of a network are read: their mean, the loss of a row, whether it is right.

The derivative of each loss by the logits is ``mean - target``. As in scikit-learn, the squared
error of several outputs is told as their mean, though the derivative is that of their sum.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Link:
    """Functions of logits (N, O), float64, and targets.

    Attributes
    ----------
    mean
        Of logits alone: what is predicted, (N, O).
    losses
        The loss of each row, (N,); the third argument is the eps of scikit-learn's ``log_loss``,
        which clips probabilities to [eps, 1 - eps].
    hits
        Whether each row is right, (N,); None where that has no meaning.
    """

    mean: Callable[[np.ndarray], np.ndarray]
    losses: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    hits: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None

    def residuals(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The derivative (N, O) of each row's loss, summed over the outputs, by its logits."""
        means = self.mean(logits)
        if targets.ndim > 1:
            return means - targets
        means[np.arange(len(targets)), targets] -= 1.0
        return means


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


def _clipped(losses: np.ndarray, eps: float) -> np.ndarray:
    """-log p where p is clipped to [eps, 1 - eps]."""
    return np.clip(losses, -math.log1p(-eps), -math.log(eps))


def _cross_entropy(logits: np.ndarray, labels: np.ndarray, eps: float) -> np.ndarray:
    return _clipped(-log_softmax(logits)[np.arange(len(labels)), labels], eps)


def _binary_cross_entropy(z: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    return _clipped(np.logaddexp(0, np.where(y > 0, -z, z)), eps).sum(axis=1)


def _half_squared_error(z: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    return 0.5 * np.square(z - y).mean(axis=1)


def _half_poisson_deviance(z: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    logs = np.log(y, out=np.zeros_like(y), where=y > 0)
    return (y * (logs - z) - y + np.exp(z)).sum(axis=1)


# The targets of the softmax are class ids (N,), those of the others (N, O).
SOFTMAX = Link(softmax, _cross_entropy, lambda z, ids: z.argmax(axis=1) == ids)
LOGISTIC = Link(logistic, _binary_cross_entropy, lambda z, y: ((z > 0) == (y > 0)).all(axis=1))
IDENTITY = Link(lambda z: z, _half_squared_error)
EXP = Link(np.exp, _half_poisson_deviance)
