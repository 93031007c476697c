"""Trained models as safetensors files: the weights, and everything else in the metadata.

The tensors are ``layers.N.weight`` (fan_in, fan_out) and ``layers.N.bias`` (fan_out,), float32,
with N counting from 0. The metadata values are strings, all but the first two of them JSON:

==============  ==============================================================================
format          "mnistcore"
format_version  "1"
layers          a list with one object per layer: kind, fan_in, fan_out, activation, dropout
input           shape of an image; scale and shift of its raw pixels; pixel_max, the pixel value
                of full ink, null if unknown; float_pixels, whether training used float pixels
class_names     a list with one name per class
config          the options of the training run; may be empty
data            the training data: name, folder, checksum, remarks, look; absent if unknown
==============  ==============================================================================
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..data import Dataset
from ..data.preprocess import flatten, same_scale
from ..kernels.layout import ACTIVATIONS
from ..system.files import replacing
from .inference import logits_of
from .network import Network

FORMAT = "mnistcore"
FORMAT_VERSION = 1
MODEL_FILE = "model.safetensors"


class CheckpointError(ValueError):
    """A file is not a usable model; the message says why."""


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
                f"the model takes images of {_by(self.input_shape)} pixels,"
                f" got {_by(images.shape[1:])}"
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


def save(path: str | Path, model: Model) -> None:
    """Write a model to a file, atomically.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    tensors = {}
    for index, (weights, bias) in enumerate(model.network.views(model.params)):
        tensors[f"layers.{index}.weight"] = np.ascontiguousarray(weights, np.float32)
        tensors[f"layers.{index}.bias"] = np.ascontiguousarray(bias, np.float32)
    content = encode(tensors, _metadata(model))
    with replacing(Path(path)) as file:
        file.write(content)


def load(path: str | Path) -> Model:
    """Read a model from its file, or from a run folder.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no model in the folder.
    CheckpointError
        If the file is damaged, inconsistent or of another format. A subclass of ValueError.
    """
    path = Path(path)
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give a run folder or a {Path(MODEL_FILE).suffix} file"
        )
    try:
        return _read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def encode(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Encode a safetensors file with a sorted header, so that equal models give equal bytes.

    The library itself writes the metadata in a different order in every process. A file starts
    with the length of its header; the header is JSON, padded with spaces to a multiple of 8 bytes.
    """
    from safetensors.numpy import save as unsorted

    content = unsorted(dict(tensors), dict(metadata))
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]


def _metadata(model: Model) -> dict[str, str]:
    sizes, rates = model.network.layer_sizes, _rates(model.network)
    layers = [
        {
            "kind": "dense",
            "fan_in": fan_in,
            "fan_out": fan_out,
            "activation": model.network.activation if index < len(rates) else "identity",
            "dropout": rates[index] if index < len(rates) else 0.0,
        }
        for index, (fan_in, fan_out) in enumerate(pairwise(sizes))
    ]
    entry = {
        "shape": list(model.input_shape),
        "scale": model.scale,
        "shift": model.shift,
        "pixel_max": model.pixel_max,
        "float_pixels": model.float_pixels,
    }
    data = {} if model.data is None else {"data": json.dumps(model.data.to_dict())}
    return {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "layers": json.dumps(layers),
        "input": json.dumps(entry),
        "class_names": json.dumps(list(model.class_names)),
        "config": json.dumps(dict(model.config)),
        **data,
    }


def _rates(network: Network) -> tuple[float, ...]:
    """Return the dropout rate of each hidden layer."""
    if isinstance(network.dropout, tuple):
        return network.dropout
    return (network.dropout,) * (len(network.layer_sizes) - 2)


def _read(path: Path) -> Model:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return _decode(file, file.metadata() or {})
    except SafetensorError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"is not a safetensors file, or is damaged ({reason})") from error


def _decode(file: Any, metadata: Mapping[str, str]) -> Model:
    """Build a model from an open safetensors file, checking all shapes before allocating."""
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            "was not written by mnistcore: its metadata lack the format; `mnistcore convert` takes"
            " weights of other libraries"
        )
    version = metadata.get("format_version")
    if version != str(FORMAT_VERSION):
        raise CheckpointError(
            f"has format version {version}; this mnistcore reads version {FORMAT_VERSION}"
        )
    network = _network(_parsed(metadata, "layers", list))
    entry = _parsed(metadata, "input", dict)
    input_shape, scale, shift, pixel_max = _input(entry, network.layer_sizes[0])
    class_names = _parsed(metadata, "class_names", list)
    if len(class_names) != network.layer_sizes[-1]:
        raise CheckpointError(
            f"has {len(class_names)} class names for {network.layer_sizes[-1]} outputs"
        )
    _check_tensors(file, network)
    params = np.empty(network.n_params, np.float32)
    for index, (weights, bias) in enumerate(network.views(params)):
        weights[...] = file.get_tensor(f"layers.{index}.weight")
        bias[...] = file.get_tensor(f"layers.{index}.bias")
    config = _parsed(metadata, "config", dict)
    try:
        data = parse_trained_on(_parsed(metadata, "data", dict) if "data" in metadata else None)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    names = tuple(map(str, class_names))
    floats = bool(entry.get("float_pixels", False))
    return Model(network, params, input_shape, scale, shift, names, config, pixel_max, floats, data)


def _parsed(metadata: Mapping[str, str], name: str, kind: type) -> Any:
    try:
        value = json.loads(metadata[name])
    except KeyError:
        raise CheckpointError(f"lacks {name!r} in its metadata") from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise CheckpointError(f"has a {name!r} in its metadata that cannot be read")
    return value


def _network(layers: list[Any]) -> Network:
    """Build the network of the layer table; each layer must fit the one before it."""
    try:
        sizes = [int(layers[0]["fan_in"])]
        for row in layers:
            if row["kind"] != "dense" or row["fan_in"] != sizes[-1]:
                raise CheckpointError("has a layer table that does not describe a network")
            sizes.append(int(row["fan_out"]))
        names = [row["activation"] for row in layers]
        hidden = set(names[:-1]) or {"identity"}
        if len(hidden) > 1 or names[-1] != "identity" or not hidden <= ACTIVATIONS.keys():
            raise CheckpointError(f"has activations that are not supported: {', '.join(names)}")
        rates = tuple(float(row["dropout"]) for row in layers[:-1])
        return Network(tuple(sizes), hidden.pop(), rates)
    except CheckpointError:
        raise
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"has a layer table that cannot be read ({error!r})") from error


def _input(
    entry: dict[str, Any], n_inputs: int
) -> tuple[tuple[int, ...], float, float, float | None]:
    try:
        shape = tuple(int(length) for length in entry["shape"])
        scale, shift = float(entry["scale"]), float(entry["shift"])
        pixel_max = None if entry.get("pixel_max") is None else float(entry["pixel_max"])
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"has an 'input' that cannot be read ({error!r})") from error
    product = 1
    for length in shape:
        product *= length
    if pixel_max is not None and not 0 < pixel_max < np.inf:
        raise CheckpointError(f"has pixels up to {pixel_max}; that must be above 0")
    if product != n_inputs or not np.isfinite([scale, shift]).all():
        raise CheckpointError(
            f"has an input of shape {shape} and scale {scale}, {shift} for {n_inputs} inputs"
        )
    return shape, scale, shift, pixel_max


def _check_tensors(file: Any, network: Network) -> None:
    """Check tensor names, shapes and dtypes against the layer table, before any allocation."""
    sizes = network.layer_sizes
    wanted: dict[str, list[int]] = {}
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        wanted[f"layers.{index}.weight"] = [fan_in, fan_out]
        wanted[f"layers.{index}.bias"] = [fan_out]
    odd = sorted(set(file.keys()) ^ wanted.keys())
    if odd:
        raise CheckpointError(f"has other tensors than its layer table says: {', '.join(odd)}")
    for name, shape in wanted.items():
        tensor = file.get_slice(name)
        if list(tensor.get_shape()) != shape or tensor.get_dtype() != "F32":
            raise CheckpointError(
                f"has {name} of {tensor.get_dtype()} {tensor.get_shape()}; expected F32 {shape}"
            )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
