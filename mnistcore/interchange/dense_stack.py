"""Named arrays to the layers of a network: which is what, in which order, which way round.

Names tell weights from biases and layers from one another: ``0.weight`` and ``0.bias`` of
PyTorch, ``sequential/dense_1/kernel`` of Keras, ``w0`` and ``b0``, ``coefs_0`` and
``intercepts_0`` of scikit-learn; ``arr_0, arr_1 ...`` are weights and biases in turn. Shapes
decide which way round the weights are; names where shapes cannot, in square layers.
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
_MOST_REORDERED = 8  # layers whose order is looked for among all permutations


@dataclass(eq=False)
class Named:
    """The arrays of one layer, as they were found."""

    name: str
    weights: np.ndarray
    bias: np.ndarray | None
    layout: str | None  # the one that the name of the weights suggests

    @property
    def spelled(self) -> str:
        """The layer's name and the shape of its weights."""
        return f"{self.name} {self.weights.shape}"


def stack(
    arrays: Mapping[str, np.ndarray],
    layout: str = "auto",
    order: Sequence[str] = (),
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[str], str]:
    """Weights (fan_in, fan_out) and bias (fan_out,) of each layer, float32, first to last.

    Parameters
    ----------
    arrays
        All arrays of a network of dense layers.
    layout
        Which way round its weights are: "keras", "torch" or "auto".
    order
        The names of the layers, first to last; by default that which fits.

    Returns
    -------
    layers
        Weights and bias; a layer without a bias gets one of zeros.
    names
        The layers' names in this order.
    layout
        "keras" or "torch".

    Raises
    ------
    ValueError
        If an array is no weights or bias of a dense layer, or no order and layout fits, or
        several do and nothing tells which is meant.
    """
    layers = _grouped(arrays)
    if order:
        layers = _in_given_order(layers, order)
    orders = [layers] if order else [layers, sorted(layers, key=lambda one: _natural(one.name))]
    chosen, found = _choose(orders, layout, searching=not order)
    pairs = [_oriented(layer, found) for layer in chosen]
    return pairs, [layer.name for layer in chosen], found


def _grouped(arrays: Mapping[str, np.ndarray]) -> list[Named]:
    """The layers in the order in which the file first names them."""
    if not arrays:
        raise ValueError("holds no arrays")
    if all(re.fullmatch(r"arr_\d+", name) for name in arrays):
        return _paired(arrays)
    layers: dict[str, dict[str, tuple[str, np.ndarray]]] = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"has {name}, by its name no weights and no bias of a dense layer")
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
    """Arrays without names: two dimensions begin a layer, one dimension is its bias."""
    layers: list[Named] = []
    for name in sorted(arrays, key=_natural):
        array = arrays[name]
        if array.ndim == 1 and layers and layers[-1].bias is None:
            layers[-1].bias = array
        else:
            layers.append(Named(name, array, None, None))
    return [_checked(layer) for layer in layers]


def _checked(layer: Named) -> Named:
    """The layer in float32, once it is known to be a dense one."""
    if layer.weights.ndim != 2 or 0 in layer.weights.shape:
        raise ValueError(
            f"has {layer.spelled}; dense layers alone, with two-dimensional weights, are converted"
        )
    layer.weights = _float32(layer.name, layer.weights)
    if layer.bias is not None:
        bias = _float32(layer.name, layer.bias)
        if bias.ndim == 2 and 1 in bias.shape:
            bias = bias.reshape(-1)
        if bias.ndim != 1 or len(bias) not in layer.weights.shape:
            raise ValueError(f"has {layer.spelled} with a bias of shape {bias.shape}")
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


def _choose(orders: list[list[Named]], layout: str, searching: bool) -> tuple[list[Named], str]:
    """The first order that fits, in the layout asked for, or named, or else the other."""
    named = {layer.layout for layer in orders[0]}
    suggested = named.pop() if len(named) == 1 else None
    layouts = LAYOUTS if layout == "auto" else (layout,)
    for candidate in orders:
        fitting = [one for one in layouts if _fits(candidate, one)]
        if len(fitting) == 2 and suggested is None:
            raise ValueError("has square layers alone; give layout keras or torch")
        if fitting:
            return candidate, suggested if suggested in fitting else fitting[0]
    if searching and len(orders[0]) <= _MOST_REORDERED:
        return _search(orders[0], layouts)
    raise ValueError(_misfit(orders[-1]))


def _search(layers: list[Named], layouts: Sequence[str]) -> tuple[list[Named], str]:
    """The one order that fits, among all."""
    fitting = [
        (list(candidate), one)
        for candidate in permutations(layers)
        for one in layouts
        if _fits(candidate, one)
    ]
    if not fitting:
        raise ValueError(_misfit(layers))
    if len(fitting) > 1:
        names = ", ".join(layer.name for layer in layers)
        raise ValueError(
            f"has layers that fit in several orders; name them in order by layers: {names}"
        )
    return fitting[0]


def _fits(layers: Sequence[Named], layout: str) -> bool:
    """Whether each layer takes what the one before puts out, and has a bias for every unit."""
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


def _misfit(layers: Sequence[Named]) -> str:
    return f"has layers that do not follow one another: {', '.join(one.spelled for one in layers)}"


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts dense_9 before dense_10, and dense before both."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
