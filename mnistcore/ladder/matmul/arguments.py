"""What steps in Python do around a compiled product: check its arguments, and divide it."""

import functools
from collections.abc import Callable

import numpy as np

from ...kernels import checks

Product = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def checked(product: Product) -> Product:
    """Wrap a compiled product, which checks nothing itself, in the argument checks of the kernels.

    Empty operands do not reach the product either; their result is filled with 0.
    """

    @functools.wraps(product)
    def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        checks.check_matmul(product.__name__, (checks.FLOAT32,), a, b, out, ("MK", "KN"))
        if a.size and b.size:
            product(a, b, out)
        else:
            out.fill(0)

    return multiply


def blocks_of_rows(out: np.ndarray, height: int, width: int, threads: int) -> int:
    """Return into how many blocks of rows a product is divided: four tasks a thread will do.

    Each thread packs the panels that it meets, which costs as much as six rows: a block of eight
    tiles or more makes that small.
    """
    panels, tiles = -(-out.shape[1] // width), -(-out.shape[0] // height)
    return max(1, min(-(-4 * threads // panels), tiles // 8))
