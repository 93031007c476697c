"""``MLPRegressor``: regression with squared error or Poisson deviance, for one or more outputs."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from .estimator import BaseMLP
from .inputs import flat_column, float_type
from .links import EXP, IDENTITY, Link
from .objectives import Samples
from .parameters import is_stochastic


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron regressor, on the kernels of this package.

    Parameters have the names, meanings and defaults of scikit-learn's ``MLPRegressor``; a few are
    new.

    Parameters
    ----------
    loss
        "squared_error" (half the squared error; reported as its mean over the outputs) or
        "poisson" (half the Poisson deviance, with exponentiated outputs).
    hidden_layer_sizes
        The units of each hidden layer, as a number or a sequence; empty for a linear model.
    activation
        Activation of the hidden layers: "relu", "tanh", "logistic" or "identity".
    solver
        "adam", "sgd", or "lbfgs", which is SciPy's and uses all samples at once, in float64 and
        with NumPy's matrix products regardless of the backend.
    alpha
        Strength of the L2 penalty ``alpha / 2 * ||w||^2``, divided by the number of samples in a
        batch (or the sum of their weights). Biases are not penalised.
    batch_size
        Samples in a mini-batch; "auto" is ``min(200, n_samples)``.
    learning_rate
        "constant"; for "sgd" also "invscaling" (``learning_rate_init / t**power_t``, where t counts
        the samples seen) and "adaptive" (divided by 5 whenever training would stop). For "sgd" and
        "adam" also "step", "cosine", "one-cycle" (see :mod:`mnistcore.training.schedules`), or a
        function that maps an array of progress in [0, 1] over ``max_iter`` epochs to factors of
        ``learning_rate_init``. With these, reaching ``max_iter`` gives no ConvergenceWarning.
    learning_rate_init
        The learning rate, or the largest rate of a schedule.
    power_t
        The exponent of "invscaling".
    max_iter
        The maximum number of epochs, or of iterations of "lbfgs".
    shuffle
        Whether to shuffle the samples in each epoch.
    random_state
        Seed or RandomState of the initial weights, the validation split, shuffling and dropout.
    tol
        The least improvement of the loss (with early stopping, of the validation score) that
        counts; for "lbfgs", the largest gradient component at convergence.
    verbose
        Whether to print a line for each epoch.
    warm_start
        Whether ``fit`` continues from the weights of the last fit.
    momentum, nesterovs_momentum
        Momentum of "sgd", and whether it is Nesterov's.
    early_stopping
        Whether to stop when the score on a validation set no longer improves, and keep the best
        weights. The set is that given to ``fit``, or ``validation_fraction`` of the samples.
        Ignored by "lbfgs".
    validation_fraction
        The share of the samples held out for early stopping.
    beta_1, beta_2, epsilon
        Constants of "adam".
    n_iter_no_change
        Training stops after more than this number of epochs without improvement.
    max_fun
        The maximum number of loss evaluations of "lbfgs".
    dropout
        The dropout rate after the hidden layers: one for all, or one per layer.
    batch_norm
        Whether to normalise the hidden units over each mini-batch before their activation, for
        "sgd" and "adam" (Ioffe and Szegedy 2015). Predictions use running statistics, which are
        folded into ``coefs_`` and ``intercepts_`` after each epoch; the penalty is that of the
        weights before.
    backend
        "cython", "numba", "numpy", or "auto", the first of these that is available.
    n_threads
        The maximum number of threads; None uses all cores of the process, or the value of
        ``OMP_NUM_THREADS``, which joblib sets in its workers. With the backend "numpy", None is
        one thread of BLAS, and a limit holds for the whole process while the estimator computes.
    callbacks
        One or more functions, called with the estimator and an :class:`Epoch` after each epoch;
        training stops if one returns True.
    progress_bar
        Whether to show a progress bar.

    Attributes
    ----------
    coefs_, intercepts_
        The weights (fan_in, fan_out) and biases (fan_out,) of each layer, float32.
    loss_, best_loss_
        The last and the lowest loss, including the penalty; ``best_loss_`` is None with early
        stopping.
    loss_curve_
        The training loss of each epoch.
    train_scores_
        Always empty, as accuracy is undefined for regression.
    validation_scores_, validation_loss_curve_, best_validation_score_
        R^2 and loss on the validation set after each epoch, and the best R^2;
        None without a validation set.
    n_iter_, t_
        The number of epochs of the last fit, and of training samples seen.
    n_layers_, n_outputs_, out_activation_
        Number of layers, including input and output; number and activation of the outputs.
    n_features_in_, feature_names_in_
        Number of features of X, and their names if X has any.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore import MLPRegressor
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> y = X[:, 0] ** 2
    >>> regressor = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", random_state=0)
    >>> float(regressor.fit(X, y).score(X, y)) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    loss: str = "squared_error"
    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> "MLPRegressor":
        """Train the network.

        Parameters
        ----------
        X
            {array-like, sparse matrix} (n_samples, n_features). uint8 is used as it is; other
            dtypes are converted to float32 (float64 for "lbfgs"). A sparse matrix is processed as
            sparse unless more than a sixth of its values are stored.
        y
            (n_samples,) or (n_samples, n_outputs) numbers, non-negative for ``loss="poisson"``.
        sample_weight
            (n_samples,) weights of the samples in the loss; None for 1.
        X_val, y_val
            A validation set for ``validation_scores_`` and ``validation_loss_curve_``. Early
            stopping uses it instead of a part of X.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            If an argument is not valid, and then the estimator is what it was before; or training
            diverges.
        """
        self._fit(X, y, sample_weight, X_val=X_val, y_val=y_val)
        return self

    @available_if(is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Train for one epoch on the given samples; arguments and errors as in :meth:`fit`."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the value of each sample of X.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs)
            float32 for float32 X, and float64 otherwise.

        Raises
        ------
        ValueError
            If X is not valid, holds values beyond float32, or gives outputs that are not finite.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        values: np.ndarray = self._link.mean(self._logits(X)).astype(float_type(X), copy=False)
        return values.ravel() if values.shape[1] == 1 else values

    # ---- hooks of BaseMLP -------------------------------------------------------------------

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
