"""A model as a list of dense layers, and the description that a file needs besides weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..kernels.layout import ACTIVATIONS
from ..models.fitted import FittedNetwork
from ..models.model import Model, TrainedOn, parse_trained_on
from ..system.text import parsed, spelled


@dataclass(frozen=True, eq=False)
class Dense:
    """A dense layer: ``activation(x @ weights + bias)``.

    Attributes
    ----------
    weights
        (fan_in, fan_out), float32.
    bias
        (fan_out,), float32.
    activation
        A name of ``kernels.layout.ACTIVATIONS``; "identity" for the last layer.
    """

    weights: np.ndarray
    bias: np.ndarray
    activation: str


Source = Model | FittedNetwork  # what can be written for other programs


def dense_layers(model: Source) -> list[Dense]:
    """Return the layers of a network, first to last.

    Raises
    ------
    ValueError
        If a weight is not finite, or the scale or shift of the pixels is too large for float32.
    """
    if not np.isfinite(model.params).all():
        raise ValueError("the model has weights that are not finite; its training diverged")
    if isinstance(model, Model):
        _check_scaling(model)
    pairs = model.network.views(model.params)
    hidden = len(pairs) - 1
    names = [model.network.activation] * hidden + ["identity"]
    return [Dense(w, b, name) for (w, b), name in zip(pairs, names, strict=True)]


def _check_scaling(model: Model) -> None:
    if max(abs(model.scale), abs(model.shift)) > float(np.finfo(np.float32).max):
        raise ValueError(f"scale {model.scale} and shift {model.shift} are too large for float32")


def plus(spelled: str) -> str:
    """Write a number as a term to append to an expression: " + 2", or " - 2" for "-2"."""
    return f" - {spelled[1:]}" if spelled.startswith("-") else f" + {spelled}"


def description(model: Source) -> dict[str, Any]:
    """Return what a file must hold besides weights to restore the model, ready for JSON.

    The features of an estimator are described as pixels that are not scaled.
    """
    if isinstance(model, FittedNetwork):
        kind = {"link": model.link, "classes": model.classes.tolist()}
        names = model.class_names
        model = Model(model.network, model.params, model.input_shape, 1.0, 0.0, names)
        return description(model) | kind
    return {
        "activations": [layer.activation for layer in dense_layers(model)],
        "input_shape": list(model.input_shape),
        "scale": model.scale,
        "shift": model.shift,
        "class_names": list(model.class_names),
        "config": dict(model.config),
        "pixel_max": model.pixel_max,
        "float_pixels": model.float_pixels,
        "data": model.data and model.data.to_dict(),
    }


def spelled_ink(model: Model) -> str:
    """Return :attr:`.Model.brightest` as text."""
    full = model.brightest
    return f"{full:.0f}" if full == round(full) else repr(full)


@dataclass(frozen=True)
class Described:
    """The :func:`description` read from a file, or the defaults for a file without one.

    Attributes
    ----------
    activation
        Of the hidden layers; None if unknown.
    input_shape, scale, shift, class_names
        As in :class:`.Model`; None if unknown.
    config, pixel_max, float_pixels, data
        As in :class:`.Model`.
    """

    activation: str | None = None
    input_shape: tuple[int, ...] | None = None
    scale: float | None = None
    shift: float | None = None
    class_names: tuple[str, ...] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    pixel_max: float | None = None
    float_pixels: bool = False
    data: TrainedOn | None = None


def parse_description(text: str) -> Described:
    """Parse a :func:`description` from JSON, which is not trusted.

    Raises
    ------
    ValueError
        If it is malformed, names unsupported activations, or is not that of a classifier.
    """
    try:
        values = parsed(text)
        described = Described(
            _hidden_activation(values["activations"]),
            tuple(int(length) for length in values["input_shape"]),
            float(values["scale"]),
            float(values["shift"]),
            tuple(map(str, values["class_names"])),
            dict(values["config"]),
            None if values.get("pixel_max") is None else float(values["pixel_max"]),
            bool(values.get("float_pixels", False)),
            parse_trained_on(values.get("data")),
        )
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"has a description that cannot be read ({spelled(error)})") from error
    if values.get("link", "softmax") != "softmax":
        raise ValueError("is of an estimator of values or of several labels, not of a classifier")
    return described


def _hidden_activation(names: Sequence[str]) -> str | None:
    *hidden, last = names
    if len(set(hidden)) > 1 or last != "identity" or not set(hidden) <= ACTIVATIONS.keys():
        raise ValueError(f"activations {', '.join(map(str, names))} are not supported")
    return hidden[0] if hidden else None
