"""Fold what lies between dense layers into their weights, in float64.

Batch normalisation, normalisation and rescaling are ``x * factor + offset`` in inference. Directly
after a dense layer that multiplies its columns; after an activation, or before the first layer, it
multiplies the rows of the layer that follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.layout import ACTIVATIONS
from .dense_stack import Product
from .named_arrays import BatchNorm

SYNONYMS = {"sigmoid": "logistic", "linear": "identity"}  # names in PyTorch and Keras
_OUTPUTS = ("softmax", "log_softmax")  # besides identity and logistic
_MOST_CANCELLED = 2.0**12  # of offset / factor: more would cost half of float32's digits


@dataclass(frozen=True, eq=False)
class Affine:
    """A step ``x * factor + offset``.

    Attributes
    ----------
    name
        Of the layer in the file.
    factor, offset
        (units,) or () float64.
    """

    name: str
    factor: Any
    offset: Any


@dataclass(frozen=True)
class Activation:
    """A step that applies a function to every unit; ``name`` as in kernels.layout or Keras."""

    name: str


Step = Product | Affine | Activation


@dataclass(eq=False)
class Folded:
    """A network without steps between its layers.

    Attributes
    ----------
    weights, biases
        Of each layer, float64: (fan_in, fan_out) and (fan_out,).
    activations
        What follows each layer; "identity" for nothing.
    entry
        What acts on the pixels before the first layer.
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    activations: list[str]
    entry: Affine


def affine(norm: BatchNorm, eps: float) -> Affine:
    """Return batch normalisation as a step.

    Raises
    ------
    ValueError
        If a variance plus ``eps`` is not positive.
    """
    if not (norm.variance + eps > 0).all():
        raise ValueError(f"has a variance in {norm.name} that is not positive")
    factor = norm.gamma / np.sqrt(norm.variance + eps)
    return Affine(norm.name, factor, norm.beta - norm.mean * factor)


def fold(steps: Sequence[Step]) -> Folded:
    """Fold the steps of a network.

    Raises
    ------
    ValueError
        If steps do not fit one another, or activations are where no network has them.
    """
    found = Folded([], [], [], Affine("", np.float64(1), np.float64(0)))
    pending: Affine | None = None  # acts on what enters the next layer
    for step in steps:
        if isinstance(step, Product):
            _append(found, step, pending)
            pending = None
        elif isinstance(step, Activation):
            _activate(found, step.name, pending)
        elif not found.weights:
            found.entry = _composed(found.entry, step)
        elif found.activations[-1] == "identity" and pending is None:
            _check_units(step, len(found.biases[-1]))
            found.weights[-1] = found.weights[-1] * step.factor
            found.biases[-1] = found.biases[-1] * step.factor + step.offset
        else:
            pending = step if pending is None else _composed(pending, step)
    if not found.weights:
        raise ValueError("holds no dense layer")
    if pending is not None:
        raise ValueError(f"has {pending.name} after its last activation, which is not converted")
    return found


def enter(weights: np.ndarray, bias: np.ndarray, entry: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and bias of a layer that is fed ``x`` instead of ``entry(x)``.

    Raises
    ------
    ValueError
        If the sizes differ, or float32 has too few digits for the result.
    """
    _check_units(entry, len(weights))
    offset = np.broadcast_to(entry.offset, len(weights))
    if (np.abs(offset) > _MOST_CANCELLED).any():
        raise ValueError(
            f"has {entry.name}, which divides by a deviation of almost 0; float32 weights cannot"
            " express that"
        )
    factor = np.broadcast_to(entry.factor, len(weights))
    return weights * factor[:, None], bias + offset @ weights


def _append(found: Folded, step: Product, pending: Affine | None) -> None:
    weights, bias = step.weights.astype(np.float64), step.bias.astype(np.float64)
    if found.weights and len(weights) != len(found.biases[-1]):
        raise ValueError(
            f"has {step.name} with {len(weights)} inputs after {len(found.biases[-1])} units"
        )
    if pending is not None:
        weights, bias = enter(weights, bias, pending)
    found.weights.append(weights)
    found.biases.append(bias)
    found.activations.append("identity")


def _activate(found: Folded, name: str, pending: Affine | None) -> None:
    name = SYNONYMS.get(name, name)
    if name == "identity":
        return
    if name not in ACTIVATIONS and name not in _OUTPUTS:
        raise ValueError(f"has the activation {name}; supported are {', '.join(ACTIVATIONS)}")
    if not found.weights or pending is not None or found.activations[-1] != "identity":
        raise ValueError(f"has the activation {name} where no dense layer comes before it")
    found.activations[-1] = name


def _composed(first: Affine, then: Affine) -> Affine:
    """Return the step that does one after the other."""
    if np.ndim(first.factor) and np.ndim(then.factor):
        _check_units(then, len(first.factor))
    factor, offset = first.factor * then.factor, first.offset * then.factor + then.offset
    return Affine(then.name or first.name, factor, offset)


def _check_units(step: Affine, units: int) -> None:
    if np.ndim(step.factor) and len(step.factor) != units:
        raise ValueError(f"has {step.name} of {len(step.factor)} units where there are {units}")
