"""A data set that is learnt in moments: 6x6 images of four classes, a bright corner each."""

from pathlib import Path

import numpy as np

from mnistcore.data import Dataset, load_data, write_idx
from mnistcore.data.folder import FILE_NAMES

N_TRAIN, N_TEST, N_CLASSES = 600, 120, 4
_CORNERS = ((0, 0), (0, 3), (3, 0), (3, 3))


def write_small_digits(folder: Path) -> Path:
    """Write the four IDX files of the data set into a new folder, and return it."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = (*_draw(rng, N_TRAIN), *_draw(rng, N_TEST))
    for name, array in zip(FILE_NAMES, arrays, strict=True):
        write_idx(folder / name, array)
    return folder


def small_digits(folder: Path) -> Dataset:
    """The data set, loaded from the files that this writes."""
    return load_data(write_small_digits(folder))


def _draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    labels = (np.arange(n) % N_CLASSES).astype(np.uint8)
    images = rng.integers(0, 120, (n, 6, 6), np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = _CORNERS[label]
        image[row : row + 3, column : column + 3] += rng.integers(40, 130, dtype=np.uint8)
    return images, labels
