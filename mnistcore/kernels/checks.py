"""The argument checks that every backend shares: O(1), and the same words everywhere.

A kernel states its arguments as ``(name, array, dimensions)``; a dimension is an int or a
letter that must mean the same length wherever it stands. The first array that does not fit is
named, with what it is, what was wanted and why.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from . import layout
from .layout import (
    BIAS_OFFSET,
    FAN_IN,
    FAN_OUT,
    LAYER_COLUMNS,
    METRICS,
    OPTIONS_DTYPE,
    WEIGHT_OFFSET,
    state_slots,
)

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT32 = np.dtype(np.int32)
INT64 = np.dtype(np.int64)
UINT8 = np.dtype(np.uint8)

Dimension = int | str
Argument = tuple[str, np.ndarray, tuple[Dimension, ...]]
Named = tuple[str, np.ndarray] | Argument

# Other subclasses mean something else than their memory says: masks, units, products by ``*``.
PLAIN = (np.ndarray, np.memmap)

# ---------------------------------------------------------------------------------------------
# One array, and several
# ---------------------------------------------------------------------------------------------


def check_array(
    function: str, name: str, array: np.ndarray, allowed: Sequence[np.dtype], *, written: bool
) -> None:
    """Check that compiled loops can read ``array``, and write it where it is ``written``.

    Raises
    ------
    TypeError
        Unless it is a plain NumPy array of an allowed dtype in the machine's byte order,
        C-contiguous and aligned.
    ValueError
        If it is written and read-only.
    """
    if type(array) not in PLAIN:
        kind = type(array).__name__
        raise TypeError(
            f"{function}: {name} must be a NumPy array, got {kind}; pass np.asarray({name})"
        )
    if array.dtype not in allowed:
        wanted = " or ".join(dtype.name for dtype in allowed)
        raise TypeError(f"{function}: {name} must be {wanted}, got {array.dtype}")
    flags = array.flags
    if not flags.c_contiguous:
        raise TypeError(
            f"{function}: {name} must be C-contiguous; pass np.ascontiguousarray({name})"
        )
    if not flags.aligned:
        raise TypeError(f"{function}: {name} must be aligned in memory; pass {name}.copy()")
    if written and not flags.writeable:
        raise ValueError(f"{function}: {name} is written, but it is read-only")


def check_shapes(function: str, *arguments: Argument) -> None:
    """Raise ValueError unless each array has its dimensions, letters agreeing among them."""
    lengths: dict[str, tuple[int, str]] = {}
    for name, array, dimensions in arguments:
        shape = array.shape
        if len(shape) != len(dimensions):
            raise ValueError(
                f"{function}: {name} must have {len(dimensions)} dimension(s)"
                f" ({_spell(dimensions)}), got shape {shape}"
            )
        for length, dimension in zip(shape, dimensions, strict=True):
            if isinstance(dimension, str):
                wanted, source = lengths.setdefault(dimension, (length, name))
            else:
                wanted, source = dimension, ""
            if length != wanted:
                because = f" ({dimension} = {wanted} from {source})" if source else ""
                raise ValueError(
                    f"{function}: {name} must have shape ({_spell(dimensions)}){because},"
                    f" got {shape}"
                )


def check_apart(
    function: str, outputs: Sequence[Named], inputs: Sequence[Named], *, in_place: bool = False
) -> None:
    """Raise ValueError if an output shares memory with another array.

    With ``in_place`` it may be an input, all of it. The arrays are contiguous: their bounds
    tell whether they overlap.
    """
    for index, (name, out, *_) in enumerate(outputs):
        for other, array, *_ in (*outputs[:index], *inputs):
            if out is array:
                if in_place or not out.size:
                    continue
            elif out.base is array.base is None or not np.may_share_memory(out, array):
                continue  # each owns its memory, or a part of its own
            elif in_place and _are_one(out, array):
                continue
            unless = f", unless it is {other}" if in_place and _look_alike(out, array) else ""
            raise ValueError(f"{function}: {name} must not overlap {other}{unless}")


def _look_alike(out: np.ndarray, array: np.ndarray) -> bool:
    return out.dtype == array.dtype and out.shape == array.shape


def _are_one(out: np.ndarray, array: np.ndarray) -> bool:
    """Whether two contiguous arrays are the same numbers at the same place."""
    return _look_alike(out, array) and out.ctypes.data == array.ctypes.data


def check_kernel(
    function: str,
    floats: Sequence[np.dtype],
    *arguments: Argument,
    outputs: int = 1,
    in_place: bool = True,
) -> None:
    """Check a kernel whose arrays all share one of the dtypes ``floats``; the last are written.

    ``in_place`` says that an output may be an input.
    """
    first = len(arguments) - outputs
    name, array, _ = arguments[0]
    check_array(function, name, array, floats, written=not first)
    dtype = array.dtype
    for index, (name, array, _) in enumerate(arguments):
        # Most arrays are good at a glance, which takes less time than a call.
        if not (type(array) is np.ndarray and array.dtype is dtype and array.flags.carray):
            check_array(function, name, array, (dtype,), written=index >= first)
    check_shapes(function, *arguments)
    check_apart(function, arguments[first:], arguments[:first], in_place=in_place)


# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def _are_alike(floats: Sequence[np.dtype], out: np.ndarray, *inputs: np.ndarray) -> bool:
    """Whether all are matrices of one shape that own their memory: each is ``out`` or apart.

    This takes less time than to name what is wrong.
    """
    if not (
        type(out) is np.ndarray
        and (dtype := out.dtype) in floats
        and out.ndim == 2
        and out.flags.carray
        and out.base is None
    ):
        return False
    shape = out.shape
    for array in inputs:
        if not (
            type(array) is np.ndarray
            and array.dtype is dtype
            and array.shape == shape
            and array.base is None  # and so it is aligned
            and array.flags.c_contiguous
        ):
            return False
    return True


def check_forward(function: str, floats: Sequence[np.dtype], z: np.ndarray, a: np.ndarray) -> None:
    """Check the two arrays (B, O) of an activation."""
    if not _are_alike(floats, a, z):
        check_kernel(function, floats, ("z", z, ("B", "O")), ("a", a, ("B", "O")))


def check_backward(
    function: str, floats: Sequence[np.dtype], da: np.ndarray, a: np.ndarray, dz: np.ndarray
) -> None:
    """Check the three arrays (B, O) of an activation's derivative."""
    if not _are_alike(floats, dz, da, a):
        shapes = (("da", da, ("B", "O")), ("a", a, ("B", "O")), ("dz", dz, ("B", "O")))
        check_kernel(function, floats, *shapes)


def check_add_bias(
    floats: Sequence[np.dtype], z: np.ndarray, b: np.ndarray, out: np.ndarray
) -> None:
    """Check the arrays of ``add_bias``."""
    shapes = (("z", z, ("B", "O")), ("b", b, ("O",)), ("out", out, ("B", "O")))
    check_kernel("add_bias", floats, *shapes)


def check_sum_rows(floats: Sequence[np.dtype], dz: np.ndarray, out: np.ndarray) -> None:
    """Check the arrays of ``sum_rows``."""
    shapes = (("dz", dz, ("B", "O")), ("out", out, ("O",)))
    check_kernel("sum_rows", floats, *shapes, in_place=False)


def check_softmax(floats: Sequence[np.dtype], logits: np.ndarray, probs: np.ndarray) -> None:
    """Check the arrays of ``softmax``."""
    if not _are_alike(floats, probs, logits):
        shapes = (("logits", logits, ("B", "C")), ("probs", probs, ("B", "C")))
        check_kernel("softmax", floats, *shapes)
    _check_classes("softmax", logits)


def _check_classes(function: str, logits: np.ndarray) -> None:
    if not logits.shape[1]:
        raise ValueError(
            f"{function}: logits must have at least one class, got shape {logits.shape}"
        )


def _are_of_product(
    floats: Sequence[np.dtype],
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    dimensions: tuple[str, str],
) -> bool:
    """Whether these fit, and each owns its memory, so that they do not overlap."""
    if not (
        type(a) is type(b) is type(out) is np.ndarray
        and a.dtype is b.dtype is out.dtype
        and a.dtype in floats
        and a.ndim == b.ndim == 2
        and a.base is b.base is out.base is None  # and so they are aligned
        and a.flags.c_contiguous
        and b.flags.c_contiguous
        and out.flags.carray
        and a is not out
        and b is not out
    ):
        return False
    m, k = a.shape
    if dimensions[0] == "KM":
        m, k = k, m
    terms, n = b.shape
    if dimensions[1] == "NK":
        terms, n = n, terms
    return terms == k and out.shape == (m, n)


def check_matmul(
    function: str,
    floats: Sequence[np.dtype],
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    dimensions: tuple[str, str],
) -> None:
    """Check a matrix product; ``dimensions`` spells those of ``a`` and ``b``, like "MK", "KN".

    Where all is well this takes less time than the smallest products.
    """
    if _are_of_product(floats, a, b, out, dimensions):
        return
    arguments = (("a", a, tuple(dimensions[0])), ("b", b, tuple(dimensions[1])))
    check_kernel(function, floats, *arguments, ("out", out, ("M", "N")), in_place=False)


def check_labels(
    function: str,
    name: str,
    labels: np.ndarray,
    n_classes: int,
    sample_weight: np.ndarray,
    floats: np.dtype,
) -> None:
    """Check class ids (B,) and their weights, (B,) or length 0, whose values may be any."""
    check_array(function, name, labels, (INT32,), written=False)
    check_array(function, "sample_weight", sample_weight, (floats,), written=False)
    check_shapes(function, (name, labels, ("B",)))
    if sample_weight.shape != (0,):
        check_shapes(function, (name, labels, ("B",)), ("sample_weight", sample_weight, ("B",)))
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise ValueError(
            f"{function}: {name} must be class ids in [0, {n_classes}),"
            f" got {labels.min()} to {labels.max()}"
        )


def check_cross_entropy(
    floats: Sequence[np.dtype],
    logits: np.ndarray,
    labels: np.ndarray,
    sample_weight: np.ndarray,
    dlogits: np.ndarray,
) -> None:
    """Check the arguments of ``softmax_cross_entropy``."""
    function = "softmax_cross_entropy"
    shapes = (("logits", logits, ("B", "C")), ("dlogits", dlogits, ("B", "C")))
    if not _are_alike(floats, dlogits, logits):
        check_kernel(function, floats, *shapes)
    _check_classes(function, logits)
    check_labels(function, "labels", labels, logits.shape[1], sample_weight, logits.dtype)
    check_shapes(function, shapes[0], ("labels", labels, ("B",)))
    others = (("labels", labels), ("sample_weight", sample_weight))
    check_apart(function, (("dlogits", dlogits),), others)


def check_dropout(
    floats: Sequence[np.dtype], a: np.ndarray, samples: np.ndarray, out: np.ndarray
) -> None:
    """Check the arrays of ``dropout``."""
    if not _are_alike(floats, out, a):
        check_kernel("dropout", floats, ("a", a, ("B", "O")), ("out", out, ("B", "O")))
    check_array("dropout", "samples", samples, (INT64,), written=False)
    check_shapes("dropout", ("a", a, ("B", "O")), ("samples", samples, ("B",)))
    check_apart("dropout", (("out", out),), (("samples", samples),))


def check_sgd(
    floats: Sequence[np.dtype],
    gradient: np.ndarray,
    momentum: float,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Check the arrays and constants of ``sgd_update``; without momentum there is no velocity."""
    _check_constants("sgd_update", momentum=momentum, weight_decay=weight_decay)
    length = "P" if momentum else 0
    shapes = (("params", params, ("P",)), ("velocity", velocity, (length,)))
    first = ("gradient", gradient, ("P",))
    check_kernel("sgd_update", floats, first, *shapes, outputs=2, in_place=False)


def check_adam(
    floats: Sequence[np.dtype],
    gradient: np.ndarray,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    """Check the arrays, the constants and the step of ``adam_update``."""
    _check_constants("adam_update", beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)
    shapes = (("params", params, ("P",)), ("m", m, ("P",)), ("v", v, ("P",)))
    first = ("gradient", gradient, ("P",))
    check_kernel("adam_update", floats, first, *shapes, outputs=3, in_place=False)
    if step < 1:
        raise ValueError(f"adam_update: step counts from 1, got {step}")


def _check_constants(function: str, **constants: float) -> None:
    """Check the constants of a step by name."""
    for name, value in constants.items():
        if name == "eps":
            good, wanted = 0.0 < value < math.inf, "positive"
        elif name == "weight_decay":
            good, wanted = 0.0 <= value < math.inf, "at least 0"
        elif name == "probs_clip":
            good, wanted = 0.0 <= value < 0.5, "in [0, 0.5)"
        else:
            good, wanted = 0.0 <= value < 1.0, "in [0, 1)"
        if not good:
            raise ValueError(f"{function}: {name} must be {wanted}, got {value}")


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------

# The columns of the layer table that hold codes, and the codes.
CODES = (
    (layout.KIND, "kind", (layout.DENSE,)),
    (layout.ACTIVATION, "activation", tuple(layout.ACTIVATIONS.values())),
    (layout.DECAY, "decay", (0, 1)),
)
MOST_ROWS = 2**31 - 1  # of a batch: its rows are numbered in int32
MOST_OUTPUTS = 2**56  # of a batch in a layer: far beyond any memory, and its bytes fit an int64


def check_layers(function: str, layers: np.ndarray) -> list[list[int]]:
    """Check the layer table for itself; its rows, in whole numbers that do not overflow."""
    check_array(function, "layers", layers, (INT64,), written=False)
    check_shapes(function, ("layers", layers, ("L", LAYER_COLUMNS)))
    rows: list[list[int]] = layers.tolist()
    if not rows:
        raise ValueError(f"{function}: layers must have at least one row")
    for index, row in enumerate(rows):
        for column, name, codes in CODES:
            if row[column] not in codes:
                known = ", ".join(map(str, codes))
                raise ValueError(
                    f"{function}: layers[{index}] has {name} {row[column]}; known: {known}"
                )
        if min(row) < 0 or min(row[FAN_IN], row[FAN_OUT]) < 1:
            raise ValueError(f"{function}: layers must hold positive sizes and no negative number")
        if row[layout.DROPOUT] >= 2**32:
            raise ValueError(f"{function}: layers[{index}] drops out {row[layout.DROPOUT]} / 2**32")
    for row, after in itertools.pairwise(rows):
        if after[FAN_IN] != row[FAN_OUT]:
            raise ValueError(
                f"{function}: the fan_in of a layer must be the fan_out of the one before"
            )
    if rows[-1][layout.ACTIVATION] != layout.IDENTITY or rows[-1][layout.DROPOUT]:
        raise ValueError(f"{function}: the last layer must have neither activation nor dropout")
    return rows


def check_parameters(
    function: str,
    floats: Sequence[np.dtype],
    params: np.ndarray,
    layers: np.ndarray,
    *,
    written: bool = False,
) -> None:
    """Check the parameters and the layer table, whose layers take each parameter once."""
    check_array(function, "params", params, floats, written=written)
    check_shapes(function, ("params", params, ("P",)))
    spans = []
    for row in check_layers(function, layers):
        weights, bias, fan_out = row[WEIGHT_OFFSET], row[BIAS_OFFSET], row[FAN_OUT]
        spans += [(weights, weights + row[FAN_IN] * fan_out), (bias, bias + fan_out)]
    spans.sort()
    if max(stop for _, stop in spans) > params.size:
        raise ValueError(f"{function}: layers reach beyond the {params.size} params")
    starts, stops = zip(*spans, strict=True)
    if (*starts, params.size) != (0, *stops):
        raise ValueError(f"{function}: layers must take each of the {params.size} params once")


def check_sizes(function: str, layers: np.ndarray, batch_size: int, slots: int) -> None:
    """Check the arguments of ``workspace_size``."""
    _check_batch(function, check_layers(function, layers), batch_size)
    if not 0 <= slots <= 2:
        raise ValueError(f"{function}: slots must be 0, 1 or 2, got {slots}")


def _check_batch(function: str, rows: Iterable[Sequence[int]], batch_size: int) -> None:
    if not 1 <= batch_size <= MOST_ROWS:
        raise ValueError(f"{function}: batch_size must be in [1, {MOST_ROWS}], got {batch_size}")
    for row in rows:
        fan_in, fan_out = row[FAN_IN], row[FAN_OUT]
        if max(fan_in * fan_out, batch_size * fan_in, batch_size * fan_out) > MOST_OUTPUTS:
            raise ValueError(
                f"{function}: a layer of {fan_in} by {fan_out} and a batch of {batch_size}"
                " are more than any memory holds"
            )


def check_forward_program(
    floats: Sequence[np.dtype],
    x: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    workspace: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Check the arguments of ``forward``, apart from the size of its workspace."""
    check_parameters("forward", floats, params, layers)
    ends = int(layers[0, FAN_IN]), int(layers[-1, FAN_OUT])
    check_inputs("forward", *ends, params.dtype, x, logits)
    _check_flat("forward", floats, workspace)
    outputs = (("logits", logits), ("workspace", workspace))
    check_apart("forward", outputs, (("x", x), ("params", params), ("layers", layers)))


def _check_flat(function: str, floats: Sequence[np.dtype], workspace: np.ndarray) -> None:
    check_array(function, "workspace", workspace, floats, written=True)
    check_shapes(function, ("workspace", workspace, ("W",)))


def _owns(owner: object, other: np.ndarray) -> bool:
    """Whether an array owns its memory, and is not the other."""
    return type(owner) is np.ndarray and owner.base is None and owner is not other


def check_inputs(
    function: str,
    fan_in: int,
    classes: int,
    dtype: np.dtype,
    x: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Check inputs x (N, fan_in) and logits (N, classes), fast where all is well."""
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
        # Who owns the memory is known sooner than where it is.
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
    check_parameters(function, floats, params, layers)
    check_options(function, options)
    _check_samples(function, x, targets, sample_weight, params.dtype, layers)
    _check_batch(function, layers.tolist(), max(len(x), 1))
    _check_flat(function, floats, workspace)
    check_array(function, "gradient", gradient, (params.dtype,), written=True)
    check_shapes(function, ("params", params, ("P",)), ("gradient", gradient, ("P",)))
    inputs = (
        ("x", x), ("targets", targets), ("sample_weight", sample_weight), ("params", params),
        ("layers", layers), ("options", options),
    )  # fmt: skip
    check_apart(function, (("workspace", workspace), ("gradient", gradient)), inputs)


def _check_samples(
    function: str,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    floats: np.dtype,
    layers: np.ndarray,
) -> None:
    """Check the inputs, labels and weights of the samples that a program trains on."""
    check_array(function, "x", x, (UINT8, floats), written=False)
    check_labels(function, "targets", targets, int(layers[-1, FAN_OUT]), sample_weight, floats)
    columns = int(layers[0, FAN_IN])
    check_shapes(function, ("x", x, ("N", columns)), ("targets", targets, ("N",)))


def check_options(function: str, options: np.ndarray) -> None:
    """Check the record of options: its codes, and the range of each constant."""
    check_array(function, "options", options, (OPTIONS_DTYPE,), written=False)
    check_shapes(function, ("options", options, (1,)))
    record = dict(zip(OPTIONS_DTYPE.names or (), options.tolist()[0], strict=True))
    if not 1 <= record["batch_size"] <= MOST_ROWS:
        raise ValueError(
            f"{function}: batch_size must be in [1, {MOST_ROWS}], got {record['batch_size']}"
        )
    for name, codes in (
        ("optimizer", tuple(layout.OPTIMIZERS.values())),
        ("nesterov", (0, 1)),
        ("skip_zeros", (0, 1)),
    ):
        if record[name] not in codes:
            known = ", ".join(map(str, codes))
            raise ValueError(f"{function}: options have {name} {record[name]}; known: {known}")
    constants = ("momentum", "beta1", "beta2", "eps", "weight_decay", "probs_clip")
    _check_constants(function, **{name: record[name] for name in constants})


def check_workspace(function: str, workspace: np.ndarray, needed: int) -> None:
    """Check that a flat workspace holds at least ``needed`` values."""
    if workspace.size < needed:
        raise ValueError(
            f"{function}: workspace must hold at least {needed} values (workspace_size),"
            f" got {workspace.size}"
        )


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
    """Check the arguments of ``train_steps``; the values of ``order`` and ``targets`` too.

    Looking at every index costs a pass over the slice's order, far below one step's work, and
    buys that no compiled loop can read outside its arrays.
    """
    function = "train_steps"
    check_parameters(function, floats, params, layers, written=True)
    check_options(function, options)
    _check_samples(function, x, targets, sample_weight, params.dtype, layers)
    check_array(function, "order", order, (INT64,), written=False)
    check_array(function, "learning_rates", learning_rates, (FLOAT64,), written=False)
    for name, array in (("state", state), ("buffers", buffers)):
        check_array(function, name, array, (params.dtype,), written=True)
    _check_flat(function, floats, workspace)
    check_array(function, "metrics", metrics, (FLOAT64,), written=True)
    record = options[0]
    batch_size = int(record["batch_size"])
    _check_batch(function, layers.tolist(), batch_size)
    slots = state_slots(int(record["optimizer"]), float(record["momentum"]))
    steps = -(-len(order) // batch_size) if order.ndim == 1 else 0
    check_shapes(
        function,
        ("order", order, ("n",)),
        ("learning_rates", learning_rates, (steps,)),
        ("params", params, ("P",)),
        ("state", state, (slots, "P")),
        ("buffers", buffers, (0,)),
        ("metrics", metrics, (METRICS,)),
    )
    if order.size and not 0 <= int(order.min()) <= int(order.max()) < len(x):
        raise ValueError(f"{function}: order must hold indices in [0, {len(x)})")
    if not np.isfinite(learning_rates).all():
        raise ValueError(f"{function}: learning_rates must be finite")
    if first_step < 0:
        raise ValueError(f"{function}: first_step must not be negative, got {first_step}")
    outputs = (
        ("params", params), ("state", state), ("buffers", buffers), ("workspace", workspace),
        ("metrics", metrics),
    )  # fmt: skip
    inputs = (
        ("x", x), ("targets", targets), ("sample_weight", sample_weight), ("order", order),
        ("learning_rates", learning_rates), ("layers", layers), ("options", options),
    )  # fmt: skip
    check_apart(function, outputs, inputs)


def _spell(dimensions: tuple[Dimension, ...]) -> str:
    return ", ".join(str(dimension) for dimension in dimensions)
