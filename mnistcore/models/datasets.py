"""Data sets for a model: any, in the classes of the model, and the one that it was trained on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..data import DataNotFoundError, Dataset, load_data
from ..data.preprocess import range_in_words
from ..system.errors import by
from .model import Model


def fitted(model: Model, dataset: Dataset) -> Dataset:
    """Return a data set with its labels counted in the classes of a model, matched by name.

    The data may lack classes of the model: a network of ten digits can be evaluated on two. The
    data that a model of an older version was trained on may have names that the model lacks; its
    classes are then those of the model in the same order.

    Raises
    ------
    ValueError
        If the images have another size, or a class of the data is none of the model's.
    """
    shape = dataset.train_images.shape[1:]
    flat = (math.prod(shape),)  # models trained on flat vectors have no rows and columns
    if model.input_shape not in (shape, flat):
        raise ValueError(
            f"the model takes images of {by(model.input_shape)} pixels;"
            f" {dataset.name} has {by(shape)}"
        )
    numbered = model.class_names == tuple(map(str, range(len(model.class_names))))
    as_many = len(dataset.class_names) == len(model.class_names)
    if numbered and as_many and _is_own(model, dataset):
        return dataset.renamed(model.class_names)
    try:
        return dataset.aligned(model.class_names)
    except ValueError as error:
        raise ValueError(
            f"{error}, the classes of the model; if they are the same under other names, give"
            " the model's with class_names"
        ) from error


def _is_own(model: Model, dataset: Dataset) -> bool:
    """Whether a model was trained on a data set, as far as it is known."""
    if model.data is not None:
        return model.data.checksum == dataset.checksum
    return dataset.folder is not None and dataset.folder == _text(model.config, "data")


def own_data(
    model: Model,
    name: object = None,
    *,
    transpose: bool | None = None,
    class_names: Sequence[str] = (),
    **options: Any,
) -> Dataset:
    """Load the data set that a model was trained on, from its original place.

    Parameters
    ----------
    model
        The model. Models of older versions record only their training options.
    name
        The name of the data in the run's summary, if there is one.
    transpose, class_names
        As in :func:`.data.load_data`; by default as in the training.
    options
        Further options of :func:`.data.load_data`.

    Raises
    ------
    DataNotFoundError
        If the data is no longer there. A subclass of ValueError.
    """
    known, config = model.data, model.config
    data, data_dir = _text(config, "data") or "auto", _text(config, "data_dir")
    if known is not None and known.folder is not None:
        data, data_dir = known.folder, None
    elif data == "auto" and (known.name if known else name) == "synthetic":
        data, data_dir = "synthetic", None
    if transpose is None:
        transpose = config.get("transpose") is True
    class_names = class_names or _texts(config, "class_names")
    try:
        return load_data(data, data_dir, transpose=transpose, class_names=class_names, **options)
    except DataNotFoundError as error:
        if known is not None and known.folder is not None:
            reason = str(error).split(";")[0]
            raise DataNotFoundError(
                f"the run was trained on {known.name}, which is not where it was ({reason}); if it"
                " has moved, name its folder with data"
            ) from error
        raise DataNotFoundError(f"the data of the run: {error}") from error


def _texts(options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = options.get(name)
    if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
        return tuple(value)
    return ()


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    return value if isinstance(value, str) else None


def scaling_notice(model: Model, ends: tuple[float, float], of_which: str = "") -> str:
    """Return a sentence if :meth:`.Model.scaled_alike` changes the model, else "".

    ``of_which`` names the network among several, as " of runs/first" does.
    """
    if model.scaled_alike(*ends) is model:
        return ""
    taken, given = range_in_words(*model.pixel_ends), range_in_words(*ends)
    return f"The network{of_which} takes pixels {taken}; those here, {given}, are scaled alike."
