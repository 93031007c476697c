"""The gather in plain Python."""

import numpy as np

from ..step import Step
from .arguments import checked
from .problem import LESSONS


@checked
def python_loops(
    x: np.ndarray, order: np.ndarray, scale: np.float32, out: np.ndarray, marks: np.ndarray
) -> None:
    """Read, scale and mark a pixel after the other."""
    marks[:] = 0
    for b, row in enumerate(order.tolist()):
        for c in range(x.shape[1]):
            pixel = x[row, c]
            out[b, c] = pixel * scale
            if pixel:
                marks[b, c // 8] |= 1 << c % 8


STEPS = [Step(LESSONS["python loops"], python_loops, (python_loops,))]
