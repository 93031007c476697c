"""What scikit-learn has validated, as the kernels take it."""

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning

from .notices import warn

DENSE = 1 / 6  # a sparse matrix with more of its values stored is faster as a dense one


def as_engine_input(X: Any, dtype: type = np.float32) -> Any:
    """Convert a validated X to a C-contiguous array of uint8, float32 or ``dtype``, or to CSR.

    A sparse matrix stays sparse unless a share of more than DENSE of its values is stored. Raises
    ValueError if a value is beyond the range of ``dtype``.
    """
    try:
        with np.errstate(over="raise"):
            return _converted(X, dtype)
    except FloatingPointError:  # in scikit-learn's words
        raise ValueError(
            f"Input X contains infinity or a value too large for {np.dtype(dtype)!r}."
        ) from None


def _converted(X: Any, dtype: type) -> Any:
    if issparse(X):
        X = X.tocsr().astype(dtype, copy=False)
        return X if X.nnz <= DENSE * X.shape[0] * X.shape[1] else X.toarray()
    return np.ascontiguousarray(X, X.dtype if X.dtype in (np.uint8, np.float32) else dtype)


def flat_column(y: np.ndarray) -> np.ndarray:
    """Flatten a y of shape (N, 1) to (N,), with scikit-learn's warning; return others unchanged."""
    if y.ndim != 2 or y.shape[1] != 1:
        return y
    warn(
        "A column-vector y was passed when a 1d array was expected. Please change the shape of y"
        " to (n_samples, ), for example using ravel().",
        DataConversionWarning,
    )
    return y.ravel()


def float_type(X: Any) -> type:
    """Return the dtype of scikit-learn's predictions for X: float32 for float32, else float64."""
    return np.float32 if X.dtype == np.float32 else np.float64
