"""The data of a run: the data set that it was trained on, and how its images were split."""

import numpy as np

from ..data import Dataset
from ..data.preprocess import same_scale
from ..models.model import Model, fitted
from ..training.data_options import RunDataOptions
from .folder import Run

SPLITS = ("test", "validation", "train")


def load_run_data(run: Run, options: RunDataOptions | None = None) -> Dataset:
    """Load the data set that a run was trained on, or the one that the options name.

    Parameters
    ----------
    run
        The run. If it does not record its data, "auto" is loaded.
    options
        Each option that is given overrides what the run records. Data that they name is read
        without the run's transposition and names of classes.

    Returns
    -------
    Dataset
        With its labels counted in the classes of the run, and a notice if the run was trained on
        other data; see :func:`compared`.

    Raises
    ------
    ValueError
        If the data cannot be found or used, or does not fit the run.
    """
    options = options or RunDataOptions()
    return compared(run, options.load_or_own(run.model, run.summary.get("data")))


def trained_on(run: Run, dataset: Dataset) -> bool | None:
    """Return whether the data has the checksum of the run's; None if the run records none."""
    known = run.model.data
    return None if known is None else known.checksum == dataset.checksum


def compared(run: Run, dataset: Dataset) -> Dataset:
    """Return the data set, in the classes of the run, noted if the run was trained on other data.

    Other data without test images of its own is used for the test as a whole.

    Raises
    ------
    ValueError
        If the size of the images or the classes do not fit; see :func:`.model.fitted`.
    """
    dataset = fitted(run.model, dataset)
    known, name = run.model.data, run.summary.get("data")
    if known is None:
        if not isinstance(name, str) or name == dataset.name:
            return dataset
        return dataset.noted(_other(name, dataset.name))
    if known.checksum == dataset.checksum:
        return dataset
    then, now = known.name, dataset.name
    if then == now:
        then, now = (folder or now for folder in (known.folder, dataset.folder))
    notice = _other(then, now)
    if then == now:
        notice = (
            f"The content of {now} has changed since the network was trained; these are figures"
            " on its current content."
        )
    if dataset.name not in known.name.split("+"):
        dataset = dataset.all_for_test()  # the run saw none of its images
    of_run, of_data = run.model.pixel_max, dataset.pixel_max
    if of_run is not None and not same_scale(of_run, of_data):
        notice += f" Pixels reach {of_run:g} there, {of_data:g} here; they are scaled alike."
    return dataset.noted(notice)


def _other(then: str, now: str) -> str:
    return f"The network was trained on other data ({then}); these are figures on {now}."


def split_indices(model: Model, dataset: Dataset, split: str) -> np.ndarray:
    """Return the indices (N,) int64 of the images in a split, sorted.

    The split "test" indexes the test images. "train" and "validation" index the training images
    and are drawn again exactly as in the model's training.

    Raises
    ------
    ValueError
        If the split is unknown, the run held out no validation images, or the model does not
        record how its training images were split.
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
