"""Sparse X: the same results as dense X, and no array of its dense size."""

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("sklearn")

import scipy.sparse as sp
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor

from mnistcore.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, FEATURES = 120, 90


def _values(density=0.05, dtype=np.float64):
    """Whole numbers, so that every type holds them; with rows and columns of zeros."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 9, (N, FEATURES)) * (rng.random((N, FEATURES)) < density)
    x[::7] = 0
    x[:, ::5] = 0
    return x.astype(dtype)


X = _values()
Y = (X.sum(axis=1) // 4).astype(int) % 4
TASKS = {
    "many classes": (MLPClassifier, TheirClassifier, Y),
    "two classes": (MLPClassifier, TheirClassifier, Y % 2),
    "several labels": (MLPClassifier, TheirClassifier, (Y[:, None] > [0, 2]).astype(int)),
    "one number": (MLPRegressor, TheirRegressor, Y / 1.0),
    "two numbers": (MLPRegressor, TheirRegressor, np.stack([Y, X[:, 1]], axis=1)),
}
SETTINGS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.2},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "two hidden layers": {"hidden_layer_sizes": (7, 5), "activation": "tanh"},
    "identity": {"activation": "identity", "alpha": 1.0},
}


def _with_duplicates(x):
    half = sp.csr_array(x / 2)
    twice = np.repeat(half.data, 2), np.repeat(half.indices, 2), 2 * half.indptr
    return sp.csr_array(twice, shape=x.shape)


def _unsorted(x):
    x = sp.csr_array(x)
    for first, stop in zip(x.indptr, x.indptr[1:], strict=False):
        x.indices[first:stop] = x.indices[first:stop][::-1].copy()
        x.data[first:stop] = x.data[first:stop][::-1].copy()
    x.has_sorted_indices = False
    return x


def _with_explicit_zeros(x):
    x = sp.coo_array(x)
    rows, columns = np.concatenate([x.row, [0, 3, 3]]), np.concatenate([x.col, [0, 5, 10]])
    return sp.csr_array((np.concatenate([x.data, [0, 0, 0]]), (rows, columns)), shape=x.shape)


def _with_long_indices(x):
    x = sp.csr_array(x)
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    return x


FORMS = {
    **{name: getattr(sp, name) for name in ("csr_array", "csr_matrix", "csc_array", "coo_array")},
    **{name: getattr(sp, name) for name in ("bsr_array", "lil_matrix", "dok_array")},
    "duplicates": _with_duplicates,
    "unsorted": _unsorted,
    "explicit zeros": _with_explicit_zeros,
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("weighted", [False, True])
def test_training_is_that_of_dense_inputs_and_of_scikit_learn(task, settings, weighted):
    own, their, y = TASKS[task]
    weights = np.random.default_rng(1).uniform(0.1, 2, N) if weighted else None
    settings = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0} | settings
    x = sp.csr_array(X)
    ours, dense = (own(**settings).fit(x, y, sample_weight=weights) for x in (x, X))
    theirs = their(**settings).fit(x, y, sample_weight=weights)
    assert ours.n_iter_ == dense.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.loss_curve_, dense.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-3)
    np.testing.assert_allclose(ours.coefs_[0], dense.coefs_[0], atol=1e-3)
    assert ours.coefs_[0].dtype == np.float32
    if settings.get("early_stopping"):
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, atol=0.05)
    np.testing.assert_allclose(ours.predict(x), ours.predict(X), rtol=1e-4, atol=1e-5)
    if hasattr(ours, "predict_proba"):
        np.testing.assert_allclose(ours.predict_proba(x), ours.predict_proba(X), atol=1e-5)
    assert ours.score(x, y) == pytest.approx(ours.score(X, y), rel=1e-4)


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_every_form_gives_the_same(make, solver):
    x = make(X)
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0, "solver": solver}
    model, expected = (MLPClassifier(**settings).fit(form, Y) for form in (x, sp.csr_array(X)))
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(x), expected.predict_proba(X), atol=1e-5)


def test_long_indices_give_the_same_where_scikit_learn_takes_them():
    model = MLPClassifier((6,), max_iter=3, random_state=0).fit(sp.csr_array(X), Y)
    long = _with_long_indices(X)
    again = MLPClassifier((6,), max_iter=3, random_state=0).fit(long, Y)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    np.testing.assert_array_equal(model.predict(long), model.predict(sp.csr_array(X)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("density", [0.05, 0.6])
def test_every_type_gives_the_same_at_any_density(dtype, density):
    dense = _values(density)
    x = sp.csr_array(dense.astype(dtype))
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    model, expected = (MLPClassifier(**settings).fit(form, Y) for form in (x, dense))
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(x), expected.predict_proba(dense), atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_partial_fit_goes_on_where_it_was(task):
    own, _, y = TASKS[task]
    settings = {"hidden_layer_sizes": (6,), "shuffle": False, "random_state": 0}
    whole = own(max_iter=3, **settings).fit(sp.csr_array(X), y)
    parts, more = own(**settings), {"classes": np.unique(y)} if own is MLPClassifier else {}
    for _ in range(3):
        parts.partial_fit(sp.csr_array(X), y, **more)
    np.testing.assert_array_equal(whole.coefs_[0], parts.coefs_[0])
    parts.partial_fit(X, y)  # dense ones too


def test_an_own_validation_set_may_be_sparse_or_dense():
    curves = []
    for x_val in (sp.csr_array(X), X):
        model = MLPClassifier((6,), max_iter=4, random_state=0)
        model.fit(sp.csr_array(X), Y, X_val=x_val, y_val=Y)
        curves.append((model.validation_loss_curve_, model.validation_scores_))
    np.testing.assert_allclose(*curves, rtol=1e-4)


def test_dropout_and_backends(kernels):
    name = kernels.NAME
    settings = {"hidden_layer_sizes": (9,), "max_iter": 4, "random_state": 0, "dropout": 0.3}
    sparse = MLPClassifier(backend=name, **settings).fit(sp.csr_array(X), Y)
    dense = MLPClassifier(backend=name, **settings).fit(X, Y)
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-4)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_nothing_has_the_size_of_dense_inputs(solver):
    rng = np.random.default_rng(0)
    places = rng.integers(0, 2000, 20_000), rng.integers(0, 20_000, 20_000)
    x = sp.coo_array((rng.random(20_000), places), shape=(2000, 20_000)).tocsr()
    y = np.arange(2000) % 3
    settings = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0, "solver": solver}
    MLPClassifier(**settings).fit(x[:9], y[:9])  # what is loaded once is no matter
    tracemalloc.start()
    try:
        model = MLPClassifier(early_stopping=True, **settings).fit(x, y)
        fitted = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        model.predict(x[:1])
        predicted = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    dense = 4 * x.shape[0] * x.shape[1]  # 160 MB, as float32
    assert fitted < dense / 5
    assert predicted < model.coefs_[0].nbytes / 2
