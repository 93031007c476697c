"""The checks of a product's arguments, which compiled steps leave out."""

import functools
from collections.abc import Callable

import numpy as np

from ...kernels import checks

__all__ = ["Product", "checked"]

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
