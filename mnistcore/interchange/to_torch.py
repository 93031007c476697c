"""Write a model as a ``state_dict`` of ``torch.nn.Sequential`` in safetensors, without PyTorch.

Linear layers have even numbers, with activations between them: ``0.weight``, ``0.bias``,
``2.weight`` and so on. ``torch.nn.Linear`` keeps its weights as (out_features, in_features), so
they are transposed. The metadata say what to build (``sequential``), how to scale raw pixels
(``input``), and everything else that ``mnistcore convert`` needs to restore the model.
"""

import json
from itertools import pairwise

import numpy as np

from ..models import checkpoint
from ..models.fitted import FittedNetwork
from ..models.model import Model
from .dense import Source, dense_layers, description, plus, spelled_ink

DESCRIPTION = "mnistcore"  # the metadata entry with the description of the model

_MODULES = {"relu": "ReLU", "tanh": "Tanh", "logistic": "Sigmoid", "identity": "Identity"}


_RESULTS = {  # of an estimator, by its link function
    "softmax": "logits = {}",
    "logistic": "probabilities = {}.sigmoid()  # of each label, which holds above 0.5",
    "identity": "values = {}",
    "exp": "values = {}.exp()",
}


def encode(model: Source) -> bytes:
    """Return the content of the safetensors file.

    Raises
    ------
    ValueError
        If a weight is not finite.
    """
    tensors = {}
    for index, layer in enumerate(dense_layers(model)):
        tensors[f"{2 * index}.weight"] = np.ascontiguousarray(layer.weights.T)
        tensors[f"{2 * index}.bias"] = np.ascontiguousarray(layer.bias)
    metadata = {
        "format": "pt",  # other readers of safetensors expect it
        "sequential": f"nn.Sequential({', '.join(_modules(model))})",
        "input": _input(model),
        DESCRIPTION: json.dumps(description(model)),
    }
    return checkpoint.encode(tensors, metadata)


def usage(model: Source, name: str) -> str:
    """Return Python code that builds the network in PyTorch and predicts."""
    modules = "".join(f"    {module},\n" for module in _modules(model))
    if isinstance(model, FittedNetwork):
        result = _RESULTS[model.link]
    else:
        result = f"logits = {{}}  # images: raw pixels, 0 to {spelled_ink(model)}"
    return (
        "from safetensors.torch import load_file\n"
        "from torch import nn\n"
        "\n"
        f"network = nn.Sequential(\n{modules})\n"
        f"network.load_state_dict(load_file({json.dumps(name)}))\n"
        + result.format(f"network({_input(model)})")
    )


def _input(model: Source) -> str:
    """Return the input of the first layer as an expression."""
    if isinstance(model, FittedNetwork):
        return "X.float()"
    return f"images.flatten(1).float(){scaling(model)}"


def scaling(model: Model) -> str:
    """Return the scaling of raw pixels for the first layer, as the end of an expression."""
    divided = model.scale == 1 / model.brightest
    factor = f" / {spelled_ink(model)}" if divided else f" * {model.scale!r}"
    return factor + (plus(repr(model.shift)) if model.shift else "")


def _modules(model: Source) -> list[str]:
    linear = [f"nn.Linear({i}, {o})" for i, o in pairwise(model.network.layer_sizes)]
    between = f"nn.{_MODULES[model.network.activation]}()"
    return [module for layer in linear for module in (layer, between)][:-1]
