"""Warnings of a fit: scikit-learn's words, its occasions, its module; and the user's line."""

import inspect
import re
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.optimize import OptimizeResult
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mnistcore.sklearn import MLPClassifier, MLPRegressor
from mnistcore.sklearn.notices import warn_of_lbfgs

X, Y = load_iris(return_X_y=True)
OCCASIONS = {
    "max_iter": ({"max_iter": 2}, Y),
    "iterations of lbfgs": ({"solver": "lbfgs", "max_iter": 3}, Y),
    "evaluations of lbfgs": ({"solver": "lbfgs", "max_fun": 3}, Y),
    "lbfgs converges": ({"solver": "lbfgs", "max_iter": 1000, "alpha": 1.0}, Y),
    "batch size": ({"max_iter": 2, "batch_size": 1000}, Y),
    "column": ({"max_iter": 2}, Y[:, None]),
    "no improvement": ({"tol": 10.0, "n_iter_no_change": 2}, Y),
    "no improvement in the last epoch": ({"tol": 10.0, "n_iter_no_change": 2, "max_iter": 4}, Y),
    "no improvement after the last": ({"tol": 10.0, "n_iter_no_change": 2, "max_iter": 3}, Y),
    "early stopping in the last epoch": (
        {"early_stopping": True, "tol": 1.0, "n_iter_no_change": 2, "max_iter": 4},
        Y,
    ),
    "early stopping after the last": (
        {"early_stopping": True, "tol": 1.0, "n_iter_no_change": 2, "max_iter": 3},
        Y,
    ),
    "rate too small": (
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1},
        Y,
    ),
}
CLASSES = [(MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)]


def _warned(model, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    return caught


@pytest.mark.parametrize("classes", CLASSES, ids=["classifier", "regressor"])
@pytest.mark.parametrize(("settings", "y"), OCCASIONS.values(), ids=OCCASIONS.keys())
def test_the_same_warnings_as_scikit_learns_on_the_same_occasions(classes, settings, y):
    ours, theirs = (_warned(cls(random_state=0, **settings), y) for cls in classes)
    assert [w.category for w in ours] == [w.category for w in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert _known(str(mine.message)) == _known(str(other.message))


def _known(message):
    """What a filter by the message goes by: its beginning, its numbers left out."""
    return re.sub(r"\d+", "N", " ".join(message.split()))[:60]


@pytest.mark.parametrize(
    "wanted",
    [
        {"module": "sklearn"},
        {"module": "sklearn.neural_network"},
        {"module": r"sklearn\.neural_network\._multilayer_perceptron$"},
        {"module": "sklearn", "category": UserWarning},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["max_iter", "iterations of lbfgs", "batch size", "column"])
@pytest.mark.parametrize("cls", [*CLASSES[0], MLPRegressor])
def test_filters_for_scikit_learns_module_hold(cls, name, wanted):
    settings, y = OCCASIONS[name]
    assert _warned(cls(**settings), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", **wanted)
        cls(**settings).fit(X, y)
        if name == "max_iter":
            cls(batch_size=1000).partial_fit(
                X, y, **({} if cls is MLPRegressor else {"classes": Y})
            )


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("within", [lambda model: model, make_pipeline], ids=["alone", "pipeline"])
def test_the_line_is_that_of_the_users_call(solver, within):
    model = within(MLPClassifier(solver=solver, max_iter=2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = inspect.currentframe().f_lineno + 1
        model.fit(X, Y)
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, line)]


def test_advice_on_lbfgs_is_what_would_help():
    for nit, nfev, wanted, unwanted in (
        (20, 30, "max_iter=20", "max_fun"),
        (7, 50, "max_fun=50", "max_iter"),
        (7, 30, "\nScale the data", "Increase"),
    ):
        result = OptimizeResult(status=2, nit=nit, nfev=nfev, message="ABNORMAL: ")
        with pytest.warns(ConvergenceWarning, match="ABNORMAL") as caught:
            warn_of_lbfgs(result, n_iter=7, max_iter=20, max_fun=50)
        assert wanted in str(caught[0].message)
        assert unwanted not in str(caught[0].message)


def test_a_user_who_stops_training_is_not_told_that_it_has_not_converged():
    for solver in ("adam", "lbfgs"):
        model = MLPClassifier(solver=solver, max_iter=3)
        model.set_params(callbacks=lambda model, epoch: epoch.epoch == 3)
        assert not _warned(make_pipeline(StandardScaler(), model), Y)


def test_training_that_diverges_names_the_cause():
    model = MLPClassifier(solver="sgd", learning_rate_init=1e6, early_stopping=True, max_iter=50)
    (warning,) = _warned(model, Y)
    assert issubclass(warning.category, ConvergenceWarning)
    assert "no longer finite" in str(warning.message)
    assert np.isfinite(model.coefs_[0]).all()
