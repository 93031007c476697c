"""NumPy's product: the BLAS that it was built with, as the line to cross."""

import numpy as np

from ..step import Lesson, Step


def blas(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Multiply matrices with NumPy's BLAS."""
    np.matmul(a, b, out=out)


STEPS = [Step(Lesson("BLAS", "", "", "", "", threaded=True), blas, (blas,))]
