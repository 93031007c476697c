"""Read safetensors files."""

import json
from pathlib import Path

import numpy as np

from ..system.errors import reason_of
from .weight_file import WeightFile, check_bytes, check_names, check_shapes, from_bfloat16


def read(path: Path) -> WeightFile:
    """Read all tensors of a safetensors file; bfloat16 becomes float32.

    Raises
    ------
    ValueError
        If it is damaged, has another format, or is too large.
    """
    from safetensors import SafetensorError, safe_open

    check_bytes(path.stat().st_size)
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            kinds = {name: file.get_slice(name).get_dtype() for name in names}
            check_names(kinds)
            check_shapes(file.get_slice(name).get_shape() for name in names)
            arrays = {}
            for name, kind in kinds.items():
                if kind == "BF16":
                    arrays[name] = _bfloat16(path, name)
                elif kind.startswith(("F8", "F6_", "F4")):
                    raise ValueError(f"has {name} of {kind}; weights are read from 16 bits up")
                else:
                    arrays[name] = file.get_tensor(name)
            return WeightFile(arrays, file.metadata() or {})
    except SafetensorError as error:
        reason = reason_of(error)
        raise ValueError(
            "has none of the formats that are read: .safetensors, .npz, .h5, .keras, .pt; or it is"
            f" damaged ({reason})"
        ) from error


def _bfloat16(path: Path, name: str) -> np.ndarray:
    """Read a tensor of a type that NumPy lacks; the library has checked the header by now."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
        first, end = entry["data_offsets"]
        file.seek(8 + length + first)
        bits = np.frombuffer(file.read(end - first), "<u2")
    return from_bfloat16(bits).reshape(entry["shape"])
