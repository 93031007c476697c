"""Decide where batch normalisation acts, in files that hold arrays without a description.

The names tell which dense layer it belongs to. Whether it comes before or after the activation is
visible only in the numbers of ``torch.nn.Sequential``: if 0 and 3 are dense and 2 is the batch
normalisation, the activation is 1. If 0 and 4 are dense, it may be 1 or 3, and dropout the other:
dropout is most often last. Without such numbers the common order is taken, dense layer, batch
normalisation, activation.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from .dense_stack import Product
from .named_arrays import BatchNorm, container

PLACES = ("before", "after")  # the activation


class Placed(NamedTuple):
    """A batch normalisation, where it acts, and whether that can be seen."""

    norm: BatchNorm
    where: str
    sure: bool


def place(norms: Sequence[BatchNorm], layers: Sequence[Product]) -> dict[int, Placed]:
    """Return batch normalisations by the layer that they follow, -1 for the input.

    Parameters
    ----------
    norms
        In the order of their names.
    layers
        First to last.

    Raises
    ------
    ValueError
        If one fits after no layer, or it is not clear after which.
    """
    placed: dict[int, Placed] = {}
    rest = []
    for norm in norms:
        found = _beside(norm, layers)
        if found is None:
            rest.append(norm)
            continue
        index, where, sure = found
        if index in placed:
            raise ValueError(f"has two batch normalisations beside one layer: {norm.name}")
        _check(norm, layers, index)
        placed[index] = Placed(norm, where, sure)
    if rest:
        free = [index for index in range(-1, len(layers)) if index not in placed]
        for index, norm in zip(_by_sizes(rest, layers, free), rest, strict=True):
            placed[index] = Placed(norm, "before", sure=False)
    return placed


def _beside(norm: BatchNorm, layers: Sequence[Product]) -> tuple[int, str, bool] | None:
    """Find the layer by names: its own, its number in a Sequential, or the only one beside it.

    Returned with where the normalisation acts, and whether that can be seen.
    """
    names = [layer.name for layer in layers]
    if norm.name in names:
        return names.index(norm.name), "before", True
    module = container(norm.name)
    inside = [index for index, name in enumerate(names) if container(name) == module]
    number = _place_in_sequential(norm.name)
    numbers = {_place_in_sequential(names[index]): index for index in inside}
    if number is not None and numbers and None not in numbers:
        earlier = [one for one in numbers if one is not None and one < number]
        if not earlier:
            return -1, "before", False
        if max(earlier) == number - 1:
            return numbers[max(earlier)], "before", True
        return numbers[max(earlier)], "after", number + 1 in numbers
    return (inside[0], "before", False) if len(inside) == 1 and len(layers) > 1 else None


def _place_in_sequential(name: str) -> int | None:
    last = re.split(r"[./]", name)[-1]
    return int(last) if last.isdigit() else None


def _by_sizes(
    norms: Sequence[BatchNorm], layers: Sequence[Product], free: Sequence[int]
) -> list[int]:
    """Find the layers by numbers of units and, if several fit, by the numbers in the names.

    Each normalisation in turn takes the first layer that fits, and from the end the last. If both
    agree, there is no other way.
    """
    hidden = [index for index in free if 0 <= index < len(layers) - 1]
    names = ", ".join(map(str, norms))
    for candidates in (hidden, free):
        first = _fitted(norms, layers, candidates)
        if first is None:
            continue
        last = _fitted(norms[::-1], layers, candidates[::-1])
        alike = [index for norm in norms for index in candidates if _alike(norm, layers, index)]
        if last is not None and first == last[::-1]:
            return first
        if len(alike) == len(norms) and alike == sorted(set(alike)):
            return alike
        raise ValueError(
            f"has batch normalisation that fits after several layers: {names}; number the names"
            " of both alike, as in fc1 and bn1"
        )
    raise ValueError(f"has batch normalisation that fits no layer: {names}")


def _fitted(
    norms: Sequence[BatchNorm], layers: Sequence[Product], candidates: Sequence[int]
) -> list[int] | None:
    """Give each normalisation the first candidate that fits after that of the one before."""
    left = iter(candidates)
    found = [
        next((index for index in left if _units(layers, index) == len(norm.mean)), None)
        for norm in norms
    ]
    return None if None in found else [index for index in found if index is not None]


def _alike(norm: BatchNorm, layers: Sequence[Product], index: int) -> bool:
    return (
        index >= 0
        and _units(layers, index) == len(norm.mean)
        and _number(layers[index].name) == _number(norm.name)
    )


def _number(name: str) -> int:
    found = re.findall(r"\d+", name)
    return int(found[-1]) if found else 0


def _units(layers: Sequence[Product], index: int) -> int:
    return len(layers[0].weights) if index < 0 else len(layers[index].bias)


def _check(norm: BatchNorm, layers: Sequence[Product], index: int) -> None:
    if _units(layers, index) != len(norm.mean):
        raise ValueError(
            f"has batch normalisation {norm} beside a layer of {_units(layers, index)} units"
        )
