"""Principal component analysis (K. Pearson, "On lines and planes of closest fit", 1901)."""

import numpy as np


def principal_components(x: np.ndarray, n_components: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Project points onto the directions in which they vary most.

    Uses the singular value decomposition of the centred points. The sign of each direction is
    chosen so that its largest coordinate is positive.

    Parameters
    ----------
    x
        (N, D), any float type.
    n_components
        K, at least 1. Components beyond the dimensions of ``x`` are zero.

    Returns
    -------
    points
        (N, K) float64, with the mean at the origin.
    shares
        (K,) float64, the share of the variance in each direction; zeros without any variance.

    Raises
    ------
    ValueError
        If ``x`` is not a matrix or K is not positive.
    """
    if x.ndim != 2 or n_components < 1:
        raise ValueError(
            f"x must be (N, D) and n_components positive, got {x.shape} and {n_components}"
        )
    points, shares = np.zeros((len(x), n_components)), np.zeros(n_components)
    if not x.size:
        return points, shares
    centred = x - x.mean(axis=0, dtype=np.float64)
    left, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    kept = min(n_components, len(lengths))
    largest = np.abs(directions[:kept]).argmax(axis=1)
    signs = np.where(directions[np.arange(kept), largest] < 0, -1.0, 1.0)
    points[:, :kept] = left[:, :kept] * (lengths[:kept] * signs)
    total = float(lengths @ lengths)
    if total > 0:
        shares[:kept] = lengths[:kept] ** 2 / total
    return points, shares
