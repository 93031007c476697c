"""Convert weights that another library trained to a model: ``mnistcore convert``.

Reads multi-layer perceptrons of PyTorch, Keras, scikit-learn and NumPy: safetensors, ``.npz``,
``.h5``, ``.keras``, ``.pt``. Options supply what such a file does not say (the activation, how
pixels were scaled). Whole models of Keras and files written by ``mnistcore export`` need none.
"""

import shlex
import sys
from collections.abc import Sequence

from .interchange.conversion import PLACES, SYNONYMS, Conversion, run
from .interchange.dense import plus
from .interchange.dense_stack import LAYOUTS
from .kernels.layout import ACTIVATIONS
from .system.callable_module import make_callable
from .terminal.command_line import DONE, Parser, run_command, user_errors

__all__ = ["Conversion", "main", "run"]


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
            batch_norm=arguments.batch_norm,
            bn_eps=arguments.bn_eps,
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
    parser.add_argument(
        "file",
        metavar="FILE",
        help="the weights: .safetensors, .npz, .h5, .keras, .pt, .pth, .bin",
    )
    parser.add_argument(
        "--activation",
        choices=(*ACTIVATIONS, *SYNONYMS),
        help="of the hidden layers; needed unless the file says, as whole models of Keras and files"
        " of mnistcore export do",
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
        "--batch-norm",
        choices=PLACES,
        help="batch normalisation acts before or after the activation, if the file does not say"
        " (default: before)",
    )
    parser.add_argument(
        "--bn-eps",
        type=float,
        metavar="E",
        help="what it adds to variances, if the file does not say (default: 1e-5 for weights named"
        " as in PyTorch, 0.001 as in Keras)",
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
        help="the network is fed pixel * S + T for raw pixels from 0 to 255 (default: 1/255, or 1"
        " if its own layers scale raw pixels)",
    )
    parser.add_argument("--shift", type=float, metavar="T", help="see --scale (default: 0)")
    parser.add_argument(
        "--input-shape",
        type=int,
        nargs="+",
        metavar="N",
        help="of one image (default: as the file says, or a square if possible)",
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
    from .system.console import Console
    from .terminal.tables import facts_table

    model = conversion.model
    order = "(inputs, units)" if conversion.layout == "keras" else "(units, inputs)"
    shift = plus(f"{model.shift:g}") if model.shift else ""
    facts = {
        "network": str(model.network),
        "layers": f"{', '.join(conversion.layer_names)}; weights {order} as in {conversion.layout}",
        "input": f"images of {' x '.join(map(str, model.input_shape))} pixels,"
        f" each as pixel * {model.scale:.6g}{shift}",
        **{
            f"note {number}" if number > 1 else "note": remark
            for number, remark in enumerate(conversion.remarks, 1)
        },
        **({"left out": ", ".join(conversion.left_out)} if conversion.left_out else {}),
        "model": str(conversion.path),
        "try it": f"mnistcore evaluate {shlex.quote(str(conversion.path))}",
    }
    Console(soft_wrap=True).print(facts_table(facts))


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(main())
