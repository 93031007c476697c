"""Estimators in the workers of joblib, and computations within others."""

import pytest

pytest.importorskip("sklearn")

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score

from mnistcore.sklearn import MLPClassifier
from mnistcore.sklearn.threads import share_of_cores

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

X, Y = load_digits(return_X_y=True)
X, Y = X[:605] / 16, Y[:605]  # batches of 200 and a partial one


def scores(n_jobs=None, backend="auto"):
    """Scores of two folds, whose fits take one thread or what a worker may use."""
    classifier = MLPClassifier((10,), max_iter=5, random_state=0, backend=backend)
    return cross_val_score(classifier, X, Y, cv=2, n_jobs=n_jobs).tolist()


@pytest.mark.parametrize("workers", ["loky", "multiprocessing", "threading"])
def test_joblib_workers_give_the_same_and_share_the_cores(workers):
    alone = scores()
    with joblib.parallel_config(workers):
        among_others = scores(n_jobs=2)
        shares = joblib.Parallel(n_jobs=2)(joblib.delayed(share_of_cores)() for _ in range(2))
    assert among_others == alone
    if workers != "threading":  # there a second caller of the team computes on its own thread
        assert sum(shares) <= max(2, joblib.cpu_count())


@pytest.mark.parametrize("workers", ["loky", "multiprocessing", "threading"])
def test_parallel_jobs_within_parallel_jobs(workers):
    """Of the compiled kernels on the team, and of the reference on BLAS, side by side."""
    backends = ["auto", "numpy"]
    alone = [scores(backend=backend) for backend in backends]
    with joblib.parallel_config(workers):
        jobs = [joblib.delayed(scores)(n_jobs=2, backend=backend) for backend in backends]
        assert joblib.Parallel(n_jobs=2)(jobs) == alone


def test_a_callback_may_fit_another():
    def fitted(callback=None):
        model = MLPClassifier((10,), max_iter=3, random_state=0, callbacks=callback)
        return model.fit(X, Y)

    within = []
    outer = fitted(lambda *_: within.append(fitted()))
    for model in (outer, *within):
        for one, other in zip(model.coefs_, fitted().coefs_, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(within) == 3
