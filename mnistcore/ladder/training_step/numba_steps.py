"""The ladder of a training step in Numba: see ``compiled_steps``, which both languages share."""

from ...kernels import numba_kernels
from ..matmul.numba_steps import loop_order, naive
from .compiled_steps import steps_of

STEPS = steps_of(numba_kernels, naive, loop_order)
