"""Whole models and weights of Keras: every layout, every layer, and what is refused."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras_files as files
import numpy as np
import pytest

from mnistcore.__main__ import main
from mnistcore.convert import run
from mnistcore.interchange import from_hdf5, weight_file
from mnistcore.kernels import numpy_kernels
from mnistcore.system import copying, hdf5_content

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

IMAGES = np.random.default_rng(5).integers(0, 256, (40, 28, 28), np.uint8)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flatten():
    return files.layer("Flatten", "flatten", data_format="channels_last")


def rescaling(scale=1 / 255, offset=0.0):
    return files.layer("Rescaling", "rescaling", scale=scale, offset=offset)


def softmax(name="dense_2"):
    return files.dense(name, 10, "softmax")


# Each network: its layers, and what its first layer takes (raw pixels or pixels in [0, 1]).
NETWORKS = {
    "plain": ([flatten(), files.dense("dense", 16, "relu"), softmax()], 255),
    "rescaled": ([rescaling(), flatten(), files.dense("dense", 16, "tanh"), softmax()], 1),
    "around zero": (
        [rescaling(1 / 127.5, -1.0), flatten(), files.dense("dense", 16, "relu"), softmax()], 1
    ),
    "to (-1, 1)": (
        [rescaling(2.0, -1.0), flatten(), files.dense("dense", 16, "sigmoid"), softmax()], 255
    ),
    "normalised": (
        [
            flatten(),
            files.layer("Normalization", "normalization", axis=None, mean=33.3, variance=6200.0),
            files.dense("dense", 16, "relu"),
            softmax(),
        ],
        1,
    ),
    "normalised by pixel": (
        [
            flatten(),
            files.layer(
                "Normalization", "normalization", axis=[-1], mean=None, variance=None, build=784
            ),
            files.dense("dense", 16, "relu"),
            softmax(),
        ],
        255,
    ),
    "normalised by column": (
        [
            files.layer(
                "Normalization", "normalization", axis=[-1], mean=None, variance=None, build=28
            ),
            flatten(),
            files.dense("dense", 16, "relu"),
            softmax(),
        ],
        255,
    ),
    "norm, activation": (
        [
            flatten(),
            files.dense("dense", 16, use_bias=False),
            files.norm("batch_normalization"),
            files.layer("Activation", "activation", activation="relu"),
            files.layer("Dropout", "dropout", rate=0.2),
            files.dense("dense_1", 8),
            files.norm("batch_normalization_1"),
            files.layer("ReLU", "re_lu", max_value=None, negative_slope=0.0, threshold=0.0),
            files.dense("dense_2", 10),
            files.layer("Softmax", "softmax", axis=-1),
        ],
        255,
    ),
    "activation, norm": (
        [
            flatten(),
            files.dense("dense", 16, "relu"),
            files.norm("batch_normalization"),
            files.dense("dense_1", 8, "relu"),
            files.layer("Dropout", "dropout", rate=0.2),
            files.norm("batch_normalization_1", epsilon=0.1),
            softmax(),
        ],
        255,
    ),
    "norm without centre or scale": (
        [
            flatten(),
            files.norm("batch_normalization", scale=False),
            files.dense("dense", 16),
            files.norm("batch_normalization_1", center=False),
            files.layer("Activation", "activation", activation="tanh"),
            files.norm("batch_normalization_2", center=False, scale=False),
            files.dense("dense_1", 10),
            files.norm("batch_normalization_3"),
            files.layer("Activation", "activation_1", activation="softmax"),
        ],
        255,
    ),
    "no hidden layer": ([flatten(), softmax()], 255),
}  # fmt: skip


def write(kind, config, variables):
    path = Path(f"m{'.h5' if 'h5' in kind else '.keras'}")
    if kind == "whole h5":
        files.write_whole(path, config, variables)
    elif kind == "whole h5 of Keras 2":
        files.write_whole(path, config, variables, keras=2)
    else:
        folder = "_layer_checkpoint_dependencies" if "2.13" in kind else "layers"
        files.write_keras(path, config, variables, folder)
    return path


@pytest.fixture
def within_this_process(monkeypatch):
    """Spare the process that reads HDF5, for tests of hundreds of files."""

    def run(copier, kind, source, numbers, into):
        opened = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        hdf5_content.copy(opened, *numbers, into)

    monkeypatch.setattr(copying, "run", run)


@pytest.mark.usefixtures("within_this_process")
@pytest.mark.parametrize("make", [files.sequential, files.functional])
@pytest.mark.parametrize("kind", ["whole h5", "whole h5 of Keras 2", "keras", "keras 2.13"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_model_computes_the_same_without_options(place, name, kind, make):
    layers, divisor = NETWORKS[name]
    config = make(json.loads(json.dumps(layers)), keras=2 if "Keras 2" in kind else 3)
    variables = files.variables_of(config)
    found = run(write(kind, config, variables))
    expected = files.outputs(config, variables, IMAGES / divisor)
    shown = found.model.predict_proba(IMAGES, numpy_kernels)
    np.testing.assert_allclose(shown, expected, atol=2e-5)
    assert found.model.input_shape == (28, 28)
    assert found.layout == "keras"
    assert "optimizer" in found.left_out[0]
    assert len({tuple(row) for row in expected.round(3)}) > 30  # the images tell networks apart


@pytest.mark.parametrize("keras", [2, 3])
def test_weights_alone_need_the_activation(place, capsys, keras):
    config = files.sequential(NETWORKS["plain"][0])
    variables = files.variables_of(config)
    if keras == 3:
        files.write_numbered("w.weights.h5", config, variables)
    else:
        with h5py.File("w.weights.h5", "w") as file:
            files.write_named(file, config, variables, keras=2)
    refused(capsys, "w.weights.h5", "does not say the hidden layers' activation")
    found = run("w.weights.h5", activation="relu").model
    expected = files.outputs(config, variables, IMAGES / 255)
    np.testing.assert_allclose(found.predict_proba(IMAGES, numpy_kernels), expected, atol=2e-5)


@pytest.mark.parametrize("order", ["before", "after"])
def test_weights_alone_fold_batch_normalisation(place, order):
    name = "norm, activation" if order == "before" else "activation, norm"
    layers = json.loads(json.dumps(NETWORKS[name][0]))
    for one in layers:
        if one["class_name"] == "BatchNormalization":
            one["config"]["epsilon"] = 0.002
    config = files.sequential(layers)
    variables = files.variables_of(config)
    files.write_numbered("w.weights.h5", config, variables)
    option = {} if order == "before" else {"batch_norm": "after"}
    found = run("w.weights.h5", activation="relu", bn_eps=0.002, **option)
    expected = files.outputs(config, variables, IMAGES / 255)
    np.testing.assert_allclose(
        found.model.predict_proba(IMAGES, numpy_kernels), expected, atol=2e-5
    )
    assumed = ", as it is most often" if order == "before" else ""
    assert found.remarks == tuple(
        f"batch normalisation batch_normalization{number} (eps 0.002) acts {order} the"
        f" activation of dense{number}{assumed}"
        for number in ("", "_1")
    )


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_one_output_becomes_two_classes(place, activation):
    layers = [flatten(), files.dense("dense", 8, "relu"), files.dense("dense_1", 1, activation)]
    config = files.sequential(layers)
    config["compile_config"] = {"optimizer": "adam", "loss": "binary_crossentropy"}
    variables = files.variables_of(config)
    found = run(write("keras", config, variables), class_names=["no", "yes"])
    z = files.outputs(config, variables, IMAGES / 255)[:, 0]
    chance = z if activation == "sigmoid" else 1 / (1 + np.exp(-z))
    shown = found.model.predict_proba(IMAGES, numpy_kernels)
    np.testing.assert_allclose(shown[:, 1], chance, atol=1e-5)
    assert found.model.class_names == ("no", "yes")
    assert (found.model.logits(numpy_kernels, IMAGES)[:, 0] == 0).all()


def test_layers_that_share_a_name_two_levels_down_are_refused():
    """The older layout of HDF5 files has them in one place."""
    names = {"weight_names": ["b/d/kernel", "c/d/kernel"]}
    arrays = {f"M/{name}": np.ones((2, 2)) for name in names["weight_names"]}
    with pytest.raises(ValueError, match="has two layers 'd' in 'M', which this layout does not"):
        from_hdf5._named({"M": names}, ["M"], arrays)


def test_sigmoids_of_ten_classes_keep_their_answers(place):
    config = files.sequential([flatten(), files.dense("dense", 10, "sigmoid")])
    variables = files.variables_of(config)
    found = run(write("keras", config, variables))
    expected = files.outputs(config, variables, IMAGES / 255).argmax(axis=1)
    assert (found.model.predict(IMAGES, numpy_kernels) == expected).all()
    assert "the file's outputs are sigmoids" in found.remarks[0]


def test_models_in_models(place):
    config = files.sequential([flatten(), files.dense("a", 16, "relu"), files.dense("b", 10)])
    variables = files.variables_of(config)
    first, *inner = config["config"]["layers"]
    nested = files.sequential(inner)
    nested["config"] = {"name": "sequential_1", "layers": inner}
    outer = {"class_name": "Sequential", "config": {"name": "outer", "layers": [first, nested]}}
    with h5py.File("m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(outer)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["sequential_1"]
        group = group.create_group("sequential_1")
        names = [f"outer/sequential_1/{one}/{role}" for one in "ab" for role in variables[one][0]]
        group.attrs["weight_names"] = names
        for name, array in zip(names, variables["a"][1] + variables["b"][1], strict=True):
            group[name] = array
    expected = files.outputs(config, variables, IMAGES / 255)
    found = run("m.h5").model.logits(numpy_kernels, IMAGES)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_class_of_ones_own_gives_weights_alone(place):
    with h5py.File("w.h5", "w") as file:
        for name, shape in (("d1", (784, 5)), ("d2", (5, 3))):
            file[f"{name}/vars/0"], file[f"{name}/vars/1"] = np.ones(shape), np.ones(shape[1])
    config = json.dumps({"module": None, "class_name": "M", "config": {}, "registered_name": "M"})
    with zipfile.ZipFile("m.keras", "w") as archive:
        archive.write("w.h5", "model.weights.h5")
        archive.writestr("config.json", config)
    assert run("m.keras", activation="tanh").layer_names == ("d1", "d2")


@pytest.mark.parametrize("kind", ["big-endian", "half", "bfloat16", "double"])
def test_types_of_numbers(place, kind):
    config = files.sequential(NETWORKS["plain"][0])
    variables = files.variables_of(config)
    plain = run(write("keras", config, variables), "plain.safetensors").model
    dtype = {"big-endian": ">f4", "half": "<f2", "bfloat16": "<u2", "double": "<f8"}[kind]

    def converted(array):
        if kind == "bfloat16":
            return (array.view(np.uint32) >> 16).astype("<u2")
        return array.astype(dtype)

    changed = {
        name: (roles, [converted(array) for array in arrays])
        for name, (roles, arrays) in variables.items()
    }
    files.write_numbered("w.weights.h5", config, changed)
    if kind == "bfloat16":
        with h5py.File("w.weights.h5", "r+") as file:
            for name in ("dense", "dense_1"):
                for number in "01":
                    file[f"layers/{name}/vars/{number}"].attrs["dtype"] = "bfloat16"
    found = run("w.weights.h5", activation="relu").model
    lost = {"half": 2.0**-10, "bfloat16": 2.0**-7}.get(kind, 0)
    np.testing.assert_allclose(found.params, plain.params, rtol=lost, atol=lost * 1e-3)


def refused(capsys, path, message, *flags):
    before = sorted(Path().rglob("*"))
    assert main(["convert", str(path), *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore convert: error: .*\n", err), err
    assert re.search(message, err), err
    assert sorted(Path().rglob("*")) == before


REFUSED = {
    "conv": ([files.layer("Conv2D", "conv2d", filters=8)], "has conv2d, a layer Conv2D; converted"),
    "lstm": ([files.layer("LSTM", "lstm", units=8)], "has lstm, a layer LSTM; converted are Dense"),
    "lambda": ([files.layer("Lambda", "l", function="x")], "a layer Lambda, whose code is not run"),
    "own": (
        [files.layer("Dense", "d", units=3) | {"module": "my.layers"}],
        "has d, a layer Dense, whose code is not run",
    ),
    "leaky": (
        [flatten(), files.dense("d", 8), files.layer("LeakyReLU", "leaky_re_lu", alpha=0.1)],
        "has the activation LeakyReLU; supported are identity, logistic, tanh, relu",
    ),
    **{
        name: (
            [flatten(), files.dense("d", 8, name), files.dense("e", 10)],
            f"has the activation {name}; supported are",
        )
        for name in ("leaky_relu", "gelu", "silu", "swish", "elu", "selu", "hard_sigmoid", "relu6")
    },
    "relu to 6": (
        [flatten(), files.dense("d", 8), files.layer("ReLU", "r", max_value=6.0)],
        "has the activation ReLU with max_value 6; supported",
    ),
    "function": (
        [flatten(), files.dense("d", 8, {"class_name": "function", "config": "my_relu"})],
        "has the activation my_relu, a function of its own",
    ),
    "mixed": (
        [flatten(), files.dense("d", 8, "relu"), files.dense("e", 8, "tanh"), files.dense("f", 9)],
        "hidden layers of several activations: relu, tanh; one for all",
    ),
    "inner softmax": (
        [flatten(), files.dense("d", 8, "softmax"), files.dense("e", 8)],
        "has softmax between its layers",
    ),
    "relu at the end": ([flatten(), files.dense("d", 8, "relu")], "has the activation relu after"),
    "not flattened": ([files.dense("d", 8)], r"has d on inputs of shape \(28, 28\); only"),
    "early": (
        [flatten(), files.layer("Activation", "a", activation="relu"), files.dense("d", 8)],
        "has the activation relu where no dense layer comes before",
    ),
    "norm at the end": (
        [flatten(), files.dense("d", 8, "softmax"), files.norm("n")],
        "has n after its last activation",
    ),
    "no layers": ([flatten()], "holds no dense layer"),
    "constant pixel": (
        [
            flatten(),
            files.layer("Normalization", "n", axis=None, mean=0.5, variance=[0.0] * 784),
            files.dense("d", 8),
        ],
        "has n, which divides by a deviation of almost 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_are_not_converted_are_named(place, capsys, name):
    layers, message = REFUSED[name]
    config = files.sequential(layers)
    config["config"]["layers"][1:] = json.loads(json.dumps(layers))
    variables = {one["config"]["name"]: ([], []) for one in config["config"]["layers"]}
    if all(
        one["class_name"] not in ("Conv2D", "LSTM", "Lambda") for one in layers
    ) and name not in ("own",):
        variables = files.variables_of(config)
    refused(capsys, write("keras", config, variables), message)


def test_a_regression_is_no_class(place, capsys):
    config = files.sequential([flatten(), files.dense("d", 1)])
    variables = files.variables_of(config)
    files.write_whole("m.h5", config, variables, {"loss": "mean_squared_error"})
    refused(capsys, "m.h5", "has a single output, trained with the loss mean_squared_error")


def test_branches_are_refused(place, capsys):
    config = files.functional([flatten(), files.dense("d", 784, "relu"), files.dense("e", 10)])
    variables = files.variables_of(config)
    node = config["config"]["layers"][0]["inbound_nodes"][0]
    tensor = json.loads(json.dumps(node["args"][0]))
    tensor["config"]["keras_history"][0] = "flatten"
    node["args"].append(tensor)
    refused(capsys, write("keras", config, variables), "several inputs or outputs; only a chain")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--activation", "tanh"], "the activation is relu; the option says tanh"),
        (["--layers", "dense"], "has the layers dense, dense_2; got dense"),
        (["--layout", "torch"], "layout torch contradicts that"),
        (["--batch-norm", "after"], "describes its batch normalisation; leave out"),
        (["--input-shape", "14", "56"], "says that images have 28 x 28 pixels; got 14 x 56"),
        (["--normalize", "0.1307", "0.3081"], "scales raw pixels itself .rescaling, by 0.0039"),
        (["--scale", "0.00392"], "scale 0.00392 would do it twice"),
    ],
)
def test_options_that_contradict_the_file_are_refused(place, capsys, flags, message):
    config = files.sequential([rescaling(), *NETWORKS["plain"][0]])
    path = write("keras", config, files.variables_of(config))
    refused(capsys, path, message, *flags)


def test_options_that_say_what_the_file_says_are_taken(place):
    config = files.sequential([rescaling(), *NETWORKS["plain"][0]])
    path = write("keras", config, files.variables_of(config))
    flags = ["--activation", "relu", "--scale", "-1", "--shift", "255"]
    assert main(["convert", str(path), *flags]) == 0


def nothing_inside(config, variables):
    files.write_keras("m.keras", config, variables, **{"model.weights.h5": b"\x89HDF\r\n\x1a\nno"})


def no_weights(config, variables):
    with zipfile.ZipFile("m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))


def no_json(config, variables):
    files.write_keras("m.keras", config, variables, **{"config.json": "{"})


def endless_json(config, variables):
    files.write_keras("m.keras", config, variables, **{"config.json": "[" * 100_000})


def odd_json(config, variables):
    odd = json.loads(json.dumps(config))
    odd["config"]["layers"][2] = {"class_name": "Dense", "config": 7}
    files.write_keras("m.keras", config, variables, **{"config.json": json.dumps(odd)})


def no_variables(config, variables):
    files.write_keras("m.keras", config, {name: ([], []) for name in variables})


def another_shape(config, variables):
    variables["dense"][1][0] = np.zeros((784, 15), np.float32)
    files.write_keras("m.keras", config, variables)


def integers(config, variables):
    variables["dense"][1][0] = np.zeros((784, 16), np.int8)
    files.write_keras("m.keras", config, variables)


def not_finite(config, variables):
    variables["dense"][1][0][3, 4] = np.nan
    files.write_keras("m.keras", config, variables)


def huge_input(config, variables):
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 2**40, 2**40]
    files.write_keras("m.keras", config, variables)


def link_outside(config, variables):
    files.write_whole("m.keras", config, variables)
    with h5py.File("m.keras", "r+") as file:
        file["model_weights/elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def numbers_outside(config, variables):
    files.write_whole("m.keras", config, variables)
    with h5py.File("m.keras", "r+") as file:
        file["model_weights"].create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def cycle(config, variables):
    files.write_whole("m.keras", config, variables)
    with h5py.File("m.keras", "r+") as file:
        file["model_weights/dense/again"] = file["model_weights"]


def claims_much(config, variables):
    files.write_whole("m.keras", config, variables)
    with h5py.File("m.keras", "r+") as file:
        file["model_weights"].create_dataset("x", (2**20, 2**20), "f4", chunks=(64, 64))


def cut(config, variables):
    files.write_whole("m.keras", config, variables)
    Path("m.keras").write_bytes(Path("m.keras").read_bytes()[:5000])


def missing_array(config, variables):
    files.write_whole("m.keras", config, variables)
    with h5py.File("m.keras", "r+") as file:
        del file["model_weights/dense/sequential/dense/kernel"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([files.layer("Softmax", "s", axis=0)], "has s along the axis 0, which is not converted"),
        (
            [
                files.layer("Reshape", "r", target_shape=[5, 2]),
                files.layer("Softmax", "s", axis=-1),
            ],
            r"has s, a softmax over a part of outputs of shape \(5, 2\)",
        ),
        (
            [
                files.layer("Reshape", "r", target_shape=[5, 2]),
                files.layer("Activation", "a", activation="softmax"),
            ],
            r"has a, a softmax over a part of outputs of shape \(5, 2\)",
        ),
    ],
)
def test_a_softmax_over_something_else_than_the_classes_is_refused(place, capsys, layers, message):
    config = files.sequential([flatten(), files.dense("dense", 10), *layers])
    refused(capsys, write("keras", config, files.variables_of(config)), message)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (nothing_inside, "is a damaged HDF5 file"),
        (no_weights, "damaged or unknown .keras file"),
        (no_json, "has a config.json that cannot be read"),
        (endless_json, "has a config.json that cannot be read"),
        (odd_json, "has a configuration that cannot be read"),
        (no_variables, "has dense with the variables none, not kernel, bias"),
        (another_shape, r"has dense \(784, 15\) with"),
        (integers, "has dense of int8; weights must be floating-point"),
        (not_finite, "has numbers in dense that are not finite"),
        (huge_input, "has inputs of shape"),
        (link_outside, "has a link at 'elsewhere'; links are not followed"),
        (numbers_outside, "has 'x', whose numbers lie in another file"),
        (cycle, "more than 12 deep"),
        (claims_much, "holds 8,796,.* bytes of arrays; at most"),
        (cut, "is a damaged HDF5 file"),
        (missing_array, "lacks 'dense/sequential/dense/kernel', which its weight_names have"),
    ],
)
def test_damaged_and_hostile_files_are_refused(place, capsys, spoil, message):
    config = files.sequential([flatten(), files.dense("dense", 16, "relu"), softmax()])
    spoil(config, files.variables_of(config))
    refused(capsys, "m.keras", message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "is a damaged HDF5 file .reading it crashes"),
        ("import time; time.sleep(99)", "is a damaged HDF5 file .it takes too long to read"),
    ],
)
def test_a_file_on_which_the_library_crashes_or_hangs(place, capsys, monkeypatch, code, message):
    config = files.sequential(NETWORKS["plain"][0])
    path = write("whole h5", config, files.variables_of(config))
    monkeypatch.setattr(copying, "_program", lambda copier: ["-c", code])
    monkeypatch.setattr(copying, "_PATIENCE", 2.0 if "sleep" in code else 60.0)
    refused(capsys, path, message)


def test_a_bomb_in_the_zip_is_told_by_its_size(place, capsys, monkeypatch):
    monkeypatch.setattr(weight_file, "MAX_BYTES", 2**20)
    with zipfile.ZipFile("m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**22))
    assert Path("m.keras").stat().st_size < 2**14
    refused(capsys, "m.keras", "holds 4,194,306 bytes of arrays; at most 1,048,576 are read")


def test_without_h5py_the_extra_is_named(place, capsys, monkeypatch):
    config = files.sequential(NETWORKS["plain"][0])
    path = write("whole h5", config, files.variables_of(config))
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(capsys, path, r'h5py is needed .*pip install -e "\.\[hdf5\]"')


# The real Keras, in a process of its own: files that it wrote, and what it predicts from them.
REAL = """
import sys
import keras, numpy as np
from keras import layers as L

rng = np.random.default_rng(0)
images = np.load("images.npy")
relu = dict(activation="relu")
models = {
    "before": keras.Sequential([keras.Input((28, 28)), L.Rescaling(1 / 255), L.Flatten(),
        L.Dense(16), L.BatchNormalization(), L.Activation("relu"), L.Dropout(0.2),
        L.Dense(8), L.BatchNormalization(scale=False), L.ReLU(), L.Dense(10, "softmax")]),
    "after": keras.Sequential([keras.Input((28, 28, 1)), L.Rescaling(1 / 127.5, -1.0), L.Flatten(),
        L.Dense(16, **relu), L.BatchNormalization(center=False), L.Dense(10), L.Softmax()]),
    "one": keras.Sequential([keras.Input((28, 28)), L.Rescaling(1 / 255), L.Flatten(),
        keras.Sequential([L.Dense(8, "tanh"), L.Dense(1, "sigmoid")])]),
}
norm = L.Normalization()
norm.adapt(images.reshape(-1, 784).astype("float32"))
inputs = keras.Input((28, 28))
x = norm(L.Reshape((784,))(inputs))
x = L.Dense(16, "sigmoid")(x)
models["functional"] = keras.Model(inputs, L.Dense(10, "softmax")(x))
outputs = {}
for name, model in models.items():
    loss = "binary_crossentropy" if name == "one" else "sparse_categorical_crossentropy"
    model.compile("adam", loss)
    shaped = images.reshape(-1, *model.input_shape[1:]).astype("float32")
    model.fit(shaped, np.arange(len(images)) % (2 if name == "one" else 10), epochs=2, verbose=0)
    outputs[name] = model.predict(shaped, verbose=0)
    model.save(f"{name}.keras")
    model.save(f"{name}.h5")
    model.save_weights(f"{name}.weights.h5")
np.savez("outputs.npz", **outputs)
"""


@pytest.fixture(scope="module")
def real(consumer, tmp_path_factory):
    """A folder with files that Keras wrote, and its outputs for the images."""
    consumer("torch")
    consumer("keras")
    folder = tmp_path_factory.mktemp("keras")
    np.save(folder / "images.npy", IMAGES)
    subprocess.run(
        [sys.executable, "-c", REAL], cwd=folder, check=True, capture_output=True, timeout=600,
        env={**os.environ, "KERAS_BACKEND": "torch"},
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", ["before", "after", "one", "functional"])
def test_what_keras_saved_predicts_what_keras_predicts(real, tmp_path, name, suffix):
    found = run(real / f"{name}{suffix}", tmp_path / "m.safetensors")
    with np.load(real / "outputs.npz") as outputs:
        expected = outputs[name]
    shown = found.model.predict_proba(IMAGES, numpy_kernels)
    np.testing.assert_allclose(shown[:, 1:] if name == "one" else shown, expected, atol=2e-4)
    assert found.model.input_shape == (28, 28)


def structure(path):
    """Every object of an HDF5 file, with its attributes' names, and the shapes of its arrays."""
    found = {}

    def note(name, item):
        found[name] = (sorted(item.attrs), getattr(item, "shape", None))

    with h5py.File(path) as file:
        file.visititems(note)
    return {name: entry for name, entry in found.items() if "optimizer" not in name}


def test_the_files_of_these_tests_are_as_keras_writes_them(real, place):
    layers = [
        rescaling(), flatten(), files.dense("dense", 16), files.norm("batch_normalization"),
        files.layer("Activation", "activation", activation="relu"),
        files.layer("Dropout", "dropout", rate=0.2),
        files.dense("dense_1", 8), files.norm("batch_normalization_1", scale=False),
        files.layer("ReLU", "re_lu"), files.dense("dense_2", 10, "softmax"),
    ]  # fmt: skip
    config = files.sequential(layers)
    variables = files.variables_of(config)
    files.write_numbered("w.weights.h5", config, variables)
    assert structure("w.weights.h5") == structure(real / "before.weights.h5")
    files.write_whole("m.h5", config, variables)
    assert structure("m.h5") == structure(real / "before.h5")
    with zipfile.ZipFile(real / "before.keras") as archive:
        written = json.loads(archive.read("config.json"))
    for one, real_one in zip(config["config"]["layers"], written["config"]["layers"], strict=True):
        assert one["class_name"] == real_one["class_name"]
        assert one["config"].keys() - {"trainable", "dtype"} <= real_one["config"].keys()
