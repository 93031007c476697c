"""Multi-layer perceptrons: layer sizes, the layout of the flat parameter vector, inference.

A network holds neither parameters nor a backend: both are arguments of its methods.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..kernels import layout

INITIALIZATIONS = ("auto", "he", "glorot")

_MOST_ROWS = 8192  # that a workspace is for: a block for each of 64 threads


def activate(kernels: ModuleType, activation: str, z: np.ndarray) -> None:
    """Apply an activation to z in place; there is no kernel for the identity."""
    if activation != "identity":
        getattr(kernels, f"{activation}_forward")(z, z)


def differentiate(kernels: ModuleType, activation: str, dz: np.ndarray, a: np.ndarray) -> None:
    """Multiply dz in place by the derivative of an activation where its outputs are a."""
    if activation != "identity":
        getattr(kernels, f"{activation}_backward")(dz, a, dz)


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron: layer sizes, activation and dropout of the hidden layers.

    Parameters
    ----------
    layer_sizes
        Numbers of inputs, hidden units and classes, such as ``(784, 128, 64, 10)``.
    activation
        The activation of the hidden layers: "relu", "tanh", "logistic" or "identity". The
        outputs are logits.
    dropout
        The dropout rate after the hidden layers: one for all, or one per layer, as it is kept.
    batch_norm
        Whether the hidden layers are normalised over the batch before their activation. Such a
        network is trained; for anything else, :meth:`folded` makes an ordinary one of it.

    Raises
    ------
    ValueError
        If a size is not positive, the activation unknown, or a dropout rate out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.models.network import Network
    >>> network = Network((784, 30, 10), "tanh", dropout=0.1)
    >>> params = network.init(np.random.default_rng(0))
    >>> network.n_params, params.dtype
    (23860, dtype('float32'))
    >>> weights, bias = network.views(params)[0]
    >>> weights.shape, bias.shape
    ((784, 30), (30,))
    """

    layer_sizes: tuple[int, ...]
    activation: str = "relu"
    dropout: float | tuple[float, ...] = 0.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        sizes = tuple(int(size) for size in self.layer_sizes)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"layer_sizes must be two or more positive numbers, got {sizes}")
        if self.activation not in layout.ACTIVATIONS:
            known = ", ".join(layout.ACTIVATIONS)
            raise ValueError(f"unknown activation {self.activation!r}; choose from {known}")
        hidden = len(sizes) - 2
        rates = self.dropout if isinstance(self.dropout, Sequence) else (self.dropout,) * hidden
        if len(rates) != hidden:
            raise ValueError(f"dropout needs one rate or {hidden}, one a hidden layer; got {rates}")
        object.__setattr__(self, "layer_sizes", sizes)
        object.__setattr__(self, "dropout", tuple(map(float, rates)))
        self.layers()  # raises if a dropout rate is out of range

    def __str__(self) -> str:
        """Describe the network, such as "784-128-64-10, relu, 109,386 parameters"."""
        sizes = "-".join(map(str, self.layer_sizes))
        activation = self.activation if len(self.layer_sizes) > 2 else "no hidden layer"
        if self.batch_norm and len(self.layer_sizes) > 2:
            activation += ", batch normalisation"
        return f"{sizes}, {activation}, {self.n_params:,} parameters"

    @property
    def rates(self) -> tuple[float, ...]:
        """The dropout rate after each hidden layer."""
        assert isinstance(self.dropout, tuple)
        return self.dropout

    @property
    def n_params(self) -> int:
        """The number of parameters P: weights, biases, and gains of normalised layers."""
        sizes = self.layer_sizes
        gains = sum(sizes[1:-1]) if self.batch_norm else 0
        return sum((i + 1) * o for i, o in itertools.pairwise(sizes)) + gains

    @property
    def flops_per_sample(self) -> int:
        """The operations of the products of a training step: 2 I O for each layer and product.

        A layer has three products: the forward pass, the gradient by the weights and the gradient
        by the inputs. The first layer does not need the last one. Zeros are counted too.
        """
        weights = [fan_in * fan_out for fan_in, fan_out in itertools.pairwise(self.layer_sizes)]
        return 6 * sum(weights) - 2 * weights[0]

    def layers(self) -> np.ndarray:
        """Return the layer table (n_layers, 8) int64 of the kernels; see ``kernels.layout``."""
        hidden = len(self.layer_sizes) - 2
        table = np.zeros((hidden + 1, layout.LAYER_COLUMNS), np.int64)
        offset = 0
        for index, row in enumerate(table):
            fan_in, fan_out = self.layer_sizes[index : index + 2]
            last = index == hidden
            normalized = self.batch_norm and not last
            row[layout.KIND] = layout.NORMALIZED if normalized else layout.DENSE
            row[layout.FAN_IN] = fan_in
            row[layout.FAN_OUT] = fan_out
            row[layout.ACTIVATION] = (
                layout.IDENTITY if last else layout.ACTIVATIONS[self.activation]
            )
            row[layout.WEIGHT_OFFSET] = offset
            row[layout.BIAS_OFFSET] = offset + fan_in * fan_out
            row[layout.DECAY] = 1
            row[layout.DROPOUT] = 0 if last else layout.dropout_threshold(self.rates[index])
            offset += (fan_in + 1 + normalized) * fan_out
        return table

    def views(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return weights (fan_in, fan_out) and bias (fan_out,) per layer, as views of ``flat``.

        ``flat`` (P,) may be parameters, a gradient or a row of the optimizer state.

        Raises
        ------
        ValueError
            If ``flat`` has another shape.
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
        """Return initial parameters (P,): random weights and zero biases.

        The scheme "he" is normal with variance 2 / fan_in (He et al. 2015, section 2.2);
        "glorot" is uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010,
        equation 16); "auto" is He for ReLU and Glorot otherwise.

        Raises
        ------
        ValueError
            If the scheme is unknown.
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
        for gains in self.gains(params):
            gains[...] = 1
        return params

    def gains(self, flat: np.ndarray) -> list[np.ndarray]:
        """Return the gains (fan_out,) of the normalised layers, as views of ``flat``."""
        if not self.batch_norm:
            return []
        table = self.layers()
        rows = table[table[:, layout.KIND] == layout.NORMALIZED]
        ends = rows[:, layout.BIAS_OFFSET] + rows[:, layout.FAN_OUT]
        return [flat[end:][:n] for end, n in zip(ends, rows[:, layout.FAN_OUT], strict=True)]

    def init_buffers(self, dtype: type = np.float32) -> np.ndarray:
        """Return the first running statistics of batch normalisation: means 0, variances 1."""
        buffers: np.ndarray = np.zeros(layout.buffer_size(self.layers()), dtype)
        buffers[len(buffers) // 2 :] = 1
        return buffers

    @property
    def plain(self) -> "Network":
        """The network without batch normalisation, whose parameters :meth:`folded` returns."""
        return dataclasses.replace(self, batch_norm=False) if self.batch_norm else self

    @np.errstate(over="ignore", invalid="ignore")  # of a training that diverges
    def folded(self, params: np.ndarray, buffers: np.ndarray, eps: float = 1e-5) -> np.ndarray:
        """Return the parameters of :attr:`plain` that compute the same without normalising.

        The statistics in ``buffers`` and the gains become factors of the weights and terms of the
        biases. Without normalised layers, ``params`` itself is returned.

        Raises
        ------
        ValueError
            If ``params`` or ``buffers`` has the wrong length.
        """
        if not self.batch_norm:
            return params
        if buffers.shape != (layout.buffer_size(self.layers()),):
            raise ValueError(f"expected running statistics of {self}, got shape {buffers.shape}")
        folded = np.empty(self.plain.n_params, params.dtype)
        targets, gains = self.plain.views(folded), self.gains(params)
        means, variances = np.split(buffers, 2)
        position = 0
        for index, ((weights, bias), (w, b)) in enumerate(
            zip(self.views(params), targets, strict=True)
        ):
            w[...], b[...] = weights, bias
            if index < len(gains):
                units = slice(position, position + len(bias))
                factor = gains[index] / np.sqrt(variances[units] + float(eps))
                w *= factor
                b -= means[units] * factor
                position += len(bias)
        return folded

    @np.errstate(over="ignore", invalid="ignore")
    def statistics(
        self, kernels: ModuleType, params: np.ndarray, x: np.ndarray, eps: float
    ) -> np.ndarray:
        """Return the running statistics, as in :meth:`init_buffers`, of the inputs x (N, I)."""
        means, variances = [], []
        layers = zip(self.gains(params), self.views(params)[:-1], strict=True)
        for gains, (weights, bias) in layers:
            z = np.empty((len(x), len(bias)), params.dtype)
            kernels.matmul(x, weights, z)
            means.append(z.mean(axis=0))
            variances.append(z.var(axis=0))
            x = (z - means[-1]) * (gains / np.sqrt(variances[-1] + params.dtype.type(eps))) + bias
            activate(kernels, self.activation, x)
        return np.concatenate([*means, *variances])

    def forward(
        self,
        kernels: ModuleType,
        params: np.ndarray,
        x: np.ndarray,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> np.ndarray:
        """Return the logits (N, C) of x, (N, I) or (N, ...), uint8 or float; dtype as ``params``.

        Values enter as ``x * scale + shift``: a network trained on pixels in [0, 1] accepts raw
        uint8 images with ``scale=1/255``.

        Raises
        ------
        ValueError
            If the samples do not have I values each.
        """
        x = self._rows(x, params.dtype)
        logits = np.empty((len(x), self.layer_sizes[-1]), params.dtype)
        layers = self.layers()
        rows = min(max(len(x), 1), _MOST_ROWS)
        workspace = np.empty(kernels.workspace_size(layers, rows, 0), np.float32)
        kernels.forward(x, params, layers, scale, shift, workspace, logits)
        return logits

    def _rows(self, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return x as a C-contiguous matrix (N, I), uint8 or of the given dtype."""
        n_inputs = self.layer_sizes[0]
        if x.dtype != np.uint8:
            x = np.asarray(x, dtype)
        if x.ndim < 2 or x[:1].size not in (0, n_inputs):
            raise ValueError(f"x must be (N, {n_inputs}) or flatten to it, got shape {x.shape}")
        return np.ascontiguousarray(x.reshape(len(x), n_inputs))

    def predictor(
        self, kernels: ModuleType, params: np.ndarray, scale: float = 1.0, shift: float = 0.0
    ) -> "Predictor":
        """Return a :class:`Predictor`, which is faster for repeated predictions.

        Arguments as in :meth:`forward`. It copies ``params``, and threads may share it.
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
        """Return the class probabilities (N, C) of x, as in :meth:`forward`."""
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
        """Return the most probable class ids (N,) int64 of x, as in :meth:`forward`."""
        return self.forward(kernels, params, x, scale, shift).argmax(axis=1)


class Predictor:
    """A network with fixed parameters, for repeated predictions; see :meth:`Network.predictor`.

    Work that depends only on the parameters is done once, so a single image takes microseconds
    instead of the tens of microseconds of :meth:`Network.predict`.
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
        """Return the logits (N, C) of x, (N, I) or (N, ...), uint8 or float."""
        x = self._network._rows(x, self._dtype)
        logits = np.empty((len(x), self._classes), self._dtype)
        self._program(x, logits)
        return logits

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Return the class probabilities (N, C) of x, as in :meth:`forward`."""
        logits = self.forward(x)
        self._kernels.softmax(logits, logits)
        return logits

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the most probable class ids (N,) int64 of x, as in :meth:`forward`."""
        return self.forward(x).argmax(axis=1)
