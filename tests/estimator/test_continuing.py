"""Training that goes on after pickling equals training that was never interrupted, to the bit."""

import copy
import hashlib
import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import InconsistentVersionWarning

from mnistcore.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
X, Y = (X[:605] / 16).astype(np.float32), Y[:605]
WEIGHTS = np.random.default_rng(0).uniform(0.0, 3.0, len(X))
LABELS = (Y[:, None] > [2, 5]).astype(int)
TASKS = {  # the kind of estimator, targets, and what partial_fit is told of them
    "many classes": (MLPClassifier, Y, {"classes": np.arange(10)}),
    "two classes": (MLPClassifier, Y % 2, {"classes": [0, 1]}),
    "several labels": (MLPClassifier, LABELS, {"classes": [0, 1]}),
    "a number": (MLPRegressor, Y / 5, {}),
}
SETTINGS = {
    "adam": {"alpha": 1.0},
    "one-cycle": {"learning_rate": "one-cycle", "max_iter": 12},
    "batch norm": {"batch_norm": True, "dropout": 0.1},
    "inverse scaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
    "augment": {"augment": True},
    "early stopping": {"solver": "sgd", "batch_norm": True, "early_stopping": True},
    "lbfgs": {"solver": "lbfgs"},
}
CASES = [
    (task, name)
    for task in TASKS
    for name in SETTINGS
    if name != "augment" or task.endswith("classes")
]
NOT_IN_PARTS = "early stopping", "lbfgs"


def pickled(estimator, folder):
    return pickle.loads(pickle.dumps(estimator))


def mapped(estimator, folder):
    """From a file of joblib: all arrays are read-only, as large ones are in a worker process."""
    joblib.dump(estimator, folder / "estimator")
    return joblib.load(folder / "estimator", mmap_mode="r")


def sent(estimator, folder):
    """With the arrays out of band, as dask sends them: they are read-only too."""
    buffers = []
    content = pickle.dumps(estimator, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(content, buffers=[bytes(buffer.raw()) for buffer in buffers])


WAYS = (pickled, mapped, sent, lambda estimator, folder: copy.deepcopy(estimator))


def make(task, name, backend):
    """An estimator with a generator of its own, which training advances."""
    settings = {"hidden_layer_sizes": (12, 9), "learning_rate_init": 0.01, "max_iter": 3}
    settings |= {"backend": backend, "random_state": np.random.RandomState(3)}
    return TASKS[task][0](**{**settings, **SETTINGS[name]})


def outcome(estimator):
    """All that training has come to, and what it would go on from."""
    weights = [array.tobytes() for array in (*estimator.coefs_, *estimator.intercepts_)]
    curves = estimator.loss_curve_, estimator.train_scores_, estimator.validation_scores_
    counts = estimator.n_iter_, estimator.t_, estimator.best_loss_
    optimizer = getattr(estimator, "_optimizer", None)
    state = optimizer and (optimizer.state.tobytes(), optimizer.step, optimizer.learning_rate)
    return weights, curves, counts, state, estimator.predict(X).tolist()


@pytest.mark.parametrize(("task", "name"), [case for case in CASES if case[1] not in NOT_IN_PARTS])
def test_partial_fit_goes_on(task, name, compiled, tmp_path):
    _, y, told = TASKS[task]
    undisturbed = make(task, name, compiled.NAME)
    copied = clone(undisturbed)
    for turn, way in enumerate((*WAYS, pickled)):
        rows = slice(605 - 100 * turn)
        for estimator in (undisturbed, copied):
            estimator.partial_fit(X[rows], y[rows], WEIGHTS[rows] if turn % 2 else None, **told)
        copied = way(copied, tmp_path)
        assert outcome(copied) == outcome(undisturbed)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_warm_start_goes_on(task, name, tmp_path):
    y = TASKS[task][1]
    undisturbed = make(task, name, "auto").set_params(warm_start=True)
    copied = clone(undisturbed)
    for way in (*WAYS, pickled):
        for estimator in (undisturbed, copied):
            estimator.fit(X, y, WEIGHTS)
        copied = way(copied, tmp_path)
        assert outcome(copied) == outcome(undisturbed)


def test_a_clone_begins_anew():
    estimator = make("many classes", "batch norm", "auto").set_params(random_state=0)
    expected = outcome(clone(estimator).fit(X, Y))
    estimator.partial_fit(X, Y, classes=np.arange(10))
    assert outcome(clone(estimator).fit(X, Y)) == expected


ELSEWHERE = """
import hashlib, pickle, sys
import numpy as np
estimator, x, y = pickle.load(open(sys.argv[1], "rb"))
for _ in range(2):
    estimator.partial_fit(x, y)
print(hashlib.sha256(b"".join(w.tobytes() for w in estimator.coefs_)).hexdigest())
"""


def test_another_process_goes_on_with_another_number_of_threads(tmp_path):
    estimator = make("many classes", "batch norm", "auto").set_params(random_state=0, n_threads=2)
    estimator.partial_fit(X, Y, classes=np.arange(10))
    (tmp_path / "sent").write_bytes(pickle.dumps((estimator.set_params(n_threads=1), X, Y)))
    estimator.set_params(n_threads=2)
    for _ in range(2):
        estimator.partial_fit(X, Y)
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "sent")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    expected = hashlib.sha256(b"".join(weights.tobytes() for weights in estimator.coefs_))
    assert done.stdout.strip() == expected.hexdigest()


def test_an_estimator_of_another_version_is_told_and_predicts(monkeypatch):
    estimator = MLPClassifier((8,), max_iter=2, random_state=0).fit(X, Y)
    with monkeypatch.context() as patched:
        patched.setattr("mnistcore.sklearn.parameters.VERSION", "0.0.9")
        state = estimator.__getstate__()
    del state["label_smoothing"]  # a parameter that it did not have
    older = MLPClassifier.__new__(MLPClassifier)
    with pytest.warns(InconsistentVersionWarning, match=r"MLPClassifier from version 0\.0"):
        older.__setstate__(state)
    np.testing.assert_array_equal(older.predict(X), estimator.predict(X))
    assert clone(older).label_smoothing == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert vars(pickle.loads(pickle.dumps(older))).keys() == vars(estimator).keys()


def test_another_number_of_outputs_leaves_the_estimator_as_it_was():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    estimator = MLPRegressor(hidden_layer_sizes=(4,), random_state=0).partial_fit(x, x[:, 0])
    before = estimator.predict(x)
    with pytest.raises(ValueError, match="y has 2 outputs, that of the last fit had 1; use warm"):
        estimator.partial_fit(x, x[:, :2])
    np.testing.assert_array_equal(estimator.predict(x), before)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_several_labels_for_a_classifier_of_one_are_refused(solver):
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    labels = np.array([0, 1, 2])
    estimator = MLPClassifier((4,), solver=solver, random_state=0, warm_start=True, max_iter=2)
    estimator.fit(x, labels)
    for fit in (estimator.fit, *([estimator.partial_fit] if solver == "adam" else [])):
        with pytest.raises(ValueError, match="The object was not fitted with multilabel input"):
            fit(x, np.eye(3, dtype=int))
    with pytest.raises(ValueError, match="The object was not fitted with multilabel input"):
        estimator.fit(x, labels, X_val=x, y_val=np.eye(3, dtype=int))
