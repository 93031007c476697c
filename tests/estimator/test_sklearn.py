"""The estimators: scikit-learn's checks, its own networks beside them, and what they add."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from mnistcore.kernels.threads import get_num_threads
from mnistcore.training.schedules import SCHEDULES

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mnistcore.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def expected_failures(estimator):
    """Checks that a weight counts like repetitions of its sample, and of rows by themselves."""
    expected = {}
    if estimator.solver != "lbfgs":
        why = "statistics count each row once" if estimator.batch_norm else "float32 is not 1e-7"
        for kind in ("dense", "sparse"):
            expected[f"check_sample_weight_equivalence_on_{kind}_data"] = why
    if estimator.backend == "numpy":
        why = "some BLAS add up a single row in another order"
        expected["check_methods_subset_invariance"] = why
    return expected


X_IRIS, Y_IRIS = load_iris(return_X_y=True)
X_DIGITS, Y_DIGITS = load_digits(return_X_y=True)
X_DIGITS = X_DIGITS[:605] / 16  # batches of 200 and a partial one
Y_DIGITS = Y_DIGITS[:605]
WEIGHTS = np.random.default_rng(0).uniform(0.0, 3.0, len(X_DIGITS))
X_LABELS, Y_LABELS = make_multilabel_classification(n_samples=250, n_features=12, random_state=0)
X_LABELS = X_LABELS / 10
TASKS = {
    "many classes": (X_DIGITS, Y_DIGITS),
    "two classes": (X_DIGITS, Y_DIGITS % 2),
    "several labels": (X_LABELS, Y_LABELS),
}
SETTINGS = [
    {},
    {"solver": "sgd", "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate_init": 0.1, "learning_rate": "invscaling", "power_t": 0.3},
    {
        "solver": "sgd",
        "learning_rate_init": 0.1,
        "learning_rate": "adaptive",
        "tol": 0.05,
        "n_iter_no_change": 1,
    },
    {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0.0},
    {"solver": "sgd", "learning_rate_init": 0.05, "nesterovs_momentum": False},
    {"solver": "sgd", "learning_rate_init": 0.01, "alpha": 1.0},
    {"solver": "lbfgs"},
    {"solver": "lbfgs", "alpha": 1.0},
    {"early_stopping": True, "validation_fraction": 0.2},
    {"shuffle": False, "activation": "tanh"},
    {"activation": "logistic", "hidden_layer_sizes": (9, 7)},
    {"activation": "identity", "hidden_layer_sizes": 5},
    {"hidden_layer_sizes": ()},
]


@parametrize_with_checks(
    [
        MLPClassifier(max_iter=30),
        MLPClassifier(max_iter=60, solver="lbfgs"),
        MLPClassifier(max_iter=30, solver="sgd", learning_rate_init=0.1, backend="numpy"),
        MLPClassifier(max_iter=30, batch_norm=True, label_smoothing=0.05),
        MLPRegressor(max_iter=100),
        MLPRegressor(max_iter=50, batch_norm=True, learning_rate_init=0.01),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "estimator", [MLPClassifier(), MLPClassifier(solver="lbfgs"), MLPRegressor()], ids=str
)
@pytest.mark.parametrize("sparse", [False, True])
def test_weights_count_like_repetitions_to_within_float32(estimator, sparse):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.RandomState(42)  # the data of check_sample_weight_equivalence
    x, y, times = rng.rand(15, 30), rng.randint(0, 3, 15), rng.randint(0, 5, 15)
    wrap = scipy_sparse.csr_array if sparse else np.asarray
    weighted = clone(estimator).set_params(random_state=0).fit(wrap(x), y, sample_weight=times)
    repeated = clone(estimator).set_params(random_state=0)
    repeated.fit(wrap(x.repeat(times, axis=0)), y.repeat(times))
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    difference = np.abs(getattr(weighted, method)(x) - getattr(repeated, method)(x)).max()
    assert difference <= 1e-4


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("y", [Y_DIGITS, Y_DIGITS[:, None] > [2, 5]], ids=["one", "several"])
def test_weights_of_one_are_none(estimator, solver, y):
    model = estimator(solver=solver, max_iter=5, early_stopping=True, random_state=0)
    plain = clone(model).fit(X_DIGITS, y * 1)
    weighted = clone(model).fit(X_DIGITS, y * 1, sample_weight=np.ones(len(y)))
    np.testing.assert_array_equal(plain.coefs_[0], weighted.coefs_[0])
    np.testing.assert_allclose(plain.loss_curve_, weighted.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_the_classifier_trains_as_scikit_learns(task, settings, weighted):
    _assert_same_training(MLPClassifier, TheirClassifier, *TASKS[task], settings, weighted)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_the_regressor_trains_as_scikit_learns(settings, weighted, loss):
    settings = {"loss": loss, **settings}
    y = Y_DIGITS / 5
    _assert_same_training(MLPRegressor, TheirRegressor, X_DIGITS, y, settings, weighted)


def test_the_regressor_with_several_outputs_trains_as_scikit_learns():
    y = np.stack([Y_DIGITS / 5, X_DIGITS.mean(axis=1)], axis=1)
    settings = {"solver": "sgd", "learning_rate_init": 0.05}
    _assert_same_training(MLPRegressor, TheirRegressor, X_DIGITS, y, settings, False)


def _assert_same_training(own, their, x, y, settings, weighted):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 6, "random_state": 3, **settings}
    weight = WEIGHTS[: len(x)] if weighted else None
    ours = own(**settings).fit(x, y, sample_weight=weight)
    theirs = their(**settings).fit(x, y, sample_weight=weight)
    assert ours.n_iter_ == theirs.n_iter_
    # Rounding of float32, which training enlarges from epoch to epoch.
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=2e-3)
    if settings.get("solver") != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=2e-3)
        assert ours.t_ == theirs.t_
    if settings.get("early_stopping"):
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, atol=0.01)
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, atol=0.02)
    assert ours.out_activation_ == theirs.out_activation_
    np.testing.assert_allclose(ours.score(x, y), theirs.score(x, y), atol=0.01)


def test_the_first_steps_are_scikit_learns_to_rounding():
    settings = {"solver": "sgd", "max_iter": 1, "random_state": 0, "alpha": 0.5}
    ours = MLPClassifier(**settings).fit(X_DIGITS, Y_DIGITS)
    theirs = TheirClassifier(**settings).fit(X_DIGITS, Y_DIGITS)
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)


@pytest.mark.parametrize("labels", [["a", "b", "c"], [1.0, 2.0, 7.0], [-3, 0, 10**12]])
def test_labels_of_any_type(labels):
    y = np.array(labels)[Y_IRIS]
    classifier = MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X_IRIS, y)
    assert classifier.classes_.tolist() == sorted(labels)
    assert classifier.predict(X_IRIS).dtype == y.dtype
    assert classifier.score(X_IRIS, y) > 0.9


def test_bytes_are_taken_as_they_are():
    x = (X_DIGITS * 16).astype(np.uint8)
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    of_bytes = MLPClassifier(**settings).fit(x, Y_DIGITS)
    of_floats = MLPClassifier(**settings).fit(x.astype(np.float32), Y_DIGITS)
    np.testing.assert_array_equal(of_bytes.coefs_[0], of_floats.coefs_[0])
    np.testing.assert_array_equal(of_bytes.predict(x), of_floats.predict(x.astype(np.float64)))


@pytest.mark.parametrize("y", [Y_DIGITS, Y_DIGITS % 2], ids=["many", "two"])
def test_partial_fit_goes_on_where_it_was(y):
    settings = {"solver": "sgd", "shuffle": False, "learning_rate_init": 0.1, "random_state": 0}
    whole = MLPClassifier(max_iter=4, **settings).fit(X_DIGITS, y)
    parts = MLPClassifier(**settings)
    for _ in range(4):
        parts.partial_fit(X_DIGITS, y, classes=np.unique(y))
        parts = pickle.loads(pickle.dumps(parts))
    for mine, other in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert whole.loss_curve_ == parts.loss_curve_


def test_partial_fit_may_be_given_some_of_the_classes():
    """Labels mean the same in each call, whichever of them it has."""
    later = Y_IRIS > 0
    model = MLPClassifier(random_state=0, learning_rate_init=0.02)
    model.partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
    for _ in range(60):
        model.partial_fit(X_IRIS[later], Y_IRIS[later])
    assert (model.predict(X_IRIS[later]) == Y_IRIS[later]).mean() > 0.9


def test_the_optimizer_of_another_version_is_told():
    model = MLPClassifier().partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])
    model._optimizer.options = model._optimizer.options[["batch_size", "optimizer"]]
    with pytest.raises(ValueError, match="another version of mnistcore"):
        model.partial_fit(X_IRIS, Y_IRIS)
    model.fit(X_IRIS, Y_IRIS)


def test_weights_set_by_hand_are_used():
    classifier = MLPClassifier((4,), max_iter=2, random_state=0).fit(X_IRIS, Y_IRIS)
    classifier.coefs_ = [np.zeros_like(weights) for weights in classifier.coefs_]
    classifier.intercepts_[-1] = np.array([0.0, 5.0, 0.0])
    assert set(classifier.predict(X_IRIS)) == {1}


@pytest.mark.parametrize("own", [None, np.arange(len(Y_IRIS)) % 3], ids=["none", "own"])
def test_class_weight_counts_as_sample_weight(own):
    """Both are multiplied, if both are given."""
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    weights = {0: 1.0, 1: 4.0, 2: 0.5}
    by_class = MLPClassifier(class_weight=weights, **settings)
    by_class.fit(X_IRIS, Y_IRIS, sample_weight=own)
    each = np.array([weights[label] for label in Y_IRIS]) * (1 if own is None else own)
    by_sample = MLPClassifier(**settings).fit(X_IRIS, Y_IRIS, sample_weight=each)
    np.testing.assert_array_equal(by_class.coefs_[0], by_sample.coefs_[0])


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_weights_that_float32_cannot_hold_are_refused(estimator):
    """All of them would count 0, or be infinite."""
    for scale in (1e-39, 1e39):
        weights = np.full(len(Y_IRIS), scale)
        with pytest.raises(ValueError, match=r"largest sample weight .*divide the weights by thei"):
            estimator(max_iter=2).fit(X_IRIS, Y_IRIS, sample_weight=weights)
    estimator(max_iter=2).fit(X_IRIS, Y_IRIS, sample_weight=np.full(len(Y_IRIS), 1e-37))


def test_balanced_classes_raise_the_recall_of_a_rare_one():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (500, 2)), rng.normal(1.2, 1, (25, 2))])
    y = np.repeat([0, 1], [500, 25])
    settings = {"hidden_layer_sizes": (8,), "solver": "lbfgs", "alpha": 1.0, "random_state": 0}
    plain = MLPClassifier(**settings).fit(x, y)
    balanced = MLPClassifier(class_weight="balanced", **settings).fit(x, y)
    assert (balanced.predict(x[500:]) == 1).mean() > (plain.predict(x[500:]) == 1).mean() + 0.2


# ---------------------------------------------------------------------------------------------
# What scikit-learn's networks do not have
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_own_validation_set(estimator):
    epochs = []
    model = estimator(
        max_iter=8, random_state=0, callbacks=lambda model, epoch: epochs.append(epoch)
    )
    model.fit(X_DIGITS[:400], Y_DIGITS[:400], X_val=X_DIGITS[400:], y_val=Y_DIGITS[400:])
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 8
    expected = model.score(X_DIGITS[400:], Y_DIGITS[400:])
    assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-5)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert [epoch.epoch for epoch in epochs] == list(range(1, 9))
    assert [epoch.loss for epoch in epochs] == model.loss_curve_
    assert [epoch.validation_score for epoch in epochs] == model.validation_scores_
    if estimator is MLPClassifier:
        assert model.train_scores_[-1] > model.train_scores_[0]
        proba = model.predict_proba(X_DIGITS[400:])
        loss = -np.log(proba[np.arange(205), Y_DIGITS[400:]]).mean()
        assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-5)


def test_early_stopping_goes_by_the_own_validation_set_and_keeps_the_best():
    model = MLPClassifier((8,), early_stopping=True, n_iter_no_change=3, random_state=0, tol=0.01)
    model.fit(X_DIGITS[:400], Y_DIGITS[:400], X_val=X_DIGITS[400:], y_val=Y_DIGITS[400:])
    assert model.t_ == 400 * model.n_iter_  # nothing was set aside
    assert model.score(X_DIGITS[400:], Y_DIGITS[400:]) == max(model.validation_scores_)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_stops_training(solver):
    model = MLPClassifier(solver=solver, callbacks=[lambda model, epoch: epoch.epoch == 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X_IRIS, Y_IRIS)
    assert model.n_iter_ == len(model.loss_curve_) == 3


def test_a_callback_sees_the_weights_of_the_moment():
    seen = []
    model = MLPClassifier(max_iter=2, callbacks=lambda model, _: seen.append(model.predict(X_IRIS)))
    model.fit(X_IRIS, Y_IRIS)
    np.testing.assert_array_equal(seen[-1], model.predict(X_IRIS))


@pytest.mark.parametrize("schedule", [*SCHEDULES, pytest.param(lambda t: 1 - t, id="function")])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_schedules(schedule, solver):
    rates = []
    model = MLPClassifier(
        solver=solver,
        learning_rate=schedule,
        learning_rate_init=0.01,
        max_iter=10,
        batch_size=100,
        callbacks=lambda model, epoch: rates.append(epoch.learning_rate),
    )
    with warnings.catch_warnings():
        if schedule != "constant":  # the end of a schedule is no failure to converge
            warnings.simplefilter("error", ConvergenceWarning)
        model.fit(X_DIGITS, Y_DIGITS)
    factor = schedule if callable(schedule) else SCHEDULES[schedule]
    last_steps = (np.arange(1, 11) * 7 - 1) / 70
    np.testing.assert_allclose(rates, 0.01 * factor(last_steps))


@pytest.mark.parametrize(
    "y", [Y_DIGITS, Y_DIGITS % 2, Y_DIGITS[:, None] > [2, 5]], ids=["many", "two", "labels"]
)
def test_dropout_trains_and_is_left_out_of_predictions(y):
    settings = {"hidden_layer_sizes": (40, 20), "max_iter": 40, "learning_rate_init": 0.01}
    model = MLPClassifier(dropout=(0.2, 0.1), random_state=0, **settings).fit(X_DIGITS, y)
    again = MLPClassifier(dropout=(0.2, 0.1), random_state=0, **settings).fit(X_DIGITS, y)
    without = MLPClassifier(random_state=0, **settings).fit(X_DIGITS, y)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    assert model.loss_ > without.loss_
    assert model.score(X_DIGITS, y) > 0.95


def test_backends_agree(kernels):
    name = kernels.NAME
    for x, y in TASKS.values():
        settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "alpha": 0.1}
        reference = MLPClassifier(backend="numpy", **settings).fit(x, y)
        model = MLPClassifier(backend=name, **settings).fit(x, y)
        np.testing.assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=1e-4)
        np.testing.assert_allclose(model.predict_proba(x), reference.predict_proba(x), atol=1e-3)


def test_progress_bar_and_verbose(capsys):
    MLPClassifier(max_iter=3, progress_bar=True).fit(X_IRIS, Y_IRIS)
    shown = capsys.readouterr().out
    assert "3/3" in shown
    assert "loss" in shown
    MLPClassifier(max_iter=2, verbose=True, early_stopping=True).fit(X_IRIS, Y_IRIS)
    shown = capsys.readouterr().out
    assert "Iteration 2, loss = " in shown
    assert "Validation score: " in shown


# ---------------------------------------------------------------------------------------------
# In scikit-learn's company
# ---------------------------------------------------------------------------------------------


def test_pipeline_grid_search_and_calibration():
    classifier = MLPClassifier((10,), solver="lbfgs", max_iter=50, random_state=0)
    pipeline = make_pipeline(StandardScaler(), classifier)
    grid = {"mlpclassifier__alpha": [1e-3, 1.0], "mlpclassifier__activation": ["relu", "tanh"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X_IRIS, Y_IRIS)
    assert search.best_score_ > 0.9
    assert cross_val_score(pipeline, X_IRIS, Y_IRIS, cv=3).mean() > 0.9
    calibrated = CalibratedClassifierCV(pipeline, cv=3).fit(X_IRIS, Y_IRIS)
    np.testing.assert_allclose(calibrated.predict_proba(X_IRIS).sum(axis=1), 1.0)


def test_threads_of_a_fit(monkeypatch):
    seen = []
    before = get_num_threads()
    model = MLPClassifier(max_iter=1, callbacks=lambda *_: seen.append(get_num_threads()))
    for n_threads, variable in ((1, None), (None, "1"), (None, None)):
        if variable is None:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", variable)
        model.set_params(n_threads=n_threads).fit(X_IRIS, Y_IRIS)
    assert seen == [1, 1, before]
    assert get_num_threads() == before


def test_warm_start_goes_on():
    model = MLPClassifier((8,), max_iter=3, warm_start=True, random_state=0).fit(X_IRIS, Y_IRIS)
    first = list(model.loss_curve_)
    model.fit(X_IRIS, Y_IRIS)
    assert model.loss_curve_[:3] == first
    assert model.loss_curve_[-1] < first[-1]
    model.set_params(early_stopping=True).fit(X_IRIS, Y_IRIS)
    assert len(model.validation_scores_) == 3
    assert model.best_loss_ is None
    model.set_params(early_stopping=False).fit(X_IRIS, Y_IRIS)
    assert model.best_loss_ == pytest.approx(min(model.loss_curve_[-3:]))
    with pytest.raises(ValueError, match="network has changed"):
        model.set_params(hidden_layer_sizes=(9,)).fit(X_IRIS, Y_IRIS)


# ---------------------------------------------------------------------------------------------
# Mistakes
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "gelu"}, "'activation' parameter"),
        ({"backend": "cuda"}, "'backend' parameter"),
        ({"n_threads": 0}, "'n_threads' parameter"),
        ({"learning_rate": "linear"}, "'learning_rate' parameter"),
        ({"class_weight": "even"}, "'class_weight' parameter"),
        ({"callbacks": 3}, "'callbacks' parameter"),
        ({"callbacks": ["print"]}, "callbacks must be functions"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"dropout": (0.1, 0.1, 0.1)}, "dropout needs one rate or 1"),
        ({"dropout": 0.1, "solver": "lbfgs"}, "dropout needs solver"),
        ({"hidden_layer_sizes": (5, 0)}, "must be > 0"),
        ({"hidden_layer_sizes": (5.5,)}, "whole numbers"),
        ({"early_stopping": True, "validation_fraction": 0.005}, "validation set is too small"),
        ({"class_weight": {7: 2.0}}, "not in class_weight"),
    ],
    ids=str,
)
def test_bad_settings_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**settings).fit(X_IRIS, Y_IRIS)


def test_bad_validation_sets_are_told():
    model = MLPClassifier(max_iter=1)
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        model.fit(X_IRIS, Y_IRIS, X_val=X_IRIS)
    with pytest.raises(ValueError, match="classes not in"):
        model.fit(X_IRIS, Y_IRIS, X_val=X_IRIS, y_val=Y_IRIS + 1)
    with pytest.raises(ValueError, match="3 features"):
        model.fit(X_IRIS, Y_IRIS, X_val=X_IRIS[:, :3], y_val=Y_IRIS)
    with pytest.raises(ValueError, match="y_val has 2 outputs"):
        MLPRegressor(max_iter=1).fit(X_IRIS, Y_IRIS, X_val=X_IRIS, y_val=X_IRIS[:, :2])


def test_partial_fit_cannot_balance_classes():
    with pytest.raises(ValueError, match="balanced"):
        MLPClassifier(class_weight="balanced").partial_fit(X_IRIS, Y_IRIS, classes=[0, 1, 2])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize(
    ("solver", "words"),
    [("sgd", "a value too large for dtype"), ("lbfgs", "non-finite parameter weights")],
)
def test_values_that_float32_cannot_hold_are_told(solver, words):
    model = MLPClassifier(solver=solver)
    with pytest.raises(ValueError, match=words):
        model.fit(X_IRIS * 1e300, Y_IRIS)


def test_divergence_keeps_the_best_weights_of_early_stopping():
    model = MLPClassifier(solver="sgd", learning_rate_init=1e6, early_stopping=True, max_iter=50)
    with pytest.warns(ConvergenceWarning, match="no longer finite"):
        model.fit(X_IRIS, Y_IRIS)
    assert np.isfinite(model.coefs_[0]).all()
    assert not np.isfinite(model.loss_curve_[-1])
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.set_params(early_stopping=False).fit(X_IRIS, Y_IRIS)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_training_and_leaves_a_model():
    model = MLPClassifier(max_iter=10**6, n_iter_no_change=np.inf, random_state=0)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X_DIGITS, Y_DIGITS)
    timer.join()
    assert model.predict(X_DIGITS).shape == Y_DIGITS.shape


def test_without_scikit_learn_the_extra_is_named():
    code = "import sys; sys.modules['sklearn'] = None; import mnistcore.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install -e ".[sklearn]" in' in done.stderr.splitlines()[-1]
