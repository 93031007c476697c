"""Check the arguments of the kernels.

The functions raise ValueError or TypeError, as the contract in ``kernels`` says.
"""

import math
import operator
from collections.abc import Sequence

import numpy as np

from ..layout import AUGMENTATION_DTYPE
from .arrays import (
    INT32,
    INT64,
    UINT8,
    Argument,
    are_good,
    check_apart,
    check_array,
    check_indices,
    check_shapes,
)

# The ranges of the strengths of an augmentation.
STRENGTHS = {
    "rotation": (0, 90),
    "shear": (0, 1),
    "scale": (0, 0.9),
    "shift": (0, 1),
    "elastic": (0, 0.5),
    "smoothness": (0.02, 1),
    "thickness": (0, 1),
}
MOST_SIDE = 1024  # of an image to deform, whose positions are numbers of 32 bits

_LEAST = 2.0**-126  # what is smaller is no normal float32, and compiled backends read it as 0


def check_kernel(
    function: str,
    floats: Sequence[np.dtype],
    *arguments: Argument,
    outputs: int = 1,
    in_place: bool = True,
) -> None:
    """Check a kernel whose arrays share a dtype in ``floats``; the last ``outputs`` are written.

    With ``in_place`` an output may be an input.
    """
    first = len(arguments) - outputs
    allowed = floats
    for index, (name, array, _) in enumerate(arguments):
        check_array(function, name, array, allowed, written=index >= first)
        allowed = (array.dtype,)
    check_shapes(function, *arguments)
    check_apart(function, arguments[first:], arguments[:first], in_place=in_place)


def check_matmul(
    function: str,
    floats: Sequence[np.dtype],
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    dimensions: tuple[str, str],
) -> None:
    """Check a matrix product; ``dimensions`` are those of ``a`` and ``b``, such as "MK", "KN"."""
    if are_good(floats, a, b, out) and a is not out and b is not out:
        m, k = a.shape if dimensions[0] == "MK" else a.shape[::-1]
        terms, n = b.shape if dimensions[1] == "KN" else b.shape[::-1]
        if terms == k and out.shape == (m, n):
            return
    arguments = (("a", a, tuple(dimensions[0])), ("b", b, tuple(dimensions[1])))
    check_kernel(function, floats, *arguments, ("out", out, ("M", "N")), in_place=False)


def check_forward(function: str, floats: Sequence[np.dtype], z: np.ndarray, a: np.ndarray) -> None:
    """Check the two arrays (B, O) of an activation."""
    if not (are_good(floats, z, a) and z.shape == a.shape):
        check_kernel(function, floats, ("z", z, ("B", "O")), ("a", a, ("B", "O")))


def check_backward(
    function: str, floats: Sequence[np.dtype], da: np.ndarray, a: np.ndarray, dz: np.ndarray
) -> None:
    """Check the three arrays (B, O) of an activation's derivative."""
    if not (are_good(floats, da, a, dz) and da.shape == a.shape == dz.shape):
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
    if not (are_good(floats, logits, probs) and logits.shape == probs.shape):
        shapes = (("logits", logits, ("B", "C")), ("probs", probs, ("B", "C")))
        check_kernel("softmax", floats, *shapes)
    _check_classes("softmax", logits)


def _check_classes(function: str, logits: np.ndarray) -> None:
    if not logits.shape[1]:
        raise ValueError(
            f"{function}: logits must have at least one class, got shape {logits.shape}"
        )


def check_cross_entropy(
    floats: Sequence[np.dtype],
    logits: np.ndarray,
    labels: np.ndarray,
    sample_weight: np.ndarray,
    dlogits: np.ndarray,
) -> None:
    """Check the arguments of ``softmax_cross_entropy``, including the values of the labels."""
    function = "softmax_cross_entropy"
    shapes = (("logits", logits, ("B", "C")), ("dlogits", dlogits, ("B", "C")))
    if not (are_good(floats, logits, dlogits) and logits.shape == dlogits.shape):
        check_kernel(function, floats, *shapes)
    _check_classes(function, logits)
    check_labels(function, "labels", labels, sample_weight, logits.dtype)
    check_shapes(function, shapes[0], ("labels", labels, ("B",)))
    check_indices(function, "labels", labels, logits.shape[1], "class ids")
    others = (("labels", labels), ("sample_weight", sample_weight))
    check_apart(function, (("dlogits", dlogits),), others)


def check_labels(
    function: str, name: str, labels: np.ndarray, sample_weight: np.ndarray, floats: np.dtype
) -> None:
    """Check class ids (B,) and sample weights, (B,) or length 0, but not their values."""
    check_array(function, name, labels, (INT32,), written=False)
    check_weights(function, (name, labels, ("B",)), sample_weight, floats)


def check_weights(
    function: str, targets: Argument, sample_weight: np.ndarray, floats: np.dtype
) -> None:
    """Check the shape of targets, and that each or none has a sample weight."""
    check_array(function, "sample_weight", sample_weight, (floats,), written=False)
    check_shapes(function, targets)
    if sample_weight.shape != (0,):
        check_shapes(function, targets, ("sample_weight", sample_weight, targets[2][:1]))


def check_dropout(
    floats: Sequence[np.dtype], a: np.ndarray, samples: np.ndarray, out: np.ndarray
) -> None:
    """Check the arrays of ``dropout``."""
    if not (are_good(floats, a, out) and a.shape == out.shape):
        check_kernel("dropout", floats, ("a", a, ("B", "O")), ("out", out, ("B", "O")))
    check_array("dropout", "samples", samples, (INT64,), written=False)
    check_shapes("dropout", ("a", a, ("B", "O")), ("samples", samples, ("B",)))
    check_apart("dropout", (("out", out),), (("samples", samples),))


def check_augment(
    images: np.ndarray, order: np.ndarray, options: np.ndarray, out: np.ndarray
) -> int:
    """Check the arguments of ``augment``, all values of ``order`` too; return the images' side."""
    function = "augment"
    check_array(function, "images", images, (UINT8,), written=False)
    check_array(function, "order", order, (INT64,), written=False)
    check_array(function, "options", options, (AUGMENTATION_DTYPE,), written=False)
    check_array(function, "out", out, (UINT8,), written=True)
    check_shapes(
        function,
        ("images", images, ("N", "I")),
        ("order", order, ("n",)),
        ("options", options, (1,)),
        ("out", out, ("N", "I")),
    )
    pixels = images.shape[1]
    side = math.isqrt(pixels)
    if side * side != pixels or not 1 <= side <= MOST_SIDE:
        raise ValueError(
            f"{function}: images must be squares of 1 to {MOST_SIDE} pixels a side,"
            f" got rows of {pixels} pixels"
        )
    for (name, (low, high)), value in zip(STRENGTHS.items(), options[0].item(), strict=True):
        if not low <= value <= high:
            raise ValueError(f"{function}: {name} must be in [{low}, {high}], got {value}")
    check_indices(function, "order", order, len(images))
    inputs = (("images", images), ("order", order), ("options", options))
    check_apart(function, (("out", out),), inputs)
    return side


def check_sgd(
    floats: Sequence[np.dtype],
    gradient: np.ndarray,
    momentum: float,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Check the arrays and constants of ``sgd_update``; velocity is empty without momentum."""
    check_constants("sgd_update", momentum=momentum, weight_decay=weight_decay)
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
    check_constants("adam_update", beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)
    shapes = (("params", params, ("P",)), ("m", m, ("P",)), ("v", v, ("P",)))
    first = ("gradient", gradient, ("P",))
    check_kernel("adam_update", floats, first, *shapes, outputs=3, in_place=False)
    if not 1 <= operator.index(step) < 2**63:
        raise ValueError(f"adam_update: step counts from 1, to less than 2**63, got {step}")


def check_constants(function: str, **constants: float) -> None:
    """Check the range of each constant of an optimizer or loss, given by name."""
    for name, value in constants.items():
        if name in ("eps", "norm_eps"):
            good, wanted = _LEAST <= value < math.inf, "positive, at least 1.2e-38"
        elif name in ("weight_decay", "max_norm", "clip_norm"):
            good, wanted = 0.0 <= value < math.inf, "at least 0"
        elif name == "probs_clip":
            good, wanted = 0.0 <= value < 0.5, "in [0, 0.5)"
        elif name == "norm_momentum":
            good, wanted = 0.0 < value <= 1.0, "in (0, 1]"
        else:
            good, wanted = 0.0 <= value < 1.0, "in [0, 1)"
        if not good:
            raise ValueError(f"{function}: {name} must be {wanted}, got {value}")
