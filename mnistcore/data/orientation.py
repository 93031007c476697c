"""Tell whether digits are upright: the files of some data sets hold them transposed.

A linear classifier trained on the built-in digits reads the images as they are and in the seven
other orientations of a square. Digits that are not upright are read far better in one of those;
images that are not digits are read in none. This takes about 50 ms.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from mnistcore.data.preprocess import rim_of
from mnistcore.data.synthetic import make_digits

UPRIGHT, NO_DIGITS = "upright", "no digits"
_SAMPLE = 500  # images examined
_DRAWN = 500  # built-in digits that the classifier learns from
_LARGEST = 64  # pixels a side: larger images are subsampled to at most this
_SIDE = 10  # pixels a side that an image is resampled to
_RIDGE = 1.0
_FEWEST_IMAGES = 30
_FEWEST_CLASSES = 6  # with fewer, letters may be read as digits by accident
# 73 % of MNIST's training images are read correctly as they are and at most 45 % in any other
# orientation; of 8 x 8 digits, 71 and 40 %. Of ten letters of a font, drawn at random 4,000 times,
# never more than 46 % are; of six letters, 60 % in one draw of 1,000.
_READABLE = {True: 0.5, False: 0.6}  # by whether they are upright
_CLEARLY = 4.0  # standard deviations by which another orientation must beat upright

# Orientations of images, and the transforms that turn them upright.
_WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda x: x.transpose(0, 2, 1),
    "mirrored left to right": lambda x: x[:, :, ::-1],
    "upside down": lambda x: x[:, ::-1, ::-1],
    "mirrored top to bottom": lambda x: x[:, ::-1],
    "turned a quarter clockwise": lambda x: np.rot90(x, 1, (1, 2)),
    "turned a quarter counter-clockwise": lambda x: np.rot90(x, 3, (1, 2)),
    "transposed and upside down": lambda x: x[:, ::-1, ::-1].transpose(0, 2, 1),
}


def look_of(images: np.ndarray, labels: np.ndarray) -> str | None:
    """Return how digits lie: UPRIGHT, another orientation such as "transposed", or NO_DIGITS.

    None if it cannot be determined, which takes at least 30 images of at least six classes.

    Parameters
    ----------
    images : ndarray of uint8 or float32, shape (N, H, W)
        Ink may be brighter or darker than the paper.
    labels : ndarray of int32, shape (N,)
        The digit of each image, 0 to 9.
    """
    if images.ndim != 3 or min(images.shape) < 2:
        return None
    rows = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(np.int64))
    labels = labels[rows]
    few = len(labels) < _FEWEST_IMAGES or len(np.unique(labels)) < _FEWEST_CLASSES
    if few or labels.max() > 9:
        return None
    step = -(-max(images.shape[1:]) // _LARGEST)
    squares = _squares(images[rows, ::step, ::step])
    read = _reader()
    upright = read(squares) == labels
    turned = {way: read(turn(squares)) == labels for way, turn in _WAYS.items()}
    hits = {UPRIGHT: upright, **turned}
    best = max(hits, key=lambda way: int(hits[way].sum()))
    if hits[best].mean() < _READABLE[best == UPRIGHT]:
        return NO_DIGITS
    ahead, behind = (hits[best] & ~upright).sum(), (upright & ~hits[best]).sum()
    clear = best == UPRIGHT or ahead - behind > _CLEARLY * np.sqrt(ahead + behind)
    return best if clear else None


@cache
def _reader() -> Callable[[np.ndarray], np.ndarray]:
    """Return a ridge regression from squares (N, S, S) to digits (N,)."""
    images, labels = make_digits(_DRAWN, 0)
    x = _rows(_squares(images))
    weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ np.eye(10)[labels])
    return lambda squares: (_rows(squares) @ weights).argmax(axis=1)


def _rows(squares: np.ndarray) -> np.ndarray:
    """Return a row per image, of mean 0 and length 1, with a one appended for the bias."""
    x = squares.reshape(len(squares), -1)
    x = x - x.mean(axis=1, keepdims=True)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _squares(images: np.ndarray) -> np.ndarray:
    """Scale the ink to squares (N, S, S) that it fills in one direction."""
    x = images.astype(np.float32)
    x = np.abs(x - np.median(rim_of(x)))
    x /= np.maximum(x.max(axis=(1, 2), keepdims=True), 1e-9)
    ink = x > 0.3
    (top, bottom), (left, right) = _bounds(ink.any(axis=2)), _bounds(ink.any(axis=1))
    side = np.maximum(bottom - top, right - left)
    down = _resampling((top + bottom) / 2, side, x.shape[1])
    across = _resampling((left + right) / 2, side, x.shape[2])
    squares: np.ndarray = down @ x @ across.transpose(0, 2, 1)
    return squares


def _bounds(filled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first filled index (N,) of each row (N, L), and the one after the last."""
    return filled.argmax(axis=1), filled.shape[1] - filled[:, ::-1].argmax(axis=1)


def _resampling(middle: np.ndarray, side: np.ndarray, length: int) -> np.ndarray:
    """Return weights (N, S, L) that resample the surroundings of each middle to S pixels."""
    places = (np.arange(_SIDE) + 0.5) / _SIDE - 0.5
    at = middle[:, None] + places * side[:, None] - 0.5
    width = np.maximum(side / _SIDE, 1)[:, None, None]
    weights = np.maximum(1 - np.abs(at[:, :, None] - np.arange(length)) / width, 0)
    weights /= np.maximum(weights.sum(axis=2, keepdims=True), 1e-9)
    return weights.astype(np.float32)
