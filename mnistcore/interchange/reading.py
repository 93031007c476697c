"""Tell the format of a file of weights by its first bytes, and read it.

A pickle can run any program, so none is opened; the message says how to save the weights instead.
"""

from pathlib import Path

from ..system.hdf5 import MAGIC
from ..system.npz import unzipped
from . import from_hdf5, from_keras, from_npz, from_safetensors, from_torch
from .weight_file import WeightFile, check_bytes, check_names

_ZIP, _PICKLE, _NPY = b"PK", b"\x80", b"\x93NUMPY"
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before version 1.6
_PICKLE_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin")

_FROM_SKLEARN = (
    "numpy.savez('weights.npz', *[array for pair in zip(model.coefs_, model.intercepts_)"
    " for array in pair])"
)
_FROM_ONNX = (
    "numpy.savez('weights.npz', **{i.name: onnx.numpy_helper.to_array(i) for i in"
    " onnx.load('model.onnx').graph.initializer})"
)


def read_weights(path: str | Path) -> WeightFile:
    """Read a file of weights: safetensors, ``.npz``, HDF5, ``.keras``, or one of PyTorch.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it has another format, is damaged, or is larger than ``MAX_BYTES`` when unpacked.
    MissingExtraError
        If the library that reads it is not installed.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        raise ValueError(
            f"{path}: is a SavedModel of TensorFlow; load it with Keras, and save it with"
            " model.save('model.keras')"
        )
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give the file with the weights")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a file of weights")
    try:
        return _read(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> WeightFile:
    with path.open("rb") as file:
        start = file.read(4096)
    # A safetensors file begins with 8 arbitrary bytes, the length of the JSON header after them.
    if start[8:9] == b"{":
        return from_safetensors.read(path)
    if start.startswith(MAGIC):
        return from_hdf5.read(path)
    if start.startswith(_ZIP):
        return _read_zip(path)
    if start.startswith(_OLD_TORCH):
        return from_torch.read(path)
    _refuse(path.suffix.lower(), start)
    return from_safetensors.read(path)  # which says what is wrong


def _read_zip(path: Path) -> WeightFile:
    """Read what a zip file holds, whose size when unpacked is checked here for all formats."""
    with unzipped(path, "zip file") as archive:
        names = archive.namelist()
        size = sum(member.file_size for member in archive.infolist())
    check_bytes(size)
    if "model.weights.h5" in names or "config.json" in names:
        return from_keras.read(path)
    if any(name.endswith("/data.pkl") for name in names):
        if any(name.endswith("/constants.pkl") for name in names):
            raise ValueError(
                "is a TorchScript program; save its weights with"
                " torch.save(torch.jit.load('model.pt').state_dict(), 'weights.pt')"
            )
        return from_torch.read(path)
    other = [name for name in names if not name.endswith(".npy")]
    if other or not names:
        check_names(other[:3])
        raise ValueError(f"holds no weights but {', '.join(other[:3]) or 'nothing'}")
    return from_npz.read(path)


def _refuse(suffix: str, start: bytes) -> None:
    """Raise ValueError for formats that are known and not read."""
    if suffix == ".onnx":
        raise ValueError(
            f"is an ONNX graph, which is not read; save the weights it holds with {_FROM_ONNX}"
        )
    if start.startswith(_NPY):
        raise ValueError("is a single array; save all weights with numpy.savez('weights.npz', ...)")
    if suffix in (".h5", ".hdf5", ".keras"):
        raise ValueError("is not a file of Keras, or damaged")
    if start.startswith(_PICKLE) or suffix in _PICKLE_SUFFIXES:
        raise ValueError(
            "is a pickle, which could run any program, and is not opened; save the weights with "
            + _saving(suffix, start)
        )


def _saving(suffix: str, start: bytes) -> str:
    """Return the line that saves the weights of the library which seems to be in a pickle."""
    if suffix in (".pt", ".pth", ".bin", ".ckpt") or b"torch" in start:
        return from_torch.SAVE
    if suffix == ".joblib" or b"sklearn" in start:
        return _FROM_SKLEARN
    return "numpy.savez('weights.npz', **arrays), where arrays has a name for each"
