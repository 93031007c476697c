"""Read the configuration of a Keras model: a chain of layers, and the variables of each.

Nothing in the configuration is run. Layers of other kinds, and layers of one's own, are refused by
their names. Sources: ``get_config`` of each layer in Keras 3, and the configurations that Keras 2
wrote, which name inputs in another way.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dense_stack import Product
from .folding import Activation, Affine, Step, affine
from .named_arrays import KERAS_EPS, BatchNorm, Named, checked
from .weight_file import KERAS_MODELS, KerasModel

# Layers that change nothing in inference.
_INACTIVE = (
    "InputLayer", "Dropout", "GaussianDropout", "AlphaDropout", "GaussianNoise",
    "ActivityRegularization", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomFlip",
    "RandomShear", "RandomBrightness", "RandomContrast",
)  # fmt: skip
_CONVERTED = (
    "Dense, BatchNormalization, Activation, ReLU, Softmax, Dropout, Flatten, Reshape, Rescaling"
    " and Normalization"
)
_EPSILON = 1e-7  # keras.config.epsilon(), the smallest deviation of Normalization
_MOST_INPUTS = 2**24
_DEEPEST = 8  # models in models


@dataclass(frozen=True, eq=False)
class KerasNetwork:
    """A Keras model as steps.

    Attributes
    ----------
    steps
        First to last.
    input_shape
        Of one image without its channel; None if the file does not say, or only their number.
    loss
        The name of the loss that it was compiled with; empty if unknown.
    """

    steps: list[Step]
    input_shape: tuple[int, ...] | None
    loss: str


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer of the chain: its kind, options and variables."""

    name: str
    kind: str
    config: Mapping[str, Any]
    variables: Mapping[str, np.ndarray]

    def arrays(self, roles: Sequence[str]) -> list[np.ndarray]:
        """Return the variables of these roles, by name or, if they are numbered, in this order."""
        numbered = all(key.isdigit() for key in self.variables)
        keys = [str(index) for index in range(len(roles))] if numbered else roles
        if len(self.variables) != len(roles) or not self.variables.keys() >= set(keys):
            found = ", ".join(self.variables) or "none"
            raise ValueError(f"has {self.name} with the variables {found}, not {', '.join(roles)}")
        return [self.variables[key] for key in keys]


def read_keras(model: KerasModel) -> KerasNetwork:
    """Read a model.

    Raises
    ------
    ValueError
        If the configuration is malformed, has layers that are not converted, or is not a chain.
    """
    try:
        chain = list(_chain(model, model.config, [], [], 0))
        shape = _input_shape(chain)
        return KerasNetwork(_steps(chain, shape), _picture(shape), _loss(model))
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"has a configuration that cannot be read ({error!r:.100})") from error


def _chain(
    model: KerasModel,
    entry: Mapping[str, Any],
    names: list[str],
    numbered: list[str],
    depth: int,
) -> Iterator[_Layer]:
    """Walk through the layers of a model, those of models in it included, in their order."""
    if depth > _DEEPEST:
        raise ValueError(f"has models in models more than {_DEEPEST} deep")
    config = entry["config"]
    layers = config if isinstance(config, list) else config["layers"]  # a list before Keras 2.2
    counts: dict[str, int] = {}
    places = {}
    for layer in layers:
        kind = _snake(str(layer["class_name"]))
        counts[kind] = counts.get(kind, -1) + 1
        places[_name(layer)] = f"{kind}_{counts[kind]}" if counts[kind] else kind
    if len(places) < len(layers):
        raise ValueError("has two layers of one name")
    is_sequential = entry["class_name"] == "Sequential"
    for layer in layers if is_sequential else _in_order(config, layers):
        name = _name(layer)
        inner, outer = [*names, name], [*numbered, places[name]]
        if layer["class_name"] in KERAS_MODELS:
            yield from _chain(model, layer, inner, outer, depth + 1)
        else:
            kind = _checked_kind(layer, name)
            yield _Layer(name, kind, layer["config"], _variables(model, inner, outer))


def _name(layer: Mapping[str, Any]) -> str:
    config = layer["config"]
    name = layer.get("name") or (config.get("name") if isinstance(config, Mapping) else None)
    name = str(name or layer["class_name"])
    if not name.isprintable() or len(name) > 200:
        raise ValueError(f"has a layer with an impossible name: {name[:200]!r}")
    return name


def _shown(value: Any) -> str:
    """Return a text from the file so that it can be shown in a line."""
    text = str(value)[:99]
    return text if text.isprintable() else repr(text)


def _snake(kind: str) -> str:
    """Return how Keras numbers the layers of a class: BatchNormalization is batch_normalization."""
    kind = re.sub(r"\W+", "", kind)
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()


def _checked_kind(layer: Mapping[str, Any], name: str) -> str:
    kind = _shown(layer["class_name"])
    module = str(layer.get("module") or "keras").split(".")[0]
    own = module not in ("keras", "tf_keras", "tensorflow") or ">" in str(
        layer.get("registered_name")
    )
    if own or (kind not in _INACTIVE and kind not in _READERS):
        code = ", whose code is not run" if own or kind == "Lambda" else ""
        raise ValueError(f"has {name}, a layer {kind}{code}; converted are {_CONVERTED}")
    return kind


def _in_order(
    config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the layers of a functional model from input to output."""
    by_name = {_name(layer): layer for layer in layers}
    outputs = _sources(config["output_layers"])
    order: list[Mapping[str, Any]] = []
    sources = outputs
    while sources:
        if len(sources) != 1 or len(order) >= len(layers):
            raise ValueError("has layers with several inputs or outputs; only a chain is converted")
        layer = by_name[sources[0]]
        order.append(layer)
        sources = _sources(layer["inbound_nodes"])
    if len(order) != len(layers):
        raise ValueError("has layers that are not part of a chain; only a chain is converted")
    return order[::-1]


def _sources(nodes: Any) -> list[str]:
    """Collect the names of layers in ``inbound_nodes``, in the form of Keras 2 or 3."""
    if isinstance(nodes, Mapping):
        if "keras_history" in nodes:
            return [str(nodes["keras_history"][0])]
        return [name for item in nodes.values() for name in _sources(item)]
    if not isinstance(nodes, list):
        return []
    if len(nodes) > 2 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
        return [nodes[0]]
    return [name for item in nodes for name in _sources(item)]


def _variables(
    model: KerasModel, names: Sequence[str], numbered: Sequence[str]
) -> Mapping[str, np.ndarray]:
    if not model.by_name:
        return model.variables.get("/".join(f"layers/{one}" for one in numbered), {})
    if len(names) > 1:
        return model.variables.get(f"{names[0]}/{names[-1]}", {})
    found = [key for key in model.variables if key.rpartition("/")[0] == names[0]]
    return model.variables[found[0]] if len(found) == 1 else {}


def _input_shape(chain: Sequence[_Layer]) -> tuple[int, ...] | None:
    """Return the shape of one sample that the model takes; None if it is not stated."""
    for layer in chain[:1]:
        shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape")
        if shape and None not in shape[1:]:
            sizes = tuple(int(size) for size in shape[1:])
            if not all(0 < size <= _MOST_INPUTS for size in sizes) or (
                math.prod(sizes) > _MOST_INPUTS
            ):
                raise ValueError(f"has inputs of shape {sizes}; at most {_MOST_INPUTS:,} are read")
            return sizes
    return None


def _picture(shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the shape of an image without a channel axis of length 1; None for a flat one."""
    if shape is None:
        return None
    sizes = list(shape)
    for end in (-1, 0):
        if len(sizes) > 2 and sizes[end] == 1:
            del sizes[end]
    return tuple(sizes) if len(sizes) > 1 else None


def _steps(chain: Sequence[_Layer], shape: tuple[int, ...] | None) -> list[Step]:
    steps: list[Step] = []
    for layer in chain:
        if layer.kind in _INACTIVE:
            continue
        found = _READERS[layer.kind](layer, shape)
        if len(shape or ()) > 1 and Activation("softmax") in found:
            raise ValueError(
                f"has {layer.name}, a softmax over a part of outputs of shape {shape}; only that"
                " over all of them is converted"
            )
        steps += found
        shape = _output_shape(layer, shape)
    return steps


def _output_shape(layer: _Layer, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if layer.kind == "Dense":
        return (int(layer.config["units"]),)
    if shape is None or layer.kind not in ("Flatten", "Reshape"):
        return shape
    size = math.prod(shape)
    if layer.kind == "Flatten":
        return (size,)
    target = tuple(int(one) for one in layer.config["target_shape"])
    if -1 in target:
        known = -math.prod(target)
        target = tuple(size // max(known, 1) if one == -1 else one for one in target)
    if math.prod(target) != size or min(target) < 1:
        raise ValueError(f"has {layer.name} to {target}, which does not fit its {size} inputs")
    return target


def _dense(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    if shape is not None and len(shape) != 1:
        raise ValueError(
            f"has {layer.name} on inputs of shape {shape}; only flattened inputs are converted"
        )
    roles = ["kernel", "bias"] if layer.config.get("use_bias", True) else ["kernel"]
    arrays = layer.arrays(roles)
    found = checked(Named(layer.name, arrays[0], arrays[1] if len(roles) > 1 else None, None))
    if shape is not None and shape[0] != len(found.weights):
        raise ValueError(f"has {found} on {shape[0]} inputs")
    units = found.weights.shape[1]
    bias = np.zeros(units, np.float32) if found.bias is None else found.bias
    if len(bias) != units or units != layer.config["units"]:
        raise ValueError(f"has {found} with {layer.config['units']} units and {len(bias)} biases")
    activation = _activation(layer.config.get("activation"))
    return [Product(layer.name, found.weights, bias), *activation]


def _activation(value: Any) -> list[Step]:
    """Read an activation: its name, or an object that Keras describes by its class."""
    if isinstance(value, Mapping):
        kind, config = value.get("class_name"), value.get("config")
        if kind in ("ReLU", "Softmax") and isinstance(config, Mapping):
            return _READERS[kind](_Layer(kind, kind, config, {}), None)
        value = config if isinstance(config, str) else kind
        return [Activation(f"{_shown(value)}, a function of its own")]
    return [] if value is None else [Activation(_shown(value))]


def _activation_layer(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    return _activation(layer.config["activation"])


def _relu(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    for option in ("max_value", "negative_slope", "threshold"):
        value = layer.config.get(option)
        if value is not None and (value != 0 or option == "max_value"):
            return [Activation(f"ReLU with {option} {value:.9g}")]
    return [Activation("relu")]


def _softmax(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    axis = layer.config.get("axis", -1)
    if axis not in (-1, 1, [-1], [1]):
        raise ValueError(f"has {layer.name} along the axis {_shown(axis)}, which is not converted")
    return [Activation("softmax")]


def _named_activation(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    return [Activation(layer.kind)]  # which is refused by this name


def _shaping(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    if layer.config.get("data_format") == "channels_first" and len(shape or ()) > 2:
        raise ValueError(f"has {layer.name} of channels that come first, which is not converted")
    return []


def _rescaling(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    parts = (_spread(layer.config.get(key, 0.0), -1, shape) for key in ("scale", "offset"))
    factor, offset = np.broadcast_arrays(*parts)
    return [_finite(Affine(layer.name, factor, offset))]


def _normalization(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    mean, variance = layer.config.get("mean"), layer.config.get("variance")
    if mean is None or variance is None:
        mean, variance, _ = layer.arrays(["mean", "variance", "count"])
    axis = layer.config.get("axis", -1)
    mean, variance = (_spread(part, axis, shape) for part in (mean, variance))
    mean, variance = np.broadcast_arrays(mean, variance)
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0)), _EPSILON)
    if layer.config.get("invert"):
        return [_finite(Affine(layer.name, deviation, mean))]
    return [_finite(Affine(layer.name, 1 / deviation, -mean / deviation))]


def _batch_normalization(layer: _Layer, shape: tuple[int, ...] | None) -> list[Step]:
    learned = {"gamma": layer.config.get("scale", True), "beta": layer.config.get("center", True)}
    roles = [*(role for role, used in learned.items() if used), "moving_mean", "moving_variance"]
    found = dict(zip(roles, layer.arrays(roles), strict=True))
    axis = layer.config.get("axis", -1)
    spread = {role: np.atleast_1d(_spread(part, axis, shape)) for role, part in found.items()}
    mean, variance = spread["moving_mean"], spread["moving_variance"]
    gamma = spread.get("gamma", np.ones(mean.shape))
    beta = spread.get("beta", np.zeros(mean.shape))
    if len({len(part) for part in (mean, variance, gamma, beta)}) > 1:
        raise ValueError(f"has {layer.name} of unequal shapes")
    eps = float(layer.config.get("epsilon", KERAS_EPS))
    step = affine(BatchNorm(layer.name, mean, variance, gamma, beta, eps), eps)
    one = len(step.factor) == 1 and shape is not None and len(shape) > 1  # for all pixels
    return [_finite(Affine(step.name, step.factor[0], step.offset[0]) if one else step)]


_READERS = {
    "Dense": _dense,
    "Activation": _activation_layer,
    "ReLU": _relu,
    "Softmax": _softmax,
    **dict.fromkeys(("LeakyReLU", "PReLU", "ELU", "ThresholdedReLU"), _named_activation),
    **dict.fromkeys(("Flatten", "Reshape"), _shaping),
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    **dict.fromkeys(("BatchNormalization", "BatchNormalizationV1"), _batch_normalization),
}


def _spread(values: Any, axis: Any, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return values along some axes of a sample for each of its flattened numbers.

    One value stays one. Axes count the batch, as in Keras.
    """
    array = np.asarray(values, np.float64)
    if array.size == 1:
        return array.reshape(())
    if shape is None or len(shape) == 1:
        return array.reshape(-1)
    axes = {int(one) for one in np.ravel(axis)}
    inner = {one % (len(shape) + 1) - 1 for one in axes}
    along = [size if index in inner else 1 for index, size in enumerate(shape)]
    return np.broadcast_to(array.reshape(along), shape).reshape(-1)


def _finite(step: Affine) -> Affine:
    if not (np.isfinite(step.factor).all() and np.isfinite(step.offset).all()):
        raise ValueError(f"has {step.name} with numbers that are not finite")
    return step


def _loss(model: KerasModel) -> str:
    compiled = model.config.get("compile_config") or model.training
    loss = compiled.get("loss") if isinstance(compiled, Mapping) else None
    if isinstance(loss, Mapping):
        loss = loss.get("class_name")
    return _snake(loss)[:99] if isinstance(loss, str) else ""
