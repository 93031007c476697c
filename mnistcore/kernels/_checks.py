"""The argument checks that every backend shares: O(1), and the same words everywhere.

A kernel states its arguments as ``(name, array, dimensions)``; a dimension is an int or a
letter that must mean the same length wherever it stands. The first array that does not fit is
named, with what it is, what was wanted and why.
"""

from collections.abc import Sequence

import numpy as np

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


def check_dtype(function: str, name: str, array: np.ndarray, allowed: Sequence[np.dtype]) -> None:
    """Raise TypeError unless ``array`` is a C-contiguous ndarray of an allowed dtype."""
    if not isinstance(array, np.ndarray):
        kind = type(array).__name__
        raise TypeError(f"{function}: {name} must be a NumPy array, got {kind}")
    if array.dtype not in allowed:
        wanted = " or ".join(dtype.name for dtype in allowed)
        raise TypeError(f"{function}: {name} must be {wanted}, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise TypeError(
            f"{function}: {name} must be C-contiguous; pass np.ascontiguousarray({name})"
        )


def check_shapes(function: str, *arguments: Argument) -> None:
    """Raise ValueError unless each array has its dimensions, letters agreeing among them."""
    lengths: dict[str, tuple[int, str]] = {}
    for name, array, dimensions in arguments:
        if array.ndim != len(dimensions):
            raise ValueError(
                f"{function}: {name} must have {len(dimensions)} dimension(s)"
                f" ({_spell(dimensions)}), got shape {array.shape}"
            )
        for length, dimension in zip(array.shape, dimensions, strict=True):
            if isinstance(dimension, str):
                wanted, source = lengths.setdefault(dimension, (length, name))
            else:
                wanted, source = dimension, ""
            if length != wanted:
                because = f" ({dimension} = {wanted} from {source})" if source else ""
                raise ValueError(
                    f"{function}: {name} must have shape ({_spell(dimensions)}){because},"
                    f" got {array.shape}"
                )


def check_kernel(function: str, floats: Sequence[np.dtype], *arguments: Argument) -> None:
    """Check a kernel whose arrays all share one of the dtypes ``floats``."""
    first_name, first = arguments[0][0], arguments[0][1]
    check_dtype(function, first_name, first, floats)
    for name, array, _ in arguments[1:]:
        check_dtype(function, name, array, (first.dtype,))
    check_shapes(function, *arguments)


def check_forward(function: str, floats: Sequence[np.dtype], z: np.ndarray, a: np.ndarray) -> None:
    """Check the two arrays (B, O) of an activation."""
    check_kernel(function, floats, ("z", z, ("B", "O")), ("a", a, ("B", "O")))


def check_backward(
    function: str, floats: Sequence[np.dtype], da: np.ndarray, a: np.ndarray, dz: np.ndarray
) -> None:
    """Check the three arrays (B, O) of an activation's derivative."""
    shapes = (("da", da, ("B", "O")), ("a", a, ("B", "O")), ("dz", dz, ("B", "O")))
    check_kernel(function, floats, *shapes)


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
        and a.flags.c_contiguous
        and b.flags.c_contiguous
        and out.flags.c_contiguous
        and a.base is b.base is out.base is None
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
    check_kernel(function, floats, *arguments, ("out", out, ("M", "N")))
    if np.may_share_memory(out, a) or np.may_share_memory(out, b):
        raise ValueError(f"{function}: out must not overlap a or b")


def check_labels(
    function: str, labels: np.ndarray, n_classes: int, sample_weight: np.ndarray, floats: np.dtype
) -> None:
    """Check class ids (B,) and their weights, (B,) or length 0, apart from their values."""
    check_dtype(function, "labels", labels, (INT32,))
    check_dtype(function, "sample_weight", sample_weight, (floats,))
    check_shapes(function, ("labels", labels, ("B",)))
    if sample_weight.size:
        check_shapes(function, ("labels", labels, ("B",)), ("sample_weight", sample_weight, ("B",)))
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise ValueError(
            f"{function}: labels must be class ids in [0, {n_classes}),"
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
    check_kernel(function, floats, *shapes)
    check_labels(function, labels, logits.shape[1], sample_weight, logits.dtype)
    check_shapes(function, shapes[0], ("labels", labels, ("B",)))


def check_dropout(
    floats: Sequence[np.dtype], a: np.ndarray, samples: np.ndarray, out: np.ndarray
) -> None:
    """Check the arrays of ``dropout``."""
    check_kernel("dropout", floats, ("a", a, ("B", "O")), ("out", out, ("B", "O")))
    check_dtype("dropout", "samples", samples, (INT64,))
    check_shapes("dropout", ("a", a, ("B", "O")), ("samples", samples, ("B",)))


def check_sgd(
    floats: Sequence[np.dtype],
    gradient: np.ndarray,
    momentum: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Check the arrays of ``sgd_update``; without momentum there is no velocity."""
    length = "P" if momentum else 0
    shapes = (("params", params, ("P",)), ("velocity", velocity, (length,)))
    check_kernel("sgd_update", floats, ("gradient", gradient, ("P",)), *shapes)


def check_adam(
    floats: Sequence[np.dtype],
    gradient: np.ndarray,
    step: int,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    """Check the arrays and the step of ``adam_update``."""
    shapes = (("params", params, ("P",)), ("m", m, ("P",)), ("v", v, ("P",)))
    check_kernel("adam_update", floats, ("gradient", gradient, ("P",)), *shapes)
    if step < 1:
        raise ValueError(f"adam_update: step counts from 1, got {step}")


def check_parameters(
    function: str, floats: Sequence[np.dtype], params: np.ndarray, layers: np.ndarray
) -> None:
    """Check the parameters and the layer table that every program takes."""
    check_dtype(function, "params", params, floats)
    check_dtype(function, "layers", layers, (INT64,))
    check_shapes(function, ("params", params, ("P",)), ("layers", layers, ("L", LAYER_COLUMNS)))
    if not len(layers):
        raise ValueError(f"{function}: layers must have at least one row")
    weights_end = layers[:, WEIGHT_OFFSET] + layers[:, FAN_IN] * layers[:, FAN_OUT]
    bias_end = layers[:, BIAS_OFFSET] + layers[:, FAN_OUT]
    if layers.min() < 0 or layers[:, FAN_IN : FAN_OUT + 1].min() < 1:
        raise ValueError(f"{function}: layers must hold positive sizes and no negative number")
    if max(int(weights_end.max()), int(bias_end.max())) > params.size:
        raise ValueError(f"{function}: layers reach beyond the {params.size} params")
    if (layers[1:, FAN_IN] != layers[:-1, FAN_OUT]).any():
        raise ValueError(f"{function}: the fan_in of a layer must be the fan_out of the one before")


def check_network(
    function: str, floats: Sequence[np.dtype], x: np.ndarray, params: np.ndarray, layers: np.ndarray
) -> None:
    """Check the inputs, parameters and layer table that every program takes."""
    check_parameters(function, floats, params, layers)
    check_dtype(function, "x", x, (UINT8, params.dtype))
    check_shapes(function, ("x", x, ("N", int(layers[0, FAN_IN]))))


def check_forward_program(
    floats: Sequence[np.dtype],
    x: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Check the arguments of ``forward``, apart from its workspace."""
    check_parameters("forward", floats, params, layers)
    ends = int(layers[0, FAN_IN]), int(layers[-1, FAN_OUT])
    check_inputs("forward", *ends, params.dtype, x, logits)


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
        isinstance(x, np.ndarray)
        and isinstance(logits, np.ndarray)
        and logits.dtype == dtype
        and (x.dtype == UINT8 or x.dtype == dtype)
        and logits.ndim == 2
        and x.shape == (len(logits), fan_in)
        and logits.shape[1] == classes
        and x.flags.c_contiguous
        and logits.flags.c_contiguous
    ):
        return
    check_dtype(function, "x", x, (UINT8, dtype))
    check_dtype(function, "logits", logits, (dtype,))
    check_shapes(function, ("x", x, ("N", fan_in)), ("logits", logits, ("N", classes)))


def check_loss_and_gradient(
    floats: Sequence[np.dtype],
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    options: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Check the arguments of ``loss_and_gradient``, apart from its workspace."""
    function = "loss_and_gradient"
    check_network(function, floats, x, params, layers)
    check_options(function, options)
    check_labels(function, targets, int(layers[-1, FAN_OUT]), sample_weight, params.dtype)
    check_shapes(function, ("x", x, ("B", "I")), ("targets", targets, ("B",)))
    shapes = (("params", params, ("P",)), ("gradient", gradient, ("P",)))
    check_kernel(function, (params.dtype,), *shapes)


def check_options(function: str, options: np.ndarray) -> None:
    """Check the record of options."""
    check_dtype(function, "options", options, (OPTIONS_DTYPE,))
    check_shapes(function, ("options", options, (1,)))
    if options["batch_size"][0] < 1:
        raise ValueError(f"{function}: batch_size must be at least 1")


def check_workspace(function: str, workspace: np.ndarray, needed: int) -> None:
    """Check that a flat float32 workspace holds at least ``needed`` values."""
    check_dtype(function, "workspace", workspace, (FLOAT32, FLOAT64))
    check_shapes(function, ("workspace", workspace, ("W",)))
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
    params: np.ndarray,
    state: np.ndarray,
    buffers: np.ndarray,
    metrics: np.ndarray,
    floats: Sequence[np.dtype],
) -> None:
    """Check the arguments of ``train_steps``; the values of ``order`` and ``targets`` too.

    Looking at every index costs a pass over the slice's order, far below one step's work, and
    buys that no compiled loop can read outside its arrays.
    """
    function = "train_steps"
    check_network(function, floats, x, params, layers)
    check_options(function, options)
    check_labels(function, targets, int(layers[-1, FAN_OUT]), sample_weight, params.dtype)
    check_dtype(function, "order", order, (INT64,))
    check_dtype(function, "learning_rates", learning_rates, (FLOAT64,))
    for name, array in (("state", state), ("buffers", buffers)):
        check_dtype(function, name, array, (params.dtype,))
    check_dtype(function, "metrics", metrics, (FLOAT64,))
    record = options[0]
    slots = state_slots(int(record["optimizer"]), float(record["momentum"]))
    steps = -(-len(order) // int(record["batch_size"])) if order.ndim == 1 else 0
    check_shapes(
        function,
        ("x", x, ("N", int(layers[0, FAN_IN]))),
        ("targets", targets, ("N",)),
        ("order", order, ("n",)),
        ("learning_rates", learning_rates, (steps,)),
        ("params", params, ("P",)),
        ("state", state, (slots, "P")),
        ("buffers", buffers, (0,)),
        ("metrics", metrics, (METRICS,)),
    )
    if order.size and not 0 <= int(order.min()) <= int(order.max()) < len(x):
        raise ValueError(f"{function}: order must hold indices in [0, {len(x)})")


def _spell(dimensions: tuple[Dimension, ...]) -> str:
    return ", ".join(str(dimension) for dimension in dimensions)
