"""The history of a fit: its curves, the best so far, the callbacks."""

import abc
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from ..kernels.backends import get_backend
from ..models.inference import logits_of
from ..models.network import Network
from .layerwise import sparse_logits
from .links import Link
from .notices import warn
from .objectives import Samples
from .parameters import Parameters
from .training import EpochSums

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and"
    " need to be preprocessed."
)


class Epoch(NamedTuple):
    """What a callback is told after an epoch (an iteration of "lbfgs").

    Attributes
    ----------
    epoch
        Counted from 1 in this call of ``fit``.
    loss
        Mean training loss, the penalty included, each batch before its update.
    train_score
        The share of right answers in training, dropout included; None without one.
    validation_loss, validation_score
        On the validation set, without the penalty; None without one.
    learning_rate
        Of the last step; None for "lbfgs".
    seconds
        Since training began.
    """

    epoch: int
    loss: float
    train_score: float | None
    validation_loss: float | None
    validation_score: float | None
    learning_rate: float | None
    seconds: float


class LearningCurves(Parameters, abc.ABC):
    """An estimator's account of its training, epoch by epoch."""

    validation_scores_: Any
    validation_loss_curve_: Any
    best_validation_score_: Any
    best_loss_: Any
    _best_params: Any
    _eps: float  # of the loss: probabilities are clipped to [eps, 1 - eps]

    @property
    @abc.abstractmethod
    def _link(self) -> Link:
        """How the logits of the network are read."""

    @abc.abstractmethod
    def _score_means(self, means: np.ndarray, samples: Samples) -> float:
        """The score that early stopping goes by, from the means (N, O) of the link."""

    def _forget(self) -> None:
        """Begin without a history."""
        self.n_iter_ = self.t_ = 0
        self.loss_curve_: list[float] = []
        self.train_scores_: list[float] = []
        self.validation_scores_ = self.validation_loss_curve_ = None
        self.best_loss_ = None if self._stops_by_score else np.inf
        self.best_validation_score_ = self._best_params = None
        self._no_improvement_count = 0

    def _begin(self, validation: Samples | None) -> None:
        """A warm start and ``partial_fit`` go on with the history that they find."""
        self.n_iter_ = 0
        self._began = time.perf_counter()
        if not hasattr(self, "train_scores_"):  # the weights were set by hand
            self.train_scores_ = []
        if self._stops_by_score:
            self.best_loss_ = None
        elif self.best_loss_ is None:
            self.best_loss_ = np.inf
        if validation is not None and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
            self.best_validation_score_ = -np.inf

    def _end_epoch(
        self,
        network: Network,
        params: np.ndarray,
        sums: EpochSums,
        validation: Samples | None,
        learning_rate: float | None,
        show: Callable[[int, str], None],
    ) -> bool:
        """Take an epoch into the history; whether a callback wants to stop."""
        self.n_iter_ += 1
        self.loss_ = sums.loss
        self.loss_curve_.append(sums.loss)
        self._say(f"Iteration {self.n_iter_}, loss = {sums.loss:.8f}")
        if sums.score is not None:
            self.train_scores_.append(sums.score)
        loss = score = None
        if validation is not None:
            loss, score = math.nan, math.nan
            if math.isfinite(sums.loss):
                loss, score = self._validate(network, params, validation)
            self.validation_loss_curve_.append(loss)
            self.validation_scores_.append(score)
            self._say(f"Validation score: {score:f}")
        self._count_improvements(params, score)
        figures = f"loss {sums.loss:.4f}" + ("" if score is None else f"  validation {score:.4f}")
        show(self.n_iter_, figures)
        rate = None if learning_rate is None else float(learning_rate)
        seconds = time.perf_counter() - self._began
        record = Epoch(self.n_iter_, sums.loss, sums.score, loss, score, rate, seconds)
        answers = [callback(self, record) for callback in self._callbacks()]
        return any(answers)

    def _callbacks(self) -> Iterable[Callable[["LearningCurves", Epoch], bool | None]]:
        if self.callbacks is None:
            return ()
        return (self.callbacks,) if callable(self.callbacks) else tuple(self.callbacks)

    @property
    def _stops_by_score(self) -> bool:
        """Whether training goes by the validation score rather than by the training loss."""
        return self.early_stopping and self.solver != "lbfgs"

    def _count_improvements(self, params: np.ndarray, score: float | None) -> None:
        """Whether the epoch was better than the best so far by ``tol``; keep it if it is."""
        if score is None or not self._stops_by_score:
            improved = self.loss_ <= self.best_loss_ - self.tol
            self.best_loss_ = min(self.best_loss_, self.loss_)
        else:
            improved = score >= self.best_validation_score_ + self.tol
        self._no_improvement_count = 0 if improved else self._no_improvement_count + 1
        if score is not None and score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best_params = params.copy() if self._stops_by_score else None

    def _validate(
        self, network: Network, params: np.ndarray, samples: Samples
    ) -> tuple[float, float]:
        """Mean loss and score; NaN where the outputs are not finite."""
        kernels = get_backend(self.backend)
        if issparse(samples.x):
            logits = sparse_logits(kernels, network.activation, network.views(params), samples.x)
        else:
            logits = logits_of(kernels, network, params, samples.x)
        logits = logits.astype(np.float64)
        if not np.isfinite(logits).all():
            return math.nan, math.nan
        weights = samples.weights if samples.weights.size else None
        means = self._link.mean(logits)
        loss = np.average(self._link.losses(means, samples.targets, self._eps), weights=weights)
        return float(loss), float(self._score_means(means, samples))

    def _end(self, params: np.ndarray) -> None:
        """The best weights, where early stopping has kept some; complain of a divergence."""
        diverged = self.loss_curve_ and not math.isfinite(self.loss_curve_[-1])
        if self._stops_by_score and self._best_params is not None:
            params[:] = self._best_params
            if diverged:
                warn(
                    "The loss is no longer finite: training diverged, and the best weights"
                    " before are kept. Try a lower learning_rate_init.",
                    ConvergenceWarning,
                )
        elif diverged:
            raise ValueError(NOT_FINITE)

    def _say(self, line: str) -> None:
        if self.verbose:
            print(line)
