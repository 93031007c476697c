"""The losses that the estimators tell are scikit-learn's, at any scale of X and in both dtypes."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor

from mnistcore.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
X, Y = X[:150] / 16, Y[:150]
CLASSIFIERS, REGRESSORS = (MLPClassifier, TheirClassifier), (MLPRegressor, TheirRegressor)
TASKS = {
    "many classes": (CLASSIFIERS, Y),
    "two classes": (CLASSIFIERS, Y % 2),
    "several labels": (CLASSIFIERS, (Y[:, None] > [2, 5]).astype(int)),
    "one number": (REGRESSORS, Y / 1.0),
    "two numbers": (REGRESSORS, np.stack([Y, X.sum(axis=1)], axis=1)),
    "counts": (REGRESSORS, Y / 1.0),
}


def _some_settings(rng, task, solver):
    """A scale of X and settings under which training does not diverge at it."""
    scale = 10 ** rng.uniform(-3, 0 if task == "counts" else 3)
    settings = {
        "solver": solver,
        "activation": str(rng.choice(["relu", "tanh", "logistic", "identity"])),
        "hidden_layer_sizes": tuple(int(n) for n in rng.integers(1, 20, rng.integers(0, 3))),
        "alpha": 0.0 if rng.random() < 0.2 else float(10 ** rng.uniform(-5, 1)),
        "learning_rate_init": 1e-3 if solver == "adam" else 0.01 / max(1.0, scale) ** 2,
        "random_state": int(rng.integers(1000)),
    }
    if task == "counts":
        settings["loss"] = "poisson"
    return scale, settings


def _curves(classes, x, y, weights, settings):
    return [cls(**settings).fit(x, y, sample_weight=weights).loss_curve_ for cls in classes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("task", TASKS)
def test_curves_are_scikit_learns(task, solver, dtype):
    classes, y = TASKS[task]
    rng = np.random.default_rng(len(task))
    for trial in range(8):
        scale, settings = _some_settings(rng, task, solver)
        x = (X * scale).astype(dtype)
        weights = rng.uniform(0, 2, len(x)) if rng.random() < 0.5 else None
        about = f"trial {trial}: X times {scale}, {settings}, weighted: {weights is not None}"
        # scikit-learn's own log(1 - p) has few digits where p is nearly 1, and Adam enlarges
        # the rounding of gradients that are nearly 0.
        for epochs, batch_size, bound in ((1, len(x), 5e-4), (4, 50, 2e-3)):
            settings |= {"max_iter": epochs, "batch_size": batch_size}
            ours, theirs = _curves(classes, x, y, weights, settings)
            np.testing.assert_allclose(ours, theirs, rtol=bound, err_msg=about)


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 1e-2, 1.0, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_curves_of_gradient_descent_are_scikit_learns_under_any_penalty(alpha, weighted):
    weights = np.random.default_rng(0).uniform(0, 3, len(X)) if weighted else None
    settings = {"solver": "sgd", "learning_rate_init": 0.1, "alpha": alpha, "max_iter": 6}
    settings |= {"batch_size": 16, "random_state": 0}
    ours, theirs = _curves(CLASSIFIERS, X, Y, weights, settings)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5 if alpha < 1 else 1e-4)


@pytest.mark.parametrize("task", ["many classes", "two classes", "several labels"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_of_a_wrong_answer_has_a_bound(task, dtype):
    classes, y = TASKS[task]
    settings = {"max_iter": 1, "random_state": 0, "batch_size": len(X)}
    ours, theirs = _curves(classes, (X * 4080).astype(dtype), y, None, settings)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    outputs = 2 if task == "several labels" else 1
    assert ours[0] < -np.log(np.finfo(dtype).eps) * outputs


@pytest.mark.parametrize("y", [[0, 1, 2], [0, 1, 1], [[1, 0], [0, 1], [1, 1]]], ids=str)
def test_the_loss_of_a_sure_answer_has_a_bound(y):
    x = np.eye(3, dtype=np.float32) * 1000
    settings = {"hidden_layer_sizes": (), "solver": "sgd", "alpha": 0.0, "max_iter": 20}
    settings |= {"learning_rate_init": 1.0, "random_state": 0, "n_iter_no_change": 50}
    ours, theirs = _curves(CLASSIFIERS, x, np.array(y), None, settings)
    assert 0 < theirs[-1] < 3e-7
    np.testing.assert_allclose(ours[-1], theirs[-1], rtol=1e-5)


def test_the_bound_is_that_of_the_widest_dtype_that_was_seen():
    settings = {"random_state": 0, "batch_size": len(X), "learning_rate_init": 1e-9}
    models = [cls(**settings) for cls in CLASSIFIERS]
    for dtype in (np.float64, np.float32):
        for model in models:
            model.partial_fit((X * 4080).astype(dtype), Y, classes=np.unique(Y))
        np.testing.assert_allclose(models[0].loss_, models[1].loss_, rtol=1e-4)


@pytest.mark.parametrize("task", ["many classes", "two classes", "several labels"])
@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
def test_what_hangs_on_the_loss_is_scikit_learns(task, learning_rate):
    (own, their), y = TASKS[task]
    settings = {"solver": "sgd", "learning_rate": learning_rate, "learning_rate_init": 1e-7}
    settings |= {"momentum": 0.0, "tol": 0.3, "n_iter_no_change": 2, "random_state": 1}
    settings |= {"max_iter": 60}
    ours, theirs = own(**settings).fit(X * 4080, y), their(**settings).fit(X * 4080, y)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.best_loss_, theirs.best_loss_, rtol=2e-3)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=2e-3)


def test_the_validation_loss_has_the_bound_of_the_training_loss():
    model = MLPClassifier(max_iter=1, random_state=0)
    model.fit(X, Y, X_val=X * 1e6, y_val=Y)
    assert 20 < model.validation_loss_curve_[0] < -np.log(np.finfo(float).eps)
