"""A data set as a file or a folder holds it, before its labels become class ids.

Each format is a module with two functions: ``recognises(path)`` looks at what lies at a path,
quickly and without raising, and ``read(path)`` returns a :class:`RawData` or raises a
:class:`DataError` that names the file, the place in it and what to do. A new one has a row in
:data:`mnistcore.data.formats.FORMATS`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAX_IMAGES = 2**22  # of a part; labels and orders take far more memory than a tiny image
LONGEST_NAME = 200  # characters of a class


class DataError(ValueError):
    """Data cannot be used; the message names the file, the place in it and what to do."""


class DataNotFoundError(DataError, FileNotFoundError):
    """Data was not found in the places searched."""


class Part(NamedTuple):
    """Images (N, H, W) of uint8 or float32, and labels (N,): any integers, or class names (str)."""

    images: np.ndarray
    labels: np.ndarray


class RawData(NamedTuple):
    """What a format read.

    `test` is None if the source has training images only. `path` is what to name to read the data
    again, `source` says in words where it came from. `class_names` maps integer labels to names
    that the source publishes; labels without one are named by their number. `upright` says that
    the format knows how the images lie and has turned them, so that nobody turns them twice.
    """

    path: Path
    source: str
    train: Part
    test: Part | None = None
    class_names: Mapping[int, str] = {}
    notices: tuple[str, ...] = ()
    upright: bool = False
