"""The ladder of a training step in Cython: see ``compiled_steps``, which both languages share."""

from ...kernels import cython_kernels
from ..matmul.cython_steps import loop_order, naive
from .compiled_steps import steps_of

STEPS = steps_of(cython_kernels, naive, loop_order)
