"""Find the order and the orientation of the dense layers of a network.

The orientation of weights follows from shapes, or from names if all layers are square.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

import numpy as np

from .named_arrays import Named, natural

LAYOUTS = ("keras", "torch")  # weights (fan_in, fan_out), weights (fan_out, fan_in)

_MOST_REORDERED = 8  # most layers whose order is searched for among all permutations


@dataclass(frozen=True, eq=False)
class Product:
    """A dense layer without its activation: ``x @ weights + bias``.

    Attributes
    ----------
    name
        As in the file.
    weights
        (fan_in, fan_out), of any float type.
    bias
        (fan_out,).
    """

    name: str
    weights: np.ndarray
    bias: np.ndarray


def stack(
    layers: Sequence[Named], ordered: bool, layout: str = "auto", given: bool = False
) -> tuple[list[Product], str]:
    """Put layers in order and turn their weights.

    Parameters
    ----------
    layers
        All dense layers of a network.
    ordered
        Whether they are in order; otherwise names and shapes decide.
    layout
        Orientation of the weights: "keras" (fan_in, fan_out), "torch" (fan_out, fan_in) or
        "auto".
    given
        Whether the order is the user's, and no other may be tried.

    Returns
    -------
    layers
        First to last; a missing bias is zeros.
    layout
        "keras" or "torch".

    Raises
    ------
    ValueError
        If no order and layout fits, or if several do and it is not clear which is meant.
    """
    layouts = LAYOUTS if layout == "auto" else (layout,)
    found = _fitting_layout(layers, layouts) if ordered or given else None
    if found is None and not given:
        layers, found = _in_natural_order(layers, layouts)
    if found is None:
        raise ValueError(
            f"has layers that do not follow one another: {', '.join(map(str, layers))}; layers"
            " names those of the network"
        )
    return [_oriented(layer, found) for layer in layers], found


def _fitting_layout(layers: Sequence[Named], layouts: Sequence[str]) -> str | None:
    """Return the layout in which the layers fit in this order; names decide if both fit."""
    fitting = [one for one in layouts if _fits(layers, one)]
    suggested = {layer.layout for layer in layers}
    if not fitting:
        return None
    if len(fitting) == 1:
        # Without all biases a wrong order may fit, in the layout that the names do not suggest.
        contradicted = None not in suggested and suggested != set(fitting)
        return None if contradicted and any(layer.bias is None for layer in layers) else fitting[0]
    if len(suggested) > 1 or None in suggested:
        raise ValueError("has only square layers; give layout keras or torch")
    return suggested.pop()


def _in_natural_order(
    layers: Sequence[Named], layouts: Sequence[str]
) -> tuple[Sequence[Named], str | None]:
    """Sort the layers by the numbers in their names, or else into the only order that fits."""
    candidate = sorted(layers, key=lambda layer: natural(layer.name))
    found = _fitting_layout(candidate, layouts)
    if found is not None and not _interchangeable(candidate):
        return candidate, found
    tried = permutations(layers) if len(layers) <= _MOST_REORDERED else ()
    fitting = [(list(one), layout) for one in tried for layout in layouts if _fits(one, layout)]
    suggested = {layer.layout for layer in layers}
    fitting = [(one, layout) for one, layout in fitting if {layout} == suggested] or fitting
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


def _oriented(layer: Named, layout: str) -> Product:
    weights = layer.weights.T if layout == "torch" else layer.weights
    bias = np.zeros(weights.shape[1], np.float32) if layer.bias is None else layer.bias
    return Product(layer.name, weights, bias)
