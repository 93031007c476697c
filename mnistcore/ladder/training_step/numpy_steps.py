"""The training step in NumPy, whose products are those of its BLAS: the line to cross."""

from ...kernels import numpy_kernels
from ..step import Lesson, Step

STEPS = [
    Step(
        Lesson("step", "", "", "", "", threaded=True),
        numpy_kernels.train_steps,
        (numpy_kernels.train_steps,),
    )
]
