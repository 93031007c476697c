"""The parameters of both the classifier and the regressor, and their ranges."""

import inspect
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..kernels.backends import BACKENDS
from ..system.version import VERSION
from ..training.schedules import SCHEDULES

STOCHASTIC_SOLVERS = ("sgd", "adam")
OWN_SCHEDULES = ("constant", "invscaling", "adaptive")  # scikit-learn's
_VERSION = "_mnistcore_version"  # in a pickle


class Parameters(BaseEstimator):
    """Base class with the names, types and ranges of the common parameters."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({*OWN_SCHEDULES, *SCHEDULES}), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "batch_norm": ["boolean"],
        "backend": [StrOptions({"auto", *BACKENDS})],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
        "callbacks": [None, callable, list, tuple],
        "progress_bar": ["boolean"],
    }

    # Set by each estimator's __init__.
    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    batch_size: Any
    learning_rate: Any
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: Any
    batch_norm: bool
    backend: str
    n_threads: int | None
    callbacks: Any
    progress_bar: bool

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), _VERSION: VERSION}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a pickled state; parameters that its version did not have get their defaults.

        Warns as scikit-learn does if it comes from another version.
        """
        state = dict(state)
        version = state.pop(_VERSION, "unknown")
        if version != VERSION:
            name = f"mnistcore.sklearn.{type(self).__name__}"
            warning = InconsistentVersionWarning(
                estimator_name=name,
                current_sklearn_version=VERSION,
                original_sklearn_version=version,
            )
            warnings.warn(warning, stacklevel=2)
        parameters = inspect.signature(type(self)).parameters.values()
        defaults = {each.name: each.default for each in parameters}
        super().__setstate__({**defaults, **state})


def is_stochastic(estimator: Parameters) -> bool:
    """Return True if the solver supports ``partial_fit``.

    Raises
    ------
    AttributeError
        If it does not.
    """
    if estimator.solver not in STOCHASTIC_SOLVERS:
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers."
            f" {estimator.solver} is not stochastic."
        )
    return True
