"""How good a classifier is: plain functions of labels, predictions and logits.

Rows of a confusion matrix are true classes, columns predicted ones, as in scikit-learn. A share
of nothing is NaN.
"""

import math
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959963984540054  # the normal deviate that 95 % of all lie within


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
    return _ratio(confusion.diagonal(), confusion.sum(axis=1))


def class_scores(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 (C,) each of every class; NaN where a share is one of nothing.

    Precision is the share of what was taken for the class that is of it, recall the share of the
    class that was found, F1 their harmonic mean, computed as 2 TP / (2 TP + FP + FN).
    """
    hits = confusion.diagonal()
    taken_for, found_in = confusion.sum(axis=0), confusion.sum(axis=1)
    return _ratio(hits, taken_for), _ratio(hits, found_in), _ratio(2 * hits, taken_for + found_in)


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """The share of rows of scores (N, C) whose label (N,) is among the k largest.

    Where equal scores compete, the lower class id wins, as in ``argmax``. NaN where N is 0.

    Raises
    ------
    ValueError
        If the shapes do not fit or k is not positive.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"scores (N, C) and labels (N,) do not fit: {scores.shape} and {labels.shape}"
        )
    if k < 1:
        raise ValueError(f"k must be positive, got {k}")
    if not len(labels):
        return math.nan
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    ahead = (scores > own).sum(axis=1) + ((scores == own) & earlier).sum(axis=1)
    return float(np.mean(ahead < k))


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a share, 95 % by default; it never leaves [0, 1].

    Unlike share +- z sqrt(share (1 - share) / n) it also holds near 1, where accuracies are
    (Wilson 1927, "Probable inference, the law of succession, and statistical inference";
    recommended by Brown, Cai and DasGupta 2001, section 4). Without trials it is all of [0, 1].

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
    # At the ends the bound is exact; rounding would miss it by a hair.
    low = 0.0 if successes == 0 else middle - reach
    high = 1.0 if successes == trials else middle + reach
    return low, high


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predictions in bins by their confidence, the largest probability of each.

    Attributes
    ----------
    edges
        (M + 1,) of equal bins over [0, 1]; a bin holds its upper edge, the first also 0.
    counts
        (M,) int64, the predictions in each bin.
    confidence, accuracy
        (M,) the mean confidence and the share of right predictions in each; NaN in empty ones.
    expected_error
        The mean over predictions of their bin's ``|accuracy - confidence|``: the expected
        calibration error, ECE (Guo et al. 2017, "On calibration of modern neural networks",
        equation 3).
    largest_error
        The largest ``|accuracy - confidence|`` of a bin: MCE (equation 5).
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
        (N,) bool: whether the prediction is right.
    n_bins
        Guo et al. use 15.

    Raises
    ------
    ValueError
        If the shapes differ, a confidence is no probability or there is no bin.
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
    """Whether two classifiers differ by more than chance, on the same samples.

    Only the samples that one reads right and the other wrong tell. If neither is better, each is
    a fair coin: the p-value is that of a two-sided binomial test (McNemar 1947; Dietterich 1998,
    "Approximate statistical tests for comparing supervised classification learning algorithms",
    section 3.1, in its exact form).

    Parameters
    ----------
    hits, other_hits
        (N,) bool: whether each sample was read right.

    Returns
    -------
    only_first, only_other, p_value
        The samples that only one of them reads right, and the p-value.
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


def _coin_tosses(n: int, heads: int) -> float:
    """The probability of so many heads in n tosses of a fair coin."""
    ways = math.lgamma(n + 1) - math.lgamma(heads + 1) - math.lgamma(n - heads + 1)
    return math.exp(ways - n * math.log(2))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0."""
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
    """A share as a person reads it, such as ``98.31 %``; a dash where it is None or NaN."""
    return "-" if share is None or math.isnan(share) else f"{100 * share:.{decimals}f} %"
