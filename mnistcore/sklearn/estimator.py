"""Base class of the classifier and the regressor: initialisation, solvers and stopping."""

import abc
import itertools
import math
import operator
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ..kernels.backends import get_backend
from ..kernels.blas import limited
from ..kernels.layout import OPTIONS_DTYPE
from ..models.fitted import FittedNetwork
from ..models.inference import NOT_FINITE as OUTPUTS_NOT_FINITE
from ..models.inference import logits_of
from ..models.network import Network
from ..system.interrupt import DeferredInterrupt
from ..training.schedules import SCHEDULES
from .curves import NOT_FINITE, LearningCurves
from .inputs import as_engine_input, float_type
from .layerwise import LayerwiseObjective, sparse_logits
from .links import SOFTMAX
from .notices import warn, warn_of_lbfgs
from .objectives import EMPTY, Objective, Samples, SoftmaxObjective, strengths_of
from .optimizer import Optimizer, make_optimizer
from .parameters import OWN_SCHEDULES
from .progress import progress_bar
from .threads import computing_on
from .training import EpochSums, minimise, train_epoch
from .weights import Weights

SMALLEST_RATE = 1e-6  # at which "adaptive" stops


class BaseMLP(LearningCurves):
    """Base class of the estimators; not to be used on its own."""

    n_outputs_: int
    _their_type: type = np.float64  # the dtype that scikit-learn's parameters would have
    augment: Any = False  # parameters of the classifier
    label_smoothing: float = 0.0

    # ---- hooks of the estimators ------------------------------------------------------------

    @abc.abstractmethod
    def _validate_input(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the checked X, the checked y, and the targets for the objective."""

    @abc.abstractmethod
    def _validate_validation(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Return the checked X and the targets of the user's validation set."""

    @abc.abstractmethod
    def _count_outputs(self, targets: np.ndarray) -> tuple[int, str]:
        """Return ``n_outputs_`` and ``out_activation_``."""

    @property
    def _n_logits(self) -> int:
        """The number of outputs of the network, including a pinned one."""
        return self.n_outputs_

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Return the labels by which to stratify the validation split, or None."""
        return None

    def _class_weights(self, y: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        """Return the class weight of each sample, or None."""
        return None

    # ---- fit --------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        incremental: bool = False,
        X_val: Any = None,
        y_val: Any = None,
    ) -> "BaseMLP":
        with self._unchanged_if_refused():
            self._check_settings(incremental)
            sizes = self._hidden_sizes()
            first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
            X, y, targets = self._validate_input(X, y, incremental, reset=first_pass)
            sample_weight = self._weigh(sample_weight, X, self._class_weights(y, targets))
            samples = Samples(as_engine_input(X, self._precision), targets, sample_weight)
            n_outputs, activation = self._count_outputs(targets)
            if not first_pass and n_outputs != self.n_outputs_:
                raise ValueError(
                    f"y has {n_outputs} outputs, that of the last fit had {self.n_outputs_}; use"
                    " warm_start=False and fit"
                )
            self.n_outputs_, self.out_activation_ = n_outputs, activation
            self._random_state = check_random_state(self.random_state)
            network = self._make_network((samples.x.shape[1], *sizes, self._n_logits))
            if first_pass:
                self._initialize(network)
                self._their_type = float_type(X)
            # The eps of the dtype in which scikit-learn would compute probabilities.
            self._eps = float(np.finfo(np.result_type(self._their_type, float_type(X))).eps)
            weights = self._starting_weights(network, first_pass)
            self._unfolded = weights if self.batch_norm else None
            own_validation = self._own_validation(X_val, y_val)
            with computing_on(self.n_threads, self.backend):
                if self.solver == "lbfgs":
                    self._fit_lbfgs(samples, own_validation, weights)
                else:
                    self._fit_stochastic(samples, own_validation, weights, incremental)
            if not all(np.isfinite(w).all() for w in (*self.coefs_, *self.intercepts_)):
                raise ValueError(NOT_FINITE)
        return self

    @property
    def _precision(self) -> type:
        """The dtype in which the solver computes."""
        return np.float64 if self.solver == "lbfgs" else np.float32

    def _layerwise(self, network: Network, samples: Samples) -> LayerwiseObjective:
        kernels = get_backend("numpy" if self.solver == "lbfgs" else self.backend)
        pinned = self._n_logits > self.n_outputs_
        smoothing = float(self.label_smoothing)
        return LayerwiseObjective(
            kernels, network, samples, self._link, self._eps, pinned, smoothing, self._precision
        )

    def _objective(self, network: Network, samples: Samples) -> Objective:
        """Return the objective of the stochastic solvers."""
        strengths = strengths_of(self.augment)
        if self._link is not SOFTMAX or issparse(samples.x):
            if strengths is not None:
                raise ValueError("augment is for a dense X, and for one label per sample")
            return self._layerwise(network, samples)
        pinned = self._n_logits > self.n_outputs_
        kernels, smoothing = get_backend(self.backend), float(self.label_smoothing)
        return SoftmaxObjective(kernels, network, samples, self._eps, pinned, smoothing, strengths)

    def _check_settings(self, incremental: bool) -> None:
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.solver == "lbfgs" and np.any(self.dropout):
            raise ValueError(
                "dropout needs solver='sgd' or 'adam': lbfgs minimises one fixed function"
            )
        deforms = strengths_of(self.augment) is not None
        for name, is_on in ("augment", deforms), ("batch_norm", self.batch_norm):
            if self.solver == "lbfgs" and is_on:
                raise ValueError(f"{name} needs solver='sgd' or 'adam'")
        for callback in self._callbacks():
            if not callable(callback):
                raise ValueError(f"callbacks must be functions, got {callback!r}")

    def _hidden_sizes(self) -> tuple[int, ...]:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        try:
            return tuple(operator.index(size) for size in sizes)
        except TypeError:
            raise ValueError(f"hidden_layer_sizes must be whole numbers, got {sizes}.") from None

    def _weigh(self, sample_weight: Any, X: Any, by_class: np.ndarray | None) -> np.ndarray:
        """Return the weights (N,) of the samples, or EMPTY if all are 1."""
        if sample_weight is None and by_class is None:
            return EMPTY
        weights = _check_sample_weight(sample_weight, X)
        if by_class is not None:
            weights = weights * by_class
        if not weights.min() >= 0:  # nor if it is NaN
            raise ValueError("the weights of samples and classes must be at least 0")
        limits = np.finfo(self._precision)
        largest = np.abs(weights).max()
        if largest and not limits.tiny <= largest <= limits.max:
            raise ValueError(
                f"the largest sample weight is {largest:.2g}, outside the range of"
                f" {np.dtype(self._precision)}; divide the weights by their mean"
            )
        return np.ascontiguousarray(weights, self._precision)

    def _make_network(self, layer_sizes: tuple[int, ...]) -> Network:
        dropout = self.dropout
        if isinstance(dropout, Iterable):
            dropout = tuple(float(rate) for rate in dropout)
        return Network(layer_sizes, self.activation, dropout, self.batch_norm)

    def _initialize(self, network: Network) -> None:
        """Draw new weights and biases as scikit-learn does, and reset the history.

        Glorot and Bengio 2010, equation 16; a third of the variance for the logistic function.
        """
        self._forget()
        self.n_layers_ = len(network.layer_sizes)
        self.coefs_, self.intercepts_ = [], []
        widths = [*network.layer_sizes[:-1], self.n_outputs_]
        for fan_in, fan_out in itertools.pairwise(widths):
            bound = math.sqrt((2.0 if self.activation == "logistic" else 6.0) / (fan_in + fan_out))
            weights = self._random_state.uniform(-bound, bound, (fan_in, fan_out))
            self.coefs_.append(weights)
            self.intercepts_.append(self._random_state.uniform(-bound, bound, fan_out))

    def _shown(self, network: Network, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return weights and biases per layer as views of ``flat``, without a pinned output."""
        pairs = network.views(flat)
        weights, bias = pairs[-1]
        pinned = len(bias) - self.n_outputs_
        pairs[-1] = weights[:, pinned:], bias[pinned:]
        return pairs

    def _pack(self, network: Network, dtype: type = np.float32) -> np.ndarray:
        """Copy ``coefs_`` and ``intercepts_`` into one vector (P,)."""
        params: np.ndarray = np.zeros(network.n_params, dtype)
        pairs = self._shown(network, params)
        wanted = [weights.shape for weights, _ in pairs]
        given = [np.shape(weights) for weights in self.coefs_]
        if wanted != given:
            raise ValueError(
                f"the network has changed since the last fit: its weights are {wanted}, those"
                f" of coefs_ {given}; use warm_start=False and fit"
            )
        for layer, (weights, bias) in enumerate(pairs):
            weights[...] = self.coefs_[layer]
            bias[...] = self.intercepts_[layer]
        return params

    def _unpack(self, weights: Weights) -> None:
        """Set ``coefs_`` and ``intercepts_``: views of the parameters, or folded from them."""
        pairs = self._shown(*weights.plain())
        self.coefs_ = [coefs for coefs, _ in pairs]
        self.intercepts_ = [bias for _, bias in pairs]

    def _starting_weights(self, network: Network, first_pass: bool) -> Weights:
        """Return what training starts from: the weights of the last fit, or those just drawn.

        Batch normalisation goes on from the weights that were folded into ``coefs_``.
        """
        params = self._pack(network.plain, self._precision)
        last: Weights | None = None if first_pass else getattr(self, "_unfolded", None)
        if not first_pass and network.batch_norm != (last is not None):
            raise ValueError(
                "batch_norm has changed since the last fit; use warm_start=False and fit"
            )
        if last is None:
            return Weights.of_plain(network, params)
        if not np.array_equal(params, last.plain()[1], equal_nan=True):
            raise ValueError(
                "coefs_ or intercepts_ were set by hand: with batch_norm, training cannot go on"
                " from them; use warm_start=False and fit"
            )
        return Weights(network, last.params.copy(), last.buffers.copy())

    def _own_validation(self, X_val: Any, y_val: Any) -> Samples | None:
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val belong together: give both or neither")
        X_val, targets = self._validate_validation(X_val, y_val)
        return Samples(as_engine_input(X_val), targets, EMPTY)

    # ---- solvers ----------------------------------------------------------------------------

    def _fit_stochastic(
        self,
        samples: Samples,
        validation: Samples | None,
        weights: Weights,
        incremental: bool,
    ) -> None:
        order = np.arange(len(samples))
        if self._stops_by_score and validation is None:
            order, validation = self._split(samples)
        optimizer = self._optimizer_for(weights.params, incremental)
        optimizer.options["batch_size"] = self._batch_size_for(len(order))
        objective = self._objective(weights.network, samples)
        self._unpack(weights)
        self._begin(validation)
        epochs = 1 if incremental else self.max_iter
        interrupt = DeferredInterrupt()

        def train() -> None:
            with progress_bar(self.progress_bar, epochs) as show:
                for _ in range(epochs):
                    if self.shuffle:
                        self._random_state.shuffle(order)
                    rates = self._rates(optimizer, -(-len(order) // optimizer.batch_size))
                    optimizer.options["epoch"] = len(self.loss_curve_) + 1
                    # A single batch needs no order; sorting makes its sums independent of it.
                    rows = order if len(rates) > 1 else np.sort(order)
                    sums = train_epoch(
                        objective, weights, optimizer, self.alpha, rows, rates, interrupt.check
                    )
                    self.t_ += len(order)
                    if self.batch_norm:
                        self._unpack(weights)
                    stop = self._end_epoch(weights, sums, validation, rates[-1], show)
                    if self._should_stop(optimizer) or stop:
                        break
                    if not incremental and self.n_iter_ == self.max_iter:
                        self._warn_of_max_iter()

        try:
            interrupt.during(train)
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
        self._end(weights)
        self._unpack(weights)

    def _split(self, samples: Samples) -> tuple[np.ndarray, Samples]:
        """Return the rows to train on, and the remaining samples as a validation set."""
        rows, held_out = train_test_split(
            np.arange(len(samples)),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(samples.targets),
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of"
                " your dataset."
            )
        return rows, samples.take(held_out)

    def _optimizer_for(self, params: np.ndarray, incremental: bool) -> Optimizer:
        """Return the optimizer of the last ``partial_fit``, or a new one."""
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = make_optimizer(
                self.solver,
                params,
                self.learning_rate_init,
                self.momentum,
                self.nesterovs_momentum,
                self.beta_1,
                self.beta_2,
                self.epsilon,
            )
            if np.any(self.dropout) or strengths_of(self.augment) is not None:
                self._optimizer.options["seed"] = self._random_state.randint(2**31 - 1)
        if self._optimizer.options.dtype != OPTIONS_DTYPE:
            raise ValueError(
                "this estimator comes from another version of mnistcore, whose training"
                " partial_fit cannot continue: call fit"
            )
        self._optimizer.own_arrays()
        return self._optimizer

    def _batch_size_for(self, n_samples: int) -> int:
        if self.batch_size == "auto":
            return min(200, n_samples)
        if self.batch_size > n_samples:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
            )
        return int(min(self.batch_size, n_samples))

    def _rates(self, optimizer: Optimizer, steps: int) -> np.ndarray:
        """Return the learning rate of each step of the next epoch."""
        schedule = self.learning_rate
        if not callable(schedule):
            if schedule in OWN_SCHEDULES:
                return np.full(steps, float(optimizer.learning_rate))
            schedule = SCHEDULES[schedule]
        progress = (optimizer.step + np.arange(steps)) / (steps * self.max_iter)
        factors = np.asarray(schedule(np.minimum(progress, 1.0)), np.float64)
        return self.learning_rate_init * np.broadcast_to(factors, steps)

    def _should_stop(self, optimizer: Optimizer) -> bool:
        """Return whether to stop after this epoch; may change the learning rate."""
        if not math.isfinite(self.loss_):
            return True
        sgd = self.solver == "sgd"
        if sgd and self.learning_rate == "invscaling":
            optimizer.change_rate(self.learning_rate_init / (self.t_ + 1) ** self.power_t)
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if self.early_stopping else "Training loss"
        reason = (
            f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change}"
            " consecutive epochs."
        )
        if not sgd or self.learning_rate != "adaptive":
            self._say(f"{reason} Stopping.")
            return True
        if optimizer.learning_rate <= SMALLEST_RATE:
            self._say(f"{reason} Learning rate too small. Stopping.")
            return True
        optimizer.change_rate(optimizer.learning_rate / 5.0)
        self._say(f"{reason} Setting learning rate to {optimizer.learning_rate:f}")
        self._no_improvement_count = 0
        return False

    def _warn_of_max_iter(self) -> None:
        if self.learning_rate not in OWN_SCHEDULES:
            return  # a schedule is meant to run for max_iter epochs
        warn(
            f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the"
            " optimization hasn't converged yet.",
            ConvergenceWarning,
        )

    def _fit_lbfgs(self, samples: Samples, validation: Samples | None, start: Weights) -> None:
        weights = Weights(start.network, start.params.astype(np.float32), start.buffers)
        self._unpack(weights)
        self._begin(validation)
        stopped = False

        def on_iteration(loss: float) -> bool:
            nonlocal stopped
            sums = EpochSums(loss, None)
            stopped = self._end_epoch(weights, sums, validation, None, show)
            return stopped

        threads = limited("numpy", self.n_threads) if self.n_threads else nullcontext()
        with threads, progress_bar(self.progress_bar, self.max_iter) as show:
            result = minimise(
                self._layerwise(start.network, samples),
                start.params,
                weights.params,
                self.alpha,
                self.max_iter,
                self.max_fun,
                self.tol,
                on_iteration,
            )
        self.n_iter_ = min(result.nit, self.max_iter)
        self.loss_ = float(result.fun)
        if not math.isfinite(self.loss_):
            raise ValueError(NOT_FINITE)
        if result.status != 0 and not stopped:
            warn_of_lbfgs(result, self.n_iter_, self.max_iter, self.max_fun)

    # ---- use --------------------------------------------------------------------------------

    def _logits(self, X: Any) -> np.ndarray:
        """Return the logits (N, O) float64 of a validated X, which are finite."""
        x = as_engine_input(X)
        with computing_on(self.n_threads, self.backend):
            if issparse(x):
                logits = self._sparse_logits(x)
            else:
                logits = logits_of(get_backend(self.backend), *self._packed(), x)
        if not np.isfinite(logits).all():
            raise ValueError(f"{OUTPUTS_NOT_FINITE}, or X is far larger than what it was fitted to")
        return logits.astype(np.float64)

    def _packed(self) -> tuple[Network, np.ndarray]:
        """Return the network, with a pinned output if there is one, and its parameters (P,)."""
        hidden = (len(bias) for bias in self.intercepts_[:-1])
        network = Network((len(self.coefs_[0]), *hidden, self._n_logits), self.activation)
        return network, self._pack(network)

    def fitted_network(self) -> FittedNetwork:
        """Return the network for :func:`mnistcore.export.run`, which calls this.

        A binary classifier gives two logits, the first of them 0, whose softmax is its logistic
        function.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted. A subclass of ValueError.
        ValueError
            If a classifier was fitted to a single class.
        """
        check_is_fitted(self)
        classes = np.asarray(getattr(self, "classes_", ()))
        return FittedNetwork(*self._packed(), self._link.name, classes)

    def _sparse_logits(self, x: Any) -> np.ndarray:
        pairs = [
            (np.asarray(weights, np.float32), np.asarray(bias, np.float32))
            for weights, bias in zip(self.coefs_, self.intercepts_, strict=True)
        ]
        logits = sparse_logits(get_backend(self.backend), self.activation, pairs, x)
        if logits.shape[1] < self._n_logits:  # the pinned output is always 0
            logits = np.hstack([np.zeros_like(logits), logits])
        return logits

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
