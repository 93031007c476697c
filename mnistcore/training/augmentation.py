"""Training images that are deformed anew in each epoch: see the kernel ``augment``."""

from types import ModuleType

import numpy as np

from ..kernels.layout import AUGMENTATION_DTYPE, Augmentation

# Chosen by accuracy on images held out of MNIST's training set.
STRENGTHS = Augmentation(
    rotation=15.0,
    shear=0.15,
    scale=0.15,
    shift=0.07,
    elastic=0.04,
    smoothness=0.16,
    thickness=0.5,
)


def make_augmentation(**strengths: float) -> np.ndarray:
    """Return the options (1,) of ``augment``.

    Parameters
    ----------
    **strengths
        Fields of :class:`.layout.Augmentation`; the others have the strengths that suit digits.

    Raises
    ------
    TypeError
        If a name is not that of a field.

    Examples
    --------
    >>> from mnistcore.training.augmentation import make_augmentation
    >>> float(make_augmentation(rotation=5)["rotation"][0])
    5.0
    """
    unknown = sorted(strengths.keys() - set(Augmentation._fields))
    if unknown:
        known = ", ".join(Augmentation._fields)
        raise TypeError(f"unknown strengths of augmentation: {', '.join(unknown)}; known: {known}")
    options = np.zeros(1, AUGMENTATION_DTYPE)
    options[0] = STRENGTHS._replace(**strengths)
    return options


class Augmenter:
    """Deforms the rows of x that a slice trains on, before it does.

    A deformation depends on seed, epoch and row alone, so slices may be cut anywhere.

    Parameters
    ----------
    kernels
        The module of a backend.
    x
        (N, side * side) uint8, C-contiguous, not written.
    options
        From :func:`make_augmentation`.
    seed
        The seed of the deformations.

    Raises
    ------
    ValueError
        If the pixels are not 8-bit numbers, the images not squares or too large, or a strength is
        out of range.
    """

    def __init__(
        self, kernels: ModuleType, x: np.ndarray, options: np.ndarray, seed: int
    ) -> None:
        if x.dtype != np.uint8:
            raise ValueError(
                f"augmentation deforms 8-bit pixels (uint8), and these are {x.dtype}"
            )
        self._kernels, self._x, self._options, self._seed = kernels, x, options, seed
        self._deformed = np.empty_like(x)  # takes no memory until it is written
        self(0, np.empty(0, np.int64))

    def __call__(self, epoch: int, samples: np.ndarray) -> np.ndarray:
        """Deform the rows whose numbers are in ``samples``, and return an x that has them."""
        self._kernels.augment(
            self._x, samples, self._options, self._seed, epoch, self._deformed
        )
        return self._deformed
