"""What the estimators refuse, and that they are afterwards what they were before."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError

from mnistcore.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 9))
INDICATORS = (X[:, :3] > 0).astype(int)
LABELS = INDICATORS.sum(axis=1)
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
QUICK = {"max_iter": 3, "random_state": 0, "backend": "numpy"}
ONE_LARGE = np.where(np.arange(60)[:, None] == 7, 1e39, X)
REFUSED = {
    "features of X_val": {"X_val": X[:, :3], "y_val": LABELS},
    "classes of y_val": {"X_val": X, "y_val": LABELS + 9},
    "X_val alone": {"X_val": X},
    "NaN in X_val": {"X_val": X * np.nan, "y_val": LABELS},
    "values beyond float32": {"X_val": ONE_LARGE, "y_val": LABELS},
    "weights of other samples": {"sample_weight": np.ones(9)},
    "negative weights": {"sample_weight": -np.ones(60)},
}


def classifier(**options):
    return MLPClassifier((5,), **QUICK, **options)


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_a_fit_that_is_refused_changes_nothing(options):
    fitted = classifier().fit(X, LABELS)
    before = pickle.dumps(fitted)
    with pytest.raises(ValueError, match=r"."):
        fitted.fit(X, LABELS + 1, **options)
    assert pickle.dumps(fitted) == before
    new = classifier()
    with pytest.raises(ValueError, match=r"."):
        new.fit(X, LABELS, **options)
    with pytest.raises(NotFittedError):
        new.predict(X)


def test_images_that_cannot_be_deformed_change_nothing():
    fitted = classifier().fit(X, LABELS)
    before = fitted.predict_proba(X)
    with pytest.raises(ValueError, match="augment deforms"):
        fitted.set_params(augment=True).fit(X, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


def test_a_first_part_that_is_refused_leaves_no_classes():
    estimator = classifier()
    with pytest.raises(ValueError, match="NaN"):
        estimator.partial_fit(X * np.nan, LABELS, classes=[0, 1, 2, 3])
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_an_error_of_a_callback_keeps_what_was_trained():
    def stop(estimator, epoch):
        raise RuntimeError("enough")

    estimator = classifier(callbacks=stop)
    with pytest.raises(RuntimeError, match="enough"):
        estimator.fit(X, LABELS)
    assert estimator.predict(X).shape == LABELS.shape


@pytest.mark.parametrize("y_val", [LABELS, INDICATORS[:, 0], INDICATORS[:, :1], INDICATORS[:, :2]])
@pytest.mark.filterwarnings("ignore:A column-vector")
def test_labels_for_each_sample_are_not_taken_for_classes(y_val):
    with pytest.raises(ValueError, match=r"must be \(n_samples, 3\)|not in"):
        classifier().fit(X, INDICATORS, X_val=X, y_val=y_val)
    fitted = classifier().partial_fit(X, INDICATORS, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"must be \(n_samples, 3\)|not in"):
        fitted.partial_fit(X, y_val)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("kind_of_estimator", [MLPClassifier, MLPRegressor])
def test_values_that_float32_cannot_hold_are_refused(kind_of_estimator, kind):
    """As scikit-learn's trees do, which compute in float32, too."""
    fitted = kind_of_estimator(hidden_layer_sizes=(5,), **QUICK).fit(X, LABELS)
    words = "infinity or a value too large for dtype.'float32'"
    with pytest.raises(ValueError, match=words):
        fitted.predict(kind(ONE_LARGE))
    with pytest.raises(ValueError, match=words):
        fitted.fit(kind(ONE_LARGE), LABELS)
    with pytest.raises(ValueError, match="outputs of the network are not finite"):
        fitted.predict(kind(np.sign(X) * 3e38))


@pytest.mark.parametrize(
    "weights", [{0: -1.0, 1: 1.0, 2: 1.0, 3: 1.0}, {0: np.nan, 1: 1.0, 2: 1.0, 3: 1.0}]
)
def test_weights_of_classes_are_at_least_0(weights):
    with pytest.raises(ValueError, match="weights of samples and classes must be at least 0"):
        classifier(class_weight=weights).fit(X, LABELS)
