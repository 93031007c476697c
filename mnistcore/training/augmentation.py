"""Images that are deformed for training, anew in each epoch, or for a test: see ``augment``."""

from collections.abc import Callable, Iterator
from numbers import Real
from types import ModuleType

import numpy as np

from ..kernels.checks.kernels import MOST_SIDE
from ..kernels.checks.kernels import STRENGTHS as RANGES
from ..kernels.layout import AUGMENTATION_DTYPE, Augmentation
from ..system.errors import by

# Chosen by accuracy on images held out of MNIST's training set.
STRENGTHS = Augmentation(
    rotation=10.0,
    shear=0.12,
    scale=0.12,
    shift=0.03,
    elastic=0.03,
    smoothness=0.16,
    thickness=0.5,
)

StrengthSchedule = Callable[[int], np.ndarray]  # epoch, from 1 -> the options of ``augment``

MOST_FACTOR = 5  # the largest that ``make_augmentation`` takes
_MULTIPLIED = ("rotation", "shear", "scale", "shift", "elastic")

# For the test, chosen likewise: of all strengths only the thickness of strokes gains there.
TEST_STRENGTHS = STRENGTHS._replace(
    rotation=0.0, shear=0.0, scale=0.0, shift=0.0, elastic=0.0, thickness=0.25
)


def make_augmentation(factor: float = 1.0, /, **strengths: float) -> np.ndarray:
    """Return the options (1,) of ``augment``.

    Parameters
    ----------
    factor
        How strong the deformations are that are not given, as a multiple of those that suit digits;
        the smoothness of the elastic ones and the thickness of strokes do not depend on it.
    **strengths
        Fields of :class:`.layout.Augmentation`; the others have the strengths that suit digits.

    Raises
    ------
    TypeError
        If a strength is not a number.
    ValueError
        If a name is not that of a field, or a strength is out of the range of its field.

    Examples
    --------
    >>> from mnistcore.training.augmentation import make_augmentation
    >>> options = make_augmentation(1.5, shear=0.1)
    >>> float(options["rotation"][0]), float(options["shear"][0])
    (15.0, 0.1)
    """
    unknown = sorted(strengths.keys() - set(Augmentation._fields))
    if unknown:
        known = ", ".join(Augmentation._fields)
        raise ValueError(f"augment has no strength {', '.join(unknown)}; known: {known}")
    options = np.zeros(1, AUGMENTATION_DTYPE)
    multiplied = {name: factor * getattr(STRENGTHS, name) for name in _MULTIPLIED}
    chosen = STRENGTHS._replace(**{**multiplied, **strengths})
    for (name, (low, high)), value in zip(RANGES.items(), chosen, strict=True):
        if not isinstance(value, Real):
            raise TypeError(f"augment: {name} must be a number, got {value!r}")
        if not low <= value <= high:
            raise ValueError(f"augment: {name} must be in [{low}, {high}], got {value}")
    options[0] = chosen
    return options


def faded(options: np.ndarray, share: float, epoch: int, epochs: int) -> np.ndarray:
    """Return the options (1,) for an epoch, from 1, if images are to be less deformed in the end.

    In the last ``share`` of the epochs the strengths fall, to 0 in the last one, so that the small
    learning rates at the end learn from images as they will be in use. Ge et al. 2021, "YOLOX",
    section 2.1, switch off augmentation in the last epochs.
    """
    left = (epochs - epoch) / (share * epochs) if share else 1.0
    options = options.copy()
    for name in set(Augmentation._fields) - {"smoothness"}:
        options[name] *= min(1.0, left)
    return options


def check_images(images: np.ndarray, what: str = "augment") -> None:
    """Raise ValueError unless images can be deformed: squares (N, side, side) of 8-bit pixels.

    ``what`` is what deforms them in the message.
    """
    shape = images.shape[1:]
    if len(shape) != 2 or shape[0] != shape[1] or not 1 <= shape[0] <= MOST_SIDE:
        raise ValueError(
            f"{what} deforms square images of up to {MOST_SIDE} pixels a side; these are"
            f" {by(shape)}"
        )
    if images.dtype != np.uint8:
        raise ValueError(
            f"{what} deforms 8-bit pixels (uint8); those of the images are {images.dtype}"
        )


def deformed(
    kernels: ModuleType,
    images: np.ndarray,
    samples: np.ndarray,
    strengths: StrengthSchedule,
    seed: int,
    epochs: int,
) -> Iterator[np.ndarray]:
    """Yield some images as a run trains on them, in each epoch from the first on.

    Parameters
    ----------
    kernels
        The module of a backend.
    images
        (N, side, side) uint8, C-contiguous, the training images of the run.
    samples
        (n,) int64, the numbers of the images to deform.
    strengths
        The options of ``augment`` for each epoch, from :func:`make_augmentation`.
    seed
        The seed of the run.
    epochs
        How many epochs.

    Yields
    ------
    epoch
        (n, side, side) uint8.
    """
    x = images.reshape(len(images), -1)
    out = np.empty_like(x)
    for epoch in range(1, epochs + 1):
        kernels.augment(x, samples, strengths(epoch), seed, epoch, out)
        yield out[samples].reshape(len(samples), *images.shape[1:])


def versions_of(
    kernels: ModuleType,
    images: np.ndarray,
    samples: np.ndarray,
    versions: int,
    seed: int = 0,
    strengths: Augmentation = TEST_STRENGTHS,
) -> Iterator[np.ndarray]:
    """Yield images as they are, then deformed in ``versions - 1`` ways.

    Parameters
    ----------
    kernels
        The module of a backend.
    images
        (N, H, W); to be deformed, (N, side, side) uint8.
    samples
        (n,) int64, the numbers of the images to yield.
    versions
        How many versions, at least 1.
    seed
        With the number of an image and that of the version, it determines the deformation.
    strengths
        How much they are deformed: by default, strokes become a little thicker or thinner.

    Yields
    ------
    version
        (n, H, W), C-contiguous.

    Raises
    ------
    ValueError
        If there is more than one version, and the images cannot be deformed.
    """
    images = np.ascontiguousarray(images)
    if versions > 1:
        check_images(images, "test-time augmentation")
    yield images if len(samples) == len(images) else images[samples]
    options = make_augmentation(**strengths._asdict())
    yield from deformed(kernels, images, samples, lambda _: options, seed, versions - 1)


class Augmenter:
    """Deforms the rows of x that are trained on next.

    A deformation depends on seed, epoch and row alone, so an epoch may be cut anywhere.

    Parameters
    ----------
    kernels
        The module of a backend.
    x
        (N, side * side) uint8, C-contiguous, not written.
    strengths
        The options of ``augment`` for each epoch, from :func:`make_augmentation`.
    """

    def __init__(self, kernels: ModuleType, x: np.ndarray, strengths: StrengthSchedule) -> None:
        self._kernels, self._x, self._strengths = kernels, x, strengths
        self._deformed = np.empty_like(x)

    def __call__(self, options: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Return an x whose rows ``samples`` are deformed for the seed and epoch of ``options``.

        The array is the same in each call. Its other rows are those of past calls, or undefined.
        """
        seed, epoch = int(options["seed"][0]), int(options["epoch"][0])
        strengths = self._strengths(epoch)
        self._kernels.augment(self._x, samples, strengths, seed, epoch, self._deformed)
        return self._deformed
