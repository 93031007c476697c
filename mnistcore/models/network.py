"""A multi-layer perceptron: its sizes, the layout of its one flat parameter vector, its use.

The network holds no parameters and no backend: both are handed to its methods.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..kernels import layout

INITIALIZATIONS = ("auto", "he", "glorot")


@dataclass(frozen=True)
class Network:
    """Layer sizes, the hidden layers' activation and their dropout.

    Parameters
    ----------
    layer_sizes
        Inputs, hidden layers, classes: ``(784, 128, 64, 10)``.
    activation
        Of the hidden layers: "relu", "tanh", "logistic" or "identity". The outputs are logits.
    dropout
        The rate after each hidden layer, one number for all or one for each.
    """

    layer_sizes: tuple[int, ...]
    activation: str = "relu"
    dropout: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        sizes = tuple(int(size) for size in self.layer_sizes)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"layer_sizes must be two or more positive numbers, got {sizes}")
        if self.activation not in layout.ACTIVATIONS:
            known = ", ".join(layout.ACTIVATIONS)
            raise ValueError(f"unknown activation {self.activation!r}; choose from {known}")
        object.__setattr__(self, "layer_sizes", sizes)
        self.layers()  # raises where a dropout rate is out of range or they are miscounted

    @property
    def n_params(self) -> int:
        """The number of parameters P: weights and biases of every layer."""
        sizes = self.layer_sizes
        return sum((i + 1) * o for i, o in itertools.pairwise(sizes))

    def layers(self) -> np.ndarray:
        """The (n_layers, 8) int64 table that the kernels read; columns as in ``kernels.layout``."""
        hidden = len(self.layer_sizes) - 2
        rates = self.dropout if isinstance(self.dropout, Sequence) else (self.dropout,) * hidden
        if len(rates) != hidden:
            raise ValueError(f"dropout needs one rate or {hidden}, one a hidden layer; got {rates}")
        table = np.zeros((hidden + 1, layout.LAYER_COLUMNS), np.int64)
        offset = 0
        for index, row in enumerate(table):
            fan_in, fan_out = self.layer_sizes[index : index + 2]
            last = index == hidden
            row[layout.KIND] = layout.DENSE
            row[layout.FAN_IN] = fan_in
            row[layout.FAN_OUT] = fan_out
            row[layout.ACTIVATION] = (
                layout.IDENTITY if last else layout.ACTIVATIONS[self.activation]
            )
            row[layout.WEIGHT_OFFSET] = offset
            row[layout.BIAS_OFFSET] = offset + fan_in * fan_out
            row[layout.DECAY] = 1
            row[layout.DROPOUT] = 0 if last else layout.dropout_threshold(rates[index])
            offset += (fan_in + 1) * fan_out
        return table

    def views(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per layer, the weights (fan_in, fan_out) and bias (fan_out,) as views of ``flat`` (P,).

        Works for parameters, gradients and rows of the optimizer's state alike.
        """
        if flat.shape != (self.n_params,):
            raise ValueError(f"expected {self.n_params} parameters, got shape {flat.shape}")
        pairs = []
        for row in self.layers():
            fan_in, fan_out = int(row[layout.FAN_IN]), int(row[layout.FAN_OUT])
            weights = flat[row[layout.WEIGHT_OFFSET] : row[layout.BIAS_OFFSET]]
            bias = flat[row[layout.BIAS_OFFSET] : row[layout.BIAS_OFFSET] + fan_out]
            pairs.append((weights.reshape(fan_in, fan_out), bias))
        return pairs

    def init(
        self, rng: np.random.Generator, scheme: str = "auto", dtype: type = np.float32
    ) -> np.ndarray:
        """Initial parameters (P,): random weights, zero biases.

        "he": normal with variance 2 / fan_in (He et al. 2015, section 2.2); "glorot": uniform
        within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16); "auto": He
        for ReLU, Glorot for the others.
        """
        if scheme not in INITIALIZATIONS:
            known = ", ".join(INITIALIZATIONS)
            raise ValueError(f"unknown initialisation {scheme!r}; choose from {known}")
        he = scheme == "he" or (scheme == "auto" and self.activation == "relu")
        params: np.ndarray = np.zeros(self.n_params, dtype)
        for weights, _ in self.views(params):
            fan_in, fan_out = weights.shape
            if he:
                weights[...] = rng.normal(0.0, np.sqrt(2.0 / fan_in), weights.shape)
            else:
                bound = np.sqrt(6.0 / (fan_in + fan_out))
                weights[...] = rng.uniform(-bound, bound, weights.shape)
        return params

    def forward(
        self,
        kernels: ModuleType,
        params: np.ndarray,
        x: np.ndarray,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> np.ndarray:
        """The logits (N, C) of x: (N, I), or (N, ...) flattened; uint8 or float.

        Values enter as ``x * scale + shift``; a network trained on pixels in [0, 1] takes raw
        uint8 images with ``scale=1/255``.
        """
        x = self._rows(x, params.dtype)
        logits = np.empty((len(x), self.layer_sizes[-1]), params.dtype)
        layers = self.layers()
        workspace = np.empty(kernels.workspace_size(layers, max(len(x), 1), 0), np.float32)
        kernels.forward(x, params, layers, scale, shift, workspace, logits)
        return logits

    def _rows(self, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """x as a matrix (N, I) that the kernels take."""
        n_inputs = self.layer_sizes[0]
        if x.dtype != np.uint8:
            x = np.asarray(x, dtype)
        if x.ndim < 2 or x[:1].size not in (0, n_inputs):
            raise ValueError(f"x must be (N, {n_inputs}) or flatten to it, got shape {x.shape}")
        return np.ascontiguousarray(x.reshape(len(x), n_inputs))

    def predictor(
        self, kernels: ModuleType, params: np.ndarray, scale: float = 1.0, shift: float = 0.0
    ) -> "Predictor":
        """This network with these parameters, made ready for many predictions.

        Arguments as in :meth:`forward`. It copies ``params``; several threads may share it.
        """
        return Predictor(self, kernels, params, scale, shift)

    def predict_proba(
        self,
        kernels: ModuleType,
        params: np.ndarray,
        x: np.ndarray,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> np.ndarray:
        """The class probabilities (N, C) of x, as in :meth:`forward`."""
        logits = self.forward(kernels, params, x, scale, shift)
        kernels.softmax(logits, logits)
        return logits

    def predict(
        self,
        kernels: ModuleType,
        params: np.ndarray,
        x: np.ndarray,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> np.ndarray:
        """The most probable class ids (N,) of x, as in :meth:`forward`."""
        return self.forward(kernels, params, x, scale, shift).argmax(axis=1)


class Predictor:
    """A network and parameters that stay, for many predictions; see :meth:`Network.predictor`.

    What depends on the parameters alone is done once: a single image takes microseconds where
    :meth:`Network.predict` takes tens of them.
    """

    def __init__(
        self,
        network: Network,
        kernels: ModuleType,
        params: np.ndarray,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> None:
        self._network, self._kernels, self._dtype = network, kernels, params.dtype
        self._classes = network.layer_sizes[-1]
        self._program = kernels.Predictor(params, network.layers(), scale, shift)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The logits (N, C) of x: (N, I), or (N, ...) flattened; uint8 or float."""
        x = self._network._rows(x, self._dtype)
        logits = np.empty((len(x), self._classes), self._dtype)
        self._program(x, logits)
        return logits

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """The class probabilities (N, C) of x, as in :meth:`forward`."""
        logits = self.forward(x)
        self._kernels.softmax(logits, logits)
        return logits

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most probable class ids (N,) of x, as in :meth:`forward`."""
        return self.forward(x).argmax(axis=1)
