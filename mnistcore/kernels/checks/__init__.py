"""The argument checks that all backends share, so that they raise the same messages.

==============  ================================================================
``arrays``      a single array, and how several fit together
``kernels``     the arguments of the kernels: shapes and dtypes, and every label
``programs``    arguments of the programs, and the tables that describe a network
==============  ================================================================

A check looks at shapes, dtypes, tables and options, which takes the same time for any amount of
data, and at the targets and the ``order`` that the call itself uses. The cost of a call thus
depends on its own samples alone, and no compiled loop reads outside its arrays. Errors are raised
before anything is written.
"""

from .arrays import FLOAT32, FLOAT64, INT32, INT64, UINT8
from .kernels import (
    check_adam,
    check_add_bias,
    check_augment,
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
    check_prediction,
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
    "check_augment",
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
    "check_prediction",
    "check_sgd",
    "check_sizes",
    "check_softmax",
    "check_sum_rows",
    "check_train_steps",
    "check_workspace",
]
