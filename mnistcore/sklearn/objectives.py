"""Objectives that an estimator minimises, on the kernels of a backend.

An objective holds the samples. Parameters, gradients and optimizer state are flat vectors in
the layout of :class:`.Network`. :class:`SoftmaxObjective` is the cross-entropy of two or more
classes, in the compiled programs. :class:`.LayerwiseObjective` covers all other losses by calling
the same kernels one at a time from Python.
"""

import abc
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..kernels.layout import BIAS_OFFSET, METRICS, WEIGHT_OFFSET
from ..kernels.threads import WAKING, limited_threads, team_size
from ..models.network import Network
from ..training.augmentation import Augmenter, check_images, make_augmentation
from .optimizer import Optimizer
from .weights import Weights

EMPTY = np.empty(0, np.float32)
UNLIMITED = 1 << 30


def quiet() -> AbstractContextManager[None]:
    """Silence overflow warnings; overflow shows up in the loss."""
    return np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class Samples:
    """Inputs with their targets and weights.

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
        """Return a copy of the given rows."""
        weights = self.weights[rows] if self.weights.size else self.weights
        return Samples(self.x[rows], self.targets[rows], weights)


class Objective(abc.ABC):
    """The weighted mean loss of a network on samples, without the penalty.

    Attributes
    ----------
    network, samples
        The network and the samples.
    eps
        Probabilities are clipped to [eps, 1 - eps] in the reported loss, as in scikit-learn's
        ``log_loss``, but not in the gradient, nor with label smoothing.
    longest_run
        The maximum number of steps in one call of :meth:`train`.
    counts_hits
        Whether the metrics include correct predictions.
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
        """Add ``factor`` times the weights, without biases, to the gradient (P,)."""
        for weights in self._weights:
            gradient[weights] += factor * params[weights]

    def squared_norm(self, params: np.ndarray) -> float:
        """Return the sum of squares of all weights, without biases."""
        parts = (params[weights] for weights in self._weights)
        # Not np.dot: BLAS threads would compete with the team for the cores.
        return float(sum(np.einsum("i,i->", part, part) for part in parts))

    @abc.abstractmethod
    def train(
        self, order: np.ndarray, rates: np.ndarray, optimizer: Optimizer, weights: Weights
    ) -> np.ndarray:
        """Update ``weights`` in place, one step per mini-batch of ``order``.

        ``rates`` holds the learning rate of each step; batch size and weight decay are in the
        optimizer's options. Training stops before the update of a non-finite loss.

        Returns
        -------
        metrics
            (3,) float64 sums as in ``train_steps``; NaN if a loss was not finite.
        """


class SoftmaxObjective(Objective):
    """Softmax cross-entropy, in the programs of the backend.

    With ``pinned``, the first of two outputs is kept at 0, so that the softmax is the logistic
    function of the second. This equals scikit-learn's network with one output for two classes.
    ``smoothing`` is the share of each target that is spread evenly over all classes, and
    ``strengths`` are those with which the samples, which are images, are deformed in training.
    """

    def __init__(
        self,
        kernels: ModuleType,
        network: Network,
        samples: Samples,
        eps: float,
        pinned: bool = False,
        smoothing: float = 0.0,
        strengths: np.ndarray | None = None,
    ) -> None:
        super().__init__(kernels, network, samples, eps)
        self._augment, self._scale = None, 1.0
        if strengths is not None:
            pixels, self._scale = _pixels(samples.x)
            self._augment = Augmenter(kernels, pixels, lambda _: strengths)
        self._pinned, self._smoothing = pinned, smoothing
        self._workspace, self._room_for = EMPTY, (0, 0)
        if pinned:
            self.longest_run = 1

    def train(
        self, order: np.ndarray, rates: np.ndarray, optimizer: Optimizer, weights: Weights
    ) -> np.ndarray:
        samples, params, metrics = self.samples, weights.params, np.zeros(METRICS)
        optimizer.options["label_smoothing"] = self._smoothing
        optimizer.options["probs_clip"] = 0.0 if self._smoothing else self.eps
        optimizer.options["scale"] = self._scale
        x = self._augment(optimizer.options, order) if self._augment else samples.x
        workspace = self._room(optimizer.batch_size, len(optimizer.state))
        with self._team(len(order), params), quiet():
            done = self._kernels.train_steps(
                x, samples.targets, samples.weights, order, rates, self._layers,
                optimizer.options, optimizer.step, params, optimizer.state, weights.buffers,
                workspace, metrics,
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
        """Limit the threads of calls that are too short to be worth waking a team."""
        return limited_threads(team_size(3 * params.size * rows, WAKING))

    def _pin(self, flat: np.ndarray) -> None:
        """Zero the first output's part of the last layer in parameters or optimizer state (P,)."""
        weights, bias = self._layers[-1, WEIGHT_OFFSET], self._layers[-1, BIAS_OFFSET]
        flat[weights:bias:2] = 0.0
        flat[bias] = 0.0

    def _room(self, batch_size: int, slots: int) -> np.ndarray:
        if (batch_size, slots) != self._room_for:
            needed = self._kernels.workspace_size(self._layers, batch_size, slots)
            self._workspace, self._room_for = np.empty(needed, np.float32), (batch_size, slots)
        return self._workspace


def strengths_of(augment: Any) -> np.ndarray | None:
    """Return the options of deformed images, for a value of ``augment``; None if it is off."""
    if isinstance(augment, dict):
        return make_augmentation(**augment)
    return make_augmentation() if augment else None


def _pixels(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return images (N, side * side) as uint8, and what a pixel of 1 was in x.

    Raises ValueError if they are not square, or their pixels are neither uint8 nor in [0, 1].
    """
    scale, side = 1.0, math.isqrt(x.shape[1])
    if x.dtype != np.uint8:
        if not 0 <= x.min() <= x.max() <= 1:
            raise ValueError(
                "augment deforms 8-bit pixels: X must be uint8, or floats in [0, 1],"
                f" got {x.min()} to {x.max()}"
            )
        x, scale = np.rint(x * 255).astype(np.uint8), 1 / 255
    check_images(x.reshape(-1, side, side) if side * side == x.shape[1] else x)
    return x, scale
