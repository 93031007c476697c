import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistcore.metrics import accuracy, confusion_matrix, cross_entropy, per_class_accuracy


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


@pytest.mark.parametrize(
    "call",
    [
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
