"""Write a model for other programs: ``mnistcore export RUN --to onnx|torch|numpy|c``."""

import dataclasses
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .interchange import to_c, to_onnx
from .interchange.exporting import FORMATS, Exported, run
from .system.callable_module import make_callable
from .terminal.command_line import DONE, CommandError, Parser, run_command, user_errors
from .terminal.display import print_json
from .terminal.flags import add_flags, flags_given
from .terminal.runs import add_runs, check_written, runs_or_newest
from .training.data_options import RunDataOptions

__all__ = ["FORMATS", "Exported", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command("export", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    with user_errors():
        source, *others = runs_or_newest(arguments.runs)
        if others:
            raise CommandError("no format holds several networks; export each RUN alone")
        if arguments.output is not None:
            check_written(Path(arguments.output))
        exported = run(
            source,
            arguments.to,
            arguments.output,
            int8=arguments.int8,
            float_input=arguments.float_input,
            measured_on=RunDataOptions(**flags_given(arguments, RunDataOptions)),
        )
    if arguments.json:
        print_json(_summary(exported))
    else:
        _show(exported, arguments.to, arguments.int8)
    return DONE


def _parser() -> Parser:
    parser = Parser("export", "Write a model in a format that other programs run.")
    add_runs(parser)
    parser.add_argument(
        "--to",
        required=True,
        choices=tuple(FORMATS),
        help=f"onnx: a graph from pixels to label (ONNX opset {to_onnx.OPSET});"
        " torch: a state_dict for torch.nn.Sequential, as safetensors;"
        " numpy: arrays in an .npz file; c: one self-contained C99 file, and its header",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the file to write; replaced if it exists (default: beside the model)",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="c: weights of 8 bits, a quarter of the size; what they cost is measured",
    )
    parser.add_argument(
        "--float-input",
        action="store_true",
        help="onnx: take float32 pixels in [0, 1] instead of raw uint8 pixels",
    )
    measured_on = parser.add_argument_group("int8: the data on whose test images it is measured")
    add_flags(measured_on, RunDataOptions)
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    return parser


def _summary(exported: Exported) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    loss = exported.int8_loss
    return {
        "path": str(exported.path),
        "bytes": exported.size,
        "header": str(exported.header) if exported.header else None,
        "layer_sizes": list(exported.model.network.layer_sizes),
        "activation": exported.model.network.activation,
        "int8_loss": dataclasses.asdict(loss) if loss else None,
        "not_measured": exported.not_measured,
        "usage": exported.usage,
    }


def _show(exported: Exported, to: str, int8: bool) -> None:
    from .system.console import Console
    from .terminal.tables import facts_table

    network = exported.model.network
    facts = {
        "network": f"{'-'.join(map(str, network.layer_sizes))}, {network.n_params:,} parameters",
        "file": f"{exported.path}, {exported.size:,} bytes",
    }
    if exported.header:
        facts["header"] = str(exported.header)
    if to == "c":
        tables, buffers = to_c.memory(exported.model, int8)
        facts["memory"] = f"{tables:,} bytes of tables, {buffers:,} bytes of buffers"
    if int8:
        tables, _ = to_c.memory(exported.model)
        facts["memory"] += f"; with float weights {tables:,} bytes of tables"
        facts["accuracy"] = str(exported.int8_loss or f"not measured: {exported.not_measured}")
    Console(soft_wrap=True).print(facts_table(facts))
    print("\n" + textwrap.indent(exported.usage, "    "))


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(main())
