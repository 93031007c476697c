"""Classification metrics, as plain functions of labels, predictions and logits.

Rows of a confusion matrix are true classes and columns predicted classes, as in scikit-learn.
A ratio with denominator 0 is NaN.
"""

import math
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959963984540054  # 95 % of a standard normal distribution lies within +-Z_95


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Return the share of predictions (N,) that equal the labels (N,); NaN if N is 0.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    labels, predictions = _pair(labels, predictions)
    return float(np.mean(labels == predictions)) if labels.size else float("nan")


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, n_classes: int) -> np.ndarray:
    """Count each pair of true class (row) and predicted class (column): (C, C) int64.

    Parameters
    ----------
    labels, predictions
        Class ids (N,) in [0, n_classes).
    n_classes
        The number of classes C.

    Raises
    ------
    ValueError
        If the shapes differ or an id is out of range.
    """
    labels, predictions = _pair(labels, predictions)
    for name, ids in (("labels", labels), ("predictions", predictions)):
        _check_ids(name, ids, n_classes)
    cells = labels.astype(np.int64) * n_classes + predictions
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def per_class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Return the recall (C,) float64 of each class of a confusion matrix (C, C).

    NaN for classes without samples.
    """
    return _ratio(confusion.diagonal(), confusion.sum(axis=1))


def class_scores(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 of each class of a confusion matrix (C, C), each (C,).

    Precision is TP / (TP + FP), recall TP / (TP + FN), and F1, their harmonic mean, is
    2 TP / (2 TP + FP + FN). NaN where the denominator is 0.
    """
    hits = confusion.diagonal()
    taken_for, found_in = confusion.sum(axis=0), confusion.sum(axis=1)
    return _ratio(hits, taken_for), _ratio(hits, found_in), _ratio(2 * hits, taken_for + found_in)


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return the share of rows of scores (N, C) whose label (N,) has one of the k top scores.

    Ties go to the lower class id, as in ``argmax``. NaN if N is 0.

    Raises
    ------
    ValueError
        If the shapes do not match, a label is out of range, a score is NaN or k is not positive.
    """
    _check_labels("scores", scores, labels)
    if np.isnan(scores).any():
        raise ValueError("scores must be numbers, not NaN")
    if k < 1:
        raise ValueError(f"k must be positive, got {k}")
    if not len(labels):
        return math.nan
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    ahead = (scores > own).sum(axis=1) + ((scores == own) & earlier).sum(axis=1)
    return float(np.mean(ahead < k))


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) of a proportion, 95 % by default.

    Unlike p +- z sqrt(p (1 - p) / n), it stays within [0, 1] and remains accurate near 1, where
    accuracies are (Wilson 1927, "Probable inference, the law of succession, and statistical
    inference"; recommended by Brown, Cai and DasGupta 2001, section 4). (0, 1) without trials.

    Raises
    ------
    ValueError
        If ``successes`` is not in [0, trials].
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be in [0, {trials}], got {successes}")
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    reach = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    # The bounds at the ends are known exactly; the formula would round them slightly off.
    low = 0.0 if successes == 0 else middle - reach
    high = 1.0 if successes == trials else middle + reach
    return low, high


@dataclass(frozen=True, eq=False)
class Calibration:
    """Accuracy and confidence of predictions, binned by confidence (the largest probability).

    Attributes
    ----------
    edges
        (M + 1,) float64, edges of equal bins over [0, 1]. A bin includes its upper edge, and the
        first bin also 0.
    counts
        (M,) int64, the number of predictions in each bin.
    confidence, accuracy
        (M,) float64, the mean confidence and the accuracy of each bin; NaN for empty bins.
    expected_error
        The expected calibration error (ECE), the mean of ``|accuracy - confidence|`` over bins
        weighted by their counts (Guo et al. 2017, "On calibration of modern neural networks",
        equation 3).
    largest_error
        The maximum calibration error (MCE), the largest ``|accuracy - confidence|`` of a bin
        (equation 5).
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    expected_error: float
    largest_error: float


def calibration(confidences: np.ndarray, hits: np.ndarray, n_bins: int = 15) -> Calibration:
    """Compare the confidence of predictions with how often they are right.

    Parameters
    ----------
    confidences
        (N,) in [0, 1]: the probability of each predicted class.
    hits
        (N,) bool: whether the prediction is correct.
    n_bins
        The number of bins; Guo et al. use 15.

    Raises
    ------
    ValueError
        If the shapes differ, a confidence is not in [0, 1] or ``n_bins`` is not positive.
    """
    confidences, hits = np.asarray(confidences, np.float64), np.asarray(hits, bool)
    if confidences.ndim != 1 or confidences.shape != hits.shape:
        raise ValueError(
            f"confidences and hits must be two arrays (N,), got {confidences.shape}, {hits.shape}"
        )
    if n_bins < 1:
        raise ValueError(f"n_bins must be positive, got {n_bins}")
    if not ((confidences >= 0) & (confidences <= 1)).all():
        raise ValueError("confidences must be probabilities, in [0, 1]")
    edges = np.linspace(0, 1, n_bins + 1)
    bins = np.maximum(np.searchsorted(edges, confidences) - 1, 0)
    counts = np.bincount(bins, minlength=n_bins)
    confidence = _ratio(np.bincount(bins, confidences, n_bins), counts)
    accuracy = _ratio(np.bincount(bins, hits, n_bins), counts)
    if not len(hits):
        return Calibration(edges, counts, confidence, accuracy, math.nan, math.nan)
    gaps = np.abs(accuracy - confidence)[counts > 0]
    expected = float(gaps @ counts[counts > 0] / len(hits))
    return Calibration(edges, counts, confidence, accuracy, expected, float(gaps.max()))


def exact_mcnemar(hits: np.ndarray, other_hits: np.ndarray) -> tuple[int, int, float]:
    """Test whether two classifiers differ by more than chance on the same samples.

    Only samples that exactly one of them classifies correctly carry information. If both are
    equally good, each is a fair coin toss, so the p-value is that of a two-sided binomial test
    (McNemar 1947; Dietterich 1998, "Approximate statistical tests for comparing supervised
    classification learning algorithms", section 3.1, in its exact form).

    Parameters
    ----------
    hits, other_hits
        (N,) bool: whether each sample was classified correctly.

    Returns
    -------
    only_first, only_other, p_value
        The numbers of samples that only one of them classifies correctly, and the p-value.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    hits, other_hits = _pair(np.asarray(hits, bool), np.asarray(other_hits, bool))
    first = int((hits & ~other_hits).sum())
    other = int((other_hits & ~hits).sum())
    n, fewer = first + other, min(first, other)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(fewer + 1)
    ]
    tail = math.fsum(math.exp(log - n * math.log(2)) for log in logs)
    return first, other, min(1.0, 2 * tail)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log softmax(logits)[label] over the rows, in nats; NaN without rows.

    Computed in float64 by log-sum-exp with the row maximum subtracted. Logits of NaN or +inf give
    a loss that is not finite; a class whose logit is -inf has the probability 0.

    Parameters
    ----------
    logits
        (N, C), any float.
    labels
        Class ids (N,) in [0, C).

    Raises
    ------
    ValueError
        If the shapes do not match or a label is out of range.
    """
    _check_labels("logits", logits, labels)
    if not len(logits):
        return float("nan")
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        log_sums = np.log(np.exp(shifted).sum(axis=1))
        return float(np.mean(log_sums - shifted[np.arange(len(labels)), labels]))


def _check_labels(name: str, scores: np.ndarray, labels: np.ndarray) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"{name} (N, C) and labels (N,) do not fit: {scores.shape} and {labels.shape}"
        )
    _check_ids("labels", labels, scores.shape[1])


def _check_ids(name: str, ids: np.ndarray, n_classes: int) -> None:
    if ids.size and not 0 <= ids.min() <= ids.max() < n_classes:
        raise ValueError(
            f"{name} must be class ids in [0, {n_classes}), got {ids.min()} to {ids.max()}"
        )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, and NaN where the whole is 0."""
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def _pair(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            "labels and predictions must be two arrays (N,),"
            f" got shapes {labels.shape} and {predictions.shape}"
        )
    return labels, predictions


def percent(share: float | None, decimals: int = 2) -> str:
    """Format a share in [0, 1] as a percentage such as ``98.31 %``; "-" for None and NaN."""
    return "-" if share is None or math.isnan(share) else f"{100 * share:.{decimals}f} %"
