"""The checks of the arguments, which compiled steps leave out."""

import functools
from collections.abc import Callable

import numpy as np

from ...kernels.checks import arrays as checks

Gather = Callable[[np.ndarray, np.ndarray, np.float32, np.ndarray, np.ndarray], None]

WORD_BYTES = 8  # marks are read in words of 64 bits


def row_bytes(pixels: int) -> int:
    """Return the bytes of the marks of a row: a bit for each pixel, in whole words."""
    return -(-pixels // (8 * WORD_BYTES)) * WORD_BYTES


def checked(gather: Gather) -> Gather:
    """Wrap a compiled gather in checks: it must not read rows that there are not."""

    @functools.wraps(gather)
    def call(
        x: np.ndarray, order: np.ndarray, scale: np.float32, out: np.ndarray, marks: np.ndarray
    ) -> None:
        checks.check_array("gather", "x", x, (checks.UINT8,), written=False)
        checks.check_array("gather", "order", order, (checks.INT64,), written=False)
        checks.check_array("gather", "out", out, (checks.FLOAT32,), written=True)
        checks.check_array("gather", "marks", marks, (checks.UINT8,), written=True)
        if not (x.ndim == 2 and order.ndim == 1 and _fit(x, order, out, marks)):
            width = row_bytes(x.shape[1]) if x.ndim == 2 else 0
            checks.check_shapes(
                "gather",
                *(("x", x, ("N", "D")), ("order", order, ("B",))),
                *(("out", out, ("B", "D")), ("marks", marks, ("B", width))),
            )
        if order.size and order.view(np.uint64).max() >= len(x):  # a negative row is huge
            checks.check_indices("gather", "order", order, len(x), "rows of x")
        if out.size:
            gather(x, order, scale, out, marks)

    return call


def _fit(x: np.ndarray, order: np.ndarray, out: np.ndarray, marks: np.ndarray) -> bool:
    """Return whether the shapes are right, in a tenth of the time of the check that says why."""
    n_rows, pixels = len(order), x.shape[1]
    return out.shape == (n_rows, pixels) and marks.shape == (n_rows, row_bytes(pixels))
