"""The checks of the arguments, which compiled steps leave out."""

import functools
from collections.abc import Callable

import numpy as np

from ...kernels import checks

Loss = Callable[[np.ndarray, np.ndarray, np.ndarray], float]

EQUAL_WEIGHTS = np.empty(0, np.float32)  # the kernels' sample weights if all samples count alike


def checked(loss: Loss) -> Loss:
    """Wrap a compiled loss, which checks nothing itself, in the argument checks of the kernels."""

    @functools.wraps(loss)
    def compute(logits: np.ndarray, labels: np.ndarray, dlogits: np.ndarray) -> float:
        checks.check_cross_entropy((checks.FLOAT32,), logits, labels, EQUAL_WEIGHTS, dlogits)
        return loss(logits, labels, dlogits)

    return compute
