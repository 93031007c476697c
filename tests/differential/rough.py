"""Numbers beside what float32 arithmetic may make of them.

A value is computed in float64. Its error is about one standard deviation of what the same formulas
give in float32: rounding errors of a sum of k terms grow like the square root of k (Higham and Mary
2019, "A new approach to probabilistic rounding error analysis"), and errors from different sources
add like independent ones. A result is accepted within CONFIDENCE times the error. Where a
formula has no slope, such as ReLU at 0 or a square root, the error covers both sides.
"""

import numpy as np
from tolerances import ULPS, UNIT_ROUNDOFF

CONFIDENCE = 8.0
TINY = 2.0**-126  # results, and operands, below it are flushed to zero
_CORNER = 1e-7  # of an error in float32: what float64 makes of the same formula, and some more
LARGEST = 1e18  # of a number whose square is to be within the range of float32


class BeyondFloat32Error(ArithmeticError):
    """A number is so large that a sum of squares might overflow."""


class AtCornerError(ArithmeticError):
    """A ReLU's input is 0 but for the rounding of float64: nobody knows its derivative."""


class Rough:
    """An array of values, and their errors."""

    __array_ufunc__ = None  # an array on the left leaves the operation to this class

    def __init__(self, value, *errors, roundings=0.0):
        """``roundings`` are those of the value, each of a unit roundoff."""
        self.value = np.asarray(value, np.float64)
        self.error = root_sum(*errors, roundings * UNIT_ROUNDOFF * np.abs(self.value))
        if roundings:
            self.error = self.error + TINY * ((self.value != 0) | (self.error > 0))
        reach = np.abs(self.value) + CONFIDENCE * self.error
        if self.value.size and not reach.max() < LARGEST:  # also NaN
            raise BeyondFloat32Error

    @property
    def T(self):  # noqa: N802
        return Rough(self.value.T, self.error.T)

    @property
    def low(self):
        return self.value - CONFIDENCE * self.error

    @property
    def high(self):
        return self.value + CONFIDENCE * self.error

    def __getitem__(self, index):
        return Rough(self.value[index], self.error[index])

    def __add__(self, other):
        other = rough(other)
        return Rough(self.value + other.value, self.error, other.error, roundings=1)

    def __sub__(self, other):
        other = rough(other)
        return Rough(self.value - other.value, self.error, other.error, roundings=1)

    def __mul__(self, other):
        other = rough(other)
        return Rough(
            self.value * other.value,
            np.abs(self.value) * other.error, np.abs(other.value) * self.error,
            CONFIDENCE * self.error * other.error, roundings=1,
        )  # fmt: skip

    def over(self, other, least):
        """Divide by what is not less than ``least``, whatever its error."""
        divisor = np.maximum(other.value, least)
        value = self.value / divisor
        nearest = np.maximum(other.low, least)
        return Rough(
            value, self.error / nearest, np.abs(value) * other.error / nearest, roundings=1
        )

    def __matmul__(self, other):
        other, terms = rough(other), self.value.shape[1]
        mass = np.abs(self.value) @ np.abs(other.value)
        squares = np.zeros_like(mass)
        for one, two in (
            (self.error, other.value), (self.value, other.error),
            (CONFIDENCE * self.error, other.error),
        ):  # fmt: skip
            if one.any() and two.any():
                squares = squares + np.square(one) @ np.square(two)
        # Certain, or likely twice over: a batch may have rows that are almost equal.
        roundings = min(terms / CONFIDENCE, 2 * np.sqrt(terms))
        rounding = UNIT_ROUNDOFF * roundings * mass + TINY * terms * (mass > 0)
        return Rough(self.value @ other.value, np.sqrt(squares), rounding)

    def sum_rows(self):
        """The sum along the first axis."""
        return (Rough(np.ones((1, len(self.value)))) @ self)[0]

    def norms(self, terms):
        """The norm of each column, of squares of which so many are added in float32."""
        squares = (self * self).sum_rows()
        certain = UNIT_ROUNDOFF * terms / CONFIDENCE * squares.value
        return square_root(Rough(squares.value, squares.error, certain))

    def alike(self, rows):
        """A sum over rows of which so many may be equal, and so are their errors."""
        return Rough(self.value, self.error * np.sqrt(rows))

    def sum_columns(self):
        """The sum along the second axis, as a column."""
        return self @ Rough(np.ones((self.value.shape[1], 1)))


def rough(number):
    """A number of a program, which is float32 in it; or what is rough already."""
    return number if isinstance(number, Rough) else Rough(number, roundings=1)


def exact(array):
    """A float32 array that a program is given. It takes numbers below TINY for zero."""
    array = np.asarray(array, np.float64)
    return Rough(array, np.where(np.abs(array) < TINY, np.abs(array), 0.0))


def root_sum(*errors):
    """What independent errors add up to."""
    return np.sqrt(sum(np.square(error) for error in errors))


def square_root(x):
    """The square root of a number that is not negative, though its error may reach below 0."""
    value = np.sqrt(np.maximum(x.value, 0))
    above, below = np.sqrt(np.maximum(x.high, 0)), np.sqrt(np.maximum(x.low, 0))
    return Rough(value, np.maximum(above - value, value - below) / CONFIDENCE, roundings=1)


def greatest_of(limit, x):
    """The greater of a constant and x."""
    return Rough(np.maximum(limit, x.value), np.where(x.high > limit, x.error, 0.0))


def joined(parts):
    """Arrays one after the other, flat."""
    value = np.concatenate([part.value.ravel() for part in parts])
    return Rough(value, np.concatenate([part.error.ravel() for part in parts]))


def exponential(x):
    """e**x for x <= 0, between 0 and 1; its error is not small where that of x is not."""
    value = np.exp(x.value)
    grown = np.expm1(np.minimum(CONFIDENCE * x.error, 80.0)) / CONFIDENCE
    return Rough(value, np.minimum(value * grown, 1 / CONFIDENCE), roundings=ULPS)


def activate(name, z):
    """An activation and its derivative."""
    if name == "relu":
        return _relu(z)
    if name == "identity":
        return z, Rough(np.ones_like(z.value))
    nearest = np.maximum(np.abs(z.value) - CONFIDENCE * z.error, 0.0)  # to 0, where it is steepest
    if name == "tanh":
        steepest = 1 - np.square(np.tanh(nearest))
        a = Rough(np.tanh(z.value), steepest * z.error, roundings=2 * ULPS)
        return a, rough(1.0) - a * a
    steepest = 0.25 / np.square(np.cosh(np.minimum(nearest, 100.0) / 2))
    e = np.exp(-np.abs(z.value))
    a = Rough(np.where(z.value < 0, e, 1) / (1 + e), steepest * z.error, roundings=2 * ULPS)
    return a, a * (rough(1.0) - a)


def _relu(z):
    a = Rough(np.maximum(z.value, 0), np.where(z.high > 0, z.error, 0.0))
    # Either derivative, also for some numbers at once: an error that is twice as large as one.
    unsure = (z.low <= 0) & (z.high >= 0) & (z.error > 0)
    if (unsure & (np.abs(z.value) < _CORNER * z.error)).any():
        raise AtCornerError
    return a, Rough((z.value > 0) * 1.0, np.where(unsure, 2 / CONFIDENCE, 0.0))
