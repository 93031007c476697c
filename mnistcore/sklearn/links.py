"""Link functions: predicted means, losses and hits from the outputs of a network.

The derivative of each loss by the logits is ``mean - target``. As in scikit-learn, the squared
error of several outputs is reported as their mean, but its derivative is that of their sum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy


@dataclass(frozen=True)
class Link:
    """Functions from logits to predictions and losses, in float64.

    Attributes
    ----------
    name
        The name of ``mean``: "softmax", "logistic", "identity" or "exp".
    mean
        Maps logits (N, O) to the predicted means (N, O).
    losses
        Maps means, targets and eps to the loss (N,) of each row. Probabilities are clipped to
        [eps, 1 - eps], as in scikit-learn's ``log_loss``.
    hits
        Maps means and targets to whether each row is correct, (N,) bool; None for regression.
    """

    name: str
    mean: Callable[[np.ndarray], np.ndarray]
    losses: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
    hits: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def residuals(means: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the derivative (N, O) of each row's loss, summed over outputs, by its logits."""
    if targets.ndim > 1:
        return means - targets
    differences = means.copy()
    differences[np.arange(len(targets)), targets] -= 1.0
    return differences


def logistic(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)), computed with exp(-|z|), which cannot overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, z.dtype.type(1)) / (1 + e)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row of logits (N, C), with the row maximum subtracted first."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _cross_entropy(probs: np.ndarray, labels: np.ndarray, eps: float) -> np.ndarray:
    return -np.log(np.clip(probs[np.arange(len(labels)), labels], eps, 1 - eps))


def _binary_cross_entropy(probs: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    probs = np.clip(probs, eps, 1 - eps)
    return -np.log(np.where(y > 0, probs, 1 - probs)).sum(axis=1)


def _half_squared_error(means: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    return 0.5 * np.square(means - y).mean(axis=1)


def _half_poisson_deviance(means: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    return (xlogy(y, y) - xlogy(y, means) - y + means).sum(axis=1)


# Targets are class ids (N,) for SOFTMAX, and (N, O) for the others.
SOFTMAX = Link("softmax", softmax, _cross_entropy, lambda probs, ids: probs.argmax(axis=1) == ids)
LOGISTIC = Link(
    "logistic",
    logistic,
    _binary_cross_entropy,
    lambda probs, y: ((probs > 0.5) == (y > 0)).all(axis=1),
)
IDENTITY = Link("identity", lambda z: z, _half_squared_error)
EXP = Link("exp", np.exp, _half_poisson_deviance)
