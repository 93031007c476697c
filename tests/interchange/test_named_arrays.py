"""Arrays that no configuration describes: what is left out, batch normalisation, odd memory."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from small_models import make_model

from mnistcore.__main__ import main
from mnistcore.convert import run
from mnistcore.kernels import numpy_kernels

IMAGES = np.random.default_rng(2).integers(0, 256, (30, 36), np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model():
    return make_model((36, 8, 8, 4), "relu", (6, 6))


def arrays_of(model, weights="w", bias="b"):
    found = {}
    for index, (w, b) in enumerate(model.network.views(model.params)):
        found |= {f"{weights}{index}": w, f"{bias}{index}": b}
    return found


NO_WEIGHTS = {
    "layer_sizes": np.array([36, 8, 8, 4]),
    "accuracy": np.float64(0.98),
    "epoch": np.int64(12),
    "activation": np.array("relu"),
    "labels": np.arange(10.0),
    "history": np.random.default_rng(0).random((20, 3)),
    "losses": np.linspace(2, 0.1, 30),
    "confusion": np.ones((4, 4)),
    "optimizer/m_w0": np.zeros((36, 8)),
    "adam.w0": np.zeros((36, 8)),
    "momentum_w0": np.zeros((36, 8)),
    "mW0": np.zeros((36, 8)),
    "done": np.array(True),
}


@pytest.mark.parametrize("given", [(), ("0", "1", "2")])
def test_arrays_that_are_no_weights_are_left_out_and_named(place, capsys, model, given):
    np.savez("w.npz", **arrays_of(model), **NO_WEIGHTS)
    found = run("w.npz", activation="relu", layers=given)
    np.testing.assert_array_equal(found.model.params, model.params)
    assert set(found.left_out) == set(NO_WEIGHTS)
    assert main(["convert", "w.npz", "--activation", "relu"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert all(name in out.split("left out")[1] for name in NO_WEIGHTS)


def test_python_objects_are_left_out_unopened(place, model):
    history = np.array({"loss": [1, 2]}, dtype=object)
    np.savez("w.npz", **arrays_of(model), history=history)
    found = run("w.npz", activation="relu")
    np.testing.assert_array_equal(found.model.params, model.params)
    assert found.left_out == ("history (Python objects)",)


def test_a_copy_of_the_network_is_left_out_if_the_layers_are_named(place, capsys, model):
    other = {f"ema.{name}": array * 2 for name, array in arrays_of(model).items()}
    np.savez("w.npz", **arrays_of(model), **other)
    assert main(["convert", "w.npz", "--activation", "relu"]) == 2
    assert "do not follow one another" in capsys.readouterr().err
    found = run("w.npz", activation="relu", layers=("ema 0", "ema 1", "ema 2"))
    np.testing.assert_array_equal(found.model.params, 2 * model.params)
    assert found.left_out == ("0", "1", "2")


def normalised(model, order, eps):
    """Random statistics for the hidden layers, and the logits of the network with them."""
    rng = np.random.default_rng(3)
    x = IMAGES / 255
    statistics = {}
    pairs = model.network.views(model.params)
    for index, (w, b) in enumerate(pairs):
        x = x @ np.float64(w) + b
        if index == len(pairs) - 1:
            return statistics, x
        x = np.maximum(x, 0) if order == "after" else x
        one = {
            "gamma": rng.uniform(0.5, 2, 8), "beta": rng.normal(0, 1, 8),
            "running_mean": rng.normal(0, 1, 8), "running_var": rng.uniform(0.01, 2, 8),
        }  # fmt: skip
        x = (x - one["running_mean"]) / np.sqrt(one["running_var"] + eps)
        x = x * one["gamma"] + one["beta"]
        x = np.maximum(x, 0) if order == "before" else x
        statistics |= {f"{name}{index}": array for name, array in one.items()}
    return None


@pytest.mark.parametrize("order", ["before", "after"])
def test_statistics_numbered_as_the_layers_are_folded(place, model, order):
    statistics, expected = normalised(model, order, 1e-5)
    np.savez("w.npz", **arrays_of(model, "W"), **statistics)
    found = run("w.npz", activation="relu", batch_norm=order).model
    np.testing.assert_allclose(found.logits(numpy_kernels, IMAGES), expected, atol=1e-5)


def test_get_weights_of_keras_with_batch_normalisation(place, model):
    statistics, expected = normalised(model, "before", 1e-3)
    arrays = []
    for index, pair in enumerate(model.network.views(model.params)):
        names = ("gamma", "beta", "running_mean", "running_var") if index < 2 else ()
        arrays += [*pair, *(statistics[f"{name}{index}"] for name in names)]
    np.savez("w.npz", *arrays)
    found = run("w.npz", activation="relu").model
    np.testing.assert_allclose(found.logits(numpy_kernels, IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("flag", [["--batch-norm", "after"], ["--bn-eps", "0.1"]])
def test_options_of_batch_normalisation_need_one(place, capsys, model, flag):
    np.savez("w.npz", **arrays_of(model))
    assert main(["convert", "w.npz", "--activation", "relu", *flag]) == 2
    assert "has no batch normalisation; leave out batch-norm and bn-eps" in capsys.readouterr().err


@pytest.mark.parametrize("eps", ["-1", "nan", "inf"])
def test_an_eps_is_a_small_number(place, capsys, model, eps):
    np.savez("w.npz", **arrays_of(model, "W"), **normalised(model, "before", 1e-5)[0])
    assert main(["convert", "w.npz", "--activation", "relu", f"--bn-eps={eps}"]) == 2
    assert "bn-eps must be 0 or more" in capsys.readouterr().err


MEMORIES = {
    "big-endian": lambda array: array.astype(">f4"),
    "Fortran": np.asfortranarray,
    "double": lambda array: array.astype(np.float64),
}


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_order_of_bytes_and_numbers_changes_nothing(place, model, memory):
    np.savez("w.npz", **{n: MEMORIES[memory](array) for n, array in arrays_of(model).items()})
    found = run("w.npz", activation="relu").model
    assert found.params.tobytes() == model.params.tobytes()


def test_half_precision_is_exact(place, model):
    halves = {name: array.astype(np.float16) for name, array in arrays_of(model).items()}
    np.savez("w.npz", **halves)
    found = run("w.npz", activation="relu").model
    expected = np.concatenate([array.ravel() for array in halves.values()]).astype(np.float32)
    np.testing.assert_array_equal(found.params, expected)


def test_bfloat16_is_exact(place, model):
    """A file written byte by byte: NumPy has no such type."""
    header, content = {}, b""
    for name, array in arrays_of(model, "l.weight", "l.bias").items():
        bits = (np.ascontiguousarray(array).view(np.uint32) >> 16).astype("<u2").tobytes()
        place_of = [len(content), len(content) + len(bits)]
        header[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": place_of}
        content += bits
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path("w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content)
    found = run("w.safetensors", activation="relu", layout="keras").model
    expected = (model.params.view(np.uint32) >> 16 << 16).view(np.float32)
    np.testing.assert_array_equal(found.params, expected)


def test_a_file_that_may_only_be_read_is_enough(place, model):
    np.savez("w.npz", **arrays_of(model))
    Path("w.npz").chmod(0o400)
    run("w.npz", activation="relu")
    assert Path("w.npz").stat().st_mode & 0o777 == 0o400


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_two_classes_of_scikit_learn_have_one_output(place):
    from sklearn.neural_network import MLPClassifier

    labels = IMAGES[:, 0] > 127
    one = MLPClassifier((8,), activation="tanh", max_iter=5, random_state=0)
    one.fit(IMAGES / 255, labels)
    arrays = enumerate(zip(one.coefs_, one.intercepts_, strict=True))
    named = {f"{'wb'[role]}{i}": pair[role] for i, pair in arrays for role in (0, 1)}
    np.savez("w.npz", **named)
    found = run("w.npz", activation="tanh", class_names=["dark", "light"])
    shown = found.model.predict_proba(IMAGES, numpy_kernels)
    np.testing.assert_allclose(shown, one.predict_proba(IMAGES / 255), atol=1e-6)
    assert found.remarks == (
        "its single output is the logit of the second of two classes, and the first has logit 0",
    )
    assert found.model.class_names == ("dark", "light")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_line_that_a_refused_pickle_is_given_works(place, capsys):
    import pickle

    from sklearn.neural_network import MLPClassifier

    labels = np.arange(30) % 3
    one = MLPClassifier((8,), max_iter=5, random_state=0).fit(IMAGES / 255, labels)
    Path("model.pkl").write_bytes(pickle.dumps(one))
    assert main(["convert", "model.pkl"]) == 2
    err = capsys.readouterr().err
    exec(re.search(r"(numpy\.savez\(.*\))", err)[1], {"numpy": np, "model": one, "zip": zip})
    found = run("weights.npz", activation="relu").model
    shown = found.predict_proba(IMAGES, numpy_kernels)
    np.testing.assert_allclose(shown, one.predict_proba(IMAGES / 255), atol=1e-5)


def test_the_line_that_an_onnx_graph_is_given_works(place, capsys, model):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    tensors = [numpy_helper.from_array(np.array(a), n) for n, a in arrays_of(model).items()]
    x = helper.make_tensor_value_info("x", 1, [None, 36])
    y = helper.make_tensor_value_info("y", 1, [None, 8])
    node = helper.make_node("Gemm", ["x", "w0", "b0"], ["y"])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [x], [y], tensors)), "model.onnx")
    assert main(["convert", "model.onnx"]) == 2
    err = capsys.readouterr().err
    assert "is an ONNX graph, which is not read" in err
    exec(re.search(r"(numpy\.savez\(.*\))", err)[1], {"numpy": np, "onnx": onnx})
    np.testing.assert_array_equal(run("weights.npz", activation="relu").model.params, model.params)


def test_hdf5_of_ones_own_names(place, model):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File("w.h5", "w") as file:
        for name, array in arrays_of(model, "W").items():
            file[name] = array
        file["accuracy"] = 0.98
        file["note"] = "a text"
    found = run("w.h5", activation="relu")
    np.testing.assert_array_equal(found.model.params, model.params)
    assert set(found.left_out) == {"accuracy", "note"}
