"""Files of weights: models of mnistcore, and what ``convert`` takes from other libraries."""

import contextlib
import dataclasses
import io
import json
import math

import keras_files
import numpy as np
from small_models import make_model

from mnistcore.interchange import to_numpy, to_torch
from mnistcore.interchange.conversion import run as convert
from mnistcore.models import checkpoint
from mnistcore.system import hdf5_content

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
    """Convert weights; the model can be read."""
    output = path.with_name("y.safetensors")
    convert(path, output, activation="relu")
    checkpoint.load(output)


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
    config = keras_files.sequential([keras_files.dense("dense", 2)], (3,))
    variables = keras_files.variables_of(config)
    numbered, older = io.BytesIO(), io.BytesIO()
    keras_files.write_numbered(numbered, config, variables)
    keras_files.write_whole(older, config, variables, keras=2)
    return [{"x.h5": one.getvalue()} for one in (numbered, older)]


def _keras_seeds():
    """Whole models, with what the process that reads HDF5 copies from them as parts."""
    config, variables = _keras_parts()
    layers = config["config"]["layers"][1:]
    seeds = []
    for make in (keras_files.sequential, keras_files.functional):
        for number in (0, 1):
            whole, file = io.BytesIO(), io.BytesIO()
            model = make(layers, (3, 4))
            if number:
                keras_files.write_numbered(file, model, variables)
            else:
                keras_files.write_whole(file, model, variables)
            hdf5_content.copy(file, 2**20, 8, whole)
            whole.seek(0)
            index = json.loads(np.lib.format.read_array(whole).tobytes())
            arrays = {name: np.lib.format.read_array(whole) for name in index.pop("names")}
            kinds = {name: [one.dtype.str, *one.shape] for name, one in arrays.items()}
            parts = {"config.json": model, "arrays": kinds, **index}
            seeds.append({name: json.dumps(part).encode() for name, part in parts.items()})
    return seeds


def _keras(parts):
    """Pack what that process would say, in its form whatever the parts are, in place of HDF5."""
    index = {name: _texts(_parsed(parts[name])) for name in ("bfloat16", "others", "left_out")}
    attributes = _parsed(parts["attributes"])
    groups = attributes.items() if isinstance(attributes, dict) else ()
    index["attributes"] = {"": {}} | {
        path: {name: _texts(one) for name, one in texts.items()}
        for path, texts in groups
        if isinstance(texts, dict)
    }
    kinds = _parsed(parts["arrays"])
    arrays = {name: _ones(kind) for name, kind in kinds.items()} if isinstance(kinds, dict) else {}
    index["bfloat16"] = [one for one in index["bfloat16"] if one in arrays]
    content = io.BytesIO()
    text = json.dumps({"names": list(arrays), **index}).encode()
    for array in (np.frombuffer(text, np.uint8), *arrays.values()):
        np.lib.format.write_array(content, array)
    files = {"config.json": parts["config.json"], "model.weights.h5": content.getvalue()}
    return zipped("x.keras")(files)


def _parsed(content):
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(content)
    return None


def _texts(value):
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _ones(kind):
    """Return a small array of a type and a shape; a number where they are none."""
    with contextlib.suppress(ValueError, TypeError, OverflowError, LookupError, SyntaxError):
        dtype, shape = np.dtype(kind[0]), tuple(map(int, kind[1:]))
        if dtype.kind in "biuf" and 0 <= math.prod(shape) < 10_000 and min(shape, default=0) >= 0:
            return np.ones(shape, dtype)
    return np.ones(())


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
    "hdf5": Target(_hdf5_seeds, _convert),
    "keras": Target(_keras_seeds, _convert, pack=_keras),
}
