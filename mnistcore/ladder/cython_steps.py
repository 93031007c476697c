"""The ladder in Cython: the steps of ``numba_steps``, compiled when the package is installed.

The loops are in ``_cython_steps.pxi``. The first steps come from the baseline build, the last
ones from the build for the instruction set that the kernels of this backend use.
"""

import importlib
from types import ModuleType

import numpy as np

from ..kernels import cython_kernels
from ..kernels.threads import WAKING, run_team, team_size
from .step import Step, checked

__all__ = [
    "STEPS",
    "blocking",
    "instruction_set",
    "loop_order",
    "naive",
    "packing",
    "register_tile",
    "threads",
    "vectors",
]


def _build(instructions: str) -> ModuleType:
    try:
        return importlib.import_module(f"._steps_{instructions}", __package__)
    except ImportError as error:
        raise ImportError(
            f"the steps for {instructions} are not built for this Python; run"
            " `pip install -v --force-reinstall --no-deps -e .` in the source folder and read the"
            f" compiler's messages [{error}]"
        ) from error


_plain = _build("baseline")
_fast = _build(cython_kernels.INSTRUCTION_SET)

naive = checked(_plain.naive)
loop_order = checked(_plain.loop_order)
blocking = checked(_plain.blocking)
register_tile = checked(_plain.register_tile)
packing = checked(_plain.packing)
vectors = checked(_fast.vectors)


def _instruction_set(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Run ``packing`` from the build for the vector instructions of this machine.

    The source is identical. Given flags such as ``-mavx512f``, the compiler makes vectors of 16
    floats instead of 4, and turns a multiplication and an addition into one FMA.
    """
    _fast.packing(a, b, out)


def _threads(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Deal out the panels of ``vectors`` to Python threads that run compiled code.

    Code that has released the interpreter's lock runs in parallel with other threads. Each panel
    belongs to one thread, so that no thread waits for another between start and end, and the bits
    do not depend on the number of threads.
    """
    count = team_size(out.size * a.shape[1], WAKING)
    run_team(count, lambda gate, leads: _fast.multiply_panels(a, b, out, gate, leads))


instruction_set = checked(_instruction_set)
threads = checked(_threads)

STEPS = [
    Step(
        "naive loops",
        "The definition of the product in three loops. What makes it C instead of Python are the"
        " types: of the arrays, as memoryviews, and of every variable in the loops.",
        "Compiled is not fast: the loop waits for its own last sum, and for the memory.",
        naive,
    ),
    Step(
        "loop order",
        "The loops over columns and terms change places. The inner loop runs along rows that lie"
        " in memory as it reads them, and the compiler makes vector instructions of it.",
        "Read memory in the order in which it lies; independent sums fill vectors.",
        loop_order,
    ),
    Step(
        "cache blocking",
        "One more loop around: a block of rows of b is used for all rows of a before the next"
        " block is touched, and stays in the cache meanwhile.",
        "A cure helps where its illness is: this one is for matrices larger than the caches.",
        blocking,
    ),
    Step(
        "register tile",
        "Four rows by four terms of a stay in registers. What is loaded of b serves four rows,"
        " and what is loaded of out takes four terms.",
        "Count loads and stores for each multiply-add: registers are the first cache.",
        register_tile,
    ),
    Step(
        "packing",
        "Columns of b are copied to a panel without gaps, the rows of a to whole tiles, and the"
        " totals get a place of their own until they are done.",
        "Copying N^2 numbers is cheap beside N^3 operations, and it gets rid of edges too.",
        packing,
    ),
    Step(
        "instruction set",
        "The same source, compiled for this machine's vector instructions. A package that runs"
        " everywhere brings several builds and picks one when it is imported.",
        "A compiler may use only what it may assume: tell it, or most of the machine idles.",
        instruction_set,
    ),
    Step(
        "vector extensions",
        "The tile of out itself stays in registers for the whole sum over k, in the vector type"
        " that GCC and Clang add to C: it has the usual operators and no loop around them.",
        "The last factor is had by saying which register holds what.",
        vectors,
    ),
    Step(
        "threads",
        "The panels are dealt out to Python threads that run compiled code without the"
        " interpreter's lock.",
        "Cores multiply what one core does: first make that fast, then divide it.",
        threads,
        threaded=True,
    ),
    Step(
        "production",
        "The kernel that training runs on: tiles as high as the rows that are left, narrow"
        " panels for narrow layers, packing where it pays, threads as many as the work deserves.",
        "What is left is in the edges: every shape that a network makes has to be fast.",
        cython_kernels.matmul,
        threaded=True,
    ),
]
