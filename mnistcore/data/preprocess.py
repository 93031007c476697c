"""Prepare pixels and labels for a network: splits, scaling, flattening, one-hot."""

import math

import numpy as np

_CHUNK = 2**20
_BYTE = 255.0
_LOOKED_AT = 500  # images whose rims tell paper from ink
_BRIGHT = 0.75  # of an image's own range: paper, and not a grey between
NEAR = 0.1  # of the range of pixels: faint ink and uneven paper still end at 0 and 1
_APART = 0.5  # of what pixels reach: ends that are so far apart are those of different scales
_SPLIT_STREAM = 1  # separates these draws from others of the same seed
_FOLDS_STREAM = 3


def train_validation_split(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split sample indices at random into two parts with the same mix of classes.

    Parameters
    ----------
    labels : ndarray of integers, shape (N,)
    fraction : float
        Share of the samples in the validation part, 0 <= `fraction` < 1.
    seed : int
        Not negative; the same seed gives the same split.

    Returns
    -------
    train_indices, validation_indices : ndarray of int64
        Sorted; every index is in exactly one of them. The validation part has ``fraction * N``
        samples, rounded, and at least one unless `fraction` is 0. Every class is in both parts
        if the sizes allow it.

    Raises
    ------
    TypeError
        `labels` are not integers.
    ValueError
        `fraction` or `seed` is out of range, or there are too few samples to split.
    """
    labels = _checked_labels(labels)
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction is {fraction}; it must be at least 0 and below 1")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must not be negative")
    if fraction == 0:
        return np.arange(len(labels)), np.empty(0, np.int64)
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} samples cannot be split; use fraction 0")
    n_validation = min(max(math.floor(fraction * len(labels) + 0.5), 1), len(labels) - 1)
    classes, class_of = np.unique(labels, return_inverse=True)
    counts = _validation_counts(np.bincount(class_of), n_validation)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SPLIT_STREAM,)))
    in_validation = np.zeros(len(labels), bool)
    for k in range(len(classes)):
        members = np.flatnonzero(class_of == k)
        in_validation[rng.permutation(members)[: counts[k]]] = True
    return np.flatnonzero(~in_validation), np.flatnonzero(in_validation)


def _validation_counts(sizes: np.ndarray, n_validation: int) -> np.ndarray:
    """Distribute `n_validation` samples over classes of these sizes, by largest remainder.

    A class of two or more samples gets at least one on either side if possible.
    """
    quota = sizes * (n_validation / sizes.sum())
    least = (sizes >= 2).astype(np.int64)
    if least.sum() > n_validation:
        least[:] = 0
    most = np.maximum(sizes - 1, least)
    if most.sum() < n_validation:
        most = sizes
    counts: np.ndarray = np.clip(np.floor(quota).astype(np.int64), least, most)
    while counts.sum() < n_validation:
        counts[np.argmax(np.where(counts < most, quota - counts, -np.inf))] += 1
    while counts.sum() > n_validation:
        counts[np.argmax(np.where(counts > least, counts - quota, -np.inf))] -= 1
    return counts


def fold_split(labels: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split sample indices at random into cross-validation folds with the same mix of classes.

    Parameters
    ----------
    labels : ndarray of integers, shape (N,)
    folds : int
        2 <= `folds` <= N.
    seed : int
        Not negative; the same seed gives the same folds.

    Returns
    -------
    list of (train_indices, validation_indices)
        One pair per fold, both sorted int64. Every sample is in the validation part of exactly
        one fold. Fold sizes differ by at most one, also within each class.

    Raises
    ------
    TypeError
        `labels` are not integers.
    ValueError
        `folds` or `seed` is out of range.
    """
    labels = _checked_labels(labels)
    if not 2 <= folds <= len(labels):
        raise ValueError(f"folds is {folds}; it must be at least 2 and at most {len(labels)}")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must not be negative")
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_FOLDS_STREAM,)))
    shuffled = rng.permutation(len(labels))
    dealt = shuffled[np.argsort(labels[shuffled], kind="stable")]  # grouped by class
    fold_of = np.empty(len(labels), np.int64)
    fold_of[dealt] = np.arange(len(labels)) % folds  # round robin
    return [(np.flatnonzero(fold_of != f), np.flatnonzero(fold_of == f)) for f in range(folds)]


def one_hot(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return a float32 matrix of shape (N, n_classes) with a one at each label's column.

    Raises
    ------
    TypeError
        `labels` are not integers.
    ValueError
        A label is negative or not below `n_classes`.
    """
    labels = _checked_labels(labels)
    if labels.size and (labels.min() < 0 or labels.max() >= n_classes):
        raise ValueError(
            f"labels span {labels.min()}..{labels.max()}; they must lie in 0..{n_classes - 1}"
        )
    encoded = np.zeros((len(labels), n_classes), np.float32)
    encoded[np.arange(len(labels)), labels] = 1
    return encoded


def pixel_statistics(images: np.ndarray) -> tuple[float, float]:
    """Return mean and (population) standard deviation of all pixels on the scale [0, 1].

    Parameters
    ----------
    images : ndarray of uint8, any shape

    Returns
    -------
    mean, std : float
        Of ``images / 255``, from an exact histogram of the 256 values.

    Raises
    ------
    TypeError
        `images` is not uint8.
    ValueError
        `images` is empty.
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images are {images.dtype}; they must be uint8")
    if images.size == 0:
        raise ValueError("there are no pixels to take the mean of")
    pixels = images.reshape(-1)
    histogram = np.zeros(256, np.int64)
    for start in range(0, pixels.size, _CHUNK):  # bincount works on an int64 copy
        histogram += np.bincount(pixels[start : start + _CHUNK], minlength=256)
    values = np.arange(256) / 255
    mean = histogram @ values / pixels.size
    variance = histogram @ (values - mean) ** 2 / pixels.size
    return float(mean), math.sqrt(variance)


def as_pixels(images: np.ndarray, name: str = "images") -> np.ndarray:
    """Return images as the kernels take them: C-contiguous, uint8 if they fit, else float32.

    Parameters
    ----------
    images : ndarray of booleans, integers or floats, shape (N, ...)
        In any byte order. Not copied unless necessary.
    name : str
        Name used in error messages.

    Raises
    ------
    TypeError
        `images` has an unsupported dtype.
    ValueError
        `images` has fewer than two dimensions, or a pixel is not finite in float32.
    """
    images = np.asarray(images)
    if images.dtype.kind not in "buif":
        raise TypeError(f"{name} are {images.dtype}; they must be integers, booleans or floats")
    if images.ndim < 2:
        raise ValueError(f"{name} have shape {images.shape}; it must be (N, H, W)")
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    whole = images.dtype.kind != "f"
    if whole and (not images.size or 0 <= images.min() <= images.max() <= 255):
        return np.ascontiguousarray(images, np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):  # the check below reports it
        images = np.ascontiguousarray(images, np.float32)
    pixels = images.reshape(-1)
    if not all(np.isfinite(pixels[i : i + _CHUNK]).all() for i in range(0, pixels.size, _CHUNK)):
        raise ValueError(f"pixels of {name} are not finite in float32; replace them")
    return images


def as_labels(labels: np.ndarray, name: str = "labels") -> np.ndarray:
    """Return class ids as the kernels take them: C-contiguous int32 of shape (N,).

    Raises
    ------
    TypeError
        `labels` are not integers.
    ValueError
        `labels` are not one-dimensional, or out of the range of int32.
    """
    labels = _checked_labels(labels, name)
    if labels.size and not -(2**31) <= labels.min() <= labels.max() < 2**31:
        raise ValueError(f"{name} span {labels.min()}..{labels.max()}; that is outside int32")
    return np.ascontiguousarray(labels, np.int32)


def pixel_range(images: np.ndarray) -> float:
    """Return the pixel value by which images are divided to reach [0, 1].

    It is the largest absolute value, except that values above 127.5 and up to 255 give 255:
    the bytes of a dim data set are still bytes. So 0/1 images are divided by 1, those in 0..16
    by 16, floats in [0, 1] by 1 or a little less, and bytes by 255. If all pixels are 0, or
    there are none, it is 255.
    """
    pixels = images.reshape(-1)
    top = 0.0
    for start in range(0, pixels.size, _CHUNK):
        part = pixels[start : start + _CHUNK]
        top = max(top, float(part.max()), -float(part.min()) if part.dtype.kind != "u" else 0.0)
        if part.dtype == np.uint8 and top > _BYTE / 2:
            break  # no pixel can change the answer
    return _BYTE if top == 0 or _BYTE / 2 < top <= _BYTE else top


def same_scale(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two ranges of pixels are alike: less than a factor of 2 apart, and at similar ends.

    So 0 to 1 and -1 to 1 are not, nor 0 to 1 and 0 to 255.
    """
    top, other_top = (max(map(abs, ends)) for ends in (one, other))
    if not (top < 2 * other_top and other_top < 2 * top):
        return False
    return all(abs(a / top - b / other_top) < _APART for a, b in zip(one, other, strict=True))


def range_in_words(low: float, high: float) -> str:
    """Return a range of pixels as messages name it."""
    return f"from {low:g} to {high:g}" if low < 0 else f"up to {high:g}"


def rim_of(images: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of each image (N, H, W)."""
    sides = images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]
    return np.concatenate(sides, axis=1)


def paper_and_ink(images: np.ndarray, pixel_max: float) -> tuple[float, float]:
    """Return the pixels of paper and of ink, in units of `pixel_max`.

    They are the least and the largest pixel of most images, or exactly 0 and 1 where these are
    near; the other way round if the rims of most images are bright within their own range, as
    those of dark ink on paper are.
    """
    if images.ndim != 3 or not images.size:
        return 0.0, 1.0
    rows = np.unique(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(np.int64))
    some = images[rows].astype(np.float64)
    lowest, highest = some.min(axis=(1, 2)), some.max(axis=(1, 2))
    drawn = highest > lowest
    if not drawn.any():
        return 0.0, 1.0
    some, lowest, highest = some[drawn], lowest[drawn], highest[drawn]
    rims = (np.median(rim_of(some), axis=1) - lowest) / (highest - lowest)
    low, high = float(np.median(lowest)) / pixel_max, float(np.median(highest)) / pixel_max
    low, high = 0.0 if abs(low) < NEAR else low, 1.0 if high > 1 - NEAR else high
    if low >= high:
        return 0.0, 1.0
    return (high, low) if np.median(rims) > _BRIGHT else (low, high)


def pixel_ends(paper: float, ink: float, pixel_max: float) -> tuple[float, float]:
    """Return the ends of the pixels' range: 0 and `pixel_max`, unless paper or ink is below 0."""
    low, high = sorted((paper, ink))
    return (low * pixel_max, high * pixel_max) if low < 0 else (0.0, pixel_max)


def ends_of(images: np.ndarray) -> tuple[float, float]:
    """Return the ends of the range of images' pixels; see :func:`pixel_ends`."""
    return ends_and_ink(images)[0]


def ends_and_ink(images: np.ndarray) -> tuple[tuple[float, float], bool]:
    """Return :func:`ends_of` images (N, H, W), and whether their ink is darker than their paper."""
    top = pixel_range(images)
    paper, ink = paper_and_ink(images, top)
    return pixel_ends(paper, ink, top), paper > ink


def as_bytes(images: np.ndarray, pixel_max: float) -> np.ndarray:
    """Return images for display, as uint8: 0 stays 0 and `pixel_max` becomes 255."""
    if images.dtype == np.uint8 and pixel_max == _BYTE:
        return images
    shades = np.rint(images * (_BYTE / pixel_max))
    return np.asarray(shades.clip(0, _BYTE), np.uint8)


def input_scaling(
    images: np.ndarray, standardize: bool, pixel_max: float | None = None
) -> tuple[float, float]:
    """Return the scale and shift that turn raw pixels into a network's input.

    The input is ``pixel * scale + shift``: pixels divided by their range, or standardised with
    the mean and standard deviation over all pixels (for MNIST 0.1307 and 0.3081, times 255).

    Parameters
    ----------
    images : ndarray of uint8 or float32
        The training images.
    standardize : bool
    pixel_max : float, optional
        Their range, if known; see `pixel_range`.

    Raises
    ------
    ValueError
        All pixels are equal, and `standardize` is true.
    """
    if not standardize:
        return 1 / (pixel_max or pixel_range(images)), 0.0
    if images.dtype == np.uint8:
        unit = 1 / 255
        mean, std = pixel_statistics(images)
    else:
        unit = 1.0
        mean, std = _moments(images)
    if std == 0:
        raise ValueError("all pixels have the same value, which cannot be standardised")
    return unit / std, -mean / std


def _moments(images: np.ndarray) -> tuple[float, float]:
    """Return the mean and standard deviation of all pixels, in float64, by chunks."""
    pixels = images.reshape(-1)
    parts = [pixels[i : i + _CHUNK] for i in range(0, pixels.size, _CHUNK)]
    mean = math.fsum(float(part.sum(dtype=np.float64)) for part in parts) / pixels.size
    squares = math.fsum(float(((part - np.float64(mean)) ** 2).sum()) for part in parts)
    return mean, math.sqrt(squares / pixels.size)


def flatten(images: np.ndarray) -> np.ndarray:
    """Return images of shape (N, H, W) as a view of shape (N, H * W), never a copy.

    Raises
    ------
    ValueError
        `images` is not C-contiguous or has fewer than two dimensions.
    """
    if images.ndim < 2:
        raise ValueError(f"images have shape {images.shape}; it must be (N, H, W)")
    if not images.flags.c_contiguous:
        raise ValueError("images are not contiguous; pass them through np.ascontiguousarray")
    return images.reshape(len(images), math.prod(images.shape[1:]))


def scale_images(images: np.ndarray, scale: float, shift: float) -> np.ndarray:
    """Return ``images * scale + shift`` as float32, in the same shape."""
    scaled: np.ndarray = images.astype(np.float32)
    scaled *= np.float32(scale)
    scaled += np.float32(shift)
    return scaled


def _checked_labels(labels: np.ndarray, name: str = "labels") -> np.ndarray:
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"{name} are {labels.dtype}; they must be integers")
    if labels.ndim != 1:
        raise ValueError(f"{name} have shape {labels.shape}; it must be (N,)")
    return labels
