"""NumPy's many passes, as the line to cross."""

import numpy as np

from ..step import Lesson, Step


def passes(logits: np.ndarray, labels: np.ndarray, dlogits: np.ndarray) -> float:
    """Compute the loss and its gradient, a pass over an array for each operation."""
    rows, maxima = np.arange(len(labels)), logits.max(axis=1, keepdims=True)
    np.subtract(logits, maxima, out=dlogits)
    np.exp(dlogits, out=dlogits)
    sums = dlogits.sum(axis=1, keepdims=True)
    losses = np.log(sums[:, 0]) + (maxima[:, 0] - logits[rows, labels])
    dlogits /= sums
    dlogits[rows, labels] -= 1
    dlogits /= max(1, len(labels))
    return float(losses.mean(dtype=np.float64)) if len(labels) else 0.0


STEPS = [Step(Lesson("many passes", "", "", "", ""), passes, (passes,))]
