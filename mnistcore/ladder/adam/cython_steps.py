"""The ladder in Cython: the steps of ``numba_steps``, compiled when the package is installed.

The loops are in ``steps.pxi``. The first steps come from the baseline build, the next one from
the build for the instruction set that the kernels of this backend use.
"""

import numpy as np

from ...kernels import cython_kernels
from ..builds import build
from ..step import Step
from .arguments import checked
from .problem import LESSONS

_plain, _fast = build("baseline"), build(cython_kernels.INSTRUCTION_SET)

naive = checked(_plain.adam_passes)
one_pass = checked(_plain.adam_one_pass)
instruction_set = checked(_fast.adam_one_pass)


def production(
    gradient: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    """Call the kernel of training, without weight decay."""
    constants = learning_rate, beta1, beta2, eps, 0.0, False, step
    cython_kernels.adam_update(gradient, *constants, params, m, v)


STEPS = [
    Step(LESSONS["naive loops"], naive, ("adam_passes", "adam_factors")),
    Step(LESSONS["one pass"], one_pass, ("adam_one_pass",)),
    Step(LESSONS["instruction set"], instruction_set, ("adam_one_pass",)),
    Step(LESSONS["production"], production, (cython_kernels.adam_update,)),
]
