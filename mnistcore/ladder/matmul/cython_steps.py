"""The ladder in Cython: the steps of ``numba_steps``, compiled when the package is installed.

The loops are in ``steps.pxi``. The first steps come from the baseline build, the last
ones from the build for the instruction set that the kernels of this backend use.
"""

import numpy as np

from ...kernels import cython_kernels
from ...kernels.threads import WAKING, run_team, team_size
from ..builds import build
from ..step import Step
from .arguments import blocks_of_rows, checked
from .problem import LESSONS

_plain, _fast = build("baseline"), build(cython_kernels.INSTRUCTION_SET)

naive = checked(_plain.naive)
loop_order = checked(_plain.loop_order)
blocking = checked(_plain.blocking)
register_tile = checked(_plain.register_tile)
vectors = checked(_fast.vectors)
packing = checked(_fast.packing)
edges = checked(_fast.edges)


@checked
def instruction_set(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Run ``register_tile`` from the build for the vector instructions of this machine."""
    _fast.register_tile(a, b, out)


@checked
def threads(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Deal out the panels to Python threads that run compiled code."""
    count = team_size(out.size * a.shape[1], WAKING)
    run_team(count, lambda gate, leads: _fast.multiply_share(a, b, out, gate, leads))


@checked
def tasks(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Divide the rows as well, and let each thread take the next (panel, block of rows)."""
    count = team_size(out.size * a.shape[1], WAKING)
    height, width = _fast.tile_size()
    blocks = blocks_of_rows(out, height, width, count)
    taken = np.zeros(1, np.int64)
    run_team(count, lambda gate, leads: _fast.take_tasks(a, b, out, blocks, taken, gate, leads))


_EDGES = ("edges", "multiply_panels", "panel_width", "multiply_panel", "multiply_any_tile")

STEPS = [
    Step(LESSONS["naive loops"], naive, ("naive",)),
    Step(LESSONS["loop order"], loop_order, ("loop_order",)),
    Step(LESSONS["cache blocking"], blocking, ("blocking", "block_terms")),
    Step(LESSONS["register tile"], register_tile, ("register_tile", "add_tile")),
    Step(LESSONS["instruction set"], instruction_set, (instruction_set, "register_tile")),
    Step(LESSONS["vectors"], vectors, ("vectors", "multiply_tile", "compute_rest")),
    Step(LESSONS["packing"], packing, ("packing", "pack_panel")),
    Step(LESSONS["edges"], edges, _EDGES),
    Step(LESSONS["threads"], threads, (threads, "multiply_share")),
    Step(LESSONS["tasks"], tasks, (tasks, "take_tasks", blocks_of_rows)),
    Step(LESSONS["production"], cython_kernels.matmul, (cython_kernels.matmul,)),
]
