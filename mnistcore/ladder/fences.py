"""Arguments in the middle of buffers, so that a write outside an array is found."""

from collections.abc import Sequence
from typing import Any

import numpy as np

MARGIN = 256  # bytes on either side, a multiple of the alignment
ALIGNMENT = 64
BYTE = 0xFF  # four make a NaN in float32: a result computed from a margin is wrong, too


class Fenced:
    """Arguments of a call, each array with margins in which nothing may be written.

    Arguments that are neither arrays of their own nor numbers may share memory with each other.
    If there is one, all arguments remain as they are, without margins.

    Attributes
    ----------
    arguments
        What to call a function with.
    """

    def __init__(self, arguments: Sequence[Any]) -> None:
        self._buffers: list[np.ndarray | None] = [None] * len(arguments)
        self.arguments = list(arguments)
        if all(map(_stands_alone, arguments)):
            for place, argument in enumerate(arguments):
                if isinstance(argument, np.ndarray):
                    self._buffers[place], self.arguments[place] = _fence(argument)

    def fill(self, arguments: Sequence[Any]) -> None:
        """Copy new numbers into the arrays that have margins, and take what has none."""
        for place, (buffer, argument) in enumerate(zip(self._buffers, arguments, strict=True)):
            if buffer is None:
                self.arguments[place] = argument
            else:
                np.copyto(self.arguments[place], argument)

    def written_outside(self, names: Sequence[str]) -> str | None:
        """Return a sentence about the first array that was written outside, or None."""
        for name, buffer in zip(names, self._buffers, strict=True):
            if buffer is None:
                continue
            if (buffer[:MARGIN] != BYTE).any():
                return f"{name} was written before its first element"
            if (buffer[-MARGIN:] != BYTE).any():
                return f"{name} was written after its last element"
        return None


def _stands_alone(argument: Any) -> bool:
    if isinstance(argument, np.ndarray):
        return (
            argument.base is None and argument.flags.c_contiguous and not argument.dtype.hasobject
        )
    return isinstance(argument, (bool, int, float, str, np.generic))


def _fence(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a buffer of bytes, and a copy of the array in the middle of it."""
    count = array.nbytes
    memory = np.full(2 * MARGIN + count + ALIGNMENT, BYTE, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    buffer = memory[start : start + 2 * MARGIN + count]
    inside = buffer[MARGIN : MARGIN + count].view(array.dtype).reshape(array.shape)
    np.copyto(inside, array)
    return buffer, inside
