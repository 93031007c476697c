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

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..data.raw import LONGEST_NAME
from ..kernels.layout import ACTIVATIONS
from ..system.errors import few, reason_of
from ..system.files import replacing
from ..system.text import parsed, spelled
from .model import Model, parse_trained_on
from .network import Network

FORMAT = "mnistcore"
FORMAT_VERSION = 1
STATE_FORMAT = "mnistcore checkpoint"  # the state of a run that trains, which is not a model
MODEL_FILE = "model.safetensors"
_MOST_AXES = 200  # of an image


class CheckpointError(ValueError):
    """A file is not a usable model; the message says why."""


def save(path: str | Path, model: Model) -> None:
    """Write a model to a file, atomically.

    Raises
    ------
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import mnistcore
    >>> from mnistcore.models.checkpoint import save
    >>> model = mnistcore.load("runs/first")
    >>> save("copy.safetensors", model)
    >>> mnistcore.load("copy.safetensors").class_names == model.class_names
    True
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

    Returns
    -------
    Model
        Ready to predict.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no model in the folder.
    CheckpointError
        If the file is damaged, inconsistent or of another format. A subclass of ValueError.

    Examples
    --------
    >>> import mnistcore
    >>> model = mnistcore.load("runs/first")
    >>> model.input_shape, len(model.class_names)
    ((28, 28), 10)
    """
    path = model_file(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; give a run folder or a {Path(MODEL_FILE).suffix} file"
        )
    try:
        return _read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def model_file(path: str | Path) -> Path:
    """Return the file of a model that is named by itself or by its run folder."""
    return Path(path, MODEL_FILE) if Path(path).is_dir() else Path(path)


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
    return b"".join([len(header).to_bytes(8, "little"), header, memoryview(content)[start:]])


def _metadata(model: Model) -> dict[str, str]:
    sizes, rates = model.network.layer_sizes, model.network.rates
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


def open_tensors(path: Path) -> Any:
    """Open a safetensors file; raise OSError or SafetensorError."""
    from safetensors import safe_open

    with path.open("rb"):  # else safe_open takes any failure for a file that is not there
        return safe_open(path, framework="numpy")


def _read(path: Path) -> Model:
    from safetensors import SafetensorError

    try:
        with open_tensors(path) as file:
            return _decode(file, file.metadata() or {})
    except SafetensorError as error:
        reason = reason_of(error)
        raise CheckpointError(f"is not a safetensors file, or is damaged ({reason})") from error


def _decode(file: Any, metadata: Mapping[str, str]) -> Model:
    """Build a model from an open safetensors file, checking all shapes before allocating."""
    if metadata.get("format") == STATE_FORMAT:
        raise CheckpointError("is the state of a run, not a model; name the run folder")
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            "was not written by mnistcore: its metadata lack the format; `mnistcore convert` takes"
            " weights of other libraries"
        )
    version = metadata.get("format_version")
    if version != str(FORMAT_VERSION):
        raise CheckpointError(
            f"has format version {str(version)[:20]}; this mnistcore reads version {FORMAT_VERSION}"
        )
    network = _network(_parsed(metadata, "layers", list))
    entry = _parsed(metadata, "input", dict)
    input_shape, scale, shift, pixel_max = _input(entry, network.layer_sizes[0])
    class_names = _parsed(metadata, "class_names", list)
    if not all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in class_names):
        raise CheckpointError("has a class name that is no text, or too long")
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
    floats = bool(entry.get("float_pixels", False))
    return Model(
        network,
        params,
        input_shape,
        scale,
        shift,
        tuple(class_names),
        config,
        pixel_max,
        floats,
        data,
    )


def _parsed(metadata: Mapping[str, str], name: str, kind: type) -> Any:
    try:
        value = parsed(metadata[name])
    except KeyError:
        raise CheckpointError(f"lacks {name!r} in its metadata") from None
    except ValueError:
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
            raise CheckpointError(f"has activations that are not supported: {few(names)}")
        rates = tuple(float(row["dropout"]) for row in layers[:-1])
        return Network(tuple(sizes), hidden.pop(), rates)
    except CheckpointError:
        raise
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"has a layer table that cannot be read ({spelled(error)})"
        ) from error


def _input(
    entry: dict[str, Any], n_inputs: int
) -> tuple[tuple[int, ...], float, float, float | None]:
    try:
        shape = tuple(int(length) for length in entry["shape"][:_MOST_AXES])
        scale, shift = float(entry["scale"]), float(entry["shift"])
        pixel_max = None if entry.get("pixel_max") is None else float(entry["pixel_max"])
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"has an 'input' that cannot be read ({spelled(error)})") from error
    if pixel_max is not None and not 0 < pixel_max < np.inf:
        raise CheckpointError(f"has pixels up to {pixel_max}; that must be above 0")
    if math.prod(shape) != n_inputs or not np.isfinite([scale, shift]).all():
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
        raise CheckpointError(f"has other tensors than its layer table says: {few(odd)}")
    for name, shape in wanted.items():
        tensor = file.get_slice(name)
        if list(tensor.get_shape()) != shape or tensor.get_dtype() != "F32":
            raise CheckpointError(
                f"has {name} of {tensor.get_dtype()} {tensor.get_shape()}; expected F32 {shape}"
            )
