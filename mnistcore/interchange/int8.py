"""A network with 8-bit weights, in NumPy: what the C file of ``--int8`` computes.

Weights are quantised symmetrically with one scale per output unit. Values between layers are
8-bit too, with a scale set for each image by its largest value, so no calibration data is
needed. The scheme is that of B. Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", 2018, sections 2.1 and 2.4, with dynamic instead of
learnt ranges. For a layer with inputs x (N, I)::

    sums = (x - zero) @ weights                      integers, exact in 32 bits
    z    = sums * (scales * step) + bias             float32
    a    = activation(z)
    top  = max |a|                                   per image
    x'   = floor(a * (levels / top) + zero' + 0.5)   the next layer's uint8 input
    step' = top / levels

After ReLU and the logistic function, values are not negative: ``zero' = 0`` with 255 levels.
After the others, ``zero' = 128`` with 127 levels. The first layer takes raw pixels; their scale
and shift are part of its step and bias.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..models.model import Model
from .dense import dense_layers

_LARGEST = 127
_NOTHING = np.float32(1e-30)  # smaller values count as 0: dividing by them would overflow


@dataclass(frozen=True, eq=False)
class Int8Dense:
    """A dense layer with 8-bit weights.

    Attributes
    ----------
    weights
        (fan_in, fan_out), int8, from -127 to 127.
    scales
        (fan_out,), float32: the weights of unit j are about ``weights[:, j] * scales[j]``.
    bias
        (fan_out,), float32.
    activation
        A name of ``kernels.layout.ACTIVATIONS``.
    input_zero
        The uint8 value that represents 0 in the layer's input.
    """

    weights: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    activation: str
    input_zero: int

    @property
    def offsets(self) -> np.ndarray:
        """(fan_out,), int32: to add to ``x @ weights`` to correct for ``input_zero``."""
        return -self.input_zero * self.weights.sum(axis=0, dtype=np.int32)

    @property
    def zero(self) -> int:
        """The uint8 value that represents 0 in the layer's output."""
        return output_zero(self.activation)

    @property
    def levels(self) -> int:
        """The number of steps from 0 to the largest value of the layer's output."""
        return 255 - self.zero


def output_zero(activation: str) -> int:
    """Return the uint8 value that represents 0 after an activation."""
    return 0 if activation in ("relu", "logistic") else 128


def max_fan_in(input_zero: int) -> int:
    """Return the most inputs for which no sum can overflow 32 bits, in any order."""
    return (2**31 - 1) // ((255 + input_zero) * _LARGEST)


def quantize(model: Model) -> list[Int8Dense]:
    """Quantise the weights of a model's layers to 8 bits.

    Raises
    ------
    ValueError
        If a weight is not finite, or a layer has more inputs than 32-bit sums allow.
    """
    quantized = []
    for index, layer in enumerate(dense_layers(model)):
        zero = output_zero(model.network.activation) if index else 0
        if len(layer.weights) > max_fan_in(zero):
            raise ValueError(
                f"layer {index} has {len(layer.weights):,} inputs; 32-bit sums of 8-bit products"
                f" take at most {max_fan_in(zero):,}"
            )
        weights = layer.weights.astype(np.float64)
        scales = (np.abs(weights).max(axis=0) / _LARGEST).astype(np.float32)
        divisors = np.where(scales > 0, scales.astype(np.float64), np.inf)
        integers = np.clip(np.rint(weights / divisors), -_LARGEST, _LARGEST).astype(np.int8)
        bias = layer.bias.astype(np.float64)
        if index == 0:
            bias = bias + model.shift * weights.sum(axis=0)
        name = layer.activation
        quantized.append(Int8Dense(integers, scales, bias.astype(np.float32), name, zero))
    return quantized


def int8_logits(layers: list[Int8Dense], scale: float, images: np.ndarray) -> np.ndarray:
    """Return the logits (N, C), float32, of raw uint8 images (N, ...); ``scale`` is the model's."""
    x = images.reshape(len(images), -1)
    step = np.full((len(x), 1), scale, np.float32)
    for index, layer in enumerate(layers):
        # float64 holds these integers exactly, and its matrix product is fast.
        sums = (x.astype(np.float64) - layer.input_zero) @ layer.weights.astype(np.float64)
        z = sums.astype(np.float32) * (layer.scales * step) + layer.bias
        if index == len(layers) - 1:
            break
        a = _ACTIVATIONS[layer.activation](z)
        top = np.abs(a).max(axis=1, keepdims=True)
        step = top / np.float32(layer.levels)
        per_step = np.divide(layer.levels, top, out=np.zeros_like(top), where=top > _NOTHING)
        x = np.floor(a * per_step + np.float32(layer.zero + 0.5)).astype(np.uint8)
    return z


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "identity": lambda z: z,
}
