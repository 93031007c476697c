"""Make a model from the weights in a file that another library wrote."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.raw import LONGEST_NAME
from ..kernels.layout import ACTIVATIONS
from ..models import checkpoint
from ..models.model import Model, image_shape
from ..models.network import Network
from ..system.errors import by
from ..system.text import parsed
from .batch_norm import PLACES, place
from .dense import Described, parse_description
from .dense_stack import Product, stack
from .folding import SYNONYMS, Activation, Folded, Step, affine, enter, fold
from .keras_layers import KerasNetwork, read_keras
from .named_arrays import BatchNorm, natural, selected, sort_out
from .output import output_path
from .reading import read_weights
from .to_torch import DESCRIPTION
from .weight_file import WeightFile

__all__ = ["PLACES", "SYNONYMS", "Conversion", "run"]

_DESCRIBING = ("activations", "input_shape", "scale", "shift", "class_names", "config")
_SINCE = ("pixel_max", "float_pixels", "data", "link", "classes")  # absent from some files
# A network that multiplies its inputs by less takes raw pixels, one that multiplies them by more
# pixels in [0, 1]: the factors that are in use are 1/255, 1/127.5 and 1/78 against 1, 2 and 3.2.
_RAW_PIXELS = 1 / 16
_LARGEST_DESCRIPTION = 2**24  # bytes of an array


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
    remarks
        What was assumed or changed, one sentence each.
    left_out
        The names of what is in the file and no weight.
    """

    model: Model
    path: Path
    layer_names: tuple[str, ...]
    layout: str
    remarks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(eq=False)
class _Read:
    """A network as read from a file, before the options for pixels and classes."""

    steps: list[Step]
    layout: str
    described: Described
    left_out: tuple[str, ...]
    remarks: list[str]
    loss: str = ""


@dataclass(frozen=True)
class _Options:
    """The options of :func:`run` that say how arrays become layers."""

    activation: str | None
    layout: str
    layers: Sequence[str]
    batch_norm: str | None
    bn_eps: float | None


def run(
    source: str | Path,
    output: str | Path | None = None,
    *,
    activation: str | None = None,
    layout: str = "auto",
    layers: Sequence[str] = (),
    batch_norm: str | None = None,
    bn_eps: float | None = None,
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
        A file with the weights of dense layers: safetensors, ``.npz``, ``.h5`` or ``.keras`` of
        Keras, ``.pt``, ``.pth`` or ``.bin`` of PyTorch.
    output
        The model file; by default beside the source, with "-mnistcore" in its name.
    activation
        Of the hidden layers: relu, tanh, logistic or identity. Required if there are any and the
        file does not say.
    layout
        Orientation of the weights: "keras" (fan_in, fan_out), "torch" (fan_out, fan_in), or
        "auto": determined by shapes, or by names if all layers are square.
    layers
        The names of the layers, first to last; required if shapes allow several orders. Layers
        that are not named are left out.
    batch_norm
        Where batch normalisation acts if the file does not say: "before" the activation (the
        default) or "after" it.
    bn_eps
        The constant that it adds to variances, if the file does not say; by default 1e-5 for
        PyTorch's names of its arrays and 1e-3 for Keras's, as these libraries have it.
    scale, shift
        The network in the file is fed ``pixel * scale + shift`` for raw pixels in 0..255; by
        default 1/255 and 0, or 1 and 0 if its own layers scale raw pixels.
    normalize
        Instead of scale and shift, the mean and standard deviation by which pixels in [0, 1]
        were normalised, as in torchvision's ``Normalize``.
    input_shape
        Of one image; by default as the file says, or a square if possible.
    class_names
        By default "0", "1" and so on. A network with one output becomes one with two classes.

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
    MissingExtraError
        If a library that the format needs is not installed.
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
    file = read_weights(source)
    default = source.with_name(f"{source.stem}-mnistcore.safetensors")
    path = output_path(output, default, source)
    options = _Options(activation, layout, layers, batch_norm, bn_eps)
    try:
        found = _read(file, options)
        folded = fold(found.steps)
        _to_logits(folded, found)
        hidden = _hidden_activation(folded, activation)
        shape = _input_shape(len(folded.weights[0]), input_shape, found.described.input_shape)
        entering = _enter(folded, found, _scaling(scale, shift, normalize, found.described))
        network = Network((len(folded.weights[0]), *map(len, folded.biases)), hidden)
        params = _params(folded)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    described = found.described
    names = _class_names(network.layer_sizes[-1], class_names or described.class_names)
    # By contract raw pixels reach 255; a file of ours that does not say so is of an older version.
    foreign = described.scale is None and entering != (1, 0)
    model = Model(
        network, params, shape, *entering, names, described.config,
        255.0 if foreign else described.pixel_max, described.float_pixels, described.data,
    )  # fmt: skip
    checkpoint.save(path, model)
    dense = tuple(step.name for step in found.steps if isinstance(step, Product))
    return Conversion(model, path, dense, found.layout, tuple(found.remarks), found.left_out)


def _read(file: WeightFile, options: _Options) -> _Read:
    if file.keras is not None:
        return _described_by_keras(read_keras(file.keras), file, options)
    arrays, described = _description(file.arrays, file.metadata)
    found = sort_out(arrays, file.left_out)
    if options.layers:
        found = selected(found, options.layers)
    layers, layout = stack(found.layers, file.ordered, options.layout, bool(options.layers))
    left_out = [*file.left_out, *found.left_out]
    if not options.layers:
        _check_left_out(arrays, left_out, layers)
    activation = _agreed(options.activation, described.activation)
    if activation is None and len(layers) > 1:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"does not say the hidden layers' activation; give one of {known}")
    read = _Read([], layout, described, tuple(left_out), [])
    _fill(read, layers, found.norms, activation or "identity", options)
    return read


def _described_by_keras(keras: KerasNetwork, file: WeightFile, options: _Options) -> _Read:
    names = [step.name for step in keras.steps if isinstance(step, Product)]
    if options.layers and list(options.layers) != names:
        raise ValueError(f"has the layers {', '.join(names)}; got {', '.join(options.layers)}")
    if options.layout == "torch":
        raise ValueError("is a file of Keras; layout torch contradicts that")
    if options.batch_norm is not None or options.bn_eps is not None:
        raise ValueError("describes its batch normalisation; leave out batch-norm and bn-eps")
    described = Described(input_shape=keras.input_shape)
    return _Read(keras.steps, "keras", described, file.left_out, [], keras.loss)


def _fill(
    read: _Read,
    layers: Sequence[Product],
    norms: Sequence[BatchNorm],
    activation: str,
    options: _Options,
) -> None:
    """Add the steps of layers that no configuration describes, with batch normalisation."""
    if not norms and (options.batch_norm is not None or options.bn_eps is not None):
        raise ValueError("has no batch normalisation; leave out batch-norm and bn-eps")
    if options.bn_eps is not None and not 0 <= options.bn_eps < math.inf:
        raise ValueError(f"bn-eps must be 0 or more, got {options.bn_eps}")
    placed = place(sorted(norms, key=lambda norm: natural(norm.name)), layers)
    last = len(layers) - 1
    for index in range(-1, last + 1):
        read.steps += [layers[index]] if index >= 0 else []
        between: list[Step] = [Activation(activation)] if 0 <= index < last else []
        if found := placed.get(index):
            norm = found.norm
            eps = norm.eps if options.bn_eps is None else options.bn_eps
            where = options.batch_norm or found.where
            between.insert(0 if where == "before" else len(between), affine(norm, eps))
            if between[1:]:
                sure = "" if options.batch_norm or found.sure else ", as it is most often"
                read.remarks.append(
                    f"batch normalisation {norm.name} (eps {eps:g}) acts {where} the activation"
                    f" of {layers[index].name}{sure}"
                )
        read.steps += between


def _check_left_out(
    arrays: Mapping[str, np.ndarray], left_out: Sequence[str], layers: Sequence[Product]
) -> None:
    """Raise ValueError if a matrix that is left out could be one more layer at the end."""
    for name in left_out:
        array = arrays.get(name, np.zeros(0))
        is_matrix = array.dtype.kind == "f" and array.ndim == 2
        if is_matrix and len(layers[-1].bias) in array.shape and len(set(array.shape)) > 1:
            names = " ".join(layer.name for layer in layers)
            raise ValueError(
                f"has {name} {array.shape}, which fits the last layer; if it is no layer, give"
                f" layers {names}, and otherwise a name such as {name}.weight"
            )


def _agreed(option: str | None, stated: str | None) -> str | None:
    """Return the activation of the option or of the file; they may not differ."""
    option = option and SYNONYMS.get(option, option)
    if option and stated and option != stated:
        raise ValueError(f"says that the activation is {stated}; the option says {option}")
    return option or stated


def _to_logits(folded: Folded, read: _Read) -> None:
    """Turn the outputs into logits, one for each class."""
    last = folded.activations[-1]
    outputs = len(folded.biases[-1])
    if outputs == 1 and len(read.described.class_names or ()) != 1:
        _two_classes(folded, read, last)
    elif last == "logistic":
        read.remarks.append(
            "the file's outputs are sigmoids, each for itself; the model's probabilities are the"
            " softmax of the same logits, and its answers are the same"
        )
    elif last in ACTIVATIONS and last != "identity":
        raise ValueError(f"has the activation {last} after its last layer; outputs must be logits")
    folded.activations[-1] = "identity"


def _two_classes(folded: Folded, read: _Read, last: str) -> None:
    """Replace a single logit z by the logits 0 and z, whose softmax is (1 - sigmoid, sigmoid)."""
    regression = last == "identity" and read.loss and "binary_cross" not in read.loss
    if last not in ("identity", "logistic") or regression:
        kind = f"trained with the loss {read.loss}" if regression else f"through {last}"
        raise ValueError(f"has a single output, {kind}, which is no logit of two classes")
    weights, bias = folded.weights[-1], folded.biases[-1]
    folded.weights[-1] = np.hstack([np.zeros_like(weights), weights])
    folded.biases[-1] = np.hstack([np.zeros_like(bias), bias])
    read.remarks.append(
        "its single output is the logit of the second of two classes, and the first has logit 0"
    )


def _hidden_activation(folded: Folded, option: str | None) -> str:
    hidden = list(dict.fromkeys(folded.activations[:-1])) or ["identity"]
    if len(hidden) > 1:
        raise ValueError(
            f"has hidden layers of several activations: {', '.join(hidden)}; one for all is"
            " supported"
        )
    if hidden[0] not in ACTIVATIONS:
        raise ValueError(f"has {hidden[0]} between its layers, which is not converted")
    return _agreed(option if folded.activations[:-1] else None, hidden[0]) or ""


def _enter(folded: Folded, read: _Read, scaling: tuple[float | None, float]) -> tuple[float, float]:
    """Return the model's scale and shift, which include the file's own layers before the first.

    Layers that treat each pixel in its own way are folded into the first dense layer.
    """
    entry = folded.entry
    factor = float(np.quantile(np.abs(entry.factor), 0.25))  # some gains may be near 0
    takes_raw = factor < _RAW_PIXELS
    scale, shift = scaling
    if scale is None:
        scale = 1.0 if takes_raw else 1 / 255
    elif takes_raw and abs(factor * scale * 255) < _RAW_PIXELS:
        raise ValueError(
            f"scales raw pixels itself ({entry.name}, by {factor:.6g}); scale {scale:.6g} would do"
            " it twice"
        )
    if np.ndim(entry.factor):
        folded.weights[0], folded.biases[0] = enter(folded.weights[0], folded.biases[0], entry)
        read.remarks.append(f"{entry.name} is folded into the first layer")
        return scale, shift
    return scale * float(entry.factor), shift * float(entry.factor) + float(entry.offset)


def _params(folded: Folded) -> np.ndarray:
    parts = [
        part.ravel() for pair in zip(folded.weights, folded.biases, strict=True) for part in pair
    ]
    with np.errstate(over="ignore"):  # the check below reports it
        params = np.concatenate(parts, dtype=np.float32, casting="same_kind")
    if not np.isfinite(params).all():
        raise ValueError("has weights that are not finite in float32 once they are folded")
    return params


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
    if any(arrays[name].nbytes > _LARGEST_DESCRIPTION for name in describing):
        raise ValueError("has a description that is too large")
    values = {name: arrays[name].tolist() for name in describing}
    for name in {"config", "data"} & values.keys():
        try:
            values[name] = parsed(values[name])
        except (TypeError, ValueError):
            raise ValueError(f"has a {name!r} that cannot be read") from None
    rest = {name: array for name, array in arrays.items() if name not in describing}
    try:
        text = json.dumps(values)
    except TypeError as error:  # an array of bytes, dates or complex numbers
        raise ValueError(f"has a description that cannot be read ({error})") from error
    return rest, parse_description(text)


def _scaling(
    scale: float | None,
    shift: float | None,
    normalize: tuple[float, float] | None,
    described: Described,
) -> tuple[float | None, float]:
    """Return what scales the pixels that enter the file's network; None for its default."""
    if normalize is not None:
        if scale is not None or shift is not None:
            raise ValueError("give either normalize, or scale and shift")
        mean, std = normalize
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise ValueError(f"normalize takes a mean and a positive deviation, got {mean} {std}")
        scale, shift = 1 / 255 / std, -mean / std
    for option, stated in ((scale, described.scale), (shift, described.shift)):
        if option is not None and stated is not None and not math.isclose(option, stated):
            raise ValueError(f"says that pixels are scaled by {stated:.6g}; got {option:.6g}")
    scale = described.scale if scale is None else scale
    shift = (described.shift or 0.0) if shift is None else shift
    if not (math.isfinite(scale or 1) and math.isfinite(shift) and scale != 0):
        raise ValueError(f"scale and shift must be finite, and scale not 0; got {scale} {shift}")
    return scale, shift


def _input_shape(
    n_inputs: int, option: Sequence[int] | None, stated: tuple[int, ...] | None
) -> tuple[int, ...]:
    shape = image_shape(n_inputs, option or stated)
    if option and stated and shape != image_shape(n_inputs, stated):
        raise ValueError(f"says that images have {by(stated)} pixels; got {by(option)}")
    return shape


def _class_names(n_classes: int, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, range(n_classes)))
    if len(names) != n_classes:
        raise ValueError(f"got {len(names)} class names for a network with {n_classes} outputs")
    if max(map(len, names)) > LONGEST_NAME:
        raise ValueError(f"names of classes have at most {LONGEST_NAME} characters")
    if "" in names or len(set(names)) < n_classes:
        name = next(one for one in names if not one or names.count(one) > 1)
        raise ValueError(f"the class name {name!r} is {'given twice' if name else 'empty'}")
    return tuple(names)
