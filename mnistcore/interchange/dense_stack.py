"""Turn named arrays into the layers of a network: their roles, order and orientation.

Names distinguish weights from biases and one layer from another: ``0.weight`` and ``0.bias`` of
PyTorch, ``sequential/dense_1/kernel`` of Keras, ``w0`` and ``b0``, ``coefs_0`` and
``intercepts_0`` of scikit-learn; ``arr_0, arr_1 ...`` alternate between weights and biases. The
orientation of weights follows from shapes, or from names if all layers are square.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

LAYOUTS = ("keras", "torch")  # weights (fan_in, fan_out), weights (fan_out, fan_in)

_NAME = re.compile(
    r"(?P<before>|.*[./:_])(?P<role>kernel|weights?|coefs?|w|bias(?:es)?|intercepts?|b)"
    r"[._]?(?P<index>\d*)(?::0)?",
    re.IGNORECASE,
)
_BIASES = ("bias", "biases", "intercept", "intercepts", "b")
_LAYOUT_OF = {"weight": "torch", "weights": "torch"}  # all other roles: keras
_MOST_REORDERED = 8  # most layers whose order is searched for among all permutations


@dataclass(eq=False)
class Named:
    """The arrays of one layer, as found in the file."""

    name: str
    weights: np.ndarray
    bias: np.ndarray | None
    layout: str | None  # suggested by the name of the weights

    def __str__(self) -> str:
        return f"{self.name} {self.weights.shape}"


def stack(
    arrays: Mapping[str, np.ndarray],
    ordered: bool,
    layout: str = "auto",
    order: Sequence[str] = (),
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[str], str]:
    """Assemble arrays into the layers of a network, first to last.

    Parameters
    ----------
    arrays
        All arrays of a network of dense layers, of any float type.
    ordered
        Whether they are in the order of the layers; otherwise names and shapes decide.
    layout
        Orientation of the weights: "keras" (fan_in, fan_out), "torch" (fan_out, fan_in) or
        "auto".
    order
        The names of the layers, first to last; by default the order that fits.

    Returns
    -------
    layers
        Weights (fan_in, fan_out) and bias (fan_out,) of each layer, float32; a missing bias is
        zeros.
    names
        The layers' names in this order.
    layout
        "keras" or "torch".

    Raises
    ------
    ValueError
        If an array is not weights or a bias of a dense layer, if no order and layout fits, or if
        several do and it is not clear which is meant.
    """
    layers = _grouped(arrays)
    layouts = LAYOUTS if layout == "auto" else (layout,)
    if order:
        layers, ordered = _in_given_order(layers, order), True
    found = _fitting_layout(layers, layouts) if ordered else None
    if found is None and not order:
        layers, found = _in_natural_order(layers, layouts)
    if found is None:
        raise ValueError(
            f"has layers that do not follow one another: {', '.join(map(str, layers))}"
        )
    pairs = [_oriented(layer, found) for layer in layers]
    return pairs, [layer.name for layer in layers], found


def _grouped(arrays: Mapping[str, np.ndarray]) -> list[Named]:
    """Group arrays into layers, in the order in which the file first names them."""
    if not arrays:
        raise ValueError("holds no arrays")
    if all(re.fullmatch(r"arr_\d+", name) for name in arrays):
        return _paired(arrays)
    layers: dict[str, dict[str, tuple[str, np.ndarray]]] = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"has {name}, whose name is not that of weights or a bias")
        key = (match["before"].rstrip("./:_") + " " + match["index"]).strip() or "layer"
        role = "bias" if match["role"].lower() in _BIASES else "weights"
        if role in layers.setdefault(key, {}):
            raise ValueError(f"has two arrays of {role} in layer {key}")
        layers[key][role] = (match["role"].lower(), array)
    found = []
    for key, roles in layers.items():
        if "weights" not in roles:
            raise ValueError(f"has a bias but no weights in layer {key}")
        role, weights = roles["weights"]
        bias = roles["bias"][1] if "bias" in roles else None
        found.append(_checked(Named(key, weights, bias, _LAYOUT_OF.get(role, "keras"))))
    return found


def _paired(arrays: Mapping[str, np.ndarray]) -> list[Named]:
    """Group unnamed arrays: a matrix begins a layer, a vector after it is its bias."""
    layers: list[Named] = []
    for name in sorted(arrays, key=_natural):
        array = arrays[name]
        if array.ndim == 1 and layers and layers[-1].bias is None:
            layers[-1].bias = array
        else:
            layers.append(Named(name, array, None, None))
    return [_checked(layer) for layer in layers]


def _checked(layer: Named) -> Named:
    """Check that a layer is dense, and return it in float32."""
    if layer.weights.ndim != 2 or 0 in layer.weights.shape:
        raise ValueError(
            f"has {layer}; only dense layers, with two-dimensional weights, are converted"
        )
    layer.weights = _float32(layer.name, layer.weights)
    if layer.bias is not None:
        bias = _float32(layer.name, layer.bias)
        if bias.ndim == 2 and 1 in bias.shape:
            bias = bias.reshape(-1)
        if bias.ndim != 1 or len(bias) not in layer.weights.shape:
            raise ValueError(f"has {layer} with a bias of shape {bias.shape}")
        layer.bias = bias
    return layer


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise ValueError(f"has {name} of {array.dtype}; weights must be floating-point numbers")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"has numbers in {name} that are not finite in float32")
    return array


def _in_given_order(layers: list[Named], order: Sequence[str]) -> list[Named]:
    by_name = {layer.name: layer for layer in layers}
    if sorted(by_name) != sorted(order):
        raise ValueError(f"has the layers {', '.join(by_name)}; got {', '.join(order)}")
    return [by_name[name] for name in order]


def _fitting_layout(layers: Sequence[Named], layouts: Sequence[str]) -> str | None:
    """Return the layout in which the layers fit in this order; names decide if both fit."""
    fitting = [one for one in layouts if _fits(layers, one)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    suggested = {layer.layout for layer in layers}
    if len(suggested) > 1 or None in suggested:
        raise ValueError("has only square layers; give layout keras or torch")
    return suggested.pop()


def _in_natural_order(
    layers: Sequence[Named], layouts: Sequence[str]
) -> tuple[list[Named], str | None]:
    """Sort the layers by the numbers in their names, or else into the only order that fits."""
    candidate = sorted(layers, key=lambda layer: _natural(layer.name))
    found = _fitting_layout(candidate, layouts)
    if found is not None and not _interchangeable(candidate):
        return candidate, found
    tried = permutations(layers) if len(layers) <= _MOST_REORDERED else ()
    fitting = [(list(one), layout) for one in tried for layout in layouts if _fits(one, layout)]
    if len(fitting) > 1 or (found and not fitting):
        names = " ".join(layer.name for layer in candidate)
        raise ValueError(f"has layers that fit in several orders; name them by layers, as {names}")
    return fitting[0] if fitting else (candidate, None)


def _interchangeable(layers: Sequence[Named]) -> bool:
    """Whether two layers of the same shape have names that differ by more than a number."""
    stems: dict[tuple[int, ...], set[str]] = {}
    for layer in layers:
        stem = re.sub(r"[._]?\d+", "", layer.name)
        stems.setdefault(layer.weights.shape, set()).add(stem)
    return any(len(names) > 1 for names in stems.values())


def _fits(layers: Sequence[Named], layout: str) -> bool:
    """Whether each layer fits the outputs of the one before and has a bias for every unit."""
    shapes = [_shape(layer, layout) for layer in layers]
    chained = all(one[1] == following[0] for one, following in pairwise(shapes))
    return chained and all(
        layer.bias is None or len(layer.bias) == fan_out
        for layer, (_, fan_out) in zip(layers, shapes, strict=True)
    )


def _shape(layer: Named, layout: str) -> tuple[int, int]:
    rows, columns = layer.weights.shape
    return (columns, rows) if layout == "torch" else (rows, columns)


def _oriented(layer: Named, layout: str) -> tuple[np.ndarray, np.ndarray]:
    weights = layer.weights.T if layout == "torch" else layer.weights
    bias = np.zeros(weights.shape[1], np.float32) if layer.bias is None else layer.bias
    return np.ascontiguousarray(weights), bias


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts dense_9 before dense_10, and dense before both."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
