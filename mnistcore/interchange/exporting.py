"""Write a model in the format of another program."""

from dataclasses import dataclass
from pathlib import Path

from ..data import load_data
from ..models import checkpoint
from ..models.model import Model, own_data
from ..system.files import replacing
from . import to_c, to_numpy, to_onnx, to_torch
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

    Returns
    -------
    Exported
        The file, and lines of code that run it.

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

    Examples
    --------
    >>> import mnistcore
    >>> exported = mnistcore.export("runs/first", "numpy", "first.npz")
    >>> exported.path.name, exported.size > 100_000
    ('first.npz', True)
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
    content, usage = _encoded(model, to, str(path), int8, float_input, loss)
    with replacing(path) as target:
        target.write(content)
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


def _encoded(
    model: Model, to: str, name: str, int8: bool, float_input: bool, loss: Int8Loss | None
) -> tuple[bytes, str]:
    """Return the content of the file, and lines of code that run it under this name."""
    if to == "onnx":
        return to_onnx.encode(model, float_input), to_onnx.usage(model, name, float_input)
    if to == "torch":
        return to_torch.encode(model), to_torch.usage(model, name)
    if to == "numpy":
        return to_numpy.encode(model), to_numpy.usage(model, name)
    remark = f"It is {loss}." if loss else ""
    return to_c.encode(model, int8, remark=remark), to_c.usage(model, name)
