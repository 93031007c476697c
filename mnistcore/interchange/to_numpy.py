"""Write a model as plain arrays in an ``.npz`` file that NumPy alone can run.

==================  ============================================================
``w0``, ``b0`` ...  weights (fan_in, fan_out) and bias (fan_out,), float32
``activations``     one name per layer: relu, tanh, logistic or identity
``scale, shift``    the network is fed ``pixel * scale + shift``; float64
``input_shape``     of one image
``class_names``     one name per class
``config``          the options of the training run, as JSON
``pixel_max``       the raw pixel value of full ink; absent if unknown
``float_pixels``    whether pixels were floats
``data``            what it was trained on, as JSON; absent if unknown
``link, classes``   of an estimator: what its outputs are, and their labels
==================  ============================================================

Five lines run a ReLU network on ``images`` (N, 28, 28), uint8::

    m = np.load("model.npz")
    a = images.reshape(len(images), -1) * m["scale"] + m["shift"]
    for i in range(len(m["activations"]) - 1):
        a = np.maximum(a @ m[f"w{i}"] + m[f"b{i}"], 0)
    labels = (a @ m[f"w{i + 1}"] + m[f"b{i + 1}"]).argmax(axis=1)
"""

import io
import json

import numpy as np

from ..models.fitted import FittedNetwork
from .dense import Source, dense_layers, description

_FORMULAS = {
    "relu": "np.maximum({}, 0)",
    "tanh": "np.tanh({})",
    "logistic": "1 / (1 + np.exp(-({})))",
    "identity": "{}",
}


_LABELS = "labels = ({}).argmax(axis=1)"
_RESULTS = {  # of an estimator, by its link function
    "softmax": 'labels = m["classes"][({}).argmax(axis=1)]',
    "logistic": "labels = ({} > 0).astype(int)",
    "identity": "values = {}",
    "exp": "values = np.exp({})",
}


def encode(model: Source) -> bytes:
    """Return the content of the ``.npz`` file; nothing in it is pickled.

    Raises
    ------
    ValueError
        If a weight is not finite.
    """
    arrays: dict[str, np.ndarray] = {}
    for index, layer in enumerate(dense_layers(model)):
        arrays[f"w{index}"] = layer.weights
        arrays[f"b{index}"] = layer.bias
    described = {name: value for name, value in description(model).items() if value is not None}
    for name in {"config", "data"} & described.keys():
        described[name] = json.dumps(described[name])
    arrays |= {name: np.array(value) for name, value in described.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def usage(model: Source, name: str) -> str:
    """Return Python code that predicts with NumPy alone."""
    hidden = len(model.network.layer_sizes) - 2
    estimated = isinstance(model, FittedNetwork)
    rows = "X" if estimated else 'images.reshape(len(images), -1) * m["scale"] + m["shift"]'
    lines = ["import numpy as np", "", f"m = np.load({json.dumps(name)})", f"a = {rows}"]
    if hidden:
        formula = _FORMULAS[model.network.activation].format('a @ m[f"w{i}"] + m[f"b{i}"]')
        lines += [f"for i in range({hidden}):", f"    a = {formula}"]
    result = _RESULTS[model.link] if isinstance(model, FittedNetwork) else _LABELS
    lines.append(result.format(f'a @ m["w{hidden}"] + m["b{hidden}"]'))
    return "\n".join(lines)
