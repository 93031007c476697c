"""The classifier on images that are deformed anew in each epoch."""

import numpy as np
import pytest

from mnistcore import MLPClassifier, load_data
from mnistcore.kernels import numpy_kernels
from mnistcore.training.augmentation import make_augmentation

pytest.importorskip("sklearn")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {"hidden_layer_sizes": (20,), "max_iter": 2, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    data = load_data("synthetic")
    return data.train_images[:300].reshape(300, -1), data.train_labels[:300]


def fit(X, y, **settings):
    return MLPClassifier(**{**SETTINGS, **settings}).fit(X, y)


def test_it_repeats_itself_and_backends_agree(digits, kernels):
    X, y = digits
    model = fit(X / 255, y, augment=True, backend=kernels.NAME)
    again = fit(X / 255, y, augment=True, backend=kernels.NAME)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    reference = fit(X / 255, y, augment=True, backend="numpy")
    np.testing.assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=1e-4)
    assert model.loss_curve_ != fit(X / 255, y, backend=kernels.NAME).loss_curve_


def test_it_learns(digits):
    X, y = digits
    settings = {"hidden_layer_sizes": (100,), "batch_size": 20, "max_iter": 30}
    model = fit(X / 255, y, augment=True, learning_rate_init=0.01, **settings)
    assert model.score(X / 255, y) > 0.7


def test_bytes_and_the_same_pixels_as_floats_train_alike(digits, monkeypatch):
    """Floats are brought back to bytes, and their scale to the network."""
    X, y = digits
    seen = []

    def remember(x, order, strengths, seed, epoch, out):
        seen.append(x.copy())
        augment(x, order, strengths, seed, epoch, out)

    augment = numpy_kernels.augment
    monkeypatch.setattr(numpy_kernels, "augment", remember)
    for x in (X, X / 255, (X / 255).astype(np.float32)):
        fit(x, y, augment=True, backend="numpy", max_iter=1)
    assert all(np.array_equal(x, X) for x in seen)
    zero = dict.fromkeys(make_augmentation().dtype.names, 0) | {"smoothness": 1}
    model, plain = (fit(X / 255, y, augment=a, shuffle=False) for a in (zero, False))
    np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_, rtol=1e-4)


@pytest.mark.parametrize("augment", [{}, np.True_, {"rotation": 10}])
def test_what_sets_no_other_strengths_has_the_default_ones(digits, augment):
    X, y = digits
    model, default = (fit(X, y, augment=a, max_iter=1) for a in (augment, True))
    np.testing.assert_array_equal(model.coefs_[0], default.coefs_[0])


def test_two_classes_partial_fit_and_early_stopping(digits):
    X, y = digits
    model = fit(X / 255, y % 2, augment=True, early_stopping=True, max_iter=3)
    assert model.predict(X / 255).shape == (300,)
    model = MLPClassifier(**SETTINGS, augment={"rotation": 5})
    for _ in range(2):
        model.partial_fit(X, y, classes=np.arange(10))
    assert len(model.loss_curve_) == 2


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda X: X[:, :50], {}, "square images .* these are 50"),
        (lambda X: X * 1.0, {}, r"floats in \[0, 1\], got 0.0 to 255.0"),
        (lambda X: X / 255 - 0.5, {}, r"floats in \[0, 1\], got -0.5 to 0.5"),
        (lambda X: X, {"solver": "lbfgs"}, "augment needs solver"),
        (lambda X: X, {"augment": {"turn": 3}}, "augment has no strength turn"),
        (lambda X: X, {"augment": {"shear": -1}}, r"augment: shear must be in \[0, 1\]"),
        (lambda X: X, {"augment": {"shear": np.nan}}, r"augment: shear must be in \[0, 1\]"),
        (lambda X: X, {"augment": {"shear": "a"}}, "augment: shear must be a number, got 'a'"),
        (lambda X: X, {"augment": 3}, "'augment' parameter"),
    ],
)
def test_what_cannot_be_deformed_is_told(digits, change, settings, message):
    X, y = digits
    with pytest.raises((TypeError, ValueError), match=message):
        fit(change(X), y, **{"augment": True, **settings})


def test_only_dense_images_with_one_label_are_deformed(digits):
    from scipy.sparse import csr_matrix

    X, y = digits
    for x, labels in ((csr_matrix(X > 250), y), (X, y[:, None] > [2, 5])):
        with pytest.raises(ValueError, match="augment is for a dense X, and for one label"):
            fit(x, labels, augment=True)
