"""The contents of a file of weights, and the limits that every reader of one keeps.

The files are not trusted: sizes are checked before anything is unpacked or allocated, and names
before they are shown.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAX_BYTES = 2**30  # of all arrays of a file; also in float64, in which weights are folded
KERAS_MODELS = ("Sequential", "Functional", "Model")  # whose layers the configuration lists

_LONGEST_NAME = 200


@dataclass(frozen=True, eq=False)
class WeightFile:
    """The contents of a file of weights.

    Attributes
    ----------
    arrays
        The arrays by name.
    metadata
        The metadata of a safetensors file; empty for other formats.
    ordered
        Whether the arrays are in the order in which they were saved, which safetensors and HDF5
        do not keep.
    left_out
        What else the file holds and what was not read, such as the state of an optimizer.
    keras
        The model that the file describes, if Keras wrote the list of its layers into it; then
        there are no arrays beside its variables.
    """

    arrays: dict[str, np.ndarray]
    metadata: Mapping[str, str] = field(default_factory=dict)
    ordered: bool = False
    left_out: tuple[str, ...] = ()
    keras: "KerasModel | None" = None


@dataclass(frozen=True, eq=False)
class KerasModel:
    """The configuration of a Keras model, and its variables by layer.

    Attributes
    ----------
    config
        The JSON of the model, parsed but not checked.
    variables
        The variables of each layer, by the layer's path and then by their role ("kernel") or
        number ("0").
    by_name
        Whether the paths are names of layers, as in whole-model HDF5 files; otherwise they are
        numbered by kind of layer: "dense", "dense_1" ...
    training
        The JSON of how the model was compiled; empty if unknown.
    """

    config: Mapping[str, Any]
    variables: dict[str, dict[str, np.ndarray]]
    by_name: bool
    training: Mapping[str, Any]


def check_bytes(size: int) -> None:
    """Raise ValueError if the arrays of a file take more than ``MAX_BYTES``."""
    if size > MAX_BYTES:
        raise ValueError(f"holds {size:,} bytes of arrays; at most {MAX_BYTES:,} are read")


def check_shapes(shapes: Iterable[Sequence[int]]) -> None:
    """Raise ValueError if arrays of these shapes take more than ``MAX_BYTES`` in float64."""
    count = sum(map(math.prod, shapes))
    if count > MAX_BYTES // 8:
        raise ValueError(f"holds {count:,} numbers; at most {MAX_BYTES // 8:,} are read")


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError for names that cannot be shown in a line."""
    for name in names:
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise ValueError(f"has an array with an impossible name: {name[:_LONGEST_NAME]!r}")


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return the float32 numbers whose upper halves are these 16-bit integers (bfloat16)."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
