"""Write a model for other programs: ``mnistcore export RUN --to onnx|torch|numpy|c``."""

import dataclasses
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import load_data
from .interchange import to_c, to_numpy, to_onnx, to_torch
from .interchange.int8_loss import Int8Loss, measure
from .interchange.output import output_path
from .models import checkpoint
from .models.checkpoint import Model
from .runs.data import own_data
from .system.files import replacing
from .terminal.command_line import DONE, Parser, run_command, user_errors

__all__ = ["FORMATS", "Exported", "main", "run"]

# By default a format's file is named after the model's file, with its suffix replaced by this.
FORMATS = {"onnx": ".onnx", "torch": "-torch.safetensors", "numpy": ".npz", "c": ".c"}


@dataclass(frozen=True, eq=False)
class Exported:
    """An exported file.

    Attributes
    ----------
    path
        The file.
    size
        Its size in bytes.
    model
        The model in it.
    usage
        Lines of code that run it.
    int8_loss
        The accuracy that 8-bit weights cost; None if there are none or it was not measured.
    not_measured
        Why it could not be measured; empty otherwise.
    """

    path: Path
    size: int
    model: Model
    usage: str
    int8_loss: Int8Loss | None = None
    not_measured: str = ""


def run(
    source: str | Path,
    to: str,
    output: str | Path | None = None,
    *,
    int8: bool = False,
    float_input: bool = False,
    data: str | None = None,
    data_dir: str | None = None,
) -> Exported:
    """Write a model in the format of another program.

    Parameters
    ----------
    source
        A run folder or a model file.
    to
        "onnx", "torch", "numpy" or "c"; see the modules of :mod:`.interchange`.
    output
        The file to write; by default beside the model, and named after it.
    int8
        For C only: quantise the weights to 8 bits.
    float_input
        For ONNX only: the graph takes float32 pixels in [0, 1] instead of raw uint8 pixels.
    data, data_dir
        The data set, as in ``TrainConfig``, on whose test images to measure the accuracy that
        ``int8`` costs; by default the training data, if found. Nothing is downloaded.

    Raises
    ------
    FileNotFoundError
        If the model does not exist.
    ValueError
        If the model file is damaged or has another format, if options contradict each other, or
        if the format cannot hold the model.
    MissingExtraError
        If the format needs a library that is not installed.
    OSError
        If a file cannot be read or written.
    """
    _check_options(to, int8, float_input, data, data_dir)
    file = Path(source)
    model = checkpoint.load(file)
    if file.is_dir():
        file /= checkpoint.MODEL_FILE
    ending = "-int8.c" if int8 else FORMATS[to]
    path = output_path(output, file.with_name(file.stem + ending), file)
    loss, not_measured = _measured(model, data, data_dir) if int8 else (None, "")
    if model.float_pixels and to in ("onnx", "c"):
        model = model.taking_bytes()  # these formats take bytes
    content = _content(model, to, int8, float_input, loss)
    with replacing(path) as target:
        target.write(content)
    usage = _usage(model, to, str(path), float_input)
    return Exported(path, len(content), model, usage, loss, not_measured)


def _check_options(
    to: str, int8: bool, float_input: bool, data: str | None, data_dir: str | None
) -> None:
    if to not in FORMATS:
        raise ValueError(f"unknown format {to!r}; choose from {', '.join(FORMATS)}")
    if int8 and to != "c":
        raise ValueError(f"int8 is for format c, not {to}")
    if float_input and to != "onnx":
        raise ValueError(f"float-input is for format onnx, not {to}")
    if (data or data_dir) and not int8:
        raise ValueError("data and data-dir are for int8, to measure what it costs")


def _measured(model: Model, data: str | None, data_dir: str | None) -> tuple[Int8Loss | None, str]:
    """Return the accuracy that 8-bit weights cost, or why it could not be measured.

    Data named by the user must exist; the training data may be missing.
    """
    named = data is not None or data_dir is not None
    try:
        if named:
            return measure(model, load_data(data or "auto", data_dir, mirrors=())), ""
        return measure(model, own_data(model, mirrors=())), ""
    except (ValueError, TypeError, OSError) as error:
        if named:
            raise
        return None, " ".join(str(error).split())


def _content(model: Model, to: str, int8: bool, float_input: bool, loss: Int8Loss | None) -> bytes:
    if to == "onnx":
        return to_onnx.encode(model, float_input)
    if to == "torch":
        return to_torch.encode(model)
    if to == "numpy":
        return to_numpy.encode(model)
    return to_c.encode(model, int8, remark=f"It is {loss}." if loss else "")


def _usage(model: Model, to: str, name: str, float_input: bool) -> str:
    if to == "onnx":
        return to_onnx.usage(model, name, float_input)
    if to == "torch":
        return to_torch.usage(model, name)
    if to == "numpy":
        return to_numpy.usage(model, name)
    return to_c.usage(model, name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command("export", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    with user_errors():
        exported = run(
            arguments.run,
            arguments.to,
            arguments.output,
            int8=arguments.int8,
            float_input=arguments.float_input,
            data=arguments.data,
            data_dir=arguments.data_dir,
        )
    if arguments.json:
        print(json.dumps(_summary(exported), indent=2))
    else:
        _show(exported, arguments.to, arguments.int8)
    return DONE


def _parser() -> Parser:
    parser = Parser("export", "Write a model in a format that other programs run.")
    parser.add_argument("run", metavar="RUN", help="a run folder or a model file, .safetensors")
    parser.add_argument(
        "--to",
        required=True,
        choices=tuple(FORMATS),
        help=f"onnx: a graph from pixels to label (ONNX opset {to_onnx.OPSET});"
        " torch: a state_dict for torch.nn.Sequential, as safetensors;"
        " numpy: arrays in an .npz file; c: one self-contained C99 file",
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
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="int8: measure on the test images of mnist, synthetic or a folder of four IDX files"
        " (default: the data of the training, if it is at hand)",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="int8: folder to take MNIST from")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    return parser


def _summary(exported: Exported) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    loss = exported.int8_loss
    return {
        "path": str(exported.path),
        "bytes": exported.size,
        "layer_sizes": list(exported.model.network.layer_sizes),
        "activation": exported.model.network.activation,
        "int8_loss": dataclasses.asdict(loss) if loss else None,
        "not_measured": exported.not_measured,
        "usage": exported.usage,
    }


def _show(exported: Exported, to: str, int8: bool) -> None:
    from rich.console import Console

    from .terminal.tables import facts_table

    network = exported.model.network
    facts = {
        "network": f"{'-'.join(map(str, network.layer_sizes))}, {network.n_params:,} parameters",
        "file": f"{exported.path}, {exported.size:,} bytes",
    }
    if to == "c":
        tables, buffers = to_c.memory(exported.model, int8)
        facts["memory"] = f"{tables:,} bytes of tables, {buffers:,} bytes of buffers"
    if int8:
        tables, _ = to_c.memory(exported.model)
        facts["memory"] += f"; with float weights {tables:,} bytes of tables"
        facts["accuracy"] = str(exported.int8_loss or f"not measured: {exported.not_measured}")
    Console(soft_wrap=True).print(facts_table(facts))
    print("\n" + textwrap.indent(exported.usage, "    "))


if __name__ == "__main__":
    sys.exit(main())
