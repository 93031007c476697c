"""Adam in plain Python."""

import math

import numpy as np

from ..step import Step
from .arguments import checked
from .problem import LESSONS


@checked
def python_loops(
    gradient: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    """Update one parameter after the other, as the paper writes it."""
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    for i in range(len(params)):
        g = float(gradient[i])
        first = beta1 * float(m[i]) + (1 - beta1) * g
        second = beta2 * float(v[i]) + (1 - beta2) * g * g
        m[i], v[i] = first, second
        params[i] = float(params[i]) - learning_rate * (first / correction1) / (
            math.sqrt(second / correction2) + eps
        )


STEPS = [Step(LESSONS["python loop"], python_loops, (python_loops,))]
