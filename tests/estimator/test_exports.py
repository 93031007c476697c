"""Fitted estimators in every format, beside their own predictions; C by its compiler."""

import subprocess

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_digits import small_digits

from mnistcore import Dataset, export, get_backend
from mnistcore.convert import run as convert
from mnistcore.evaluate import run as evaluate
from mnistcore.models import checkpoint
from mnistcore.sklearn import MLPClassifier, MLPRegressor
from mnistcore.training.data_options import RunDataOptions

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
NAMES = np.array(["setosa", "b*/", "viola é"])
TARGETS = {  # what the classifiers learn
    "numbers": Y,
    "other numbers": np.array([3, -8, 2**40])[Y],
    "floats": np.array([0.0, 1.0, 5.0])[Y],
    "names": NAMES[Y],
    "objects": NAMES.astype(object)[Y],
    "two": np.array([3, 8])[(Y > 0).astype(int)],
    "booleans": Y > 0,
    "labels": np.stack([Y > 0, Y > 1, Y < 1, Y == 1], axis=1).astype(int),
}
VALUES = {
    "one": Y + 0.5,
    "three": np.stack([Y, -2.0 * Y, X[:, 0]], axis=1),
    "counts": Y,
}


def classifier(name, hidden=(7, 5), activation="tanh"):
    return MLPClassifier(
        hidden, activation, solver="lbfgs", max_iter=30, alpha=1, random_state=0
    ).fit(X, TARGETS[name])


def regressor(name):
    loss = "poisson" if name == "counts" else "squared_error"
    return MLPRegressor(
        loss, (7,), "logistic", solver="lbfgs", max_iter=30, alpha=1, random_state=0
    ).fit(X, VALUES[name])


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def onnx(consumer, estimator):
    """Export to ONNX, and return the results of the lines that the export shows."""
    consumer("onnxruntime")
    exported = export.run(estimator, "onnx", "m.onnx")
    namespace = {"X": X.astype(np.float64)}
    exec(exported.usage, namespace)
    return namespace


@pytest.mark.parametrize("name", TARGETS)
def test_onnx_predicts_as_the_classifier_does(consumer, name):
    estimator = classifier(name)
    results = onnx(consumer, estimator)
    expected = estimator.predict(X)
    assert results["label"].shape == expected.shape
    np.testing.assert_array_equal(results["label"], expected)
    assert results["label"].dtype.kind == {"U": "O"}.get(expected.dtype.kind, expected.dtype.kind)
    np.testing.assert_allclose(results["probabilities"], estimator.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", VALUES)
def test_onnx_predicts_as_the_regressor_does(consumer, name):
    estimator = regressor(name)
    expected = estimator.predict(X).reshape(len(X), -1)
    np.testing.assert_allclose(onnx(consumer, estimator)["values"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "logistic", "identity"])
@pytest.mark.parametrize("hidden", [(), (6,), (5, 4, 3)])
def test_numpy_takes_every_network(activation, hidden):
    estimator = classifier("names", hidden, activation)
    namespace = {"X": X}
    exec(export.run(estimator, "numpy", "m.npz").usage, namespace)
    np.testing.assert_array_equal(namespace["labels"], estimator.predict(X))


@pytest.mark.parametrize("name", TARGETS)
def test_numpy_predicts_as_the_classifier_does(name):
    estimator = classifier(name)
    namespace = {"X": X}
    exec(export.run(estimator, "numpy", "m.npz").usage, namespace)
    expected = estimator.predict(X)
    np.testing.assert_array_equal(namespace["labels"], expected)
    assert namespace["labels"].dtype.kind == {"O": "U"}.get(
        expected.dtype.kind, expected.dtype.kind
    )


@pytest.mark.parametrize("name", VALUES)
def test_numpy_predicts_as_the_regressor_does(name):
    estimator = regressor(name)
    namespace = {"X": X}
    exec(export.run(estimator, "numpy", "m.npz").usage, namespace)
    expected = estimator.predict(X).reshape(len(X), -1)
    np.testing.assert_allclose(namespace["values"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["names", "two", "labels", "three", "counts"])
def test_torch_predicts_as_the_estimator_does(consumer, name):
    torch = consumer("torch")
    estimator = classifier(name) if name in TARGETS else regressor(name)
    namespace = {"X": torch.from_numpy(X)}
    exec(export.run(estimator, "torch", "m.safetensors").usage, namespace)
    if name in VALUES:
        found, expected = namespace["values"], estimator.predict(X).reshape(len(X), -1)
    else:
        expected = estimator.predict_proba(X)
        several = name == "labels"
        found = namespace["probabilities"] if several else namespace["logits"].softmax(1)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def in_c(consumer, place):
    """A function that exports to C, compiles it, and returns the numbers that it prints."""

    def run(estimator):
        export.run(estimator, "c", "m.c")
        strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wdouble-promotion"]
        for compiler in (
            [consumer("g++"), "-std=c++11", "-x", "c++"],
            [consumer("cc"), "-std=c99"],
        ):
            command = [*compiler, *strict, "-DMNISTCORE_MAIN", "m.c", "-o", "m", "-lm"]
            subprocess.run(command, check=True)
        done = subprocess.run([place / "m"], input=X.tobytes(), capture_output=True, check=True)
        return np.array([line.split() for line in done.stdout.splitlines()], np.float64)

    return run


@pytest.mark.parametrize("name", TARGETS)
def test_c_predicts_as_the_classifier_does(in_c, name):
    estimator = classifier(name)
    rows, expected = in_c(estimator), estimator.predict(X)
    if name == "labels":
        np.testing.assert_array_equal(rows[:, :4], expected)
    else:
        np.testing.assert_array_equal(estimator.classes_[rows[:, 0].astype(int)], expected)
    width = 4 if name == "labels" else 1
    np.testing.assert_allclose(rows[:, width:], estimator.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("name", VALUES)
def test_c_predicts_as_the_regressor_does(in_c, name):
    estimator = regressor(name)
    expected = estimator.predict(X).reshape(len(X), -1)
    np.testing.assert_allclose(in_c(estimator), expected, rtol=1e-5, atol=1e-5)


def test_c_gives_the_names_of_the_classes(consumer, place):
    estimator = classifier("names")
    header = export.run(estimator, "c", "iris.c").header.read_text()
    assert "int iris_predict(const float x[4]);" in header
    rows = ", ".join(f"{{{', '.join(map(str, row))}}}" for row in X[::25].tolist())
    (place / "main.c").write_text(
        '#include <stdio.h>\n#include "iris.h"\n'
        f"static const float x[][IRIS_INPUTS] = {{{rows}}};\n"
        "int main(void)\n{\n    char name[IRIS_NAME_SIZE];\n"
        "    for (unsigned i = 0; i < sizeof x / sizeof x[0]; i++) {\n"
        "        iris_class_name(iris_predict(x[i]), name);\n        puts(name);\n    }\n"
        "    return 0;\n}\n"
    )
    subprocess.run([consumer("cc"), "main.c", "iris.c", "-o", "main", "-lm"], check=True)
    done = subprocess.run([place / "main"], capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == list(estimator.predict(X[::25]))


def test_the_weights_of_a_classifier_come_back_as_a_model():
    estimator = classifier("names")
    for to, name in (("numpy", "m.npz"), ("torch", "m.safetensors")):
        export.run(estimator, to, name)
        model = convert(name).model
        probs = model.predict_proba(X, get_backend("numpy"))
        np.testing.assert_allclose(probs, estimator.predict_proba(X), atol=1e-6)
        assert model.class_names == estimator.fitted_network().class_names


@pytest.mark.parametrize("name", ["three", "labels"])
def test_no_model_comes_back_from_what_is_no_classifier(name):
    estimator = classifier(name) if name in TARGETS else regressor(name)
    for to, file in (("numpy", "m.npz"), ("torch", "m.safetensors")):
        export.run(estimator, to, file)
        with pytest.raises(ValueError, match="is of an estimator of values or of several labels"):
            convert(file)


def test_a_classifier_of_pictures_becomes_a_model_for_every_command(place):
    pixels, labels = load_digits(return_X_y=True)
    estimator = MLPClassifier((16,), max_iter=30, random_state=0).fit(pixels / 16, labels)
    model = estimator.to_model(1 / 16, pixel_max=16)
    assert model.input_shape == (8, 8)
    images = pixels.astype(np.uint8).reshape(-1, 8, 8)
    kernels = get_backend("numpy")
    np.testing.assert_array_equal(model.predict(images, kernels), estimator.predict(pixels / 16))
    checkpoint.save("digits.safetensors", model)
    np.testing.assert_array_equal(checkpoint.load("digits.safetensors").params, model.params)
    assert export.run("digits.safetensors", "c", int8=True).path.name == "digits-int8.c"
    assert "uint8_t image[64]" in export.run(model, "c", "m.c").header.read_text()


def test_numbers_of_numpy_make_a_model_that_can_be_saved(place):
    x, labels = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), np.arange(30) % 3
    estimator = MLPClassifier((4,), max_iter=2, random_state=0).fit(x, labels)
    numbers = {"scale": np.float32(0.5), "pixel_max": np.uint8(16), "input_shape": (np.int64(2), 2)}
    checkpoint.save("small.safetensors", estimator.to_model(**numbers))
    assert checkpoint.load("small.safetensors").input_shape == (2, 2)
    export.run("small.safetensors", "torch")
    estimator.fit(x, np.array(["a", "b", "c" * 300])[labels])
    with pytest.raises(
        ValueError, match=r"the class 'c.*'\.\.\. has 300 characters, more than the"
    ):
        estimator.to_model()


def test_a_saved_classifier_is_evaluated_and_quantised_like_any_model(place):
    dataset = small_digits(place / "data")
    pixels = dataset.train_images.reshape(-1, 36) / 255
    estimator = MLPClassifier((8,), max_iter=20, random_state=0).fit(pixels, dataset.train_labels)
    checkpoint.save("digits.safetensors", estimator.to_model(1 / 255))
    expected = estimator.score(dataset.test_images.reshape(-1, 36) / 255, dataset.test_labels)
    assert evaluate("digits.safetensors", dataset=dataset).accuracy == expected
    measured_on = RunDataOptions(data=str(place / "data"))
    exported = export.run("digits.safetensors", "c", int8=True, measured_on=measured_on)
    assert exported.int8_loss.float_accuracy == expected
    assert exported.int8_loss.same_labels >= 117


@pytest.mark.parametrize("kind", [int, np.float64, np.float32, np.uint8])
def test_whole_numbers_of_any_type_are_named_as_in_a_data_set(kind):
    labels = np.array([0, 1, 5])[Y].astype(kind)
    model = MLPClassifier((4,), max_iter=2).fit(X, labels).to_model()
    pixels = np.zeros((len(X), 2, 2), np.uint8)
    assert model.class_names == Dataset.from_arrays(pixels, labels).class_names == ("0", "1", "5")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([False, True, False], ("0", "1")),
        ([0.0, 1.0, 2.0**40], ("0.0", "1.0", "1099511627776.0")),
        (np.array([1, 2, 3], "m8[D]"), ("1 days", "2 days", "3 days")),
    ],
)
def test_labels_of_a_type_of_their_own_have_names(labels, names):
    fitted = MLPClassifier((4,), max_iter=2).fit(X, np.array(labels)[Y]).fitted_network()
    assert fitted.class_names == names


@pytest.mark.parametrize("to", export.FORMATS)
def test_labels_that_are_dates_are_exported_as_text(consumer, to):
    if to == "onnx":
        consumer("onnx")
    days = np.array(["2001-01-01", "2002-02-02", "2003-03-03"], "M8[D]")
    fitted = MLPClassifier((4,), max_iter=2).fit(X, days[Y])
    file = f"m{export.FORMATS[to].removeprefix('-torch')}"
    content = export.run(fitted, to, file).path.read_bytes()
    assert b"2002-02-02" in content.replace(b"\0", b"")  # NumPy's characters have four bytes


@pytest.mark.parametrize("to", export.FORMATS)
def test_what_cannot_be_exported_is_refused_in_one_line(consumer, place, to):
    if to == "onnx":
        consumer("onnx")
    output = {"output": f"m{export.FORMATS[to].removeprefix('-torch')}"}
    with pytest.raises(NotFittedError, match="not fitted yet"):
        export.run(MLPClassifier(), to, **output)
    with pytest.raises(ValueError, match=r"give output, the file to write"):
        export.run(classifier("two"), to)
    one_class = MLPClassifier((2,), max_iter=2).fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="2 outputs, and the number of its classes is 1"):
        export.run(one_class, to, **output)
    pipeline = make_pipeline(StandardScaler(), classifier("two"))
    with pytest.raises(TypeError, match=r"not Pipeline; for a pipeline see mnistcore.sklearn.onnx"):
        export.run(pipeline, to, **output)
    broken = classifier("two")
    broken.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="weights that are not finite"):
        export.run(broken, to, **output)
    assert not list(place.iterdir())


def test_options_for_pixels_are_refused():
    with pytest.raises(ValueError, match=r"int8 takes bytes.*classifier.to_model"):
        export.run(classifier("two"), "c", "m.c", int8=True)
    with pytest.raises(ValueError, match="float-input is for images"):
        export.run(classifier("two"), "onnx", "m.onnx", float_input=True)
    with pytest.raises(ValueError, match="one class for each image"):
        classifier("labels").to_model()
    with pytest.raises(ValueError, match="images of 3 x 3 pixels do not fit"):
        classifier("two").to_model(input_shape=(3, 3))
    for scaling in ((0.0,), (np.nan,), (1.0, np.inf)):
        with pytest.raises(ValueError, match="scale and shift must be finite, and scale not 0"):
            classifier("two").to_model(*scaling)
    with pytest.raises(ValueError, match="pixel_max must be above 0"):
        classifier("two").to_model(pixel_max=0)
