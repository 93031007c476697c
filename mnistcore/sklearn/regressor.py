"""``MLPRegressor``: squared error or Poisson deviance, one output or many."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from .estimator import BaseMLP, flat_column, float_type
from .links import EXP, IDENTITY, Link
from .objectives import Samples
from .parameters import is_stochastic


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron that predicts numbers, on the kernels of this package.

    scikit-learn's ``MLPRegressor`` in names, meaning and defaults, with a few more parameters.

    Parameters
    ----------
    loss
        "squared_error" (half of it; what is told is its mean over the outputs) or "poisson" (half
        the deviance of counts, the output exponentiated).
    hidden_layer_sizes
        The widths of the hidden layers, one number or several; none at all is a linear model.
    activation
        Of the hidden layers: "relu", "tanh", "logistic" or "identity".
    solver
        "adam", "sgd" or "lbfgs": SciPy's, on all samples at once, in float64 on NumPy's products
        whatever the backend.
    alpha
        Strength of the L2 penalty ``alpha / 2 * ||w||^2``, over the number (or the summed weights)
        of the samples of a batch; biases are left out.
    batch_size
        Samples in a mini-batch; "auto" is the smaller of 200 and all.
    learning_rate
        "constant"; for "sgd" also "invscaling" (``learning_rate_init / t**power_t``, t the samples
        seen) and "adaptive" (divided by 5 where training would stop). For "sgd" and "adam":
        "step", "cosine", "one-cycle" (:mod:`mnistcore.schedules`) or a function from the progress
        of the ``max_iter`` epochs, an array of values in [0, 1], to factors of
        ``learning_rate_init``; the end of such a schedule is no failure to converge.
    learning_rate_init
        The learning rate, the largest of a schedule.
    power_t
        The exponent of "invscaling".
    max_iter
        The most epochs (iterations of "lbfgs").
    shuffle
        Whether each epoch takes the samples in an order of its own.
    random_state
        Seed or RandomState of the initial weights, the validation split, the order and dropout.
    tol
        An epoch that improves the loss (with early stopping, the validation score) by less than
        this is none; for "lbfgs", the largest component of a gradient that counts as zero.
    verbose
        Whether to print a line for each epoch.
    warm_start
        Whether ``fit`` goes on from the weights that it finds.
    momentum, nesterovs_momentum
        Of "sgd".
    early_stopping
        Whether to stop, and keep the best weights, by the score on a validation set: that given to
        ``fit``, or ``validation_fraction`` of the samples. Not for "lbfgs".
    validation_fraction
        The share of the samples that early stopping sets aside.
    beta_1, beta_2, epsilon
        Of "adam".
    n_iter_no_change
        Training stops after more than so many epochs without an improvement.
    max_fun
        The most evaluations of "lbfgs".
    dropout
        The rate after each hidden layer: a number, or one for each.
    backend
        "cython", "numba", "numpy", or "auto", the first of these that is there.
    n_threads
        The most threads to compute on; None for the share of the process: all its cores, or what
        ``OMP_NUM_THREADS`` says, which joblib sets in its workers.
    callbacks
        A function or several, called with the estimator and an :class:`Epoch` after each epoch;
        training stops where one returns True.
    progress_bar
        Whether to show a progress bar.

    Attributes
    ----------
    coefs_, intercepts_
        The weights (fan_in, fan_out) and biases (fan_out,) of each layer, float32.
    loss_, best_loss_
        The last loss and the lowest, penalty included; the lowest is None with early stopping.
    loss_curve_
        The training loss of each epoch.
    train_scores_
        Empty: no number is right or wrong.
    validation_scores_, validation_loss_curve_, best_validation_score_
        R^2 and loss on the validation set after each epoch, and the best score;
        None without one.
    n_iter_, t_
        The epochs of the last fit, the samples seen.
    n_layers_, n_outputs_, out_activation_
        Of the network, input and output layers counted.
    n_features_in_, feature_names_in_
        Of X; names where X has them.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        backend: str = "auto",
        n_threads: int | None = None,
        callbacks: Any = None,
        progress_bar: bool = False,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.backend = backend
        self.n_threads = n_threads
        self.callbacks = callbacks
        self.progress_bar = progress_bar

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> "MLPRegressor":
        """Train the network.

        Parameters
        ----------
        X
            {array-like, sparse matrix} (n_samples, n_features). uint8 is taken as it is; all else
            becomes float32, but for "lbfgs". A sparse matrix stays sparse, unless more than one
            in six of its values are there.
        y
            (n_samples,) or (n_samples, n_outputs) numbers, at least 0 for ``loss="poisson"``.
        sample_weight
            (n_samples,), by which each sample counts in the loss; None for 1.
        X_val, y_val
            A validation set: ``validation_scores_`` and ``validation_loss_curve_`` follow it, and
            early stopping goes by it in place of a part of X.
        """
        self._fit(X, y, sample_weight, X_val=X_val, y_val=y_val)
        return self

    @available_if(is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """One epoch over the given samples; arguments as in :meth:`fit`."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers (n_samples,) or (n_samples, n_outputs) of X."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        values: np.ndarray = self._link.mean(self._logits(X)).astype(float_type(X), copy=False)
        return values.ravel() if values.shape[1] == 1 else values

    # ---- what the common part asks for ------------------------------------------------------

    def _validate_input(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            reset=reset,
        )
        y = flat_column(y)
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError("loss='poisson' needs y >= 0, got negative values")
        targets = np.ascontiguousarray(y.reshape(len(y), -1), np.float64)
        return X, y, targets

    def _validate_validation(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        X, _, targets = self._validate_input(X, y, incremental=False, reset=False)
        if targets.shape[1] != self.n_outputs_:
            raise ValueError(f"y_val has {targets.shape[1]} outputs, y has {self.n_outputs_}")
        return X, targets

    def _count_outputs(self, targets: np.ndarray) -> tuple[int, str]:
        return targets.shape[1], "exp" if self.loss == "poisson" else "identity"

    @property
    def _link(self) -> Link:
        return EXP if self.loss == "poisson" else IDENTITY

    def _score_means(self, means: np.ndarray, samples: Samples) -> float:
        weights = samples.weights if samples.weights.size else None
        return float(r2_score(samples.targets, means, sample_weight=weights))
