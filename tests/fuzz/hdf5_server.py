"""The process that reads HDF5, as :mod:`mnistcore.system.hdf5` starts one, but for many files.

It is started again if a file crashes it or it hangs, which the reader reports as damage.
"""

import contextlib
import io
import select
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from mnistcore.system import hdf5, hdf5_content

_PATIENCE = 10.0  # seconds
_LENGTH = 8  # bytes of a number


class Server:
    """A process that copies one HDF5 file after the other."""

    def __init__(self):
        self._process = None
        self.crashes = self.hangs = 0

    def copy(self, source, limit, least, into):
        """Do what ``hdf5._copy`` does; what it would copy itself is taken as it is."""
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        if content.startswith(np.lib.format.MAGIC_PREFIX):
            into.write(content)
            return
        try:
            self._start()
            self._send(limit, least, content)
            status, answer = self._answer()
        except OSError:
            self.crashes += 1
            self.stop()
            raise ValueError("is a damaged HDF5 file (reading it crashes)") from None
        if status:
            raise ValueError(answer.decode())
        into.write(answer)

    def stop(self):
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self):
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def _send(self, limit, least, content):
        _write(self._process.stdin, limit, least, len(content))
        self._process.stdin.write(content)
        self._process.stdin.flush()

    def _answer(self):
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            self.hangs += 1
            raise OSError("hangs")
        status, length = _read(self._process.stdout, 2)
        return status, self._process.stdout.read(length)


@contextlib.contextmanager
def hdf5_server():
    """Have HDF5 read by one process that lasts."""
    server = Server()
    try:
        with mock.patch.object(hdf5, "_copy", server.copy):
            yield server
    finally:
        server.stop()
        if server.crashes:
            print(f"HDF5 crashed on {server.crashes} files, {server.hangs} of them hung")


def _write(stream, *numbers):
    stream.write(b"".join(number.to_bytes(_LENGTH, "little") for number in numbers))


def _read(stream, count):
    content = stream.read(_LENGTH * count)
    if len(content) < _LENGTH * count:
        raise OSError("the process has ended")
    return [
        int.from_bytes(content[place : place + _LENGTH], "little")
        for place in range(0, len(content), _LENGTH)
    ]


def _serve():
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    import h5py  # noqa: F401

    hdf5_content._bound_memory(2**31)
    while True:
        limit, least, length = _read(given, 3)
        into = io.BytesIO()
        try:
            hdf5_content.copy(io.BytesIO(given.read(length)), limit, least, into)
            status, answer = 0, into.getvalue()
        except hdf5_content.REFUSALS as error:
            status, answer = 2, hdf5_content.refusal(error).encode("utf-8", "backslashreplace")
        _write(answers, status, len(answer))
        answers.write(answer)
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        _serve()
