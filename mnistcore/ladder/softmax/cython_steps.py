"""The ladder in Cython: the steps of ``numba_steps``, compiled when the package is installed.

The loops are in ``steps.pxi``. The first steps come from the baseline build, the last ones from
the build for the instruction set that the kernels of this backend use.
"""

import numpy as np

from ...kernels import cython_kernels
from ..builds import build
from ..step import Step
from .arguments import EQUAL_WEIGHTS, checked
from .problem import LESSONS

_plain, _fast = build("baseline"), build(cython_kernels.INSTRUCTION_SET)

naive = checked(_plain.softmax_naive)
fused = checked(_plain.softmax_fused)
vector_exp = checked(_plain.softmax_vector_exp)
instruction_set = checked(_fast.softmax_vector_exp)
lanes = checked(_fast.softmax_lanes)


def production(logits: np.ndarray, labels: np.ndarray, dlogits: np.ndarray) -> float:
    """Call the kernel of training, with equal weights for all samples."""
    return cython_kernels.softmax_cross_entropy(logits, labels, EQUAL_WEIGHTS, dlogits)


STEPS = [
    Step(LESSONS["naive loops"], naive, ("softmax_naive", "find_maxima", "mean_loss")),
    Step(LESSONS["fused gradient"], fused, ("softmax_fused", "scale")),
    Step(
        LESSONS["vector exp"],
        vector_exp,
        ("softmax_vector_exp", "exponentials", "power_of_e"),
    ),
    Step(LESSONS["instruction set"], instruction_set, ("softmax_vector_exp", "power_of_e")),
    Step(LESSONS["lanes"], lanes, ("softmax_lanes", "maximum_in_lanes", "sum_in_lanes")),
    Step(LESSONS["production"], production, (cython_kernels.softmax_cross_entropy,)),
]
