"""Files of weights: models of mnistcore, and what ``convert`` takes from other libraries."""

import contextlib
import dataclasses
import io

import keras_files
import numpy as np
from small_models import make_model

from mnistcore.interchange import to_numpy, to_torch
from mnistcore.interchange.conversion import run as convert
from mnistcore.models import checkpoint

from .hostile import NAMES, hostile_model
from .target import Target, joined, members, npz, split, written, zipped


def _npz_seeds():
    model = dataclasses.replace(make_model((12, 5, 3), "relu", (3, 4)), class_names=NAMES[:3])
    plain = {"w0": np.ones((12, 5)), "b0": np.ones(5), "w1": np.ones((5, 3)), "b1": np.ones(3)}
    norm = {f"1.{name}": np.ones(5) for name in ("weight", "bias", "running_mean", "running_var")}
    torch = {"0.weight": np.ones((5, 12)), "2.weight": np.ones((3, 5), np.float16), **norm}
    return [
        members(to_numpy.encode(model)), npz(**plain), npz(**torch), npz(*plain.values())
    ]  # fmt: skip


def _convert(path):
    convert(path, path.with_name("y.safetensors"), activation="relu")


def _torch_seeds():
    model = make_model((12, 5, 3), "relu", (3, 4))
    bare = {"0.weight": np.ones((5, 12)), "0.bias": np.ones(5), "1.weight": np.ones((3, 5))}
    half = {name: np.float16(array) for name, array in bare.items()}
    encoded = [checkpoint.encode(arrays, {}) for arrays in (bare, half)]
    ours, floats, halves = (split(one) for one in (to_torch.encode(model), *encoded))
    bfloats = halves | {"header": halves["header"].replace(b'"F16"', b'"BF16"')}
    return [ours, floats, halves, bfloats]


def _keras_parts():
    layers = [
        keras_files.layer("Rescaling", "rescaling", scale=1 / 255, offset=0.0),
        keras_files.layer("Flatten", "flatten"),
        keras_files.dense("dense", 5, "relu"),
        keras_files.norm("norm"),
        keras_files.dense("last", 3, "softmax"),
    ]
    config = keras_files.sequential(layers, (3, 4))
    return config, keras_files.variables_of(config)


def _hdf5_seeds():
    whole, older, weights = io.BytesIO(), io.BytesIO(), io.BytesIO()
    keras_files.write_whole(whole, *_keras_parts(), {"loss": "sparse"})
    keras_files.write_whole(older, *_keras_parts(), keras=2)
    keras_files.write_numbered(weights, *_keras_parts())
    return [{"x.h5": one.getvalue()} for one in (whole, older, weights)]


def _keras_seeds():
    makes = (keras_files.sequential, keras_files.functional)
    config, variables = _keras_parts()
    layers = config["config"]["layers"][1:]
    files = [
        written(lambda path, m=make: keras_files.write_keras(path, m(layers, (3, 4)), variables))
        for make in makes
    ]
    return [members(one) for one in files]


def _model_seeds():
    models = make_model((12, 5, 3), "relu", (3, 4)), hostile_model(side=6)
    return [split(written(lambda path, m=one: checkpoint.save(path, m))) for one in models]


def _load(path):
    model = checkpoint.load(path)
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):
        model.predict(np.zeros((2, *model.input_shape)), "numpy")


TARGETS = {
    "model": Target(_model_seeds, _load, pack=joined),
    "weights": Target(_npz_seeds, _convert, pack=zipped("x.npz")),
    "torch-weights": Target(_torch_seeds, _convert, pack=joined),
    "hdf5-weights": Target(_hdf5_seeds, _convert),
    "keras": Target(_keras_seeds, _convert, pack=zipped("x.keras")),
}
