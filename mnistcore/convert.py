"""Convert weights that another library trained to a model: ``mnistcore convert``.

Reads multi-layer perceptrons of PyTorch, Keras, scikit-learn and NumPy, as safetensors or
``.npz``. Options supply what such a file does not say (the activation, how pixels were scaled).
Files written by ``mnistcore export`` need none.
"""

import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .interchange.array_files import read_arrays
from .interchange.dense import Described, parse_description, plus
from .interchange.dense_stack import LAYOUTS, stack
from .interchange.output import output_path
from .interchange.to_torch import DESCRIPTION
from .kernels.layout import ACTIVATIONS
from .models import checkpoint
from .models.checkpoint import Model
from .models.network import Network
from .terminal.command_line import DONE, Parser, run_command, user_errors

__all__ = ["Conversion", "main", "run"]

_SYNONYMS = {"sigmoid": "logistic", "linear": "identity"}  # names in PyTorch and Keras
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

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file has another format or is damaged, is not a multi-layer perceptron, or if
        options are missing or contradict it.
    OSError
        If a file cannot be read or written.
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
    return Network(sizes, _SYNONYMS.get(activation, activation))


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
        spelled = " x ".join(map(str, shape))
        raise ValueError(f"images of {spelled} pixels do not fit a network with {n_inputs} inputs")
    return tuple(shape)


def _class_names(n_classes: int, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, range(n_classes)))
    if len(names) != n_classes:
        raise ValueError(f"got {len(names)} class names for a network with {n_classes} outputs")
    return tuple(names)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command("convert", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    normalize = arguments.normalize
    with user_errors():
        conversion = run(
            arguments.file,
            arguments.output,
            activation=arguments.activation,
            layout=arguments.layout,
            layers=arguments.layers,
            scale=arguments.scale,
            shift=arguments.shift,
            normalize=None if normalize is None else (normalize[0], normalize[1]),
            input_shape=arguments.input_shape,
            class_names=arguments.class_names,
        )
    _show(conversion)
    return DONE


def _parser() -> Parser:
    parser = Parser(
        "convert",
        "Make a model from the weights of a multi-layer perceptron trained with PyTorch, Keras,"
        " scikit-learn or NumPy.",
    )
    parser.add_argument("file", metavar="FILE", help="the weights, .safetensors or .npz")
    parser.add_argument(
        "--activation",
        choices=(*ACTIVATIONS, *_SYNONYMS),
        help="of the hidden layers; needed unless mnistcore export wrote the file",
    )
    parser.add_argument(
        "--layout",
        choices=("auto", *LAYOUTS),
        default="auto",
        help="weights are (inputs, units) as in keras or (units, inputs) as in torch"
        " (default: determined by their shapes, or by their names if all layers are square)",
    )
    parser.add_argument(
        "--layers",
        nargs="+",
        default=(),
        metavar="NAME",
        help="the layers' names, first to last (default: the order that fits)",
    )
    parser.add_argument(
        "--normalize",
        type=float,
        nargs=2,
        metavar=("MEAN", "STD"),
        help="pixels in [0, 1] were normalised by this mean and deviation in training",
    )
    parser.add_argument(
        "--scale",
        type=float,
        metavar="S",
        help="the network is fed pixel * S + T for raw pixels from 0 to 255 (default: 1/255)",
    )
    parser.add_argument("--shift", type=float, metavar="T", help="see --scale (default: 0)")
    parser.add_argument(
        "--input-shape",
        type=int,
        nargs="+",
        metavar="N",
        help="of one image (default: a square if possible)",
    )
    parser.add_argument(
        "--class-names", nargs="+", metavar="NAME", help="one per class (default: 0 1 2 ...)"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the model, .safetensors; replaced if it exists (default: FILE-mnistcore.safetensors)",
    )
    return parser


def _show(conversion: Conversion) -> None:
    from rich.console import Console

    from .terminal.tables import facts_table

    model = conversion.model
    network = model.network
    sizes = "-".join(map(str, network.layer_sizes))
    activation = f", {network.activation}" if len(network.layer_sizes) > 2 else ""
    order = "(inputs, units)" if conversion.layout == "keras" else "(units, inputs)"
    shift = plus(f"{model.shift:g}") if model.shift else ""
    facts = {
        "network": f"{sizes}{activation}, {network.n_params:,} parameters",
        "layers": f"{', '.join(conversion.layer_names)}; weights {order} as in {conversion.layout}",
        "input": f"images of {' x '.join(map(str, model.input_shape))} pixels,"
        f" each as pixel * {model.scale:.6g}{shift}",
        "model": str(conversion.path),
        "try it": f"python -m mnistcore.evaluate {shlex.quote(str(conversion.path))}",
    }
    Console(soft_wrap=True).print(facts_table(facts))


if __name__ == "__main__":
    sys.exit(main())
