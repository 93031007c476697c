"""Read PyTorch's files by ``torch.load(weights_only=True)``, which runs nothing from the file."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..system.errors import reason_of
from ..system.extras import MissingExtraError
from .weight_file import WeightFile, check_bytes, check_names, check_shapes

# Keys under which training scripts and Lightning keep the state_dict, the most telling first.
_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
_DEEPEST = 4  # levels of dictionaries
_MOST = 10_000  # entries of a state_dict

SAVE = "torch.save(model.state_dict(), 'weights.pt')"


def read(path: Path) -> WeightFile:
    """Read the ``state_dict`` of a file of PyTorch, from a checkpoint's dictionary too.

    Raises
    ------
    ValueError
        If the file holds more than tensors and plain values, such as a whole module; if it is
        damaged or too large, or if several networks are in it.
    MissingExtraError
        If PyTorch is not installed.
    """
    check_bytes(path.stat().st_size)
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: only PyTorch can read this file, and it cannot be imported ({error}); pip"
            " install torch, or save the weights where it is installed with"
            " safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        ) from error
    chosen, left_out = _state_dict(_load(torch, path), torch)
    flat: dict[str, Any] = {}
    _flatten(chosen, "", flat, 0)
    check_names([*map(str, flat), *left_out])
    tensors = {name: item for name, item in flat.items() if isinstance(item, torch.Tensor)}
    check_shapes(one.shape for one in tensors.values())
    arrays = {name: _array(torch, name, tensor) for name, tensor in tensors.items()}
    return WeightFile(
        arrays, ordered=True, left_out=(*left_out, *(name for name in flat if name not in tensors))
    )


def _load(torch: Any, path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:
            reason = reason_of(error)
            raise ValueError(f"is a damaged file of PyTorch ({reason})") from error
        raise ValueError(_refusal(named[1])) from error


def _refusal(name: str) -> str:
    """Say which object of the file would need code to be run, and how to save the weights."""
    if name.split(".")[0] == "numpy":
        return (
            f"holds an object of NumPy ({name}) beside its tensors, which PyTorch does not read"
            f" safely; save the weights alone: {SAVE}"
        )
    return (
        f"is a whole pickled module or holds other objects ({name}), which could run any program;"
        f" save the weights alone where the class is known: {SAVE}"
    )


def _state_dict(loaded: Any, torch: Any) -> tuple[Mapping[Any, Any], list[str]]:
    """Return the mapping that holds the tensors, and the names of what lies beside it."""
    if isinstance(loaded, list | tuple):
        loaded = {f"arr_{index}": item for index, item in enumerate(loaded)}
    left_out: list[str] = []
    for _ in range(_DEEPEST):
        if not isinstance(loaded, Mapping):
            raise ValueError(f"holds no state_dict but a {type(loaded).__name__}; use {SAVE}")
        key = next((key for key in _KEYS if isinstance(loaded.get(key), Mapping)), None)
        if key is None:
            if _holds_weights(loaded, torch):
                break
            key = _only_network(loaded, torch)
        left_out += [str(other) for other in loaded if other != key]
        loaded = loaded[key]
    return loaded, left_out


def _holds_weights(mapping: Mapping[Any, Any], torch: Any) -> bool:
    return any(isinstance(item, torch.Tensor) and item.ndim for item in mapping.values())


def _only_network(loaded: Mapping[Any, Any], torch: Any) -> Any:
    """Return the key of the only mapping of weights in a dictionary."""
    networks = [
        key
        for key, item in loaded.items()
        if isinstance(item, Mapping) and _holds_weights(item, torch)
    ]
    if len(networks) != 1:
        check_names(map(str, networks))
        found = ", ".join(map(str, networks)) or "none"
        raise ValueError(f"must hold the weights of one network; found {found}; use {SAVE}")
    return networks[0]


def _flatten(nested: Mapping[Any, Any], prefix: str, flat: dict[str, Any], depth: int) -> None:
    for key, item in nested.items():
        if len(flat) >= _MOST:
            raise ValueError(f"holds more than {_MOST:,} entries")
        if isinstance(item, Mapping) and item and depth < _DEEPEST:
            _flatten(item, f"{prefix}{key}.", flat, depth + 1)
        else:
            flat[f"{prefix}{key}"] = item


def _array(torch: Any, name: str, tensor: Any) -> np.ndarray:
    plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
    if not plain or (tensor.is_floating_point() and tensor.element_size() < 2):
        raise ValueError(f"has {name} of {tensor.dtype}, {tensor.layout}, which is not converted")
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array
