"""The ladder in Cython: the steps of ``numba_steps``, compiled when the package is installed.

The loops are in ``steps.pxi``. The first steps come from the baseline build, the last
ones from the build for the instruction set that the kernels of this backend use.
"""

import numpy as np

from ...kernels import cython_kernels
from ...kernels.threads import WAKING, run_team, team_size
from ..builds import build
from ..step import Step
from .arguments import checked
from .problem import LESSONS

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


_plain, _fast = build("baseline"), build(cython_kernels.INSTRUCTION_SET)

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
    Step(LESSONS["naive loops"], naive, ("naive",)),
    Step(LESSONS["loop order"], loop_order, ("loop_order",)),
    Step(LESSONS["cache blocking"], blocking, ("blocking", "block_terms")),
    Step(LESSONS["register tile"], register_tile, ("register_tile", "add_tile")),
    Step(LESSONS["packing"], packing, ("packing", "pack_panel", "pack_rows", "unpack")),
    Step(LESSONS["instruction set"], instruction_set, ("packing",)),
    Step(LESSONS["vectors"], vectors, ("vectors", "multiply_panels", "multiply_tile")),
    Step(LESSONS["threads"], threads, (_threads, "multiply_panels")),
    Step(LESSONS["production"], cython_kernels.matmul, (cython_kernels.matmul,)),
]
