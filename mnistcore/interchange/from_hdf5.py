"""Read the HDF5 files of Keras, with h5py: weights or whole models, of Keras 2 and Keras 3.

Two layouts exist. The older one (``model.save_weights('w.h5')`` of Keras 2, ``model.save('m.h5')``
of both) names the layers in the attribute ``layer_names`` and their variables in ``weight_names``;
a whole model keeps them under ``model_weights`` and its configuration in the attribute
``model_config``. The newer one (``w.weights.h5`` of Keras 3, also inside ``.keras``) numbers the
variables of each layer: ``layers/dense_1/vars/0``. Source: ``legacy_h5_format.py`` and
``saving_lib.py`` of Keras 3.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..system.extras import require
from .weight_file import (
    KERAS_MODELS,
    KerasModel,
    WeightFile,
    check_bytes,
    check_names,
    from_bfloat16,
)

_OPTIMIZERS = ("optimizer", "optimizer_weights")
_DEEPEST, _MOST = 12, 10_000  # groups in groups; objects in a file
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")

Variables = dict[str, dict[str, np.ndarray]]


def read(source: Path | BinaryIO, config: Mapping[str, Any] | None = None) -> WeightFile:
    """Read an HDF5 file of Keras, or any other of arrays named like weights.

    Parameters
    ----------
    source
        The file, or its content.
    config
        The model's configuration, if it is known from elsewhere; it has the older files' form.

    Raises
    ------
    ValueError
        If the file is damaged or too large, or points into other files.
    MissingExtraError
        If h5py is not installed.
    """
    h5py = require("h5py", "hdf5")
    if isinstance(source, Path):
        check_bytes(source.stat().st_size)
    try:
        with h5py.File(source, "r") as file:
            return _read(h5py, file, config)
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"is a damaged HDF5 file ({reason})") from error


def _read(h5py: Any, file: Any, config: Mapping[str, Any] | None) -> WeightFile:
    left_out = tuple(name for name in _OPTIMIZERS if name in file)
    training = _json(file.attrs.get("training_config"))
    whole = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
    root = file["model_weights"] if whole else file
    layers = _texts(root.attrs, "layer_names")
    objects = dict(_objects(h5py, root, "", 0))
    check_names(objects)
    datasets = {path: item for path, item in objects.items() if isinstance(item, h5py.Dataset)}
    check_bytes(sum(dataset.nbytes for dataset in datasets.values()))
    arrays = {name: _array(name, dataset) for name, dataset in datasets.items()}
    others = tuple(name for name, array in arrays.items() if array is None)
    readable = {name: array for name, array in arrays.items() if array is not None}
    by_name = layers is not None
    variables = _numbered(readable) if layers is None else _named(objects, layers, readable)
    if config is None and "model_config" in file.attrs:
        config = _json(file.attrs["model_config"])
    left_out = (*left_out, *others)
    if config and config.get("class_name") in KERAS_MODELS:
        keras = KerasModel(config, variables, by_name, training)
        return WeightFile({}, left_out=left_out, keras=keras)
    return WeightFile(_flat(variables, by_name), left_out=left_out)


def _objects(h5py: Any, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Walk through groups and datasets of this file, without those of optimizers."""
    if depth > _DEEPEST or len(group) > _MOST:
        raise ValueError(f"has groups of more than {_MOST:,} arrays, or more than {_DEEPEST} deep")
    for name in group:
        path = prefix + name.replace("\\", "/")  # Keras 2.13 on Windows
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"has a link at {path[:99]!r}; links are not followed")
        if path in _OPTIMIZERS:
            continue
        item = group[name]
        yield path, item
        if isinstance(item, h5py.Group):
            yield from _objects(h5py, item, f"{path}/", depth + 1)
        elif item.is_virtual or item.external:
            raise ValueError(f"has {path[:99]!r}, whose numbers lie in another file")


def _array(name: str, dataset: Any) -> np.ndarray | None:
    """Read an array; None if it is not made of numbers."""
    if dataset.dtype.itemsize == 2 and dataset.attrs.get("dtype") == "bfloat16":
        bits: np.ndarray = dataset[()]
        return from_bfloat16(bits.view("<u2"))
    if dataset.shape is None or dataset.dtype.kind not in "biuf":
        return None
    if dataset.dtype.kind == "f" and dataset.dtype.itemsize not in (2, 4, 8):
        raise ValueError(f"has {name} of {dataset.dtype}, which is not converted")
    return np.asarray(dataset[()])


def _named(
    objects: Mapping[str, Any], layers: list[str], arrays: dict[str, np.ndarray]
) -> Variables:
    """Group the arrays of the older layout by "layer/layer of a layer", and by role."""
    variables: Variables = {}
    for layer in layers:
        if layer not in objects:
            raise ValueError(f"lacks the layer {layer!r}, which its layer_names have")
        for name in _texts(objects[layer].attrs, "weight_names") or ():
            if f"{layer}/{name}" not in arrays:
                raise ValueError(f"lacks {f'{layer}/{name}'!r}, which its weight_names have")
            *_, inner, role = [layer, *name.split("/")]
            place = variables.setdefault(f"{layer}/{inner}", {})
            place[role.removesuffix(":0")] = arrays[f"{layer}/{name}"]
    return variables


def _numbered(arrays: dict[str, np.ndarray]) -> Variables:
    """Group the arrays of the newer layout by layer and by number; others keep their names."""
    variables: Variables = {}
    for path, array in arrays.items():
        layer, _, number = path.replace("_layer_checkpoint_dependencies", "layers").rpartition("/")
        variables.setdefault(layer.removesuffix("/vars"), {})[number] = array
    return variables


def _flat(variables: Variables, by_name: bool) -> dict[str, np.ndarray]:
    """Name the arrays of a file without a configuration "layer/role"."""
    firsts = [layer.split("/")[0] for layer in variables]
    flat = {}
    for layer, roles in variables.items():
        if by_name:
            first = layer.split("/")[0]
            name = first if firsts.count(first) == 1 else layer
        else:
            name, roles = layer.removeprefix("layers/"), _roles(layer, roles)
        for role, array in roles.items():
            flat[f"{name}/{role}".removeprefix("/")] = array
    return flat


def _roles(layer: str, numbered: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Replace the numbers of a layer's variables by their roles, which their shapes tell."""
    if not all(number.isdigit() for number in numbered):
        return numbered
    arrays = [numbered[number] for number in sorted(numbered, key=int)]
    ranks = [array.ndim for array in arrays]
    floats = all(array.dtype.kind == "f" for array in arrays)
    if not floats and max(ranks) < 2 and "normalization" not in layer:
        return numbered  # the state of a random generator
    if ranks[0] > 1 and ranks[1:] in ([], [1]):
        return dict(zip(("kernel", "bias"), arrays, strict=False))
    if ranks == [1] * 4:
        return dict(zip(_NORM, arrays, strict=True))
    raise ValueError(
        f"has {layer} with {len(arrays)} arrays whose roles cannot be told; save the whole model"
        " with model.save('model.keras')"
    )


def _texts(attributes: Any, name: str) -> list[str] | None:
    """Read a list of texts, which Keras cuts into numbered attributes if it is long."""
    if name in attributes:
        return [_text(item) for item in np.ravel(attributes[name])]
    parts: list[Any] = []
    while f"{name}{len(parts)}" in attributes:
        parts.append(attributes[f"{name}{len(parts)}"])
    return [_text(item) for part in parts for item in np.ravel(part)] if parts else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _json(value: Any) -> Mapping[str, Any]:
    """Parse an attribute of JSON; missing is empty."""
    if value is None:
        return {}
    try:
        parsed = json.loads(_text(value))
    except (ValueError, RecursionError) as error:
        raise ValueError("has a configuration that cannot be read") from error
    return parsed if isinstance(parsed, Mapping) else {}
