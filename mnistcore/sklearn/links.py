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


def residuals(means: np.ndarray, targets: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Return the derivative (N, O) of each row's loss, summed over outputs, by its logits.

    ``smoothing`` is the share of class ids that is spread evenly over all classes, and of a label
    over yes and no.
    """
    if targets.ndim > 1:
        return means - (_smoothed(targets, smoothing) if smoothing else targets)
    differences = means - smoothing / means.shape[1]
    differences[np.arange(len(targets)), targets] -= 1.0 - smoothing
    return differences


def logistic(z: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)), computed with exp(-|z|), which cannot overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, z.dtype.type(1)) / (1 + e)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row of logits (N, C), with the row maximum subtracted first."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _smoothed(labels: np.ndarray, smoothing: float) -> np.ndarray:
    return (1 - smoothing) * labels + 0.5 * smoothing


def smoothed_losses(logits: np.ndarray, labels: np.ndarray, smoothing: float) -> np.ndarray:
    """Return the loss (N,) of logits (N, C) for labels of which a share is spread evenly.

    Not clipped, unlike the losses of a :class:`Link`. Labels are class ids (N,) or (N, C).
    """
    if labels.ndim > 1:
        expected = _smoothed(labels, smoothing) * logits
        return (np.logaddexp(0, logits) - expected).sum(axis=1)
    z = logits - logits.max(axis=1, keepdims=True)
    expected = (1 - smoothing) * z[np.arange(len(z)), labels] + smoothing * z.mean(axis=1)
    losses: np.ndarray = np.log(np.exp(z).sum(axis=1)) - expected
    return losses


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
