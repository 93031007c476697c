"""The exercises of docs/backprop.md: whether a reader's own function does what it should."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .differences import check


def _tanh_backward(backward: Callable[..., Any]) -> None:
    da = np.random.default_rng(0).normal(size=(4, 5))

    def loss(z: np.ndarray) -> tuple[float, np.ndarray]:
        a = np.tanh(z)
        return float(np.sum(da * a)), backward(a, da)

    check(loss, np.random.default_rng(1).normal(size=(4, 5)))


def _squared_error(function: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    z, targets = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    loss = float(function(z, targets)[0])
    right = float(np.mean([(row - target) @ (row - target) / 2 for row, target in zip(z, targets)]))  # noqa: B905
    if not abs(loss - right) <= 1e-12 * right:
        raise AssertionError(f"the loss is {loss:.6g}, must be {right:.6g}; shape {z.shape}")
    check(function, z, targets)


def _momentum_update(update: Callable[..., Any]) -> None:
    """With the same dw in each of n steps, v is a geometric series that has a closed form."""
    rng = np.random.default_rng(0)
    w, dw = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    moving, v, rate, momentum, n = w.copy(), np.zeros(w.shape), 0.1, 0.8, 7
    for _ in range(n):
        update(moving, dw, v, rate, momentum)
    powers = momentum ** np.arange(1, n + 1)
    _same("v", v, dw * (1 - powers[-1]) / (1 - momentum))
    _same("w", moving, w - rate * dw * np.sum(1 - powers) / (1 - momentum))


def _same(name: str, found: np.ndarray, right: np.ndarray) -> None:
    off = ~(np.abs(found - right) <= 1e-9)
    if off.any():
        i, j = map(int, np.argwhere(off)[0])
        raise AssertionError(
            f"{name}[{i}, {j}] is {found[i, j]:.6g} after seven steps, must be {right[i, j]:.6g};"
            f" shape {right.shape}"
        )


EXERCISES: dict[str, Callable[[Callable[..., Any]], None]] = {
    "tanh_backward": _tanh_backward,
    "squared_error": _squared_error,
    "momentum_update": _momentum_update,
}


def check_solution(function: Callable[..., Any]) -> None:
    """Check a solution of the exercise that the function is named after, and say that it is right.

    Raises
    ------
    AssertionError
        If it is wrong; the message names the first wrong number.
    ValueError
        If no exercise has the function's name.
    """
    name = getattr(function, "__name__", repr(function))
    if name not in EXERCISES:
        raise ValueError(f"there is no exercise {name!r}; choose from {', '.join(EXERCISES)}")
    EXERCISES[name](function)
    print(f"{name} is right")
