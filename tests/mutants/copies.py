"""A copy of the package and its tests, where bugs are planted and looked for."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import NamedTuple

from mnistcore import get_backend

from .bugs import ROOT

SECONDS = 600  # tests that take longer have caught the bug
COPIED = ("mnistcore", "tests", "pyproject.toml", "setup.py")

# Builds one module, for the instruction set of this machine, soon rather than fast.
BUILD = """
import setuptools, sys
import setup
(wanted,) = (module for module in setup.extensions() if module.name == sys.argv[1])
wanted.extra_compile_args.append("-O1")
wanted.optional = False
setuptools.setup(
    ext_modules=[wanted], cmdclass={"build_ext": setup.BuildKernels},
    script_args=["-q", "build_ext", "--inplace"],
)
"""


class Outcome(NamedTuple):
    """How a run of tests ended."""

    failure: str  # the first test that failed, or what else went wrong; empty if they passed
    seconds: float
    output: str


class Copy:
    """A copy of the working tree, in which one bug at a time is planted.

    Parameters
    ----------
    folder : Path
        An empty folder for the copy, and for the caches of what is tested there.
    """

    def __init__(self, folder):
        self.folder = folder
        unwanted = shutil.ignore_patterns("__pycache__", "*.c", "*.html")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
            else:
                shutil.copy2(ROOT / name, folder / name)

    @contextmanager
    def with_bug(self, bug):
        """Plant a bug for a while."""
        with self._restored(self.folder / bug.file) as path:
            path.write_text(bug.planted(path.read_text()))
            if path.suffix == ".pxi":
                with self._restored(self._module()):
                    self._build()
                    yield
            else:
                yield

    @contextmanager
    def _restored(self, path):
        """Restore a file afterwards, and its time, by which Python and Numba know their caches."""
        original = self.folder / f"original-{path.name}"
        shutil.copy2(path, original)
        try:
            yield path
        finally:
            shutil.move(original, path)

    def _module(self):
        """Return the path of the Cython kernels for this machine."""
        chosen = get_backend("cython").INSTRUCTION_SET
        (path,) = (self.folder / "mnistcore/kernels/_cython").glob(f"{chosen}.*.so")
        return path

    def _build(self):
        name = f"mnistcore.kernels._cython.{get_backend('cython').INSTRUCTION_SET}"
        built = subprocess.run(
            [sys.executable, "-c", BUILD, name], cwd=self.folder, text=True, capture_output=True
        )
        if built.returncode:
            raise RuntimeError(f"{built.stdout}{built.stderr}\nthe bug does not compile")

    def run(self, tests):
        """Run tests, given as arguments of pytest in one line, until the first failure."""
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-rfE"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # that of a bug would outlive it
            "MNISTCORE_CACHE_DIR": str(self.folder / "cache"),
            "NUMBA_CACHE_DIR": str(self.folder / "numba"),
        }
        process = subprocess.Popen(
            [*command, *shlex.split(tests)], cwd=self.folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=SECONDS)
            failure = _failure(process.returncode, output)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            failure = f"no end within {SECONDS} s"
        return Outcome(failure, time.monotonic() - began, output)


def _failure(status, output):
    if status == 0:
        return ""
    if status < 0:
        return f"a crash by {signal.Signals(-status).name}"
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return failed[1] if failed else f"status {status} of pytest"
