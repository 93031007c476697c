"""NumPy's many passes, as the line to cross."""

import numpy as np

from ..step import Lesson, Step


def passes(
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
    """Update with a pass over an array for each operation, and a new array for most of them."""
    m *= beta1
    m += (1 - beta1) * gradient
    v *= beta2
    v += (1 - beta2) * np.square(gradient)
    roots = np.sqrt(v) * (1 - beta2**step) ** -0.5 + eps
    params -= learning_rate / (1 - beta1**step) * m / roots


STEPS = [Step(Lesson("many passes", "", "", "", ""), passes, (passes,))]
