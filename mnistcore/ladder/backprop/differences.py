"""Derivatives by central differences, and whether a function's own derivatives agree with them.

A function to check returns its loss and then the derivatives by its first arguments, in their
order: ``loss, dx, dw, db = function(x, w, b, target)``. Arguments without a derivative come last.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

EPS = 1e-5  # rounding errors grow below, those of the method above: see docs/backprop.md
TOLERANCE = 1e-6  # of the norms; right derivatives are 100 times closer, wrong ones 10,000 off


class Gradient:
    """The derivatives by one argument: those that a function returned, and those measured.

    Attributes
    ----------
    name
        The name of the argument, with a d before it.
    found, measured
        Both, in float64.
    error
        The norm of their difference over the sum of their norms: 0 for equal ones, at most 1;
        infinite if the shape is wrong or a number is not finite.
    """

    def __init__(self, argument: str, found: Any, measured: np.ndarray) -> None:
        self.name = f"d{argument}"
        self.found, self.measured = np.asarray(found, np.float64), measured
        self.error = self._error()

    def _error(self) -> float:
        if self.found.shape != self.measured.shape or not np.isfinite(self.found).all():
            return float("inf")
        size = np.linalg.norm(self.found) + np.linalg.norm(self.measured)
        return float(np.linalg.norm(self.found - self.measured) / size) if size else 0.0

    def complaint(self) -> str:
        """Return what is wrong: the shape, or the first number that is far off."""
        if self.found.shape != self.measured.shape:
            return f"{self.name} has the shape {self.found.shape}, must be {self.measured.shape}"
        off = ~(np.abs(self.found - self.measured) <= TOLERANCE * np.linalg.norm(self.measured))
        place = tuple(map(int, np.argwhere(off)[0]))
        where = f"{self.name}{list(place)}" if place else self.name
        return (
            f"{where} is {self.found[place]:.6g}, but central differences give"
            f" {self.measured[place]:.6g}; shape {self.measured.shape}"
        )


def central_differences(
    loss: Callable[[np.ndarray], float], x: np.ndarray, eps: float = EPS
) -> np.ndarray:
    """Return the derivative of ``loss(x)`` by each number in x, from two losses for each.

    To the third order, loss(x + eps) - loss(x - eps) = 2 eps dloss/dx: what is even in eps cancels.
    """
    x = np.array(x, np.float64)
    dx = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + eps
        above = loss(x)
        x[place] = kept - eps
        below = loss(x)
        x[place] = kept
        dx[place] = (above - below) / (2 * eps)
    return dx


def compare(function: Callable[..., Any], *arguments: Any) -> list[Gradient]:
    """Return the derivatives that a function gives beside those that are measured.

    Raises
    ------
    TypeError
        If the function does not return a loss and one derivative or more.
    """
    result = function(*arguments)
    if not isinstance(result, tuple) or not 1 < len(result) <= len(arguments) + 1:
        raise TypeError(
            "the function must return its loss and the derivatives by its first arguments,"
            f" in a tuple; got {type(result).__name__}"
        )
    names = list(inspect.signature(function).parameters)
    if len(names) < len(arguments):  # the last one takes several: *arrays
        names = [*names[:-1], *(f"{names[-1]}[{n}]" for n in range(len(arguments)))]
    gradients = []
    for number, found in enumerate(result[1:]):

        def loss(value: np.ndarray, number: int = number) -> float:
            changed = value if value.ndim else float(value)
            before, after = arguments[:number], arguments[number + 1 :]
            return float(function(*before, changed, *after)[0])

        measured = central_differences(loss, arguments[number])
        gradients.append(Gradient(names[number], found, measured))
    return gradients


def check(function: Callable[..., Any], *arguments: Any) -> float:
    """Check the derivatives that a function returns, and return the largest relative error.

    Parameters
    ----------
    function
        Returns its loss, then the derivatives by its first arguments, in their order.
    *arguments
        What to call it with: numbers or arrays in float64.

    Raises
    ------
    AssertionError
        If a derivative is wrong; the message names the first wrong number.
    TypeError
        If the function does not return a loss and one derivative or more.

    Examples
    --------
    >>> from mnistcore.ladder.backprop import check
    >>> def cube(x):
    ...     return x**3, 3 * x**2
    >>> check(cube, 2.0) < 1e-8
    True
    >>> check(lambda x: (x**3, 3 * x), 2.0)
    Traceback (most recent call last):
        ...
    AssertionError: dx is 6, but central differences give 12; shape ()
    """
    gradients = compare(function, *arguments)
    for gradient in gradients:
        if not gradient.error <= TOLERANCE:
            raise AssertionError(gradient.complaint())
    return max(gradient.error for gradient in gradients)
