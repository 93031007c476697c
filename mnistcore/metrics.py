"""How good a classifier is: plain functions of labels, predictions and logits.

Rows of a confusion matrix are true classes, columns predicted ones, as in scikit-learn.
"""

import numpy as np


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """The share of predictions (N,) that are the labels (N,); NaN where N is 0."""
    labels, predictions = _pair(labels, predictions)
    return float(np.mean(labels == predictions)) if labels.size else float("nan")


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> np.ndarray:
    """The int64 counts (C, C) of every pair of true class (row) and predicted class (column).

    Parameters
    ----------
    labels, predictions
        Class ids (N,) in [0, n_classes).

    Raises
    ------
    ValueError
        If the shapes differ or an id is out of range.
    """
    labels, predictions = _pair(labels, predictions)
    for name, ids in (("labels", labels), ("predictions", predictions)):
        if ids.size and not 0 <= ids.min() <= ids.max() < n_classes:
            raise ValueError(
                f"{name} must be class ids in [0, {n_classes}), got {ids.min()} to {ids.max()}"
            )
    cells = labels.astype(np.int64) * n_classes + predictions
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """The share (C,) of each true class that was predicted right; NaN for a class without samples.

    Also called recall.
    """
    totals = confusion.sum(axis=1)
    shares = np.full(len(confusion), np.nan)
    np.divide(confusion.diagonal(), totals, out=shares, where=totals > 0)
    return shares


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log softmax(logits)[label] over the rows, in nats; NaN where there are none.

    Computed in float64 by log-sum-exp with the row's maximum subtracted; logits that are not
    finite make a loss that is not finite.

    Parameters
    ----------
    logits
        (N, C), any float.
    labels
        Class ids (N,) in [0, C).
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits (N, C) and labels (N,) do not fit: {logits.shape} and {labels.shape}"
        )
    if not len(logits):
        return float("nan")
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        log_sums = np.log(np.exp(shifted).sum(axis=1))
        return float(np.mean(log_sums - shifted[np.arange(len(labels)), labels]))


def _pair(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            "labels and predictions must be two arrays (N,),"
            f" got shapes {labels.shape} and {predictions.shape}"
        )
    return labels, predictions
