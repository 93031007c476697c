"""Files as Keras writes them, written by h5py, and what the network in them computes."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

# What Keras writes of a layer and what of it matters here: the options that change the result.
CENTRE = {
    "axis": -1, "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True,
    "renorm": False, "synchronized": False,
}  # fmt: skip


VERSION = {2: "2.13.1", 3: "3.15.1"}


def dense(name, units, activation="linear", **options):
    return {"class_name": "Dense", "config": {
        "name": name, "trainable": True, "units": units, "activation": activation,
        "use_bias": True, "kernel_regularizer": None, **options,
    }}  # fmt: skip


def layer(kind, name, **options):
    return {"class_name": kind, "config": {"name": name, "trainable": True, **options}}


def norm(name, **options):
    return layer("BatchNormalization", name, **{**CENTRE, **options})


def sequential(layers, shape=(28, 28), keras=3):
    """The configuration of a Sequential, as Keras 2 or 3 writes it."""
    key = "batch_shape" if keras == 3 else "batch_input_shape"
    first = layer("InputLayer", "input_layer", **{key: [None, *shape], "dtype": "float32"})
    return {
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": [first, *layers]},
    }


def functional(layers, shape=(28, 28), keras=3):
    """The configuration of a functional model that is a chain, its layers listed backwards."""
    made = sequential(layers, shape, keras)["config"]["layers"]
    names = [one["config"]["name"] for one in made]
    for before, one in zip([None, *names], made, strict=False):
        one["name"] = one["config"]["name"]
        if keras == 2:
            one["inbound_nodes"] = [] if before is None else [[[before, 0, 0, {}]]]
            continue
        history = {"shape": [None], "dtype": "float32", "keras_history": [before, 0, 0]}
        tensor = {"class_name": "__keras_tensor__", "config": history}
        one["inbound_nodes"] = [] if before is None else [{"args": [tensor], "kwargs": {}}]
    output = [names[-1], 0, 0]
    return {"class_name": "Functional", "config": {
        "name": "functional", "layers": made[::-1],
        "input_layers": [names[0], 0, 0] if keras == 3 else [[names[0], 0, 0]],
        "output_layers": output if keras == 3 else [output],
    }}  # fmt: skip


def variables_of(config, rng=None):
    """Random variables of every layer: a list of names and one of arrays each, in Keras' order."""
    rng = rng or np.random.default_rng(0)
    found, units = {}, None
    for one in sorted(config["config"]["layers"], key=lambda one: "Input" not in one["class_name"]):
        options = one["config"]
        if one["class_name"] == "InputLayer":
            shape = options.get("batch_shape") or options.get("batch_input_shape")
            units = int(np.prod(shape[1:]))
    for one in in_order(config):
        options, names, arrays = one["config"], [], []
        if one["class_name"] == "Dense":
            names, arrays = ["kernel"], [rng.normal(0, units**-0.5, (units, options["units"]))]
            units = options["units"]
            if options["use_bias"]:
                names, arrays = [*names, "bias"], [*arrays, rng.normal(0, 0.3, units)]
        elif one["class_name"] == "BatchNormalization":
            if options["scale"]:
                names, arrays = [*names, "gamma"], [*arrays, rng.uniform(0.5, 2, units)]
            if options["center"]:
                names, arrays = [*names, "beta"], [*arrays, rng.normal(0, 0.5, units)]
            names += ["moving_mean", "moving_variance"]
            arrays += [rng.normal(0, 0.5, units), rng.uniform(0.01, 2, units)]
        elif one["class_name"] == "Normalization" and options["mean"] is None:
            shape = options["build"]
            names = ["mean", "variance", "count"]
            arrays = [rng.uniform(0, 0.5, shape), rng.uniform(0.01, 0.2, shape), np.int32(60000)]
        found[options["name"]] = (
            names,
            [np.asarray(a, np.float32) if np.ndim(a) else a for a in arrays],
        )
    return found


def in_order(config):
    layers = config["config"]["layers"]
    return layers if config["class_name"] == "Sequential" else layers[::-1]


def write_whole(path, config, variables, training=None, keras=3):
    """``model.save('m.h5')``: model_config, and variables by the names of the layers."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = VERSION[keras]
        file.attrs["backend"] = "torch" if keras == 3 else "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        if training:
            file.attrs["training_config"] = json.dumps(training)
        write_named(file.create_group("model_weights"), config, variables, keras)
        optimizer = file.create_group("optimizer_weights/adam")
        optimizer["iteration"] = np.int32(7)
        optimizer["sequential_dense_kernel_momentum"] = np.zeros((784, 16), np.float32)


def write_named(group, config, variables, keras=3):
    """The older layout, also of ``save_weights('w.h5')`` in Keras 2: layer_names, weight_names."""
    kinds = [one for one in in_order(config) if one["class_name"] != "InputLayer" or keras == 2]
    names = [one["config"]["name"] for one in kinds]
    encode = (lambda one: one.encode()) if keras == 2 else str
    group.attrs["keras_version"] = encode(VERSION[keras])
    group.attrs["backend"] = encode("tensorflow")
    group.attrs["layer_names"] = [encode(name) for name in names]
    group.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros(0)
    for name in names:
        roles, arrays = variables[name]
        inner = group.create_group(name)
        spelled = [
            f"{name}/{role}:0" if keras == 2 else f"sequential/{name}/{role}" for role in roles
        ]
        inner.attrs["weight_names"] = [encode(one) for one in spelled] or np.zeros(0)
        for one, array in zip(spelled, arrays, strict=True):
            inner[one] = array


def write_numbered(path, config, variables, folder="layers"):
    """``save_weights('w.weights.h5')`` in Keras 3: layers/dense_1/vars/0; the optimizer's too."""
    import h5py

    counts = {}
    with h5py.File(path, "w") as file:
        for one in config["config"]["layers"]:
            if config["class_name"] == "Sequential" and one["class_name"] == "InputLayer":
                continue
            kind = SNAKES.get(one["class_name"], one["class_name"].lower())
            counts[kind] = counts.get(kind, -1) + 1
            place = f"{kind}_{counts[kind]}" if counts[kind] else kind
            inner = file.create_group(f"{folder}/{place}").create_group("vars")
            inner.attrs["name"] = one["config"]["name"]
            for index, array in enumerate(variables[one["config"]["name"]][1]):
                inner[str(index)] = array
        file.create_group("vars").attrs["name"] = "sequential"
        state = file.create_group("optimizer/vars")
        state["0"], state["2"] = np.int32(7), np.zeros((784, 16), np.float32)


SNAKES = {
    "InputLayer": "input_layer", "BatchNormalization": "batch_normalization", "ReLU": "re_lu",
}  # fmt: skip


def write_keras(path, config, variables, folder="layers", **members):
    """``model.save('m.keras')``."""
    buffer = io.BytesIO()
    write_numbered(buffer, config, variables, folder)
    entries = {
        "metadata.json": json.dumps({"keras_version": VERSION[3], "date_saved": "2026-01-01"}),
        "config.json": json.dumps({"module": "keras", "registered_name": None, **config}),
        "model.weights.h5": buffer.getvalue(),
        **members,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return Path(path)


def outputs(config, variables, images):
    """What the model computes for images (N, ...), in float64, layer by layer."""
    x = np.asarray(images, np.float64)
    for one in in_order(config):
        kind, options = one["class_name"], one["config"]
        values = dict(zip(*variables[options["name"]], strict=True))
        if kind == "Dense":
            x = activate(
                x @ np.float64(values["kernel"]) + values.get("bias", 0), options["activation"]
            )
        elif kind == "BatchNormalization":
            deviation = np.sqrt(np.float64(values["moving_variance"]) + options["epsilon"])
            x = (x - values["moving_mean"]) / deviation * values.get("gamma", 1) + values.get(
                "beta", 0
            )
        elif kind in ("Activation", "ReLU", "Softmax"):
            x = activate(x, options.get("activation", kind.lower()))
        elif kind == "Rescaling":
            x = x * options["scale"] + options["offset"]
        elif kind == "Normalization":
            mean, variance = (values.get(key, options[key]) for key in ("mean", "variance"))
            x = (x - mean) / np.maximum(np.sqrt(variance), 1e-7)
        elif kind == "Flatten":
            x = x.reshape(len(x), -1)
    return x


def activate(x, name):
    if name == "softmax":
        powers = np.exp(x - x.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    return {
        "linear": lambda: x,
        "relu": lambda: np.maximum(x, 0),
        "tanh": lambda: np.tanh(x),
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
    }[name]()
