"""The data of a run: what it was trained on, and which images were for what."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .checkpoint import Model
from .data import DataNotFoundError, Dataset, load_data
from .run_folder import Run

SPLITS = ("test", "validation", "train")


def load_run_data(run: Run, data: str | None = None, data_dir: str | None = None) -> Dataset:
    """The data set that a run was trained on, or the one that is named.

    Parameters
    ----------
    run
        Its options say where its data lay; what they do not say is "auto".
    data, data_dir
        As for :func:`.data.load_data`; either one replaces what the run says.

    Returns
    -------
    Dataset
        With a notice where the run was trained on other data.

    Raises
    ------
    ValueError
        If the data cannot be found or used.
    """
    if data is not None or data_dir is not None:
        dataset = load_data(data or "auto", data_dir)
    else:
        dataset = _own_data(run)
    trained_on = run.summary.get("data")
    if dataset.notice is None and isinstance(trained_on, str) and trained_on != dataset.name:
        notice = f"The model was trained on {trained_on}; these are figures on {dataset.name}."
        return dataclasses.replace(dataset, notice=notice)
    return dataset


def _own_data(run: Run) -> Dataset:
    options = run.model.config
    data, data_dir = _text(options, "data") or "auto", _text(options, "data_dir")
    if data == "auto" and run.summary.get("data") == "synthetic":
        data, data_dir = "synthetic", None
    try:
        return load_data(data, data_dir)
    except DataNotFoundError as error:
        raise DataNotFoundError(f"the data of the run: {error}") from error


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    return value if isinstance(value, str) else None


def check_fit(model: Model, dataset: Dataset) -> None:
    """See that a model takes the images of a data set and knows its classes.

    Raises
    ------
    ValueError
        If it does not.
    """
    shape = dataset.train_images.shape[1:]
    flat = (math.prod(shape),)  # the shape of a model that never knew of rows and columns
    if model.input_shape not in (shape, flat):
        taken, given = (" x ".join(map(str, sizes)) for sizes in (model.input_shape, shape))
        raise ValueError(f"the model takes images of {taken} pixels; {dataset.name} has {given}")
    known, labels = len(model.class_names), len(dataset.class_names)
    if labels > known:
        raise ValueError(f"the model knows {known} classes; {dataset.name} has {labels}")


def split_indices(model: Model, dataset: Dataset, split: str) -> np.ndarray:
    """Which images of a data set belong to a split, int64, sorted.

    "test" counts the test images; "train" and "validation" count the training images, and are
    drawn again as the model's training drew them.

    Raises
    ------
    ValueError
        If there is no such split, or the model does not say how its images were split.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if split == "test":
        return np.arange(len(dataset.test_labels))
    fraction, seed = model.config.get("validation_fraction"), model.config.get("seed")
    if not isinstance(fraction, int | float) or not isinstance(seed, int):
        raise ValueError(
            "the model does not say how its training images were split; use split test"
        )
    train, validation = dataset.split(fraction, seed)
    if split == "validation" and not len(validation):
        raise ValueError("the run held no images out for validation; use split test or train")
    return train if split == "train" else validation
