"""The compiled parts of the Numba backend; ``numba_kernels`` is the public face over them.

``functions``    the kinds of compiled function, and what they are compiled with
``simd``         the vector type and the few instructions that Numba has no word for
``tile``         the register tile, panels, and the three matrix products over them
``elementwise``  exp, tanh and their like, losses, dropout, optimizers: a vector at a time
``team``         barriers between the threads of a team, the division of work
``inputs``       the gather of a batch, and where it is not zero
``plan``         where everything lies in the workspace, and how a step is divided
``products``     the products of a layer, and what follows each
``training``     the training step
``prediction``   the forward pass over many rows; imported by :func:`load`
``division``     how a matrix product is cut into tasks
``matmul``       the matrix products that stand alone; imported by :func:`load`
``singles``      the other kernels that do

Numba's own disk cache notices an edit in the file of a function, but not one in a file that it
calls into, nor a changed tuning variable. So the cache folder is named after a hash of all of
them, here, once, and every module of this package is imported while that folder is set.
"""

import hashlib
import os
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numba
from numba.core.compiler_lock import global_compiler_lock

TUNING_VARIABLES = ("MNISTCORE_NUMBA_LANES",)


def _cache_folder() -> str:
    """The folder of compiled code for exactly these sources and tuning variables."""
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for variable in TUNING_VARIABLES:
        digest.update(os.environ.get(variable, "").encode() + b"\0")
    root = os.environ.get("NUMBA_CACHE_DIR")
    if not root:
        import pooch

        root = os.environ.get("MNISTCORE_CACHE_DIR") or str(pooch.os_cache("mnistcore"))
    folder = Path(root) / "numba" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return str(folder)
    except OSError:
        pass  # a read-only home: compile afresh in a folder of this process
    return tempfile.mkdtemp(prefix="mnistcore-numba-")


@contextmanager
def cache_in(folder: str):
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = folder
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@cache
def load(name: str) -> ModuleType:
    """A module that not every run needs, imported when it is needed first."""
    with cache_in(CACHE_FOLDER):
        return import_module(f".{name}", __package__)


# A fork waits for a compilation in another thread, or the child would wait for it for ever.
os.register_at_fork(
    before=global_compiler_lock.acquire,
    after_in_parent=global_compiler_lock.release,
    after_in_child=global_compiler_lock.release,
)

CACHE_FOLDER = _cache_folder()
with cache_in(CACHE_FOLDER):
    for _name in (
        "functions",
        "simd",
        "tile",
        "elementwise",
        "team",
        "inputs",
        "plan",
        "products",
        "training",
        "division",
        "singles",
    ):
        import_module(f".{_name}", __package__)
