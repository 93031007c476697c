"""Which marks of a line are left out as no digits, from what each resembles and where it stands."""

import numpy as np
import pytest

from mnistcore.pictures.reading import _foreign


def boxes_of(lefts):
    """Marks of 10 x 20 pixels."""
    return np.array([(left, 0, left + 10, 20) for left in lefts], float)


CASES = {
    "digits": ([0, 13, 26], [9, 8, 7], [0, 0, 0], [0, 0, 0]),
    "a doubtful digit among digits": ([0, 13, 26], [9, -2, 7], [0, 0, 0], [0, 0, 0]),
    "the same apart": ([0, 30, 60], [9, -2, 7], [0, 0, 0], [0, 0, 0]),
    "a sign apart": ([0, 30, 60], [9, -4, 7], [0, 0, 0], [0, 1, 0]),
    "letters apart": ([0, 30, 60], [1, -2, -2], [0, 0, 0], [1, 1, 1]),
    "a sign among digits": ([0, 13, 26, 39], [9, -8, 7, 8], [0, 0, 0, 0], [0, 1, 0, 0]),
    "letters like digits in a word": ([0, 13, 26], [9, -4, 7], [0, 0, 0], [1, 1, 1]),
    "an o in a word": ([0, 13, 26], [-6, 9, -6], [0, 0, 0], [1, 1, 1]),
    "a number and a word": ([0, 30, 43], [9, -6, 2], [0, 0, 0], [0, 1, 1]),
    "a line of digits above a word": ([0, 13, 0, 13], [9, 8, -6, -6], [0, 0, 1, 1], [0, 0, 1, 1]),
    "one": ([0], [-1], [0], [1]),
}


@pytest.mark.parametrize("case", CASES)
def test_marks_that_are_left_out(case):
    lefts, margins, lines, wanted = CASES[case]
    found = _foreign(np.array(margins, float), boxes_of(lefts), np.array(lines))
    np.testing.assert_array_equal(found, np.array(wanted, bool))
