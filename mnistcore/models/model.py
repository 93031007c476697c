"""A trained network, ready to use, and what it was trained on."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from ..data import DataNotFoundError, Dataset, load_data
from ..data.preprocess import flatten, same_scale
from ..system.errors import by
from .inference import logits_of
from .network import Network


@dataclass(frozen=True)
class TrainedOn:
    """The data set that a network was trained on.

    Attributes
    ----------
    name
        The name of the data set, for display.
    checksum
        The checksum of its content, :attr:`.Dataset.checksum`.
    folder
        The absolute path of its folder; None for MNIST and the built-in digits.
    remarks
        Problems found in the data, one or two sentences each.
    look
        How its training images looked: "upright" for upright digits, "no digits", or a
        description of how the digits are turned; None if this could not be determined.
    """

    name: str
    checksum: str
    folder: str | None = None
    remarks: tuple[str, ...] = ()
    look: str | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> "TrainedOn":
        """Describe a data set."""
        look, _ = dataset.looks
        return cls(dataset.name, dataset.checksum, dataset.folder, dataset.remarks, look)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON; :func:`parse_trained_on` reads it back."""
        return {**dataclasses.asdict(self), "remarks": list(self.remarks)}


def parse_trained_on(entry: Mapping[str, Any] | None) -> TrainedOn | None:
    """Read the dictionary of :meth:`TrainedOn.to_dict` from untrusted JSON; None stays None.

    Raises
    ------
    ValueError
        If its content is malformed.
    """
    if entry is None:
        return None
    try:
        folder, look = entry.get("folder"), entry.get("look")
        found = TrainedOn(entry["name"], entry["checksum"], folder, tuple(entry["remarks"]), look)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"has a 'data' that cannot be read ({error!r})") from error
    texts = (found.name, found.checksum, *found.remarks, folder or "", look or "")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("has a 'data' that cannot be read")
    return found


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, ready to use.

    Attributes
    ----------
    network
        Layer sizes, activation, dropout.
    params
        (P,) float32.
    input_shape
        The shape of one image, (28, 28) for MNIST.
    scale, shift
        A raw pixel enters the network as ``pixel * scale + shift``.
    class_names
        The name of each class.
    config
        The options of the training run, as in ``config.json``; empty if unknown.
    pixel_max
        The raw pixel value of full ink; None if unknown.
    float_pixels
        Whether the raw pixels in training were floats rather than bytes.
    data
        The data set that it was trained on; None if unknown.
    """

    network: Network
    params: np.ndarray
    input_shape: tuple[int, ...]
    scale: float
    shift: float
    class_names: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    pixel_max: float | None = None
    float_pixels: bool = False
    data: TrainedOn | None = None

    def taking(self, pixel_max: float) -> "Model":
        """Return the model rescaled for raw pixels in [0, pixel_max]; full ink stays full ink.

        Returns the model itself if its own range is unknown or the same.
        """
        if self.pixel_max in (None, pixel_max):
            return self
        scale = self.scale * self.pixel_max / pixel_max
        return dataclasses.replace(self, scale=scale, pixel_max=pixel_max)

    def taking_bytes(self) -> "Model":
        """Return the model rescaled for pixels from 0 to 255."""
        return dataclasses.replace(self.taking(255.0), float_pixels=False)

    def logits(self, kernels: ModuleType, images: np.ndarray) -> np.ndarray:
        """Return the logits (N, C) float32 of raw images (N, H, W) or (N, H * W).

        Images are uint8 or float32, with pixels in the range of the training images;
        :meth:`taking` makes a model for another range.

        Raises
        ------
        ValueError
            If the images differ in size from the training images.
        """
        n_inputs = self.network.layer_sizes[0]
        x = flatten(images)
        if x.shape[1] != n_inputs:
            raise ValueError(
                f"the model takes images of {by(self.input_shape)} pixels,"
                f" got {by(images.shape[1:])}"
            )
        return logits_of(kernels, self.network, self.params, x, self.scale, self.shift)

    def predict_proba(self, kernels: ModuleType, images: np.ndarray) -> np.ndarray:
        """Return the class probabilities (N, C) float32 of raw images, as in :meth:`logits`."""
        logits = self.logits(kernels, images)
        kernels.softmax(logits, logits)
        return logits

    def predict(self, kernels: ModuleType, images: np.ndarray) -> np.ndarray:
        """Return the most probable class ids (N,) int64 of raw images, as in :meth:`logits`."""
        return self.logits(kernels, images).argmax(axis=1)


def scaled_alike(model: Model, dataset: Dataset) -> Model:
    """Return the model, rescaled if the data set's pixels have another range."""
    if model.pixel_max is None or same_scale(model.pixel_max, dataset.pixel_max):
        return model
    return model.taking(dataset.pixel_max)


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
