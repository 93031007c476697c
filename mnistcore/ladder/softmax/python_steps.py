"""Softmax-cross-entropy and its gradient in plain Python."""

import math

import numpy as np

from ..step import Step
from .arguments import checked
from .problem import LESSONS


def _mean_loss(rows: list[list[float]], labels: list[int]) -> float:
    loss = 0.0
    for row, label in zip(rows, labels, strict=True):
        largest = max(row)
        total = 0.0
        for logit in row:
            total += math.exp(logit - largest)
        loss += math.log(total) + largest - row[label]
    return loss / max(1, len(rows))


@checked
def python_loops(logits: np.ndarray, labels: np.ndarray, dlogits: np.ndarray) -> float:
    """Compute the loss, then its gradient, on lists of lists."""
    rows = logits.tolist()
    for r, (row, label) in enumerate(zip(rows, labels.tolist(), strict=True)):
        largest = max(row)
        total = 0.0
        for logit in row:
            total += math.exp(logit - largest)
        for c, logit in enumerate(row):
            prob = math.exp(logit - largest) / total
            dlogits[r, c] = (prob - (c == label)) / len(rows)
    return _mean_loss(rows, labels.tolist())


STEPS = [Step(LESSONS["python loops"], python_loops, (python_loops, _mean_loss))]
