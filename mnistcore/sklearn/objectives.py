"""What an estimator minimises, on the kernels of a backend.

An objective holds the samples; parameters, gradients and optimizer state are flat vectors in
the layout of :class:`.Network`. :class:`SoftmaxObjective` is the cross-entropy of two or more
classes, in the compiled programs. :class:`LayerwiseObjective` is every other loss: the same
kernels, called one after another from Python.
"""

import abc
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..kernels._threads import START, limited_threads, team_size
from ..kernels.layout import (
    BIAS_OFFSET,
    DROPOUT,
    HIT_SUM,
    LOSS_SUM,
    METRICS,
    WEIGHT_OFFSET,
    WEIGHT_SUM,
)
from ..network import Network
from ..optimizers import make_options
from .links import Link
from .optimizer import Optimizer

EMPTY = np.empty(0, np.float32)
UNLIMITED = 1 << 30

Pairs = list[tuple[np.ndarray, np.ndarray]]  # per layer, weights and bias or their gradients


def _quiet() -> AbstractContextManager[None]:
    """No warning of what overflows: the loss tells of it."""
    return np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class Samples:
    """Rows of inputs with what they ought to give.

    Attributes
    ----------
    x
        (N, I) uint8 or float32, C-contiguous.
    targets
        (N,) int32 class ids, or (N, O) float32.
    weights
        (N,) float32, or length 0 for weights of 1.
    """

    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> "Samples":
        """A copy of some of the rows."""
        weights = self.weights[rows] if self.weights.size else self.weights
        return Samples(self.x[rows], self.targets[rows], weights)


class Objective(abc.ABC):
    """The weighted mean loss of some samples, without a penalty.

    Attributes
    ----------
    network, samples
        What it is the loss of.
    longest_run
        The most steps that one call of :meth:`train` may be asked for.
    counts_hits
        Whether a row can be right.
    """

    longest_run = UNLIMITED
    counts_hits = True

    def __init__(self, kernels: ModuleType, network: Network, samples: Samples) -> None:
        self.network, self.samples = network, samples
        self._kernels = kernels
        self._layers = network.layers()
        weights = self._layers[:, WEIGHT_OFFSET], self._layers[:, BIAS_OFFSET]
        self._weights = [slice(first, end) for first, end in zip(*weights, strict=True)]

    def decay(self, params: np.ndarray, factor: float, gradient: np.ndarray) -> None:
        """Add ``factor`` times the weights, biases left out, to their gradient (P,)."""
        for weights in self._weights:
            gradient[weights] += np.float32(factor) * params[weights]

    def squared_norm(self, params: np.ndarray) -> float:
        """The sum of the squares of all weights, biases left out."""
        parts = (params[weights] for weights in self._weights)
        # No np.dot: the threads of a BLAS would get in the way of the team.
        return float(sum(np.einsum("i,i->", part, part) for part in parts))

    @abc.abstractmethod
    def train(
        self, order: np.ndarray, rates: np.ndarray, optimizer: Optimizer, params: np.ndarray
    ) -> np.ndarray:
        """Update ``params`` (P,) by each mini-batch of ``order`` at its learning rate.

        The batch size and the weight decay are in the options of the optimizer. Training ends
        before the update of a loss that is not finite.

        Returns
        -------
        metrics
            (3,) float64, as ``train_steps`` sums them; NaN where a loss was not finite.
        """

    @abc.abstractmethod
    def loss_and_gradient(self, params: np.ndarray, gradient: np.ndarray) -> float:
        """The mean loss of all samples, without dropout, and its ``gradient`` (P,).

        They belong together: the loss is summed over the outputs.
        """


class SoftmaxObjective(Objective):
    """Cross-entropy of the softmax, in the programs of the backend.

    With ``pinned``, of two outputs the first stays 0, so that the softmax is the logistic
    function of the second: a network with one output, as scikit-learn has it for two classes.
    """

    def __init__(
        self, kernels: ModuleType, network: Network, samples: Samples, pinned: bool = False
    ) -> None:
        super().__init__(kernels, network, samples)
        self._options = make_options(batch_size=max(len(samples), 1))
        self._pinned = pinned
        self._workspace, self._room_for = EMPTY, (0, 0)
        if pinned:
            self.longest_run = 1

    def train(
        self, order: np.ndarray, rates: np.ndarray, optimizer: Optimizer, params: np.ndarray
    ) -> np.ndarray:
        samples, metrics = self.samples, np.zeros(METRICS)
        workspace = self._room(optimizer.batch_size, len(optimizer.state))
        with self._team(len(order), params), _quiet():
            done = self._kernels.train_steps(
                samples.x, samples.targets, samples.weights, order, rates, self._layers,
                optimizer.options, optimizer.step, params, optimizer.state, EMPTY, workspace,
                metrics,
            )  # fmt: skip
        optimizer.step += done
        if self._pinned:
            for flat in (params, *optimizer.state):
                self._pin(flat)
        if done < len(rates):
            metrics[:] = np.nan
        return metrics

    def loss_and_gradient(self, params: np.ndarray, gradient: np.ndarray) -> float:
        samples = self.samples
        workspace = self._room(len(samples), 0)
        with self._team(len(samples), params), _quiet():
            loss: float = self._kernels.loss_and_gradient(
                samples.x, samples.targets, samples.weights, params, self._layers,
                self._options, workspace, gradient,
            )  # fmt: skip
        if self._pinned:
            self._pin(gradient)
        return loss

    @staticmethod
    def _team(rows: int, params: np.ndarray) -> AbstractContextManager[None]:
        """Fewer threads where a call has too little to do for what it costs to wake a team."""
        return limited_threads(team_size(3 * params.size * rows, START))

    def _pin(self, flat: np.ndarray) -> None:
        """Zero the weights (H, 2) and the bias (2,) of the first output, or what goes by them."""
        weights, bias = self._layers[-1, WEIGHT_OFFSET], self._layers[-1, BIAS_OFFSET]
        flat[weights:bias:2] = 0.0
        flat[bias] = 0.0

    def _room(self, batch_size: int, slots: int) -> np.ndarray:
        if (batch_size, slots) != self._room_for:
            needed = self._kernels.workspace_size(self._layers, batch_size, slots)
            self._workspace, self._room_for = np.empty(needed, np.float32), (batch_size, slots)
        return self._workspace


class LayerwiseObjective(Objective):
    """The loss of a :class:`.Link`, by one kernel after another."""

    def __init__(self, kernels: ModuleType, network: Network, samples: Samples, link: Link) -> None:
        super().__init__(kernels, network, samples)
        self._link = link
        self.counts_hits = link.hits is not None
        self._gradient = np.empty(network.n_params, np.float32)
        self._rates = [int(row[DROPOUT]) / 2**32 for row in self._layers]
        name = network.activation
        self._activate = None if name == "identity" else getattr(kernels, f"{name}_forward")
        self._derive = None if name == "identity" else getattr(kernels, f"{name}_backward")

    def train(
        self, order: np.ndarray, rates: np.ndarray, optimizer: Optimizer, params: np.ndarray
    ) -> np.ndarray:
        record = optimizer.options[0]
        batch_size, decay = optimizer.batch_size, float(record["weight_decay"])
        draw = int(record["seed"]), int(record["epoch"])
        layers, gradients = self.network.views(params), self.network.views(self._gradient)
        metrics = np.zeros(METRICS)
        for step, rate in enumerate(rates):
            rows = order[step * batch_size : (step + 1) * batch_size]
            sums = self._backpropagate(rows, layers, gradients, draw)
            if not math.isfinite(sums[LOSS_SUM]):
                metrics[:] = np.nan
                break
            metrics += sums
            if decay:
                self.decay(params, decay, self._gradient)
            optimizer.update(self._kernels, self._gradient, float(rate), params)
        return metrics

    def loss_and_gradient(self, params: np.ndarray, gradient: np.ndarray) -> float:
        layers, gradients = self.network.views(params), self.network.views(gradient)
        sums = self._backpropagate(np.arange(len(self.samples)), layers, gradients, None)
        if not sums[WEIGHT_SUM]:
            return 0.0
        outputs = self.network.layer_sizes[-1] if self._link.averaged else 1
        return float(sums[LOSS_SUM] / sums[WEIGHT_SUM]) * outputs

    def _backpropagate(
        self, rows: np.ndarray, layers: Pairs, gradients: Pairs, draw: tuple[int, int] | None
    ) -> np.ndarray:
        """Fill in the gradients of one batch's mean loss; its sums as in ``metrics``.

        ``draw`` is the seed and the epoch of dropout, None for none.
        """
        samples = self.samples
        targets = samples.targets[rows]
        weights = samples.weights[rows] if samples.weights.size else np.ones(len(rows), np.float32)
        total = float(weights.sum(dtype=np.float64))
        with _quiet():
            inputs, outputs, z = self._forward(rows, layers, draw)
            losses = self._link.losses(z, targets)
            shares = weights * np.float32(1 / total if total else 0.0)
            dz = (self._link.mean(z) - targets) * shares[:, None]
            self._backward(rows, inputs, outputs, dz, layers, gradients, draw)
        sums = np.zeros(METRICS)
        sums[LOSS_SUM] = np.multiply(losses, weights, dtype=np.float64).sum()
        sums[WEIGHT_SUM] = total
        if self._link.hits:
            sums[HIT_SUM] = np.vdot(self._link.hits(z, targets), weights)
        return sums

    def _forward(
        self, rows: np.ndarray, layers: Pairs, draw: tuple[int, int] | None
    ) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
        """The inputs of each layer, the outputs of the hidden ones before dropout, the logits."""
        a = self.samples.x[rows].astype(np.float32, copy=False)
        inputs, outputs = [a], []
        for index, (weights, bias) in enumerate(layers):
            z = np.empty((len(a), weights.shape[1]), np.float32)
            self._kernels.matmul(a, weights, z)
            self._kernels.add_bias(z, bias, z)
            if index == len(layers) - 1:
                break
            if self._activate:
                self._activate(z, z)
            outputs.append(z)
            a = self._drop(z, rows, index, draw)
            inputs.append(a)
        return inputs, outputs, z

    def _backward(
        self,
        rows: np.ndarray,
        inputs: list[np.ndarray],
        outputs: list[np.ndarray],
        dz: np.ndarray,
        layers: Pairs,
        gradients: Pairs,
        draw: tuple[int, int] | None,
    ) -> None:
        for index in range(len(layers) - 1, -1, -1):
            dweights, dbias = gradients[index]
            self._kernels.matmul_tn(inputs[index], dz, dweights)
            self._kernels.sum_rows(dz, dbias)
            if index:
                da = np.empty_like(inputs[index])
                self._kernels.matmul_nt(dz, layers[index][0], da)
                dz = self._drop(da, rows, index - 1, draw)
                if self._derive:
                    self._derive(dz, outputs[index - 1], dz)

    def _drop(
        self, a: np.ndarray, rows: np.ndarray, index: int, draw: tuple[int, int] | None
    ) -> np.ndarray:
        if draw is None or not self._rates[index]:
            return a
        out = np.empty_like(a)
        self._kernels.dropout(a, rows, self._rates[index], *draw, index, out)
        return out
