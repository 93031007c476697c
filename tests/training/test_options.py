"""Ranges at their very ends."""

import math

import pytest

from mnistcore.training.options import Range


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        (Range(0, 1), (0, 0.5, 1), (-1e-9, 1 + 1e-9, math.nan)),
        (Range(0, 1, open_low=True), (1e-9, 1), (0,)),
        (Range(0, 1, open_high=True), (0, 1 - 1e-9), (1,)),
        (Range(2), (2, 1e300), (1.999, math.inf)),
        (Range(), (-1e300, 1e300), (-math.inf, math.inf, math.nan)),
    ],
    ids=str,
)
def test_a_range_holds_its_closed_ends(limits, inside, outside):
    assert [value in limits for value in inside] == [True] * len(inside)
    assert [value in limits for value in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Range(0, 1), "in [0, 1]"),
        (Range(0, 1, open_low=True), "in (0, 1]"),
        (Range(0, 1, open_high=True), "in [0, 1)"),
        (Range(0, open_low=True), "above 0 and finite"),
        (Range(1), "at least 1 and finite"),
    ],
)
def test_a_range_says_what_it_holds(limits, text):
    assert str(limits) == text
