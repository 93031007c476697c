"""The definition of a matrix product in plain Python."""

import numpy as np

from ..step import Step
from .arguments import checked
from .problem import LESSONS


@checked
def python_loops(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Multiply matrices as lists of lists, which Python indexes faster than arrays."""
    left, right = a.tolist(), b.tolist()
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(len(right)):
                total += left[i][k] * right[k][j]
            out[i, j] = total


STEPS = [Step(LESSONS["python loops"], python_loops, (python_loops,))]
