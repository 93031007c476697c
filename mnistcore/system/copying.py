"""Files that a library may crash on, or never return from, are copied by a process of their own.

A copier is a module of this package with ``copy(source, limit, ..., into)``, which writes plain
arrays, and ends with ``sys.exit(main(copy, "HDF5"))``. :func:`run` starts it.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .child_process import environment
from .errors import reason_of
from .text import one_line

_PATIENCE, _SLOWEST = 30.0, 2e7  # seconds to start; bytes a second on a slow disk
_REST = 2**28  # bytes of memory beside the arrays
_REFUSED = 2  # exit status

Copy = Callable[..., None]


def run(copier: str, kind: str, source: Path | bytes, numbers: list[int], into: BinaryIO) -> None:
    """Have a copier write what it reads from a file, or from its content, to ``into``.

    Parameters
    ----------
    copier
        The name of the module, in this package.
    kind
        The format, as messages name it.
    source
        The file, or its content.
    numbers
        What the copier takes beside the file; the first is the most bytes of arrays.
    into
        An open file.

    Raises
    ------
    ValueError
        If the copier refuses the file, crashes or takes too long.
    """
    name, given = ("-", source) if isinstance(source, bytes) else (str(source.resolve()), b"")
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    command = [sys.executable, *_program(copier), name, *map(str, numbers)]
    try:
        done = subprocess.run(
            command, input=given, stdout=into, stderr=subprocess.PIPE, env=environment(),
            timeout=_PATIENCE + size / _SLOWEST,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"is a damaged {kind} file (it takes too long to read)") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        refused = done.returncode == _REFUSED and reason
        raise ValueError(
            reason[-1] if refused else f"is a damaged {kind} file (reading it crashes)"
        )


def _program(copier: str) -> list[str]:
    return ["-P", "-m", f"{__package__}.{copier}"]


def write(array: np.ndarray, into: BinaryIO) -> None:
    """Write an array, in NumPy's format."""
    np.lib.format.write_array(into, array, allow_pickle=False)


def read(file: BinaryIO) -> np.ndarray:
    """Read the next array."""
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def main(copy: Copy, kind: str) -> None:
    """Copy the file that the arguments name to standard output, and end the process."""
    name, limit, *numbers = sys.argv[1], *map(int, sys.argv[2:])
    source = io.BytesIO(sys.stdin.buffer.read()) if name == "-" else name
    bound_memory(2 * limit + _REST)  # an array, and the part of the file that unpacks to it
    status, words = outcome(copy, kind, source, [limit, *numbers], sys.stdout.buffer)
    if status:
        print(words, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without the end of a library that has seen damaged data


def outcome(
    copy: Copy, kind: str, source: Any, numbers: list[int], into: BinaryIO
) -> tuple[int, str]:
    """Return the exit status of a copy, and the reason if the file is refused."""
    try:
        copy(source, *numbers, into)
        return 0, ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        known = type(error) is ValueError
        damaged = f"is a damaged {kind} file ({reason_of(error)})"
        return _REFUSED, one_line(error) if known else damaged


def bound_memory(most: int) -> None:
    """Let this process have so many bytes more than it has, where the system can do that."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        most += pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):  # not on this system, or there is a lower limit
        return
