"""The ladder in Cython: the steps of ``numba_steps``, compiled when the package is installed.

The loops are in ``steps.pxi``, and come from the baseline build: wider vectors gain nothing where
stores are the limit.
"""

import numpy as np

from ...kernels import cython_kernels
from ...kernels.threads import WAKING, run_team, team_size
from ..builds import build
from ..step import Step
from .arguments import checked
from .problem import LESSONS

_plain, _engine = build("baseline"), cython_kernels._core

naive = checked(_plain.gather_naive)
row_by_row = checked(_plain.gather_row_by_row)
two_loops = checked(_plain.gather_two_loops)
bits = checked(_plain.gather_bits)
prefetching = checked(_plain.gather_prefetching)


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
    Step(LESSONS["prefetch"], prefetching, ("gather_prefetching", "fetch_row", *_BITS)),
    Step(LESSONS["production"], production, (production,)),
]
