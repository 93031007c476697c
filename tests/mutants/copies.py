"""A copy of the package and its tests, where bugs are planted and looked for."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import NamedTuple

from mnistcore import get_backend

from .bugs import ROOT

SECONDS = 300  # a test that takes longer has caught the bug
COPIED = ("mnistcore", "tests", "pyproject.toml", "setup.py", "README.md")

# One module of the instruction set that the tests use; -O1 compiles in half of the time.
BUILD = """
import sys, setup
from setuptools import setup as run
wanted = [one for one in setup.extensions() if one.name == sys.argv[1]]
wanted[0].extra_compile_args.append("-O1")
setup.extensions = lambda: wanted
run(ext_modules=setup.kernels(), script_args=["-q", "build_ext", "--inplace"])
"""


class Outcome(NamedTuple):
    """How a run of tests ended: ``failure`` is empty if they passed."""

    failure: str
    passed: int
    seconds: float
    output: str


class Copy:
    """A folder with the sources as they are, in which :meth:`with_bug` plants one bug at a time."""

    def __init__(self, folder):
        self.folder = folder
        unwanted = shutil.ignore_patterns("__pycache__", "*.c", "*.html")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
            else:
                shutil.copy2(ROOT / name, folder / name)
        self._built = {}  # by selection, how its tests end without a bug

    def unchanged(self, tests):
        """Return how tests end without a bug; they are run once."""
        if tests not in self._built:
            self._built[tests] = self.run(tests)
        return self._built[tests]

    @contextmanager
    def with_bug(self, bug):
        """Plant a bug for a while."""
        with self._restored(self.folder / bug.file) as path:
            path.write_text(bug.planted(path.read_text()))
            if not bug.compiled:
                yield
                return
            with self._restored(self._module()):
                self._build()
                yield

    @contextmanager
    def _restored(self, path):
        """Give a file back its content and its time, by which Python and Numba know their caches."""
        kept = self.folder / "kept"
        kept.mkdir(exist_ok=True)
        shutil.copy2(path, kept / path.name)
        try:
            yield path
        finally:
            shutil.copy2(kept / path.name, path)

    def _module(self):
        """Return the compiled module of the Cython kernels that this machine uses."""
        chosen = get_backend("cython").INSTRUCTION_SET
        (path,) = (self.folder / "mnistcore/kernels/_cython").glob(f"{chosen}.*.so")
        return path

    def _build(self):
        name = f"mnistcore.kernels._cython.{self._module().name.split('.')[0]}"
        subprocess.run([sys.executable, "-c", BUILD, name], cwd=self.folder, check=True)

    def run(self, tests):
        """Run tests until the first failure."""
        began = time.monotonic()
        command = f"{sys.executable} -m pytest -x -q --tb=no -rfE -p no:cacheprovider {tests}"
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",  # the bytecode of a bug would outlive it
            "MNISTCORE_CACHE_DIR": str(self.folder / "cache"),
            "NUMBA_CACHE_DIR": str(self.folder / "compiled"),
        }
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output = process.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, status = process.communicate()[0], f"took over {SECONDS} s"
        else:
            status = process.returncode
        seconds = time.monotonic() - began
        passed = re.search(r"(\d+) passed", output)
        return Outcome(_failure(status, output), int(passed[1]) if passed else 0, seconds, output)


def _failure(status, output):
    """Return the first test that failed, or what else went wrong."""
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    if failed and status in (1, 2):
        return failed[1]
    if isinstance(status, int) and status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    return "" if status == 0 else str(status)
