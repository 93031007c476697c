"""The history of a fit: learning curves, best weights and callbacks."""

import abc
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from ..kernels.backends import get_backend
from ..models.inference import logits_of
from .layerwise import sparse_logits
from .links import Link
from .notices import warn
from .objectives import Samples
from .parameters import Parameters
from .training import EpochSums
from .weights import Weights

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and"
    " need to be preprocessed."
)


class Epoch(NamedTuple):
    """The metrics of an epoch (an iteration of "lbfgs"), as passed to callbacks.

    Attributes
    ----------
    epoch
        The number of the epoch, from 1 in this call of ``fit``.
    loss
        The mean training loss including the penalty, with each batch measured before its update.
    train_score
        The training accuracy, with dropout; None for regression and "lbfgs".
    validation_loss, validation_score
        The loss, without the penalty, and the score on the validation set; None without one.
    learning_rate
        The learning rate of the last step; None for "lbfgs".
    seconds
        The time since training began.
    """

    epoch: int
    loss: float
    train_score: float | None
    validation_loss: float | None
    validation_score: float | None
    learning_rate: float | None
    seconds: float


class LearningCurves(Parameters, abc.ABC):
    """Base class that records the training of an estimator, epoch by epoch."""

    validation_scores_: Any
    validation_loss_curve_: Any
    best_validation_score_: Any
    best_loss_: Any
    _best_weights: Any
    _eps: float  # probabilities are clipped to [eps, 1 - eps] in the loss

    @property
    @abc.abstractmethod
    def _link(self) -> Link:
        """The link function between the logits of the network and its predictions."""

    @abc.abstractmethod
    def _score_means(self, means: np.ndarray, samples: Samples) -> float:
        """Return the score for early stopping, from the means (N, O) of the link."""

    def _forget(self) -> None:
        """Reset the history."""
        self.n_iter_ = self.t_ = 0
        self.loss_curve_: list[float] = []
        self.train_scores_: list[float] = []
        self.validation_scores_ = self.validation_loss_curve_ = None
        self.best_loss_ = None if self._stops_by_score else np.inf
        self.best_validation_score_ = self._best_weights = None
        self._no_improvement_count = 0

    @contextmanager
    def _unchanged_if_refused(self) -> Iterator[None]:
        """Put all attributes back if the block raises before training begins."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            if self.__dict__.get("_began") == before.get("_began"):
                self.__dict__ = before
            raise

    def _begin(self, validation: Samples | None) -> None:
        """Prepare for training; warm start and ``partial_fit`` continue the existing history."""
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
        weights: Weights,
        sums: EpochSums,
        validation: Samples | None,
        learning_rate: float | None,
        show: Callable[[int, str], None],
    ) -> bool:
        """Record an epoch, and return whether a callback asks to stop."""
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
                loss, score = self._validate(weights, validation)
            self.validation_loss_curve_.append(loss)
            self.validation_scores_.append(score)
            self._say(f"Validation score: {score:f}")
        self._count_improvements(weights, score)
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
        """Whether training stops by the validation score rather than by the training loss."""
        return self.early_stopping and self.solver != "lbfgs"

    def _count_improvements(self, weights: Weights, score: float | None) -> None:
        """Count the epochs that did not improve by ``tol``; keep the best score and weights."""
        if score is None or not self._stops_by_score:
            improved = self.loss_ <= self.best_loss_ - self.tol
            self.best_loss_ = min(self.best_loss_, self.loss_)
        else:
            improved = score >= self.best_validation_score_ + self.tol
        self._no_improvement_count = 0 if improved else self._no_improvement_count + 1
        if score is not None and score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best_weights = weights.copy() if self._stops_by_score else None

    def _validate(self, weights: Weights, samples: Samples) -> tuple[float, float]:
        """Return the mean loss and the score; NaN if the outputs are not finite."""
        kernels, (network, params) = get_backend(self.backend), weights.plain()
        if issparse(samples.x):
            logits = sparse_logits(kernels, network.activation, network.views(params), samples.x)
        else:
            logits = logits_of(kernels, network, params, samples.x)
        logits = logits.astype(np.float64)
        if not np.isfinite(logits).all():
            return math.nan, math.nan
        shares = samples.weights if samples.weights.size else None
        means = self._link.mean(logits)
        loss = np.average(self._link.losses(means, samples.targets, self._eps), weights=shares)
        return float(loss), float(self._score_means(means, samples))

    def _end(self, weights: Weights) -> None:
        """Restore the best weights after early stopping; warn or raise if training diverged."""
        diverged = self.loss_curve_ and not math.isfinite(self.loss_curve_[-1])
        if self._stops_by_score and self._best_weights is not None:
            weights.restore(self._best_weights)
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
