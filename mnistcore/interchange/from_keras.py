"""Read ``.keras`` files: a zip of ``config.json`` and ``model.weights.h5``."""

import json
import zipfile
from pathlib import Path

from . import from_hdf5
from .weight_file import ZIP_ERRORS, WeightFile, one_line

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


def read(path: Path) -> WeightFile:
    """Read a model that Keras saved; no code in it is run. The zip's sizes are checked by now.

    Raises
    ------
    ValueError
        If the file is damaged.
    MissingExtraError
        If h5py is not installed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(_WEIGHTS)
            text = archive.read(_CONFIG)
    except ZIP_ERRORS as error:
        reason = one_line(error)
        raise ValueError(f"is a damaged or unknown .keras file ({reason})") from error
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"has a {_CONFIG} that cannot be read") from error
    if not isinstance(config, dict):
        raise ValueError(f"has a {_CONFIG} that cannot be read")
    return from_hdf5.read(content, config)
