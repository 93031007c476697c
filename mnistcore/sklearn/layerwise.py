"""The loss of any :class:`.Link`, computed kernel by kernel, for dense or sparse inputs.

A sparse first layer uses SciPy's product, which skips zeros; all else uses the backend's kernels.
"""

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from ..kernels.layout import DROPOUT, HIT_SUM, LOSS_SUM, METRICS, WEIGHT_SUM
from ..models.inference import PART, logits_of
from ..models.network import Network, activate, differentiate
from ..training.optimizers import make_options
from .links import Link, residuals, smoothed_losses
from .normalization import Normalized, backward, normalize, update_statistics
from .objectives import Objective, Samples, quiet
from .optimizer import Optimizer
from .weights import Weights

PART_VALUES = 1 << 20  # dense input values per part

Pairs = list[tuple[np.ndarray, np.ndarray]]  # per layer, weights and bias or their gradients
Rows = np.ndarray | slice


class Layers(NamedTuple):
    """The parameters of all layers, or a gradient: (weights, bias) pairs and gains, as views."""

    pairs: Pairs
    gains: list[np.ndarray]  # of the hidden layers, or empty without batch normalisation


class Pass(NamedTuple):
    """A mini-batch on its way through the network.

    Attributes
    ----------
    inputs, outputs
        The inputs of all layers, and the hidden outputs before dropout.
    normalized
        The normalised values of the hidden layers, or empty without batch normalisation.
    z
        The logits.
    """

    inputs: list[Any]
    outputs: list[np.ndarray]
    normalized: list[Normalized]
    z: np.ndarray


class LayerwiseObjective(Objective):
    """The weighted mean loss of a link, in float32 or, with the NumPy kernels, in float64.

    With ``pinned``, the first output is always 0. ``smoothing`` is the share of each target that
    is spread evenly over all classes. Losses and their derivatives by the logits are computed in
    float64.
    """

    def __init__(
        self,
        kernels: ModuleType,
        network: Network,
        samples: Samples,
        link: Link,
        eps: float,
        pinned: bool = False,
        smoothing: float = 0.0,
        dtype: type = np.float32,
    ) -> None:
        super().__init__(kernels, network, samples, eps)
        self._link, self._pinned, self._dtype = link, pinned, dtype
        self._smoothing = smoothing
        self._norm_eps = float(make_options()["norm_eps"][0])
        self.counts_hits = link.hits is not None
        self._gradient: np.ndarray = np.empty(network.n_params, dtype)
        self._rates = [int(row[DROPOUT]) / 2**32 for row in self._layers]

    def train(
        self, order: np.ndarray, rates: np.ndarray, optimizer: Optimizer, weights: Weights
    ) -> np.ndarray:
        record, params = optimizer.options[0], weights.params
        batch_size, decay = optimizer.batch_size, float(record["weight_decay"])
        draw = int(record["seed"]), int(record["epoch"])
        layers, gradients = self._layers_of(params), self._layers_of(self._gradient)
        metrics = np.zeros(METRICS)
        for step, rate in enumerate(rates):
            rows = order[step * batch_size : (step + 1) * batch_size]
            shares = self._weights_of(rows)
            total = float(shares.sum())
            sums, normalized = self._backpropagate(rows, shares, total, layers, gradients, draw)
            if not math.isfinite(sums[LOSS_SUM]):
                metrics[:] = np.nan
                break
            metrics += sums
            if decay:
                self.decay(params, decay, self._gradient)
            optimizer.update(self._kernels, self._gradient, float(rate), params)
            update_statistics(normalized, record["norm_momentum"], weights.buffers)
        return metrics

    def loss_and_gradient(self, params: np.ndarray, gradient: np.ndarray) -> float:
        """Return the mean loss over all samples, without dropout, and write its gradient (P,)."""
        n, sums = len(self.samples), np.zeros(METRICS)
        weights, layers = self._weights_of(slice(n)), self._layers_of(params)
        total = float(weights.sum())
        # A part needs about as much memory as a wide first layer's weights, or as a cache.
        fan_in = self.network.layer_sizes[0]
        part = max(PART, fan_in if issparse(self.samples.x) else PART_VALUES // fan_in)
        for first in range(0, n, part):
            rows, target = slice(first, first + part), self._gradient if first else gradient
            gradients = self._layers_of(target)
            sums += self._backpropagate(rows, weights[rows], total, layers, gradients, None)[0]
            if first:
                gradient += self._gradient
        return float(sums[LOSS_SUM] / total) if total else 0.0

    def _layers_of(self, flat: np.ndarray) -> Layers:
        return Layers(self.network.views(flat), self.network.gains(flat))

    def _weights_of(self, rows: Rows) -> np.ndarray:
        weights = self.samples.weights
        if weights.size:
            return weights[rows].astype(np.float64, copy=False)
        return np.ones(len(self.samples.targets[rows]))

    def _backpropagate(
        self,
        rows: Rows,
        weights: np.ndarray,
        total: float,
        layers: Layers,
        gradients: Layers,
        draw: tuple[int, int] | None,
    ) -> tuple[np.ndarray, list[Normalized]]:
        """Write the gradients of some rows' share of a mean loss.

        Returns its metrics (3,) and the normalised layers. ``total`` is the sum of all weights in
        that mean. ``draw`` is the seed and the epoch of dropout, or None without dropout.
        """
        targets = self.samples.targets[rows]
        with quiet():
            passed = self._forward(rows, layers, draw)
            z = passed.z.astype(np.float64)
            means = self._link.mean(z)
            if self._smoothing:
                losses = smoothed_losses(z, targets, self._smoothing)
            else:
                losses = self._link.losses(means, targets, self.eps)
            shares = weights * (1.0 / total if total else 0.0)
            dz = residuals(means, targets, self._smoothing) * shares[:, None]
            if self._pinned:
                dz[:, 0] = 0.0
            dz = dz.astype(self._dtype)
            self._backward(rows, passed, dz, layers, gradients, draw)
        sums = np.zeros(METRICS)
        sums[LOSS_SUM] = np.dot(losses, weights)
        sums[WEIGHT_SUM] = weights.sum()
        if self._link.hits:
            sums[HIT_SUM] = np.dot(self._link.hits(means, targets), weights)
        return sums, passed.normalized

    def _forward(self, rows: Rows, layers: Layers, draw: tuple[int, int] | None) -> Pass:
        a = self.samples.x[rows].astype(self._dtype, copy=False)
        inputs: list[Any] = [a]
        outputs: list[np.ndarray] = []
        normalized: list[Normalized] = []
        for index, (weights, bias) in enumerate(layers.pairs):
            z = self._product(a, weights)
            if index < len(layers.gains):
                normalized.append(normalize(z, self._norm_eps))
                z = normalized[-1].z * layers.gains[index]
            self._kernels.add_bias(z, bias, z)
            if index == len(layers.pairs) - 1:
                break
            activate(self._kernels, self.network.activation, z)
            outputs.append(z)
            a = self._drop(z, rows, index, draw)
            inputs.append(a)
        return Pass(inputs, outputs, normalized, z)

    def _product(self, a: Any, weights: np.ndarray) -> np.ndarray:
        if issparse(a):
            return a @ weights
        z: np.ndarray = np.empty((len(a), weights.shape[1]), self._dtype)
        self._kernels.matmul(a, weights, z)
        return z

    def _backward(
        self,
        rows: Rows,
        passed: Pass,
        dz: np.ndarray,
        layers: Layers,
        gradients: Layers,
        draw: tuple[int, int] | None,
    ) -> None:
        for index in range(len(layers.pairs) - 1, -1, -1):
            (dweights, dbias), a = gradients.pairs[index], passed.inputs[index]
            self._kernels.sum_rows(dz, dbias)
            if index < len(layers.gains):
                gain, dgain = layers.gains[index], gradients.gains[index]
                dz = backward(dz, passed.normalized[index], gain, dgain)
            if issparse(a):
                dweights[...] = a.T @ dz
            else:
                self._kernels.matmul_tn(a, dz, dweights)
            if index:
                da = np.empty_like(a)
                self._kernels.matmul_nt(dz, layers.pairs[index][0], da)
                dz = self._drop(da, rows, index - 1, draw)
                differentiate(self._kernels, self.network.activation, dz, passed.outputs[index - 1])

    def _drop(
        self, a: np.ndarray, rows: Rows, index: int, draw: tuple[int, int] | None
    ) -> np.ndarray:
        if draw is None or not self._rates[index]:
            return a
        out = np.empty_like(a)
        self._kernels.dropout(a, rows, self._rates[index], *draw, index, out)
        return out


def sparse_logits(kernels: ModuleType, activation: str, layers: Pairs, x: Any) -> np.ndarray:
    """Return the logits (N, O) float32 of a CSR matrix x (N, I) float32.

    ``layers`` holds the weights and bias of each layer. The first layer's weights, which may be
    large, are not copied.
    """
    (weights, bias), *others = layers
    if len(others):
        sizes = (len(bias), *(len(b) for _, b in others))
        rest = Network(sizes, activation)
        params = np.concatenate([part.ravel() for pair in others for part in pair])
    parts = []
    for first in range(0, x.shape[0], PART):
        z = (x[first : first + PART] if x.shape[0] > PART else x) @ weights
        kernels.add_bias(z, bias, z)
        if len(others):
            activate(kernels, activation, z)
            z = logits_of(kernels, rest, params, z)
        parts.append(z)
    return np.concatenate(parts)
