"""Read the HDF5 files of Keras, with h5py: weights or whole models, of Keras 2 and Keras 3.

Two layouts exist. The older one (``model.save_weights('w.h5')`` of Keras 2, ``model.save('m.h5')``
of both) names the layers in the attribute ``layer_names`` and their variables in ``weight_names``;
a whole model keeps them under ``model_weights`` and its configuration in the attribute
``model_config``. The newer one (``w.weights.h5`` of Keras 3, also inside ``.keras``) numbers the
variables of each layer: ``layers/dense_1/vars/0``. Source: ``legacy_h5_format.py`` and
``saving_lib.py`` of Keras 3.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..system import hdf5
from ..system.text import parsed
from . import weight_file
from .weight_file import KERAS_MODELS, KerasModel, WeightFile, check_names, from_bfloat16

_NORM = ("gamma", "beta", "moving_mean", "moving_variance")

Attributes = Mapping[str, Mapping[str, list[str]]]
Variables = dict[str, dict[str, np.ndarray]]


def read(source: Path | bytes, config: Mapping[str, Any] | None = None) -> WeightFile:
    """Read an HDF5 file of Keras, or any other of arrays named like weights.

    Parameters
    ----------
    source
        The file, or its content.
    config
        The model's configuration, if it is known from elsewhere.

    Raises
    ------
    ValueError
        If the file is damaged or too large, or points into other files.
    MissingExtraError
        If h5py is not installed.
    """
    content = hdf5.read(source, weight_file.MAX_BYTES, least=8)
    arrays, attributes = content.arrays, content.attributes
    check_names([*arrays, *content.others, *attributes])
    arrays |= {name: from_bfloat16(arrays[name]) for name in content.bfloat16}
    left_out = (*content.left_out, *content.others)
    layers = _list(attributes[""], "layer_names")
    variables = _numbered(arrays) if layers is None else _named(attributes, layers, arrays)
    config = config or _json(attributes[""].get("model_config"))
    if config.get("class_name") in KERAS_MODELS:
        training = _json(attributes[""].get("training_config"))
        keras = KerasModel(config, variables, layers is not None, training)
        return WeightFile({}, left_out=left_out, keras=keras)
    return WeightFile(_flat(variables, layers is not None), left_out=left_out)


def _named(attributes: Attributes, layers: list[str], arrays: dict[str, np.ndarray]) -> Variables:
    """Group the arrays of the older layout by "layer/layer of a layer", and by role."""
    variables: Variables = {}
    for layer in layers:
        if layer not in attributes:
            raise ValueError(f"lacks the layer {layer!r}, which its layer_names have")
        for name in _list(attributes[layer], "weight_names") or ():
            if f"{layer}/{name}" not in arrays:
                raise ValueError(f"lacks {f'{layer}/{name}'!r}, which its weight_names have")
            *_, inner, role = [layer, *name.split("/")]
            place = variables.setdefault(f"{layer}/{inner}", {})
            if role.removesuffix(":0") in place:
                raise ValueError(
                    f"has two layers {inner!r} in {layer!r}, which this layout does not tell apart;"
                    " save it as .keras"
                )
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


def _list(attributes: Mapping[str, list[str]], name: str) -> list[str] | None:
    """Return a list of texts, which Keras cuts into numbered attributes if it is long."""
    if name in attributes:
        return attributes[name]
    parts: list[list[str]] = []
    while f"{name}{len(parts)}" in attributes:
        parts.append(attributes[f"{name}{len(parts)}"])
    return [item for part in parts for item in part] if parts else None


def _json(texts: list[str] | None) -> Mapping[str, Any]:
    """Parse an attribute of JSON; missing is empty."""
    if not texts:
        return {}
    try:
        found = parsed(texts[0])
    except ValueError as error:
        raise ValueError("has a configuration that cannot be read") from error
    return found if isinstance(found, Mapping) else {}
