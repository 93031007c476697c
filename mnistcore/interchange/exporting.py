"""Write a model in the format of another program."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models import checkpoint
from ..models.fitted import FittedNetwork
from ..models.model import Model
from ..system.files import check_target, replacing
from ..system.text import one_line
from ..training.data_options import RunDataOptions
from . import to_c, to_numpy, to_onnx, to_torch
from .dense import Source
from .int8_loss import Int8Loss, measure
from .output import output_path

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
    header
        The header of a C file; None for other formats.
    int8_loss
        The accuracy that 8-bit weights cost; None if there are none or it was not measured.
    not_measured
        Why it could not be measured; empty otherwise.
    """

    path: Path
    size: int
    model: Source
    usage: str
    header: Path | None = None
    int8_loss: Int8Loss | None = None
    not_measured: str = ""


def run(
    source: Any,
    to: str,
    output: str | Path | None = None,
    *,
    int8: bool = False,
    float_input: bool = False,
    measured_on: RunDataOptions | None = None,
) -> Exported:
    """Write a model in the format of another program.

    Parameters
    ----------
    source
        A run folder, a model file, a :class:`.Model`, or a fitted :class:`.MLPClassifier` or
        :class:`.MLPRegressor`, which is written with the features of its X as inputs; for images,
        give ``classifier.to_model(...)``.
    to
        "onnx", "torch", "numpy" or "c"; see the modules of :mod:`.interchange`.
    output
        The file to write; by default beside the model, and named after it. A C file gets a header
        beside it, with the suffix ``.h``.
    int8
        For C only: quantise the weights to 8 bits.
    float_input
        For ONNX only: the graph takes float32 pixels in [0, 1] instead of raw uint8 pixels.
    measured_on
        The data set on whose test images to measure the accuracy that ``int8`` costs; by default
        the training data, if found. Nothing is downloaded.

    Returns
    -------
    Exported
        The file, and lines of code that run it.

    Raises
    ------
    FileNotFoundError
        If the model does not exist.
    TypeError
        If the source is none of these.
    ValueError
        If the model file is damaged or has another format, if options contradict each other, if
        the format cannot hold the model, or if the estimator is not fitted.
    MissingExtraError
        If the format needs a library that is not installed.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import mnistcore
    >>> exported = mnistcore.export("runs/first", "numpy", "first.npz")
    >>> exported.path.name, exported.size > 100_000
    ('first.npz', True)
    """
    measured_on = measured_on or RunDataOptions()
    _check_options(to, int8, float_input, measured_on)
    model, file = _loaded(source)
    if isinstance(model, FittedNetwork):
        _check_options_of_estimators(int8, float_input)
    if file is None and output is None:
        raise ValueError("give output, the file to write: this model comes from no file")
    ending = "-int8.c" if int8 else FORMATS[to]
    beside = file or Path("model")
    path = output_path(output, beside.with_name(beside.stem + ending), file)
    loss, not_measured = None, ""
    if isinstance(model, Model):
        if int8:
            loss, not_measured = _measured(model, measured_on)
        if model.float_pixels and to in ("onnx", "c"):
            if not float_input:
                _check_bytes(model, to, file)
            model = model.taking_bytes()  # these formats take bytes
    header = _header(path) if to == "c" else None
    content, usage = _encoded(model, to, path, int8, float_input, loss)
    with ExitStack() as stack:  # both files are written before either takes its place
        if header:
            text = to_c.encode_header(model, to_c.prefix_of(path.stem))
            stack.enter_context(replacing(header)).write(text)
        stack.enter_context(replacing(path)).write(content)
    return Exported(path, len(content), model, usage, header, loss, not_measured)


def _check_bytes(model: Model, to: str, file: Path | None) -> None:
    """Check that bytes can be the pixels of a model of floats."""
    if model.data is not None and min(model.data.paper, model.data.ink) < 0:
        raise ValueError(
            f"{file or 'the model'}: was trained on pixels below 0, which the bytes that a file of"
            f" {to} takes cannot be; export to numpy or torch, or to onnx with float_input"
        )


def _loaded(source: Any) -> tuple[Source, Path | None]:
    """Return what to write, and the file that it comes from."""
    if isinstance(source, str | os.PathLike):
        file = Path(source)
        return checkpoint.load(file), checkpoint.model_file(file)
    if isinstance(source, Model):
        return source, None
    if hasattr(source, "fitted_network"):  # an estimator; this package does not import them
        return source.fitted_network(), None
    raise TypeError(
        "export takes a run, a model, or an MLPClassifier or MLPRegressor of mnistcore.sklearn, not"
        f" {type(source).__name__}; for a pipeline see mnistcore.sklearn.onnx"
    )


def _header(path: Path) -> Path:
    """Return the file for the header of a C file, which may replace only one of our own."""
    header = path.with_suffix(".h")
    check_target(header)
    if header.exists() and not to_c.is_header(header):
        raise ValueError(
            f"{header}: is no header of an exported model, and would be replaced; give output"
            " another name"
        )
    return header


def _check_options(to: str, int8: bool, float_input: bool, measured_on: RunDataOptions) -> None:
    if to not in FORMATS:
        raise ValueError(f"unknown format {to!r}; choose from {', '.join(FORMATS)}")
    if int8 and to != "c":
        raise ValueError(f"int8 is for format c, not {to}")
    if float_input and to != "onnx":
        raise ValueError(f"float-input is for format onnx, not {to}")
    if measured_on != RunDataOptions() and not int8:
        raise ValueError("options of data are for int8, to measure what it costs")


def _check_options_of_estimators(int8: bool, float_input: bool) -> None:
    if int8:
        raise ValueError(
            "int8 takes bytes, the features of an estimator are floats; for images, export"
            " classifier.to_model(...)"
        )
    if float_input:
        raise ValueError("float-input is for images; an estimator's features are floats anyway")


def _measured(model: Model, options: RunDataOptions) -> tuple[Int8Loss | None, str]:
    """Return the accuracy that 8-bit weights cost, or why it could not be measured.

    Data named by the user must exist; the training data may be missing.
    """
    named = options != RunDataOptions()
    try:
        return measure(model, options.load_or_own(model, mirrors=())), ""
    except (ValueError, TypeError, OSError) as error:
        if named:
            raise
        return None, one_line(error)


def _encoded(
    model: Source, to: str, path: Path, int8: bool, float_input: bool, loss: Int8Loss | None
) -> tuple[bytes, str]:
    """Return the content of the file, and lines of code that run it under this name."""
    name = str(path)
    if to == "onnx":
        return to_onnx.encode(model, float_input), to_onnx.usage(model, name, float_input)
    if to == "torch":
        return to_torch.encode(model), to_torch.usage(model, name)
    if to == "numpy":
        return to_numpy.encode(model), to_numpy.usage(model, name)
    prefix, remark = to_c.prefix_of(path.stem), f"It is {loss}." if loss else ""
    return to_c.encode(model, int8, prefix, remark), to_c.usage(model, name, prefix)
