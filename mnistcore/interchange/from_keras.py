"""Read ``.keras`` files: a zip of ``config.json`` and ``model.weights.h5``."""

from pathlib import Path

from ..system.npz import unzipped
from ..system.text import parsed
from . import from_hdf5
from .weight_file import WeightFile

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
    with unzipped(path, "or unknown .keras file") as archive:
        content = archive.read(_WEIGHTS)
        text = archive.read(_CONFIG)
    try:
        config = parsed(text)
    except ValueError as error:
        raise ValueError(f"has a {_CONFIG} that cannot be read") from error
    if not isinstance(config, dict):
        raise ValueError(f"has a {_CONFIG} that cannot be read")
    return from_hdf5.read(content, config)
