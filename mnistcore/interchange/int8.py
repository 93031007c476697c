"""A network with 8-bit weights: what the C file with ``--int8`` computes, in NumPy.

Weights are quantised symmetrically, each output unit with a scale of its own; values between
layers are 8-bit too, with a scale that each image sets anew by its largest value, so that no
sample of data is needed to choose one. (The scheme is that of Jacob et al. 2018, "Quantization
and training of neural networks for efficient integer-arithmetic-only inference", sections 2.1
and 2.4, with the dynamic range in place of a learnt one.) For a layer with inputs x (N, I)::

    sums = (x - zero) @ weights                      integers, exact in 32 bits
    z    = sums * (scales * step) + bias             float32
    a    = activation(z)
    top  = max |a|                                   of each image
    x'   = floor(a * (levels / top) + zero' + 0.5)   the next layer's uint8 input
    step' = top / levels

After ReLU and the logistic function values have one sign: ``zero' = 0`` and 255 levels; after
the others ``zero' = 128`` and 127 levels. The first layer takes raw pixels as they are; their
scale and shift are part of its step and bias.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..models.checkpoint import Model
from .dense import dense_layers

_LARGEST = 127
_NOTHING = np.float32(1e-30)  # values below are taken for 0: a division by them would overflow


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
        The uint8 number that stands for 0 in what the layer takes.
    """

    weights: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    activation: str
    input_zero: int

    @property
    def offsets(self) -> np.ndarray:
        """(fan_out,), int32: what ``x @ weights`` has too much where ``input_zero`` is not 0."""
        return -self.input_zero * self.weights.sum(axis=0, dtype=np.int32)

    @property
    def zero(self) -> int:
        """The uint8 number that stands for 0 in what the layer puts out."""
        return output_zero(self.activation)

    @property
    def levels(self) -> int:
        """How many steps there are from 0 to the largest value that the layer puts out."""
        return 255 - self.zero


def output_zero(activation: str) -> int:
    """The uint8 number that stands for 0 after an activation."""
    return 0 if activation in ("relu", "logistic") else 128


def max_fan_in(input_zero: int) -> int:
    """The most inputs of a layer for which no sum leaves 32 bits, in whatever order it is done."""
    return (2**31 - 1) // ((255 + input_zero) * _LARGEST)


def quantize(model: Model) -> list[Int8Dense]:
    """The layers of a model with 8-bit weights.

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
    """The logits (N, C), float32, of raw images (N, ...), uint8; ``scale`` is the model's."""
    x = images.reshape(len(images), -1)
    step = np.full((len(x), 1), scale, np.float32)
    for index, layer in enumerate(layers):
        # float64 holds such whole numbers exactly, and its product is a fast one.
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
