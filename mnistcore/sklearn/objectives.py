"""What an estimator minimises, on the kernels of a backend.

An objective holds the samples; parameters, gradients and optimizer state are flat vectors in
the layout of :class:`.Network`. :class:`SoftmaxObjective` is the cross-entropy of two or more
classes, in the compiled programs. :class:`.LayerwiseObjective` is everything else: the same
kernels, called one after another from Python.
"""

import abc
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..kernels.layout import BIAS_OFFSET, METRICS, WEIGHT_OFFSET
from ..kernels.threads import WAKING, limited_threads, team_size
from ..models.network import Network
from .optimizer import Optimizer

EMPTY = np.empty(0, np.float32)
UNLIMITED = 1 << 30


def quiet() -> AbstractContextManager[None]:
    """No warning of what overflows: the loss tells of it."""
    return np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class Samples:
    """Rows of inputs with what they ought to give.

    Attributes
    ----------
    x
        (N, I) C-contiguous, or a CSR matrix or array.
    targets
        (N,) int32 class ids, or (N, O) float64.
    weights
        (N,) float32 or float64, or length 0 for weights of 1.
    """

    x: Any
    targets: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return int(self.x.shape[0])

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
    eps
        Of scikit-learn's ``log_loss``: probabilities are clipped to [eps, 1 - eps] in the loss
        that is told, not in the gradient.
    longest_run
        The most steps that one call of :meth:`train` may be asked for.
    counts_hits
        Whether a row can be right.
    """

    longest_run = UNLIMITED
    counts_hits = True

    def __init__(self, kernels: ModuleType, network: Network, samples: Samples, eps: float) -> None:
        self.network, self.samples, self.eps = network, samples, eps
        self._kernels = kernels
        self._layers = network.layers()
        weights = self._layers[:, WEIGHT_OFFSET], self._layers[:, BIAS_OFFSET]
        self._weights = [slice(first, end) for first, end in zip(*weights, strict=True)]

    def decay(self, params: np.ndarray, factor: float, gradient: np.ndarray) -> None:
        """Add ``factor`` times the weights, biases left out, to their gradient (P,)."""
        for weights in self._weights:
            gradient[weights] += factor * params[weights]

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


class SoftmaxObjective(Objective):
    """Cross-entropy of the softmax, in the programs of the backend.

    With ``pinned``, of two outputs the first stays 0, so that the softmax is the logistic
    function of the second: a network with one output, as scikit-learn has it for two classes.
    """

    def __init__(
        self,
        kernels: ModuleType,
        network: Network,
        samples: Samples,
        eps: float,
        pinned: bool = False,
    ) -> None:
        super().__init__(kernels, network, samples, eps)
        self._pinned = pinned
        self._workspace, self._room_for = EMPTY, (0, 0)
        if pinned:
            self.longest_run = 1

    def train(
        self, order: np.ndarray, rates: np.ndarray, optimizer: Optimizer, params: np.ndarray
    ) -> np.ndarray:
        samples, metrics = self.samples, np.zeros(METRICS)
        optimizer.options["probs_clip"] = self.eps
        workspace = self._room(optimizer.batch_size, len(optimizer.state))
        with self._team(len(order), params), quiet():
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

    @staticmethod
    def _team(rows: int, params: np.ndarray) -> AbstractContextManager[None]:
        """Fewer threads where a call has too little to do for what it costs to wake a team."""
        return limited_threads(team_size(3 * params.size * rows, WAKING))

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
