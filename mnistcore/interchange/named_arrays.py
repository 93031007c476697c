"""Sort named arrays into dense layers, batch normalisation and what is no weight.

Names distinguish weights from biases and one layer from another: ``0.weight`` and ``0.bias`` of
PyTorch, ``sequential/dense_1/kernel`` of Keras, ``w0`` and ``b0``, ``coefs_0`` and
``intercepts_0`` of scikit-learn; ``arr_0, arr_1 ...`` alternate between weights and biases, as
``get_weights()`` of Keras does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_NAME = re.compile(
    r"(?P<before>|.*[./:_])(?P<role>running_mean|running_var|moving_mean|moving_var(?:iance)?"
    r"|num_batches_tracked|gamma|beta|kernel|weights?|coefs?|w|bias(?:es)?|intercepts?|b)"
    r"[._]?(?P<index>\d*)(?::0)?",
    re.IGNORECASE,
)
_ROLES = {
    "running_mean": "mean", "moving_mean": "mean",
    "running_var": "variance", "moving_var": "variance", "moving_variance": "variance",
    "num_batches_tracked": "steps", "gamma": "gamma", "beta": "beta",
    "bias": "bias", "biases": "bias", "intercept": "bias", "intercepts": "bias", "b": "bias",
}  # fmt: skip
_LAYOUT_OF = {"weight": "torch", "weights": "torch"}  # all other roles: keras
# Parts of names that belong to training, not to the network.
_STATE = re.compile(
    r"(?:^|[./:_])(?:optim(?:izers?)?|opt|adam|sgd|rmsprop|momentum|velocity|exp_avg(?:_sq)?"
    r"|grads?|gradients?|criterion|loss(?:_fn)?|history|metrics?)(?:$|[./:_])",
    re.IGNORECASE,
)
TORCH_EPS, KERAS_EPS = 1e-5, 1e-3  # the libraries' defaults of batch normalisation


@dataclass(eq=False)
class Named:
    """The arrays of one dense layer, as found in the file.

    Attributes
    ----------
    name
        As in the file, without the role.
    weights, bias
        Float arrays; None for no bias.
    layout
        "keras" or "torch" as the name of the weights suggests; None if it suggests nothing.
    """

    name: str
    weights: np.ndarray
    bias: np.ndarray | None
    layout: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.weights.shape}"


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """Batch normalisation in inference: ``(x - mean) / sqrt(variance + eps) * gamma + beta``.

    Attributes
    ----------
    name
        As in the file; that of a dense layer if it shares the layer's name.
    mean, variance, gamma, beta
        (units,) float64.
    eps
        The default of the library whose names the arrays have.
    """

    name: str
    mean: np.ndarray
    variance: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    eps: float

    def __str__(self) -> str:
        return f"{self.name} ({len(self.mean)} units)"


@dataclass(frozen=True, eq=False)
class Sorted:
    """Arrays sorted into layers, in the order in which the file first names each.

    Attributes
    ----------
    layers, norms
        Dense layers and batch normalisations.
    left_out
        The names of arrays that are no weights.
    """

    layers: list[Named]
    norms: list[BatchNorm]
    left_out: list[str]


def sort_out(arrays: Mapping[str, np.ndarray], others: Sequence[str] = ()) -> Sorted:
    """Sort the arrays of a file; ``others`` are the names of what could not be read.

    Raises
    ------
    ValueError
        If there are no weights, or an array is that of another kind of layer.
    """
    if arrays and all(re.fullmatch(r"arr_\d+", name) for name in arrays):
        return _paired(arrays)
    groups: dict[str, dict[str, tuple[str, np.ndarray]]] = {}
    left_out = []
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None or _STATE.search(name) or not array.ndim or array.dtype.kind in "USb":
            if match is None or match["role"] != "num_batches_tracked":
                left_out.append(name)
            continue
        key = (match["before"].rstrip("./:_") + " " + match["index"]).strip() or "layer"
        spelled = match["role"].lower()
        role = _ROLES.get(spelled, "weights")
        if role in groups.setdefault(key, {}):
            raise ValueError(f"has two arrays of {role} in layer {key}")
        groups[key][role] = (spelled, array)
    sorted_out = Sorted([], [], left_out)
    for key, roles in groups.items():
        _sort_group(key, roles, sorted_out)
    if not sorted_out.layers:
        named = ", ".join([*others, *left_out][:9])
        raise ValueError("holds no weights of dense layers" + (f" but {named}" if named else ""))
    return sorted_out


def _sort_group(key: str, roles: dict[str, tuple[str, np.ndarray]], into: Sorted) -> None:
    """Add the arrays of one name to the layers: a dense layer, batch normalisation, or both."""
    found = {role: array for role, (_, array) in roles.items()}
    has_norm = bool(found.keys() & {"mean", "variance", "gamma", "beta"})
    is_dense = "weights" in found and (found["weights"].ndim > 1 or not has_norm)
    if is_dense:
        layout = _LAYOUT_OF.get(roles["weights"][0], "keras")
        into.layers.append(
            checked(Named(key, found.pop("weights"), found.pop("bias", None), layout))
        )
    elif not has_norm:
        raise ValueError(f"has a bias but no weights in layer {key}")
    if has_norm:
        eps = TORCH_EPS if "running_mean" in (roles.get("mean") or ("",))[0] else KERAS_EPS
        gamma = found.get("gamma", found.get("weights"))
        into.norms.append(_norm(key, found, gamma, found.get("beta", found.get("bias")), eps))


def _norm(
    name: str,
    found: Mapping[str, np.ndarray],
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    eps: float,
) -> BatchNorm:
    for role in ("mean", "variance"):
        if role not in found:
            raise ValueError(
                f"has normalisation {name} without a running {role}; only batch normalisation"
                " that keeps one is folded into dense layers"
            )
    shape = found["mean"].shape
    parts = (
        found["mean"],
        found["variance"],
        np.ones(shape) if gamma is None else gamma,
        np.zeros(shape) if beta is None else beta,
    )
    if len(shape) != 1 or any(part.shape != shape for part in parts):
        raise ValueError(f"has batch normalisation {name} of unequal shapes")
    mean, variance, gamma, beta = (_numbers(name, part).astype(np.float64) for part in parts)
    return BatchNorm(name, mean, variance, gamma, beta, eps)


def _paired(arrays: Mapping[str, np.ndarray]) -> Sorted:
    """Group unnamed arrays: a matrix begins a layer, a vector after it is its bias.

    Four more vectors are gamma, beta, mean and variance of batch normalisation.
    """
    runs: list[list[str]] = []
    for name in sorted(arrays, key=natural):
        if arrays[name].ndim == 1 and runs:
            runs[-1].append(name)
        else:
            runs.append([name])
    layers, norms = [], []
    for first, *vectors in runs:
        if len(vectors) not in (0, 1, 5):
            raise ValueError(
                f"has {len(vectors)} vectors after {first}, whose roles cannot be told; give the"
                " arrays names"
            )
        bias = arrays[vectors[0]] if vectors else None
        layers.append(checked(Named(first, arrays[first], bias, None)))
        if len(vectors) == 5:
            gamma, beta, mean, variance = (arrays[name] for name in vectors[1:])
            found = {"mean": mean, "variance": variance}
            norms.append(_norm(first, found, gamma, beta, KERAS_EPS))
    return Sorted(layers, norms, [])


def checked(layer: Named) -> Named:
    """Return a layer whose arrays are checked to be those of a dense layer; the bias is a vector.

    Raises
    ------
    ValueError
        If they have other shapes, or are not finite floats.
    """
    if layer.weights.ndim != 2 or 0 in layer.weights.shape:
        raise ValueError(
            f"has {layer}; only dense layers, with two-dimensional weights, are converted"
        )
    layer.weights = _numbers(layer.name, layer.weights)
    if layer.bias is not None:
        bias = _numbers(layer.name, layer.bias)
        if bias.ndim == 2 and 1 in bias.shape:
            bias = bias.reshape(-1)
        if bias.ndim != 1 or len(bias) not in layer.weights.shape:
            raise ValueError(f"has {layer} with a bias of shape {bias.shape}")
        layer.bias = bias
    return layer


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise ValueError(f"has {name} of {array.dtype}; weights must be floating-point numbers")
    if not (np.abs(array) <= np.finfo(np.float32).max).all():
        raise ValueError(f"has numbers in {name} that are not finite in float32")
    return array


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts dense_9 before dense_10, and dense before both."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def selected(found: Sorted, order: Sequence[str]) -> Sorted:
    """Return the layers of these names, in this order; the rest is left out.

    Raises
    ------
    ValueError
        If there is no layer of a name, or one is named twice.
    """
    by_name = {layer.name: layer for layer in found.layers}
    if not set(order) <= by_name.keys() or len(set(order)) < len(order):
        raise ValueError(f"has the layers {', '.join(by_name)}; got {', '.join(order)}")
    others = [name for name in by_name if name not in order]
    unused = {container(name) for name in others} - {container(name) for name in order}
    norms = [norm for norm in found.norms if container(norm.name) not in unused]
    return Sorted([by_name[name] for name in order], norms, [*found.left_out, *others])


def container(name: str) -> str:
    """Return the name of the module that a layer is in: "net" for "net.0" and "net/dense"."""
    return re.sub(r"(?:^|[./])[^./]*$", "", name)
