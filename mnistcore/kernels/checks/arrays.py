"""Check what an array must be, and how several arrays fit together.

A kernel states its arguments as ``(name, array, dimensions)``; a dimension is an int, or a letter
that stands for the same length everywhere. The error names the first array that does not fit,
what it is, what was expected and why.
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

# The memory of other subclasses is not all that they mean: masks, units, ``*`` as a product.
PLAIN = (np.ndarray, np.memmap)


def are_good(floats: Sequence[np.dtype], *arrays: np.ndarray) -> bool:
    """Whether all are matrices of one dtype in ``floats`` that own their memory, the last writable.

    Such arrays are aligned, and overlap only if they are the same array. This takes a fraction of
    the time of the checks below, which find out what is wrong; those take as long as a kernel on
    the smallest matrices.
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
    """Check that compiled loops can read ``array``, and write to it if it is ``written``.

    Raises
    ------
    TypeError
        Unless it is a plain NumPy array of an allowed dtype in native byte order, C-contiguous
        and aligned.
    ValueError
        If it is ``written`` but read-only.
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
    """Raise ValueError unless all arrays have their dimensions, each letter being one length."""
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

    With ``in_place`` an output may be the whole of an input. The arrays must be contiguous, so
    that comparing their bounds shows whether they overlap.
    """
    for index, (name, out, *_) in enumerate(outputs):
        for other, array, *_ in (*outputs[:index], *inputs):
            if out is array:
                if in_place or not out.size:
                    continue
            elif out.base is array.base is None or not np.may_share_memory(out, array):
                continue  # each owns its memory, or their bounds do not overlap
            elif in_place and _are_one(out, array):
                continue
            unless = f", unless it is {other}" if in_place and _look_alike(out, array) else ""
            raise ValueError(f"{function}: {name} must not overlap {other}{unless}")


def _look_alike(out: np.ndarray, array: np.ndarray) -> bool:
    return out.dtype == array.dtype and out.shape == array.shape


def _are_one(out: np.ndarray, array: np.ndarray) -> bool:
    """Whether two contiguous arrays are the same numbers in the same memory."""
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
