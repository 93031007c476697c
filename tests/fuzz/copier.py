"""The process that copies HDF5 and Parquet, as :mod:`mnistcore.system.copying` starts one.

This one copies many files. It is started again when a file crashes it or it hangs, which readers
report as damage.
"""

import contextlib
import importlib
import io
import json
import select
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from mnistcore.system import copying

_FIRST, _PATIENCE = 60.0, 1.0  # seconds; a file takes a millisecond, and the first the imports
_LENGTH = 8  # bytes of a number


class Copier:
    """A process that copies one file after the other."""

    def __init__(self):
        self._process = None
        self.crashes = self.hangs = 0

    def run(self, copier, kind, source, numbers, into):
        """Do what ``copying.run`` does; what it would copy itself is taken as it is."""
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        if content.startswith(np.lib.format.MAGIC_PREFIX):
            into.write(content)
            return
        try:
            patience = _FIRST if self._process is None else _PATIENCE
            self._start()
            _send(self._process.stdin, json.dumps([copier, kind, numbers]).encode(), content)
            words, answer = self._answer(patience)
        except OSError:
            self.crashes += 1
            self.stop()
            raise ValueError(f"is a damaged {kind} file (reading it crashes)") from None
        if words:
            raise ValueError(words.decode())
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

    def _answer(self, patience):
        if not select.select([self._process.stdout], [], [], patience)[0]:
            self.hangs += 1
            raise OSError("hangs")
        return _received(self._process.stdout), _received(self._process.stdout)


@contextlib.contextmanager
def lasting_copier():
    """Have files copied by one process that lasts."""
    copier = Copier()
    try:
        with mock.patch.object(copying, "run", copier.run):
            yield copier
    finally:
        copier.stop()
        if copier.crashes:
            print(f"the copier crashed on {copier.crashes} files, {copier.hangs} of them hung")


def _send(stream, *contents):
    for content in contents:
        stream.write(len(content).to_bytes(_LENGTH, "little") + content)
    stream.flush()


def _received(stream):
    length = stream.read(_LENGTH)
    content = stream.read(int.from_bytes(length, "little"))
    if len(length) < _LENGTH:
        raise OSError("the process has ended")
    return content


def _serve():
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    copying.bound_memory(2**31)
    while True:
        copier, kind, numbers = json.loads(_received(given))
        copy = importlib.import_module(f"mnistcore.system.{copier}").copy
        into = io.BytesIO()
        source = io.BytesIO(_received(given))
        status, words = copying.outcome(copy, kind, source, numbers, into)
        _send(answers, words.encode(), b"" if status else into.getvalue())


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        _serve()
