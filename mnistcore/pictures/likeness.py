"""Tell digits from other ink with a small network of its own.

It was trained to tell digits (MNIST's and the built-in ones) from letters, signs, doodles and
scraps. It is used whichever network reads the digits, because a network that was trained on
digits alone confidently reads an x as some digit. ``python -m benchmarks.likeness`` makes its
file.
"""

from functools import cache
from pathlib import Path

import numpy as np

from ..kernels import numpy_kernels
from ..models.checkpoint import load
from ..models.model import Model
from .frame import averaged

WEIGHTS = Path(__file__).with_name("likeness.safetensors")
_DIRECTIONS = 8
_CELL = 4  # pixels
_SURE = 15.0  # the log odds of one view are clipped here


def digit_margins(views: np.ndarray) -> np.ndarray:
    """Return the log odds (N,) of being a digit minus the threshold; negative inks are refused.

    Parameters
    ----------
    views
        (N, V, 28, 28) uint8, ink bright: V views of each, made by :func:`.frame.normalised`.
    """
    model = _model()
    margins: np.ndarray = likeness(model, views) - model.config["least"]
    return margins


@cache
def _model() -> Model:
    return load(WEIGHTS)


def likeness(model: Model, views: np.ndarray) -> np.ndarray:
    """Return the log odds (N,) of a digit, averaged over views (N, V, 28, 28) and shifts."""

    def odds(images: np.ndarray) -> np.ndarray:
        logits = model.logits(numpy_kernels, features(images))
        clipped: np.ndarray = np.logaddexp.reduce(logits[:, :-1], axis=1) - logits[:, -1]
        return clipped.clip(-_SURE, _SURE)

    return averaged(odds, views)


def features(images: np.ndarray) -> np.ndarray:
    """Return ink and edge directions (N, 9, 49) uint8 of images (N, 28, 28).

    The ink and the gradient in eight directions are channels, averaged over cells of 4 x 4
    pixels, so that a small slant or shift changes little. A simple form of N. Dalal, B. Triggs,
    "Histograms of oriented gradients for human detection", 2005.
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
