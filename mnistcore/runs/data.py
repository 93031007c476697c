"""The data of a run: the data set that it was trained on, and how its images were split."""

from collections.abc import Sequence

import numpy as np

from ..data import Dataset
from ..models.datasets import fitted, scaling_notice
from ..models.model import Model
from ..training.data_options import RunDataOptions
from .folder import Run, as_runs

SPLITS = ("test", "validation", "train")


def load_run_data(run: Run | Sequence[Run], options: RunDataOptions | None = None) -> Dataset:
    """Load the data set that a run was trained on, or the one that the options name.

    Parameters
    ----------
    run
        The run, or several of one data set. If it does not record its data, "auto" is loaded.
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
        If the data cannot be found or used, or does not fit the run; or if none is named and the
        runs were trained on different data.
    """
    options, runs = options or RunDataOptions(), as_runs(run)
    known = {one.model.data.checksum: one for one in runs if one.model.data is not None}
    if options.data is None and options.data_dir is None and len(known) > 1:
        one, other, *_ = known.values()
        raise ValueError(
            f"{one.path} and {other.path} were trained on different data; name with data what to"
            " evaluate them on"
        )
    source = next(iter(known.values()), runs[0])
    return compared(run, options.load_or_own(source.model, source.summary.get("data")))


def trained_on(run: Run | Sequence[Run], dataset: Dataset) -> bool | None:
    """Return whether the data has the checksum of the run's; None if the run records none.

    Of several runs, whether it has that of each.
    """
    known = [one.model.data and one.model.data.checksum for one in as_runs(run)]
    if any(checksum not in (None, dataset.checksum) for checksum in known):
        return False
    return None if None in known else True


def compared(run: Run | Sequence[Run], dataset: Dataset) -> Dataset:
    """Return the data set, in the classes of the run, noted if the run was trained on other data.

    Other data without test images of its own is used for the test as a whole, unless one of
    several runs was trained on it.

    Raises
    ------
    ValueError
        If the size of the images or the classes do not fit; see :func:`.datasets.fitted`.
    """
    runs = as_runs(run)
    found = [_compared(one, dataset, f" of {one.path}" * (len(runs) > 1)) for one in runs]
    least = min(found, key=lambda data: len(data.test_labels))
    said, *others = ((data.notice or "").split("\n") for data in (least, *found))
    new = dict.fromkeys(line for lines in others for line in lines if line not in said)
    return least.noted("\n".join(new))


def _compared(run: Run, dataset: Dataset, of_which: str) -> Dataset:
    dataset = fitted(run.model, dataset)
    known, name = run.model.data, run.summary.get("data")
    scaling = scaling_notice(run.model, dataset.pixel_ends, of_which)
    if known is None:
        if isinstance(name, str) and name != dataset.name:
            dataset = dataset.noted(_other(of_which, name, dataset.name))
        return dataset.noted(scaling)
    if known.checksum == dataset.checksum:
        return dataset
    then, now = known.name, dataset.name
    if then == now:
        then, now = (folder or now for folder in (known.folder, dataset.folder))
    notice = _other(of_which, then, now)
    if then == now:
        notice = (
            f"The content of {now} has changed since the network{of_which} was trained; these are"
            " figures on its current content."
        )
        if dataset.held_out is not None:
            notice += " Other images are held out now: the network was trained on some of them."
    if dataset.name not in known.name.split("+"):
        dataset = dataset.all_for_test()  # the run saw none of its images
    if scaling:
        notice += f" {scaling}"
    if known.has_dark_ink != dataset.has_dark_ink:
        there, here = ("dark", "light") if known.has_dark_ink else ("light", "dark")
        notice += f" The ink is {there} there and {here} here, so expect most to be read wrong."
    return dataset.noted(notice)


def _other(of_which: str, then: str, now: str) -> str:
    trained = f"The network{of_which} was trained on other data ({then})"
    return f"{trained}; these are figures on {now}."


def common_indices(models: Sequence[Model], dataset: Dataset, split: str) -> np.ndarray:
    """Return the indices (N,) of a split that several models share.

    Raises
    ------
    ValueError
        As :func:`split_indices`; or if the models held out different images.
    """
    first, *others = (split_indices(model, dataset, split) for model in models)
    if not all(np.array_equal(first, other) for other in others):
        raise ValueError(
            "the runs held out different images for validation, so each was trained on some that"
            " another held out; use split test"
        )
    return first


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
