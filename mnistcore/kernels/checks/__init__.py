"""The argument checks that every backend shares, with the same words everywhere.

==============  ===============================================================
``arrays``      one array, and how several fit together
``kernels``     the arguments of the kernels: shapes and dtypes, and every label
``programs``    those of the programs, and of the tables that describe a network
==============  ===============================================================

A check looks at shapes, dtypes, tables and options, which does not depend on how much data
there is, and at the values that are used as indices by the very call that it checks: labels and
``order``. So a call costs what its own samples cost, and no compiled loop reads outside its
arrays. Whatever is refused is refused before anything is written.
"""

from .arrays import FLOAT32, FLOAT64, INT32, INT64, UINT8
from .kernels import (
    check_adam,
    check_add_bias,
    check_backward,
    check_cross_entropy,
    check_dropout,
    check_forward,
    check_matmul,
    check_sgd,
    check_softmax,
    check_sum_rows,
)
from .programs import (
    check_forward_program,
    check_inputs,
    check_loss_and_gradient,
    check_options,
    check_parameters,
    check_sizes,
    check_train_steps,
    check_workspace,
)

__all__ = [
    "FLOAT32",
    "FLOAT64",
    "INT32",
    "INT64",
    "UINT8",
    "check_adam",
    "check_add_bias",
    "check_backward",
    "check_cross_entropy",
    "check_dropout",
    "check_forward",
    "check_forward_program",
    "check_inputs",
    "check_loss_and_gradient",
    "check_matmul",
    "check_options",
    "check_parameters",
    "check_sgd",
    "check_sizes",
    "check_softmax",
    "check_sum_rows",
    "check_train_steps",
    "check_workspace",
]
