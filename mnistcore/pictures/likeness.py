"""How much ink resembles a digit, whichever: a small network that has seen both kinds of ink.

It knows MNIST's and the built-in digits from letters, signs, doodles and scraps, and is asked
whatever network reads the digits: one that was taught digits alone takes an x for a 1 and is sure.
``python -m benchmarks.likeness`` has made its file and makes it again.
"""

from functools import cache
from pathlib import Path

import numpy as np

from ..kernels import numpy_kernels
from ..models.checkpoint import Model, load

WEIGHTS = Path(__file__).with_name("likeness.safetensors")
_DIRECTIONS = 8
_CELL = 4  # pixels
_SURE = 15.0  # log odds of one view count no further
_SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


def digit_margins(views: np.ndarray) -> np.ndarray:
    """How far inks are from being refused (N,): the log odds of a digit above the threshold.

    Parameters
    ----------
    views
        (N, V, 28, 28) uint8, ink bright: views of each, as :func:`.frame.normalised` makes them.
    """
    model = _model()
    margins: np.ndarray = likeness(model, views) - model.config["least"]
    return margins


@cache
def _model() -> Model:
    return load(WEIGHTS)


def likeness(model: Model, views: np.ndarray) -> np.ndarray:
    """The log odds of a digit (N,), means over the views (N, V, 28, 28) and these a pixel aside."""
    shifted = np.stack([np.roll(views, shift, (2, 3)) for shift in _SHIFTS], axis=1)
    logits = model.logits(numpy_kernels, features(shifted.reshape(-1, *views.shape[2:])))
    odds = np.logaddexp.reduce(logits[:, :-1], axis=1) - logits[:, -1]
    means: np.ndarray = odds.clip(-_SURE, _SURE).reshape(len(views), -1).mean(axis=1)
    return means


def features(images: np.ndarray) -> np.ndarray:
    """Where edges run which way, and where ink is: (N, 9, 49) uint8 from images (N, 28, 28).

    The gradient in eight directions, a channel each, and the ink, in cells of 4 x 4 pixels. Strokes
    that lean or move a little change little of it (N. Dalal, B. Triggs, "Histograms of oriented
    gradients for human detection", 2005, in the plain way).
    """
    ink = images.astype(np.float32) / 255
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :, 2:] - padded[:, :, :-2]
    columns = padded[:, 2:] - padded[:, :-2]
    right = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    down = (columns[:, :, :-2] + 2 * columns[:, :, 1:-1] + columns[:, :, 2:]) / 4
    steepness = np.hypot(right, down)
    least = np.cos(2 * np.pi / _DIRECTIONS)
    channels = [ink]
    for angle in 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
        along = np.cos(angle) * right + np.sin(angle) * down - least * steepness
        channels.append(np.maximum(along, 0) / (1 - least))
    cells = images.shape[1] // _CELL
    stacked = np.stack(channels, axis=1).reshape(len(ink), -1, cells, _CELL, cells, _CELL)
    means = stacked.mean(axis=(3, 5)).reshape(len(ink), len(channels), -1)
    return np.rint(255 * means.clip(0, 1)).astype(np.uint8)
