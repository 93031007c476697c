"""Check the arguments of the programs, and the tables that describe a network and a run."""

import itertools
import operator
from collections.abc import Sequence

import numpy as np

from .. import layout
from ..layout import (
    ACTIVATION,
    BIAS_OFFSET,
    DECAY,
    DROPOUT,
    FAN_IN,
    FAN_OUT,
    KIND,
    LAYER_COLUMNS,
    METRICS,
    OPTIONS_DTYPE,
    WEIGHT_OFFSET,
    Options,
)
from .arrays import (
    FLOAT64,
    INT32,
    INT64,
    UINT8,
    Dimension,
    check_apart,
    check_array,
    check_indices,
    check_shapes,
)
from .kernels import check_constants, check_labels, check_weights

# The columns of the layer table and the options that hold codes, and the codes.
LAYER_CODES = (
    (KIND, "kind", (layout.DENSE, layout.NORMALIZED)),
    (ACTIVATION, "activation", tuple(layout.ACTIVATIONS.values())),
    (DECAY, "decay", (0, 1)),
)
OPTION_CODES = (
    ("optimizer", tuple(layout.OPTIMIZERS.values())),
    ("nesterov", (0, 1)),
    ("skip_zeros", (0, 1)),
)
CONSTANTS = (
    "momentum", "beta1", "beta2", "eps", "weight_decay", "probs_clip", "label_smoothing",
    "norm_momentum", "norm_eps", "max_norm", "ema_decay", "clip_norm",
)  # fmt: skip
ROUNDING = 1e-3  # how far a row of soft targets may be from a sum of 1
MOST_ROWS = 2**31 - 1  # of a batch: its rows are numbered in int32
MOST_OUTPUTS = 2**56  # of a layer for a batch: more than any memory, but their bytes fit an int64

# ---------------------------------------------------------------------------------------------
# The tables
# ---------------------------------------------------------------------------------------------


def check_layers(function: str, layers: np.ndarray) -> list[list[int]]:
    """Check the layer table by itself and return its rows as Python ints, which do not overflow."""
    check_array(function, "layers", layers, (INT64,), written=False)
    check_shapes(function, ("layers", layers, ("L", LAYER_COLUMNS)))
    rows: list[list[int]] = layers.tolist()
    if not rows:
        raise ValueError(f"{function}: layers must have at least one row")
    for index, row in enumerate(rows):
        for column, name, codes in LAYER_CODES:
            if row[column] not in codes:
                known = ", ".join(map(str, codes))
                raise ValueError(
                    f"{function}: layers[{index}] has {name} {row[column]}; known: {known}"
                )
        if min(row) < 0 or min(row[FAN_IN], row[FAN_OUT]) < 1:
            raise ValueError(f"{function}: layers must hold positive sizes and no negative number")
        if row[DROPOUT] >= 2**32:
            raise ValueError(f"{function}: layers[{index}] drops out {row[DROPOUT]} / 2**32")
    for row, after in itertools.pairwise(rows):
        if after[FAN_IN] != row[FAN_OUT]:
            raise ValueError(
                f"{function}: the fan_in of a layer must be the fan_out of the one before"
            )
    if rows[-1][ACTIVATION] != layout.IDENTITY or rows[-1][DROPOUT] or rows[-1][KIND]:
        raise ValueError(
            f"{function}: the last layer must have no activation, dropout or batch normalisation"
        )
    return rows


def check_parameters(
    function: str,
    floats: Sequence[np.dtype],
    params: np.ndarray,
    layers: np.ndarray,
    *,
    written: bool = False,
) -> list[list[int]]:
    """Check that layers and parameters are valid and match; return the rows of the layer table."""
    check_array(function, "params", params, floats, written=written)
    check_shapes(function, ("params", params, ("P",)))
    rows, spans = check_layers(function, layers), []
    for row in rows:
        weights, bias, fan_out = row[WEIGHT_OFFSET], row[BIAS_OFFSET], row[FAN_OUT]
        bias_end = bias + fan_out * (2 if row[KIND] == layout.NORMALIZED else 1)  # gains follow
        spans += [(weights, weights + row[FAN_IN] * fan_out), (bias, bias_end)]
    spans.sort()
    if max(stop for _, stop in spans) > params.size:
        raise ValueError(f"{function}: layers reach beyond the {params.size} params")
    starts, stops = zip(*spans, strict=True)
    if (*starts, params.size) != (0, *stops):
        raise ValueError(f"{function}: layers must take each of the {params.size} params once")
    return rows


def check_options(function: str, options: np.ndarray) -> Options:
    """Check the codes and constants of the options record, and return its fields."""
    check_array(function, "options", options, (OPTIONS_DTYPE,), written=False)
    check_shapes(function, ("options", options, (1,)))
    record = Options(*options[0].item())
    fields = record._asdict()
    if not 1 <= record.batch_size <= MOST_ROWS:
        raise ValueError(
            f"{function}: batch_size must be in [1, {MOST_ROWS}], got {record.batch_size}"
        )
    for name, codes in OPTION_CODES:
        if fields[name] not in codes:
            known = ", ".join(map(str, codes))
            raise ValueError(f"{function}: options have {name} {fields[name]}; known: {known}")
    check_constants(function, **{name: fields[name] for name in CONSTANTS})
    if record.label_smoothing and record.probs_clip:
        raise ValueError(f"{function}: label_smoothing and probs_clip exclude each other")
    return record


def _check_batch(function: str, rows: list[list[int]], batch_size: int) -> None:
    """Check that a batch's size is in range, and that no array size overflows."""
    if not 1 <= batch_size <= MOST_ROWS:
        raise ValueError(f"{function}: batch_size must be in [1, {MOST_ROWS}], got {batch_size}")
    for row in rows:
        fan_in, fan_out = row[FAN_IN], row[FAN_OUT]
        if max(fan_in * fan_out, batch_size * fan_in, batch_size * fan_out) > MOST_OUTPUTS:
            raise ValueError(
                f"{function}: a layer of {fan_in} by {fan_out} and a batch of {batch_size}"
                " are more than any memory holds"
            )


def check_sizes(function: str, layers: np.ndarray, batch_size: int, slots: int) -> None:
    """Check the arguments of ``workspace_size``."""
    _check_batch(function, check_layers(function, layers), batch_size)
    if not 0 <= slots <= layout.MOST_SLOTS:
        raise ValueError(f"{function}: slots must be in [0, {layout.MOST_SLOTS}], got {slots}")


def check_workspace(function: str, workspace: np.ndarray, needed: int) -> None:
    """Check that a flat workspace holds at least ``needed`` values."""
    if workspace.size < needed:
        raise ValueError(
            f"{function}: workspace must hold at least {needed} values (workspace_size),"
            f" got {workspace.size}"
        )


def _check_flat(function: str, floats: Sequence[np.dtype], workspace: np.ndarray) -> None:
    check_array(function, "workspace", workspace, floats, written=True)
    check_shapes(function, ("workspace", workspace, ("W",)))


# ---------------------------------------------------------------------------------------------
# Prediction
# ---------------------------------------------------------------------------------------------


def check_prediction(
    function: str, floats: Sequence[np.dtype], params: np.ndarray, layers: np.ndarray
) -> list[list[int]]:
    """Check layers and parameters as :func:`check_parameters`, for a network that predicts."""
    rows = check_parameters(function, floats, params, layers)
    if any(row[KIND] == layout.NORMALIZED for row in rows):
        raise ValueError(
            f"{function}: fold the batch normalisation of layers into their weights first"
        )
    return rows


def check_forward_program(
    floats: Sequence[np.dtype],
    x: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    workspace: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Check the arguments of ``forward``, apart from the size of its workspace."""
    rows = check_prediction("forward", floats, params, layers)
    check_inputs("forward", rows[0][FAN_IN], rows[-1][FAN_OUT], params.dtype, x, logits)
    _check_flat("forward", floats, workspace)
    outputs = (("logits", logits), ("workspace", workspace))
    check_apart("forward", outputs, (("x", x), ("params", params), ("layers", layers)))


def check_inputs(
    function: str,
    fan_in: int,
    classes: int,
    dtype: np.dtype,
    x: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Check inputs x (N, fan_in) and logits (N, classes), with a fast path for valid ones."""
    if (
        type(x) is type(logits) is np.ndarray
        and logits.dtype is dtype
        and (x.dtype is UINT8 or x.dtype is dtype)
        and x.ndim == 2
        and x.shape[1] == fan_in
        and logits.shape == (len(x), classes)
        and (flags := x.flags).c_contiguous
        and flags.aligned
        and logits.flags.carray
        # Finding out who owns the memory is faster than finding out where it is.
        and (
            (logits.base is None and _owns(x if (base := x.base) is None else base, logits))
            or not np.may_share_memory(x, logits)
        )
    ):
        return
    check_array(function, "x", x, (UINT8, dtype), written=False)
    check_array(function, "logits", logits, (dtype,), written=True)
    check_shapes(function, ("x", x, ("N", fan_in)), ("logits", logits, ("N", classes)))
    check_apart(function, (("logits", logits),), (("x", x),))


def _owns(owner: object, other: np.ndarray) -> bool:
    """Whether ``owner`` is an array that owns its memory, and is not ``other``."""
    return type(owner) is np.ndarray and owner.base is None and owner is not other


# ---------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------


def _check_samples(
    function: str,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    floats: np.dtype,
    rows: list[list[int]],
    record: Options,
) -> None:
    """Check the arrays of the samples that a program trains on, but not their values."""
    check_array(function, "x", x, (UINT8, floats), written=False)
    axes: tuple[Dimension, ...] = ("N",)
    if not (isinstance(targets, np.ndarray) and targets.dtype != INT32 and targets.ndim == 2):
        check_labels(function, "targets", targets, sample_weight, floats)
    else:
        axes = ("N", rows[-1][FAN_OUT])
        check_array(function, "targets", targets, (floats,), written=False)
        check_weights(function, ("targets", targets, axes), sample_weight, floats)
        if record.probs_clip:
            raise ValueError(f"{function}: soft targets and probs_clip exclude each other")
    check_shapes(function, ("x", x, ("N", rows[0][FAN_IN])), ("targets", targets, axes))


def _check_targets(function: str, targets: np.ndarray, classes: int) -> None:
    """Check the values of the targets that a call uses: class ids, or rows of probabilities."""
    if targets.ndim == 1:
        check_indices(function, "targets", targets, classes, "class ids")
    elif targets.size and not (
        targets.min() >= 0 and abs(targets.sum(axis=1) - 1).max() <= ROUNDING  # false for NaN
    ):
        raise ValueError(f"{function}: targets must be probabilities, each row with a sum of 1")


def check_loss_and_gradient(
    floats: Sequence[np.dtype],
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    options: np.ndarray,
    workspace: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Check the arguments of ``loss_and_gradient``, apart from the size of its workspace."""
    function = "loss_and_gradient"
    rows = check_parameters(function, floats, params, layers)
    record = check_options(function, options)
    _check_samples(function, x, targets, sample_weight, params.dtype, rows, record)
    _check_batch(function, rows, max(len(x), 1))
    _check_flat(function, floats, workspace)
    check_array(function, "gradient", gradient, (params.dtype,), written=True)
    check_shapes(function, ("params", params, ("P",)), ("gradient", gradient, ("P",)))
    _check_targets(function, targets, rows[-1][FAN_OUT])
    inputs = (
        ("x", x), ("targets", targets), ("sample_weight", sample_weight), ("params", params),
        ("layers", layers), ("options", options),
    )  # fmt: skip
    check_apart(function, (("workspace", workspace), ("gradient", gradient)), inputs)


def check_train_steps(
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    layers: np.ndarray,
    options: np.ndarray,
    first_step: int,
    params: np.ndarray,
    state: np.ndarray,
    buffers: np.ndarray,
    workspace: np.ndarray,
    metrics: np.ndarray,
    floats: Sequence[np.dtype],
) -> None:
    """Check the arguments of ``train_steps``, apart from the size of its workspace.

    The values checked are ``order`` and the targets that it selects: compiled loops use them as
    indices. This takes a few nanoseconds per sample used, whatever the size of the data set.
    """
    function = "train_steps"
    rows = check_parameters(function, floats, params, layers, written=True)
    record = check_options(function, options)
    _check_samples(function, x, targets, sample_weight, params.dtype, rows, record)
    check_array(function, "order", order, (INT64,), written=False)
    check_array(function, "learning_rates", learning_rates, (FLOAT64,), written=False)
    for name, array in (("state", state), ("buffers", buffers)):
        check_array(function, name, array, (params.dtype,), written=True)
    _check_flat(function, floats, workspace)
    check_array(function, "metrics", metrics, (FLOAT64,), written=True)
    _check_batch(function, rows, record.batch_size)
    check_shapes(
        function,
        ("order", order, ("n",)),
        ("learning_rates", learning_rates, (-(-order.size // record.batch_size),)),
        ("params", params, ("P",)),
        ("state", state, (layout.state_slots(record), "P")),
        ("buffers", buffers, (layout.buffer_size(layers),)),
        ("metrics", metrics, (METRICS,)),
    )
    check_indices(function, "order", order, len(x))
    _check_targets(function, targets[order], rows[-1][FAN_OUT])
    if not np.isfinite(learning_rates).all():
        raise ValueError(f"{function}: learning_rates must be finite")
    if not 0 <= operator.index(first_step) < 2**62:
        raise ValueError(f"{function}: first_step must be in [0, 2**62), got {first_step}")
    outputs = (
        ("params", params), ("state", state), ("buffers", buffers), ("workspace", workspace),
        ("metrics", metrics),
    )  # fmt: skip
    inputs = (
        ("x", x), ("targets", targets), ("sample_weight", sample_weight), ("order", order),
        ("learning_rates", learning_rates), ("layers", layers), ("options", options),
    )  # fmt: skip
    check_apart(function, outputs, inputs)
