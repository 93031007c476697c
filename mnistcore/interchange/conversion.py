"""Make a model from the weights in a file that another library wrote."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..kernels.layout import ACTIVATIONS
from ..models import checkpoint
from ..models.model import Model
from ..models.network import Network
from ..system.errors import by
from .array_files import read_arrays
from .dense import Described, parse_description
from .dense_stack import stack
from .output import output_path
from .to_torch import DESCRIPTION

SYNONYMS = {"sigmoid": "logistic", "linear": "identity"}  # names in PyTorch and Keras


_DESCRIBING = ("activations", "input_shape", "scale", "shift", "class_names", "config")


_SINCE = ("pixel_max", "float_pixels", "data")  # absent from older files


@dataclass(frozen=True, eq=False)
class Conversion:
    """A converted model.

    Attributes
    ----------
    model
        The model.
    path
        Where it was written.
    layer_names
        The layers' names in the file, from the first layer to the last.
    layout
        Orientation of the weights in the file: "keras" (fan_in, fan_out) or "torch"
        (fan_out, fan_in).
    """

    model: Model
    path: Path
    layer_names: tuple[str, ...]
    layout: str


def run(
    source: str | Path,
    output: str | Path | None = None,
    *,
    activation: str | None = None,
    layout: str = "auto",
    layers: Sequence[str] = (),
    scale: float | None = None,
    shift: float | None = None,
    normalize: tuple[float, float] | None = None,
    input_shape: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> Conversion:
    """Make a model from the weights in a file, and write it.

    Parameters
    ----------
    source
        A safetensors or ``.npz`` file with the weights and biases of dense layers.
    output
        The model file; by default beside the source, with "-mnistcore" in its name.
    activation
        Of the hidden layers: relu, tanh, logistic or identity. Required if there are any and the
        file does not say.
    layout
        Orientation of the weights: "keras" (fan_in, fan_out), "torch" (fan_out, fan_in), or
        "auto": determined by shapes, or by names if all layers are square.
    layers
        The names of the layers, first to last; required if shapes allow several orders.
    scale, shift
        The network is fed ``pixel * scale + shift`` for raw pixels in 0..255; by default 1/255
        and 0.
    normalize
        Instead of scale and shift, the mean and standard deviation by which pixels in [0, 1]
        were normalised, as in torchvision's ``Normalize``.
    input_shape
        Of one image; by default a square if possible.
    class_names
        By default "0", "1" and so on.

    Returns
    -------
    Conversion
        The model and its file.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file has another format or is damaged, is not a multi-layer perceptron, or if
        options are missing or contradict it.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import mnistcore
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> w0, w1 = rng.normal(size=(784, 20)), rng.normal(size=(20, 10))
    >>> np.savez("weights.npz", w0=w0, b0=np.zeros(20), w1=w1, b1=np.zeros(10))
    >>> converted = mnistcore.convert("weights.npz", activation="relu")
    >>> converted.model.network.layer_sizes
    (784, 20, 10)
    """
    source = Path(source)
    file = read_arrays(source)
    default = source.with_name(f"{source.stem}-mnistcore.safetensors")
    path = output_path(output, default, source)
    try:
        arrays, described = _description(file.arrays, file.metadata)
        pairs, names, found = stack(arrays, file.ordered, layout, layers)
        network = _network(pairs, activation or described.activation)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    model = Model(
        network,
        np.concatenate([part.ravel() for pair in pairs for part in pair]),
        _input_shape(network.layer_sizes[0], input_shape or described.input_shape),
        *_scaling(scale, shift, normalize, described),
        _class_names(network.layer_sizes[-1], class_names or described.class_names),
        described.config,
        described.pixel_max,
        described.float_pixels,
        described.data,
    )
    checkpoint.save(path, model)
    return Conversion(model, path, tuple(names), found)


def _description(
    arrays: dict[str, np.ndarray], metadata: Mapping[str, str]
) -> tuple[dict[str, np.ndarray], Described]:
    """Separate the arrays of the layers from the description that our own files hold."""
    if metadata.get("format") == checkpoint.FORMAT:
        raise ValueError("is a model of mnistcore already")
    if DESCRIPTION in metadata:
        return arrays, parse_description(metadata[DESCRIPTION])
    if not arrays.keys() >= set(_DESCRIBING):
        return arrays, Described()
    describing = (*_DESCRIBING, *(name for name in _SINCE if name in arrays))
    values = {name: arrays[name].tolist() for name in describing}
    for name in {"config", "data"} & values.keys():
        try:
            values[name] = json.loads(values[name])
        except (TypeError, ValueError, RecursionError):
            raise ValueError(f"has a {name!r} that cannot be read") from None
    rest = {name: array for name, array in arrays.items() if name not in describing}
    return rest, parse_description(json.dumps(values))


def _network(pairs: list[tuple[np.ndarray, np.ndarray]], activation: str | None) -> Network:
    sizes = (len(pairs[0][0]), *(len(bias) for _, bias in pairs))
    if activation is None:
        if len(pairs) > 1:
            names = ", ".join(ACTIVATIONS)
            raise ValueError(f"does not say the hidden layers' activation; give one of {names}")
        activation = "identity"
    if sizes[-1] == 1:
        raise ValueError("has a single output; a model has one for each class")
    return Network(sizes, SYNONYMS.get(activation, activation))


def _scaling(
    scale: float | None,
    shift: float | None,
    normalize: tuple[float, float] | None,
    described: Described,
) -> tuple[float, float]:
    """Return the model's scale and shift; options override what the file says."""
    if normalize is not None:
        if scale is not None or shift is not None:
            raise ValueError("give either normalize, or scale and shift")
        mean, std = normalize
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError(f"normalize takes a mean and a positive deviation, got {mean} {std}")
        return 1 / 255 / std, -mean / std
    scale = described.scale if scale is None else scale
    shift = described.shift if shift is None else shift
    if not (math.isfinite(scale) and math.isfinite(shift) and scale):
        raise ValueError(f"scale and shift must be finite, and scale not 0; got {scale} {shift}")
    return scale, shift


def _input_shape(n_inputs: int, shape: Sequence[int] | None) -> tuple[int, ...]:
    if shape is None:
        side = math.isqrt(n_inputs)
        return (side, side) if side * side == n_inputs else (n_inputs,)
    if min(shape, default=0) < 1 or math.prod(shape) != n_inputs:
        raise ValueError(
            f"images of {by(shape)} pixels do not fit a network with {n_inputs} inputs"
        )
    return tuple(shape)


def _class_names(n_classes: int, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, range(n_classes)))
    if len(names) != n_classes:
        raise ValueError(f"got {len(names)} class names for a network with {n_classes} outputs")
    return tuple(names)
