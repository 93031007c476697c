"""skl2onnx converts the estimators: options and labels as for scikit-learn's own."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mnistcore.sklearn.onnx
from mnistcore.sklearn import MLPClassifier, MLPRegressor
from mnistcore.system.extras import MissingExtraError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "two words", "viola é"])
TARGETS = {
    "numbers": Y,
    "large numbers": np.array([-(2**40), 3, 2**62])[Y],
    "whole floats": np.array([0.0, 1.0, 5.0])[Y],
    "names": NAMES[Y],
    "objects": NAMES.astype(object)[Y],
    "two": np.array([3, 8])[(Y > 0).astype(int)],
    "booleans": Y > 0,
    "labels": np.stack([Y > 0, Y > 1, Y < 1, Y == 1], axis=1).astype(int),
}
VALUES = {"one": Y + 0.5, "three": np.stack([Y, -2.0 * Y, X[:, 0]], axis=1), "counts": Y}
SHORT = {"solver": "lbfgs", "max_iter": 20, "alpha": 1.0, "random_state": 0}


@pytest.fixture
def convert(consumer):
    """A function that converts an estimator, and runs it in onnxruntime on X."""
    runtime, skl2onnx = consumer("onnxruntime"), consumer("skl2onnx")
    for _ in range(2):
        mnistcore.sklearn.onnx.register()

    def run(estimator, x, **options):
        graph = skl2onnx.to_onnx(estimator, x[:1], **options)
        session = runtime.InferenceSession(graph.SerializeToString())
        return session, session.run(None, {session.get_inputs()[0].name: x})

    return run


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TARGETS)
def test_a_pipeline_with_a_classifier(convert, name, dtype):
    x = X.astype(dtype)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((6, 5), "tanh", **SHORT))
    pipeline.fit(x, TARGETS[name])
    session, (labels, probs) = convert(pipeline, x, options={"zipmap": False})
    expected = pipeline.predict(x)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_allclose(probs, pipeline.predict_proba(x), atol=1e-6)
    assert probs.dtype == dtype
    declared = [output.shape[1:] for output in session.get_outputs()]
    assert declared == [list(expected.shape[1:]), [probs.shape[1]]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", VALUES)
def test_a_pipeline_with_a_regressor(convert, name, dtype):
    x, loss = X.astype(dtype), "poisson" if name == "counts" else "squared_error"
    pipeline = make_pipeline(StandardScaler(), MLPRegressor(loss, (6,), "logistic", **SHORT))
    pipeline.fit(x, VALUES[name])
    session, (values,) = convert(pipeline, x)
    expected = pipeline.predict(x).reshape(len(x), -1)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    assert values.dtype == dtype
    assert session.get_outputs()[0].shape[1:] == list(expected.shape[1:])


@pytest.mark.parametrize("activation", ["relu", "logistic", "identity"])
@pytest.mark.parametrize("hidden", [(), (6,), (5, 4, 3)])
@pytest.mark.parametrize("opset", [9, 13, None])
def test_an_estimator_alone(convert, activation, hidden, opset):
    x = X.astype(np.float32)
    estimator = MLPClassifier(hidden, activation, **SHORT).fit(x, Y)
    _, (labels, probs) = convert(estimator, x, options={"zipmap": False}, target_opset=opset)
    np.testing.assert_array_equal(labels, estimator.predict(x))
    np.testing.assert_allclose(probs, estimator.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("name", ["numbers", "names", "two"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"zipmap": True},
        {"zipmap": False},
        {"zipmap": "columns"},
        {"zipmap": False, "output_class_labels": True},
        {"zipmap": False, "nocl": False},
    ],
    ids=str,
)
def test_options_mean_what_they_do_for_the_estimator_of_scikit_learn(convert, name, options):
    """Same names, types and shapes of the outputs, and the same labels."""
    x = X.astype(np.float32)
    ours = MLPClassifier((6,), **SHORT).fit(x, TARGETS[name])
    theirs = TheirClassifier((6,), **SHORT).fit(x, TARGETS[name])
    theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
    mine, found = convert(ours, x, options={id(ours): options})
    other, wanted = convert(theirs, x, options={id(theirs): options})
    signatures = [[(o.name, o.type) for o in s.get_outputs()] for s in (mine, other)]
    assert signatures[0] == signatures[1]
    np.testing.assert_array_equal(found[0], wanted[0])
    for ours_out, theirs_out in zip(found[1:], wanted[1:], strict=True):
        if isinstance(ours_out, list):
            assert [row.keys() for row in ours_out] == [row.keys() for row in theirs_out]
            ours_out = [list(row.values()) for row in ours_out]
            theirs_out = [list(row.values()) for row in theirs_out]
        if np.asarray(ours_out).dtype.kind == "f":
            np.testing.assert_allclose(ours_out, theirs_out, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours_out, theirs_out)


def test_without_class_labels_come_their_numbers(convert):
    x = X.astype(np.float32)
    estimator = MLPClassifier((6,), **SHORT).fit(x, TARGETS["names"])
    _, (labels, _) = convert(estimator, x, options={"nocl": True, "zipmap": False})
    np.testing.assert_array_equal(NAMES[labels], estimator.predict(x))


def test_an_unknown_option_is_refused(convert):
    estimator = MLPClassifier((6,), **SHORT).fit(X, Y)
    with pytest.raises(NameError, match="Option 'raw' not in"):
        convert(estimator, X, options={"raw": True})


def test_integers_go_in_too(convert):
    x = np.rint(X).astype(np.int64)
    estimator = MLPClassifier((6,), **SHORT).fit(x, Y)
    _, (labels, _) = convert(estimator, x, options={"zipmap": False})
    np.testing.assert_array_equal(labels, estimator.predict(x))


def test_the_extra_is_named_where_skl2onnx_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install -e "\.\[onnx\]"'):
        mnistcore.sklearn.onnx.register()


def test_importing_the_estimators_loads_no_onnx():
    code = (
        "import sys, mnistcore.sklearn.onnx\n"
        "print([m for m in ('onnx', 'skl2onnx', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
