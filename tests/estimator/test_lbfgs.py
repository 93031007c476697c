"""L-BFGS is scikit-learn's: in float64, whatever the type of X and the backend."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import csr_array
from sklearn.datasets import load_digits, load_linnerud
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor

from mnistcore.kernels.threads import get_num_threads
from mnistcore.sklearn import MLPClassifier, MLPRegressor, layerwise

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
X, Y = X[:300] / 16, Y[:300]
LABELS = (Y[:, None] > [2, 5]).astype(int)


@pytest.mark.parametrize("seed", range(12))
def test_poisson_regression_finds_the_generalised_linear_model(seed):
    rng = np.random.default_rng(seed)  # the problem of a test of scikit-learn's own
    x = np.linspace(0, 1, 100)
    y = rng.poisson(np.exp(x + 1))
    x = x[:, None]
    model = MLPRegressor("poisson", (1,), "identity", alpha=0, solver="lbfgs", tol=1e-7)
    model.set_params(random_state=np.random.RandomState(seed + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.fit(x, y)
    expected = PoissonRegressor(alpha=0, tol=1e-7).fit(x, y).predict(x)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("classes", "y"),
    [
        ((MLPClassifier, TheirClassifier), Y),
        ((MLPClassifier, TheirClassifier), Y % 2),
        ((MLPClassifier, TheirClassifier), LABELS),
        ((MLPRegressor, TheirRegressor), Y / 1.0),
        ((MLPRegressor, TheirRegressor), np.stack([Y, X.sum(axis=1)], axis=1)),
    ],
    ids=["many", "two", "labels", "number", "numbers"],
)
def test_the_iterations_are_scikit_learns(classes, y, weighted, scale):
    weights = np.random.default_rng(0).uniform(0, 3, len(X)) if weighted else None
    settings = {"solver": "lbfgs", "activation": "tanh", "hidden_layer_sizes": (9, 5)}
    settings |= {"max_iter": 12 if scale <= 1 else 4, "random_state": 2, "alpha": 0.01}
    ours, theirs = (cls(**settings).fit(X * scale, y, sample_weight=weights) for cls in classes)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-4, atol=1e-5)


def test_raw_measurements_are_fitted_as_well_as_by_scikit_learn():
    x, y = load_linnerud(return_X_y=True)
    losses = {MLPRegressor: [], TheirRegressor: []}
    for seed in range(12):  # many optima: what one seed comes to hangs on the last digit
        for cls, found in losses.items():
            model = cls(solver="lbfgs", max_iter=300, random_state=seed).fit(x, y)
            found.append(model.loss_)
            assert model.loss_ == pytest.approx(
                np.square(model.predict(x) - y).mean() / 2, rel=1e-3
            )
    assert np.median(losses[MLPRegressor]) < 1.2 * np.median(losses[TheirRegressor])


def test_every_backend_comes_to_the_same_bits(kernels):
    name = kernels.NAME
    settings = {"solver": "lbfgs", "max_iter": 30, "random_state": 0}
    reference = MLPClassifier((8,), backend="numpy", **settings).fit(X, Y)
    model = MLPClassifier((8,), backend=name, **settings).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], reference.coefs_[0])


@pytest.mark.parametrize("form", [np.asarray, csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_samples_may_be_taken_in_parts(form, weighted, monkeypatch):
    x = form(np.where(np.random.default_rng(0).random(X.shape) < 0.15, X, 0))
    weights = np.random.default_rng(1).uniform(0, 3, len(Y)) if weighted else None
    settings = {"hidden_layer_sizes": (6, 4), "solver": "lbfgs", "max_iter": 9, "random_state": 0}
    whole = MLPClassifier(**settings).fit(x, Y, sample_weight=weights)
    monkeypatch.setattr(layerwise, "PART", 70)
    monkeypatch.setattr(layerwise, "PART_VALUES", 1)
    parts = MLPClassifier(**settings).fit(x, Y, sample_weight=weights)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(parts.coefs_[0], whole.coefs_[0], rtol=1e-4, atol=1e-6)


def test_it_keeps_to_its_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    seen = []

    def look(model, epoch):
        pools = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
        seen.append([get_num_threads(), *(pool["num_threads"] for pool in pools)])

    with threadpoolctl.threadpool_limits(2, "blas"):
        MLPClassifier(solver="lbfgs", max_iter=2, n_threads=1, callbacks=look).fit(X, Y)
    assert all(set(threads) == {1} for threads in seen)
    assert len(seen) == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_any_type_of_x_is_computed_in_float64(dtype):
    x = (X * 16).astype(dtype)
    settings = {"solver": "lbfgs", "max_iter": 20, "random_state": 0, "hidden_layer_sizes": (8,)}
    settings["activation"] = "logistic"  # no loss at the bound, which hangs on the type
    model, expected = MLPClassifier(**settings).fit(x, Y), MLPClassifier(**settings).fit(X * 16, Y)
    np.testing.assert_array_equal(model.coefs_[0], expected.coefs_[0])
    assert model.coefs_[0].dtype == np.float32


def test_the_curve_follows_the_iterations_down():
    seen = []
    model = MLPClassifier((8,), solver="lbfgs", max_iter=40, random_state=0)
    model.set_params(callbacks=lambda model, epoch: seen.append(model.score(X, Y)))
    model.fit(X, Y)
    assert len(model.loss_curve_) == model.n_iter_ == len(seen)
    assert (np.diff(model.loss_curve_) < 0).all()
    assert model.loss_ == model.loss_curve_[-1]
    assert seen[-1] == model.score(X, Y)
