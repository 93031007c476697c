"""Batch normalisation of one layer, forward and backward, in NumPy."""

from typing import NamedTuple

import numpy as np


class Normalized(NamedTuple):
    """A layer's values over a mini-batch, normalised, and the statistics for it.

    Attributes
    ----------
    z
        (B, O) with mean 0 and variance 1.
    mean, variance
        (O,) those of the values before.
    deviation
        (O,) ``sqrt(variance + eps)``.
    """

    z: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    deviation: np.ndarray


def normalize(z: np.ndarray, eps: float) -> Normalized:
    """Normalise the columns of z (B, O): Ioffe and Szegedy 2015, algorithm 1."""
    mean = z.mean(axis=0)
    centred = z - mean
    variance = np.square(centred).mean(axis=0)
    deviation = np.sqrt(variance + float(eps))
    return Normalized(centred / deviation, mean, variance, deviation)


def backward(
    dz: np.ndarray, normalized: Normalized, gain: np.ndarray, dgain: np.ndarray
) -> np.ndarray:
    """Return the derivative (B, O) by the values before, and write that by the gain (O,).

    ``dz`` is the derivative by the normalised values times the gain.
    """
    np.einsum("bo,bo->o", dz, normalized.z, out=dgain)
    mean = (dz.sum(axis=0) + normalized.z * dgain) / len(dz)
    return gain / normalized.deviation * (dz - mean)


def update_statistics(batch: list[Normalized], momentum: float, buffers: np.ndarray) -> None:
    """Let the statistics of a mini-batch's layers enter ``buffers`` (2 S,), the running ones.

    The running variances are unbiased, so a single row, which has none, enters nothing.
    """
    rows = len(batch[0].z) if batch else 0
    if rows > 1:
        variances = [one.variance * (rows / (rows - 1)) for one in batch]
        statistics = np.concatenate([*(one.mean for one in batch), *variances])
        buffers += float(momentum) * (statistics - buffers)
