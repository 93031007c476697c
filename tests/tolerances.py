"""How far a float32 result may lie from the exact one: bounds, not taste.

``gamma_k = k u / (1 - k u)`` bounds the relative error of a sum of k products whatever its
order, u being the unit roundoff (Higham 2002, "Accuracy and Stability of Numerical
Algorithms", section 3.1).
"""

import numpy as np

UNIT_ROUNDOFF = 2.0**-24

# Units in the last place that an elementary function of float32 may be off: exp is good to
# about 1, tanh and the logistic function add a division and a sum or two.
ULPS = 6


def gamma(k):
    """The bound for k roundings."""
    return k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)


def assert_product_close(actual, a, b):
    """``actual`` is a @ b, (M, K) by (K, N), to within gamma_K (|A| |B|)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    bound = gamma(max(a.shape[1], 1)) * (np.abs(a) @ np.abs(b))
    assert_within(actual, a @ b, bound)


def assert_ulps(actual, exact, ulps=ULPS):
    """Every number is within so many units in the last place, or as near to 0 as they get."""
    exact = np.asarray(exact, np.float64)
    assert_within(actual, exact, ulps * np.maximum(np.abs(exact) * 2.0**-23, 2.0**-126))


def assert_relative(actual, exact, bound):
    """The norm of the difference over the norm of the exact array is at most ``bound``."""
    actual, exact = np.asarray(actual, np.float64), np.asarray(exact, np.float64)
    assert actual.shape == exact.shape
    error = np.linalg.norm(actual - exact) / max(np.linalg.norm(exact), 1e-30)
    assert error <= bound, f"relative error {error:.3g} above {bound:.3g}"


def assert_within(actual, exact, bound):
    """|actual - exact| <= bound everywhere; a NaN is never within."""
    actual = np.asarray(actual, np.float64)
    assert actual.shape == np.shape(exact), f"shape {actual.shape}, expected {np.shape(exact)}"
    with np.errstate(invalid="ignore"):
        good = (np.abs(actual - exact) <= bound) | (actual == exact)  # infinities are equal
    if not good.all():
        worst = np.unravel_index(np.argmin(good), good.shape)
        raise AssertionError(
            f"{(~good).sum()} of {good.size} outside the bound, first at {worst}:"
            f" {actual[worst]!r} for {np.asarray(exact)[worst]!r}"
        )
