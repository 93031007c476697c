"""The ladder in Cython: the steps of ``numba_steps``, compiled when the package is installed.

The loops are in ``steps.pxi``. The first steps come from the baseline build, the last ones from
the build for the instruction set that the kernels of this backend use.
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
    "bits",
    "instruction_set",
    "naive",
    "prefetching",
    "production",
    "row_by_row",
    "two_loops",
]


_plain, _fast = build("baseline"), build(cython_kernels.INSTRUCTION_SET)
_engine = cython_kernels._core

naive = checked(_plain.gather_naive)
row_by_row = checked(_plain.gather_row_by_row)
two_loops = checked(_plain.gather_two_loops)
bits = checked(_plain.gather_bits)
instruction_set = checked(_fast.gather_bits)
prefetching = checked(_fast.gather_prefetching)


@checked
def production(
    x: np.ndarray, order: np.ndarray, scale: np.float32, out: np.ndarray, marks: np.ndarray
) -> None:
    """Divide the rows among the threads, each of which runs the gather of the training program."""
    count = team_size(out.size, WAKING)
    run_team(
        count,
        lambda gate, leads: _engine.gather_rows(x, order, scale, out, marks, gate, leads),
    )


_BITS = ("scale_row", "mark_words")

STEPS = [
    Step(LESSONS["naive loops"], naive, ("gather_naive",)),
    Step(LESSONS["row by row"], row_by_row, ("gather_row_by_row",)),
    Step(LESSONS["two loops"], two_loops, ("gather_two_loops", "scale_row", "mark_row")),
    Step(LESSONS["bits"], bits, ("gather_bits", *_BITS)),
    Step(LESSONS["instruction set"], instruction_set, ("gather_bits", *_BITS)),
    Step(LESSONS["prefetch"], prefetching, ("gather_prefetching", "fetch_row", *_BITS)),
    Step(LESSONS["production"], production, (production,)),
]
