"""The checks of the arguments, which compiled steps leave out."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels import checks

Update = Callable[..., None]


def checked(update: Update) -> Update:
    """Wrap a compiled update, which checks nothing itself, in the argument checks of the kernels.

    Without parameters there is nothing to update.
    """

    @functools.wraps(update)
    def apply(
        gradient: np.ndarray,
        learning_rate: float,
        beta1: float,
        beta2: float,
        eps: float,
        step: int,
        *state: Any,
    ) -> None:
        floats = (checks.FLOAT32,)
        checks.check_adam(floats, gradient, beta1, beta2, eps, 0.0, step, *state)
        if gradient.size:
            update(gradient, learning_rate, beta1, beta2, eps, step, *state)

    return apply
