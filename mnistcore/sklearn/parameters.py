"""The parameters of both the classifier and the regressor, and their ranges."""

import warnings
from dataclasses import KW_ONLY, dataclass, fields
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


@dataclass(eq=False, repr=False)
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

    _: KW_ONLY
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: Any = "auto"
    learning_rate: Any = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: Any = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    dropout: Any = 0.0
    batch_norm: bool = False
    backend: str = "auto"
    n_threads: int | None = None
    callbacks: Any = None
    progress_bar: bool = False

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
        defaults = {field.name: field.default for field in fields(self)}
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
