"""The comparisons can fail: a wrong result of each common kind is rejected."""

import numpy as np
import pytest
from tolerances import assert_product_close, assert_relative, assert_ulps

RNG = np.random.default_rng(0)
A = RNG.normal(size=(9, 9)).astype(np.float32)
B = RNG.normal(size=(9, 9)).astype(np.float32)
EXACT = A.astype(np.float64) @ B.astype(np.float64)


def _off_by_one_row(result):
    return np.roll(result, 1, axis=0)


def _one_nan(result):
    result = result.copy()
    result[4, 4] = np.nan
    return result


WRONG = {
    "zeroed": np.zeros_like,
    "transposed": np.transpose,
    "off by one row": _off_by_one_row,
    "one NaN": _one_nan,
    "a thousandth off": lambda result: result * 1.001,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_results_are_rejected(wrong):
    result = wrong((A @ B).astype(np.float32))
    with pytest.raises(AssertionError):
        assert_product_close(result, A, B)
    with pytest.raises(AssertionError):
        assert_ulps(result, EXACT)
    with pytest.raises(AssertionError):
        assert_relative(result, EXACT, 1e-5)


def test_right_results_are_accepted():
    assert_product_close(A @ B, A, B)
    assert_relative(A @ B, EXACT, 1e-5)
    assert_ulps(EXACT.astype(np.float32), EXACT)
