import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistcore.models.metrics import (
    accuracy,
    calibration,
    class_scores,
    confusion_matrix,
    cross_entropy,
    exact_mcnemar,
    per_class_accuracy,
    top_k_accuracy,
    wilson_interval,
)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1), st.integers(5, 7))
def test_the_confusion_matrix_counts_every_pair(pairs, n_classes):
    labels, predictions = np.array(pairs, np.int32).T
    counts = confusion_matrix(labels, predictions, n_classes)
    for i in range(n_classes):
        for j in range(n_classes):
            assert counts[i, j] == pairs.count((i, j))


def test_rows_are_true_classes():
    counts = confusion_matrix(np.array([0, 0, 1]), np.array([1, 0, 1]), 2)
    np.testing.assert_array_equal(counts, [[1, 1], [0, 1]])


def test_accuracy_is_the_trace_over_the_total():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 3, (2, 50))
    counts = confusion_matrix(labels, predictions, 3)
    assert accuracy(labels, predictions) == counts.trace() / 50


def test_accuracy_of_nothing_is_nan():
    assert math.isnan(accuracy(np.empty(0, int), np.empty(0, int)))


def test_per_class_accuracy_is_nan_without_samples():
    shares = per_class_accuracy(np.array([[3, 1], [0, 0]]))
    assert shares[0] == 0.75
    assert math.isnan(shares[1])


def test_zero_logits_cost_the_logarithm_of_the_classes():
    assert cross_entropy(np.zeros((3, 10)), np.array([0, 4, 9])) == pytest.approx(math.log(10))


def test_cross_entropy_agrees_with_loops_and_survives_large_logits():
    rng = np.random.default_rng(0)
    logits = 1000 + 5 * rng.standard_normal((7, 4))
    labels = rng.integers(0, 4, 7)
    losses = []
    for row, label in zip(logits, labels, strict=True):
        total = sum(math.exp(value - row[label]) for value in row)
        losses.append(math.log(total))
    assert cross_entropy(logits, labels) == pytest.approx(sum(losses) / 7, rel=1e-12)


def test_cross_entropy_of_infinite_logits_is_not_finite():
    assert not math.isfinite(cross_entropy(np.array([[np.inf, 0.0]]), np.array([1])))


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_bounds_of_wilson_are_z_standard_errors_away(case):
    """Wilson's definition: each bound p has |share - p| = z sqrt(p (1 - p) / n).

    By default, z leaves 2.5 % of a normal distribution on either side.
    """
    successes, trials = case
    share, z = successes / trials, NormalDist().inv_cdf(0.975)
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        distance = z * math.sqrt(bound * (1 - bound) / trials)
        assert abs(share - bound) == pytest.approx(distance, abs=1e-9)


def test_the_interval_of_nothing_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_scores_of_classes_are_counted():
    rng = np.random.default_rng(3)
    labels, predictions = rng.integers(0, 4, (2, 60))
    scores = class_scores(confusion_matrix(labels, predictions, 4))
    for c in range(4):
        hits = sum(1 for a, b in zip(labels, predictions, strict=True) if a == b == c)
        precision, recall = hits / (predictions == c).sum(), hits / (labels == c).sum()
        f1 = 2 * precision * recall / (precision + recall)
        assert [row[c] for row in scores] == pytest.approx([precision, recall, f1])


def test_scores_of_a_class_that_is_absent_or_never_predicted():
    precision, recall, f1 = class_scores(np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(precision, [0.75, np.nan, np.nan])
    np.testing.assert_allclose(recall, [1, 0, np.nan])
    np.testing.assert_allclose(f1, [6 / 7, 0, np.nan])


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=20),
    st.integers(1, 7),
)
def test_the_k_largest_are_those_of_a_stable_sort(rows, k):
    scores = np.array(rows, np.float32)
    labels = np.arange(len(rows)) % 5
    found = [
        label in sorted(range(5), key=lambda c: (-row[c], c))[:k]
        for row, label in zip(rows, labels, strict=True)
    ]
    assert top_k_accuracy(scores, labels, k) == pytest.approx(sum(found) / len(found))


def test_top_one_is_the_accuracy_of_argmax_and_of_nothing_is_nan():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 3, (50, 4)), rng.integers(0, 4, 50)
    assert top_k_accuracy(scores, labels, 1) == accuracy(labels, scores.argmax(axis=1))
    assert math.isnan(top_k_accuracy(np.zeros((0, 3)), np.zeros(0, int), 1))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=50),
    st.integers(1, 9),
)
def test_calibration_agrees_with_loops(pairs, n_bins):
    confidences = np.array([value / 40 for value, _ in pairs])
    hits = np.array([hit for _, hit in pairs])
    result = calibration(confidences, hits, n_bins)
    expected, gaps = 0.0, []
    for m in range(n_bins):
        low, high = result.edges[m], result.edges[m + 1]
        inside = [
            (p, hit)
            for p, hit in zip(confidences, hits, strict=True)
            if low < p <= high or (m == 0 and p == 0)
        ]
        assert result.counts[m] == len(inside)
        if not inside:
            assert math.isnan(result.accuracy[m])
            continue
        confidence = sum(p for p, _ in inside) / len(inside)
        share = sum(hit for _, hit in inside) / len(inside)
        assert result.confidence[m] == pytest.approx(confidence)
        assert result.accuracy[m] == pytest.approx(share)
        expected += len(inside) / len(pairs) * abs(share - confidence)
        gaps.append(abs(share - confidence))
    assert result.expected_error == pytest.approx(expected, abs=1e-12)
    assert result.largest_error == pytest.approx(max(gaps), abs=1e-12)


def test_always_sure_and_right_half_of_the_time_is_wrong_by_a_half():
    result = calibration(np.ones(10), np.arange(10) % 2 == 0)
    assert result.expected_error == result.largest_error == 0.5
    assert math.isnan(calibration(np.zeros(0), np.zeros(0, bool)).expected_error)


@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemar_is_a_two_sided_test_of_a_fair_coin(only_first, only_other):
    hits = np.array([True] * only_first + [False] * only_other + [True, False])
    other = np.array([False] * only_first + [True] * only_other + [True, False])
    first, second, p_value = exact_mcnemar(hits, other)
    n = only_first + only_other
    as_odd = [math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(2 * only_first - n)]
    assert (first, second) == (only_first, only_other)
    assert p_value == pytest.approx(sum(as_odd) / 2**n)


@pytest.mark.parametrize(
    "call",
    [
        lambda: top_k_accuracy(np.zeros((3, 2)), np.zeros(2, int), 1),
        lambda: top_k_accuracy(np.zeros((3, 2)), np.zeros(3, int), 0),
        lambda: top_k_accuracy(np.zeros((3, 2)), np.array([0, 1, 2]), 1),
        lambda: top_k_accuracy(np.zeros((3, 2)), np.array([0, 1, -1]), 1),
        lambda: top_k_accuracy(np.full((3, 2), np.nan), np.zeros(3, int), 1),
        lambda: cross_entropy(np.zeros((3, 2)), np.array([0, 1, 2])),
        lambda: cross_entropy(np.zeros((3, 2)), np.array([0, 1, -1])),
        lambda: wilson_interval(4, 3),
        lambda: calibration(np.zeros(3), np.zeros(2, bool)),
        lambda: calibration(np.array([np.nan]), np.array([True])),
        lambda: calibration(np.zeros(3), np.zeros(3, bool), 0),
        lambda: exact_mcnemar(np.zeros(3, bool), np.zeros(2, bool)),
        lambda: accuracy(np.zeros(3, int), np.zeros(2, int)),
        lambda: accuracy(np.zeros((2, 2), int), np.zeros((2, 2), int)),
        lambda: confusion_matrix(np.array([0, 2]), np.array([0, 1]), 2),
        lambda: confusion_matrix(np.array([0, 1]), np.array([0, -1]), 2),
        lambda: cross_entropy(np.zeros((3, 2)), np.zeros(2, int)),
        lambda: cross_entropy(np.zeros(3), np.zeros(3, int)),
    ],
)
def test_what_does_not_fit_together_is_refused(call):
    with pytest.raises(ValueError, match=r"must be|do not fit"):
        call()
