"""What an array must be, and how several arrays fit together.

A kernel states its arguments as ``(name, array, dimensions)``; a dimension is an int or a
letter that must mean the same length wherever it stands. The first array that does not fit is
named, with what it is, what was wanted and why.
"""

from collections.abc import Sequence

import numpy as np

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT32 = np.dtype(np.int32)
INT64 = np.dtype(np.int64)
UINT8 = np.dtype(np.uint8)

Dimension = int | str
Argument = tuple[str, np.ndarray, tuple[Dimension, ...]]
Named = tuple[str, np.ndarray] | Argument

# Other subclasses mean something else than their memory says: masks, units, products by ``*``.
PLAIN = (np.ndarray, np.memmap)


def are_good(floats: Sequence[np.dtype], *arrays: np.ndarray) -> bool:
    """Whether these are matrices of one dtype of ``floats`` that own their memory.

    The last must be writable. Such arrays are aligned, and overlap only where they are one. This
    takes a fraction of the time in which the checks below find out what is wrong: with the
    smallest matrices a kernel takes no longer than its checks.
    """
    out = arrays[-1]
    if type(out) is not np.ndarray or out.dtype not in floats or not out.flags.writeable:
        return False
    dtype = out.dtype
    for array in arrays:
        if not (
            type(array) is np.ndarray
            and array.dtype is dtype
            and array.ndim == 2
            and array.base is None
            and array.flags.c_contiguous
        ):
            return False
    return True


def check_array(
    function: str, name: str, array: np.ndarray, allowed: Sequence[np.dtype], *, written: bool
) -> None:
    """Check that compiled loops can read ``array``, and write it where it is ``written``.

    Raises
    ------
    TypeError
        Unless it is a plain NumPy array of an allowed dtype in the machine's byte order,
        C-contiguous and aligned.
    ValueError
        If it is written and read-only.
    """
    if type(array) not in PLAIN:
        kind = type(array).__name__
        raise TypeError(
            f"{function}: {name} must be a NumPy array, got {kind}; pass np.asarray({name})"
        )
    if array.dtype not in allowed:
        wanted = " or ".join(dtype.name for dtype in allowed)
        raise TypeError(f"{function}: {name} must be {wanted}, got {array.dtype}")
    flags = array.flags
    if not flags.c_contiguous:
        raise TypeError(
            f"{function}: {name} must be C-contiguous; pass np.ascontiguousarray({name})"
        )
    if not flags.aligned:
        raise TypeError(f"{function}: {name} must be aligned in memory; pass {name}.copy()")
    if written and not flags.writeable:
        raise ValueError(f"{function}: {name} is written, but it is read-only")


def check_shapes(function: str, *arguments: Argument) -> None:
    """Raise ValueError unless each array has its dimensions, letters agreeing among them."""
    lengths: dict[str, tuple[int, str]] = {}
    for name, array, dimensions in arguments:
        shape = array.shape
        if len(shape) != len(dimensions):
            raise ValueError(
                f"{function}: {name} must have {len(dimensions)} dimension(s)"
                f" ({_spell(dimensions)}), got shape {shape}"
            )
        for length, dimension in zip(shape, dimensions, strict=True):
            if isinstance(dimension, str):
                wanted, source = lengths.setdefault(dimension, (length, name))
            else:
                wanted, source = dimension, ""
            if length != wanted:
                because = f" ({dimension} = {wanted} from {source})" if source else ""
                raise ValueError(
                    f"{function}: {name} must have shape ({_spell(dimensions)}){because},"
                    f" got {shape}"
                )


def _spell(dimensions: tuple[Dimension, ...]) -> str:
    return ", ".join(str(dimension) for dimension in dimensions)


def check_apart(
    function: str, outputs: Sequence[Named], inputs: Sequence[Named], *, in_place: bool = False
) -> None:
    """Raise ValueError if an output shares memory with another array.

    With ``in_place`` it may be an input, all of it. The arrays are contiguous: their bounds
    tell whether they overlap.
    """
    for index, (name, out, *_) in enumerate(outputs):
        for other, array, *_ in (*outputs[:index], *inputs):
            if out is array:
                if in_place or not out.size:
                    continue
            elif out.base is array.base is None or not np.may_share_memory(out, array):
                continue  # each owns its memory, or a part of its own
            elif in_place and _are_one(out, array):
                continue
            unless = f", unless it is {other}" if in_place and _look_alike(out, array) else ""
            raise ValueError(f"{function}: {name} must not overlap {other}{unless}")


def _look_alike(out: np.ndarray, array: np.ndarray) -> bool:
    return out.dtype == array.dtype and out.shape == array.shape


def _are_one(out: np.ndarray, array: np.ndarray) -> bool:
    """Whether two contiguous arrays are the same numbers at the same place."""
    return _look_alike(out, array) and out.ctypes.data == array.ctypes.data


def check_indices(
    function: str, name: str, indices: np.ndarray, stop: int, what: str = "indices"
) -> None:
    """Raise ValueError unless all of ``indices`` lie in [0, ``stop``)."""
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < stop:
        raise ValueError(
            f"{function}: {name} must be {what} in [0, {stop}),"
            f" got {indices.min()} to {indices.max()}"
        )
