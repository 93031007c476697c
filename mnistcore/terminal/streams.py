"""Standard output and error that outlast their readers, and that no text can make a terminal obey.

A command whose output nobody reads any more (`| head -1`, `>&-`, a full disk) still does its work:
a run that was trained for an hour is written to its folder.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ..system.text import escaped


class _Lasting(io.FileIO):
    """A file descriptor that drops what it can no longer write, and keeps the first error."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                return super().write(data) or 0
            except OSError as error:
                self.error = error
        return len(data)


class _Escaping:
    """A stream that escapes what is printed; rich writes its colours to ``unescaped``."""

    def __init__(self, stream: TextIO) -> None:
        self.unescaped = stream

    def write(self, text: str) -> int:
        return self.unescaped.write(escaped(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unescaped, name)


def output_error() -> OSError | None:
    """Return why standard output takes nothing more; EPIPE if its reader has gone."""
    buffer = getattr(sys.stdout, "buffer", None)
    file = getattr(buffer, "raw", buffer)
    return file.error if isinstance(file, _Lasting) else None


@contextmanager
def lasting_output() -> Iterator[None]:
    """Make standard output and error accept everything while the block runs.

    A closed one becomes the null device, as does a closed standard input. Characters that cannot
    be encoded are escaped, and so are those that a terminal obeys.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    _occupy_descriptors()
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stdout, sys.stderr = map(_escaping, before[1:])
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _occupy_descriptors() -> None:
    """Open the null device on closed descriptors up to 2, or files would get their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _escaping(stream: Any) -> Any:
    return stream if isinstance(stream, _Escaping) else _Escaping(_lasting(stream))


def _lasting(stream: TextIO | None) -> TextIO:
    """Return a stream that writes to the same descriptor; streams that are no files stay."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if not isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO):
        stream.reconfigure(errors="backslashreplace")
        return stream
    stream.flush()
    file = _Lasting(stream.fileno(), "w", closefd=False)
    unbuffered = stream.write_through and not isinstance(stream.buffer, io.BufferedIOBase)
    return io.TextIOWrapper(
        file if unbuffered else io.BufferedWriter(file),
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
