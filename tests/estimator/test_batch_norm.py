"""The estimators with batch normalisation and label smoothing."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits

from mnistcore.kernels import numpy_kernels
from mnistcore.models.inference import logits_of
from mnistcore.models.network import Network
from mnistcore.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
PIXELS, Y = (X[:605] / 16).astype(np.float32), Y[:605]
X = PIXELS * (PIXELS > 0.9)  # few enough values to be processed as sparse
CLASSIFIER = MLPClassifier((12, 9), max_iter=4, random_state=0, batch_norm=True)
REGRESSOR = MLPRegressor(
    hidden_layer_sizes=(12, 9), max_iter=4, random_state=0, batch_norm=True, learning_rate_init=0.01
)
TASKS = {
    "many classes": (CLASSIFIER, Y),
    "two classes": (CLASSIFIER, Y % 2),
    "several labels": (CLASSIFIER, (Y[:, None] > [2, 5]).astype(int)),
    "a number": (REGRESSOR, Y / 5),
}
SMOOTHED = [(task, 0.2) for task in TASKS if task != "a number"]


def test_it_trains_better(kernels):
    settings = {"backend": kernels.NAME, "batch_size": 55, "max_iter": 8}
    model = clone(CLASSIFIER).set_params(**settings).fit(PIXELS, Y)
    plain = clone(CLASSIFIER).set_params(**settings, batch_norm=False).fit(PIXELS, Y)
    assert model.score(PIXELS, Y) > plain.score(PIXELS, Y) + 0.1
    assert model.loss_ < plain.loss_


@pytest.mark.parametrize(
    ("task", "smoothing"), [*((task, 0.0) for task in TASKS), *SMOOTHED], ids=str
)
def test_backends_and_sparse_inputs_agree(kernels, task, smoothing):
    """Dense classes take the compiled programs, all else the kernels one by one."""
    model, y = TASKS[task]
    if smoothing:
        model = clone(model).set_params(label_smoothing=smoothing, dropout=0.1)
    reference = clone(model).set_params(backend="numpy").fit(X, y)
    for x in (X, csr_matrix(X)):
        other = clone(model).set_params(backend=kernels.NAME).fit(x, y)
        np.testing.assert_allclose(other.loss_curve_, reference.loss_curve_, rtol=1e-5)
        for mine, theirs in zip(other.coefs_, reference.coefs_, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-3)
        np.testing.assert_allclose(other.predict(x[:50]), other.predict(X[:50]), atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_the_weights_are_those_of_a_plain_network(task):
    model, y = TASKS[task]
    seen = []
    model = clone(model).set_params(
        callbacks=lambda model, _: seen.append([w.copy() for w in model.coefs_])
    )
    model.fit(X, y, X_val=X, y_val=y)
    assert model.score(X, y) == pytest.approx(model.validation_scores_[-1], rel=1e-6)
    fitted = model.fitted_network()
    assert fitted.network == Network(fitted.network.layer_sizes)
    outputs = logits_of(numpy_kernels, fitted.network, fitted.params, X)
    np.testing.assert_allclose(outputs, model._logits(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(seen[-1][0], model.coefs_[0])
    assert not np.array_equal(seen[-2][0], model.coefs_[0])


@pytest.mark.parametrize("task", TASKS)
def test_partial_fit_goes_on_where_it_was(task):
    model, y = TASKS[task]
    settings = {"solver": "sgd", "shuffle": False, "learning_rate_init": 0.05}
    whole = clone(model).set_params(**settings).fit(X, y)
    parts, classes = clone(model).set_params(**settings), {}
    if isinstance(model, MLPClassifier):
        classes = {"classes": np.arange(y.shape[1]) if y.ndim > 1 else np.unique(y)}
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X, y, **classes)))
    for mine, other in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert whole.loss_curve_ == parts.loss_curve_


def test_warm_start_goes_on():
    model = clone(CLASSIFIER).set_params(warm_start=True, max_iter=3).fit(X, Y)
    first = list(model.loss_curve_)
    model = pickle.loads(pickle.dumps(model)).fit(X, Y)
    assert model.loss_curve_[:3] == first
    assert model.loss_curve_[3] < first[-1]
    for batch_norm in (False, True):
        model.set_params(batch_norm=batch_norm)
        again = clone(model).set_params(warm_start=False).fit(X, Y)  # has no state of the other
        again.set_params(warm_start=True, batch_norm=not batch_norm)
        with pytest.raises(ValueError, match="batch_norm has changed since the last fit"):
            again.fit(X, Y)
        again.set_params(warm_start=False).fit(X, Y)
    model.coefs_[0][0, 0] += 1
    with pytest.raises(ValueError, match="were set by hand"):
        model.fit(X, Y)
    with pytest.raises(ValueError, match="network has changed"):
        model.set_params(hidden_layer_sizes=(9,)).fit(X, Y)


def test_early_stopping_keeps_the_best_statistics_too():
    model = clone(CLASSIFIER).set_params(
        early_stopping=True, n_iter_no_change=3, tol=0.01, learning_rate_init=0.05, max_iter=50
    )
    model.fit(X[:400], Y[:400], X_val=X[400:], y_val=Y[400:])
    assert model.score(X[400:], Y[400:]) == max(model.validation_scores_)
    assert model.validation_scores_[-1] < max(model.validation_scores_)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_label_smoothing_is_less_sure(solver):
    settings = {"hidden_layer_sizes": 60, "max_iter": 100, "learning_rate_init": 0.01}
    model = clone(CLASSIFIER).set_params(**settings, solver=solver, batch_norm=False)
    sure = model.fit(PIXELS, Y).predict_proba(PIXELS).max(axis=1).mean()
    smooth = clone(model).set_params(label_smoothing=0.3).fit(PIXELS, Y)
    assert 0.6 < smooth.predict_proba(PIXELS).max(axis=1).mean() < 0.75  # its target is 0.73
    assert sure > 0.95
    assert smooth.score(PIXELS, Y) > 0.95


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("task", [task for task, _ in SMOOTHED])
def test_the_loss_of_smoothed_labels_is_that_of_their_targets(task, solver):
    settings = {"batch_norm": False, "alpha": 0.0, "max_iter": 1, "batch_size": 605}
    _, y = TASKS[task]
    model = clone(CLASSIFIER).set_params(**settings, solver=solver, label_smoothing=0.3)
    if solver == "adam":  # its loss is that before the update
        model.set_params(learning_rate_init=1e-9)
    model.fit(X, y, X_val=X, y_val=y)
    probs = model.predict_proba(X)
    if y.ndim == 1:
        truth = np.eye(probs.shape[1])[y]
        targets = 0.7 * truth + 0.3 / probs.shape[1]
    else:
        truth, probs = np.stack([y, 1 - y]), np.stack([probs, 1 - probs])
        targets = 0.7 * truth + 0.15
    loss, plain = (-(t * np.log(probs)).sum() / len(X) for t in (targets, truth))
    assert model.loss_ == pytest.approx(loss, rel=1e-5)
    # That of validation is the usual one.
    assert model.validation_loss_curve_[-1] == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("model", "settings", "y", "message"),
    [
        (CLASSIFIER, {"solver": "lbfgs"}, Y, "batch_norm needs solver='sgd' or 'adam'"),
        (REGRESSOR, {"solver": "lbfgs"}, Y, "batch_norm needs solver='sgd' or 'adam'"),
        (CLASSIFIER, {"batch_norm": 0.5}, Y, "'batch_norm' parameter"),
        (CLASSIFIER, {"label_smoothing": 1.0}, Y, "'label_smoothing' parameter"),
    ],
)
def test_what_does_not_go_together_is_told(model, settings, y, message):
    with pytest.raises(ValueError, match=message):
        clone(model).set_params(**settings).fit(X, y)


def test_without_a_hidden_layer_nothing_is_normalised():
    model = clone(CLASSIFIER).set_params(hidden_layer_sizes=())
    plain = clone(model).set_params(batch_norm=False).fit(X, Y)
    np.testing.assert_array_equal(model.fit(X, Y).coefs_[0], plain.coefs_[0])
