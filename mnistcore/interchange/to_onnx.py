"""Write a model as an ONNX graph, from raw pixels to the label.

The graph is ``images -> scale and shift -> Gemm -> activation -> ... -> logits -> Softmax,
ArgMax``. Its input is ``images`` (batch, \\*input_shape): raw uint8 pixels, or float32 pixels in
[0, 1]. Its outputs are ``label`` (batch,) int64, ``probabilities`` and ``logits`` (batch, C)
float32. Opset 13 (2020) has all these operators, so old runtimes can read the graph too.

The graph of an estimator takes ``X`` (batch, I) float32. Its outputs are ``label`` (batch,) of the
type of the classes, or (batch, L) int64 with several labels, ``probabilities`` and ``logits``; or
``values`` (batch, O) of a regressor.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.fitted import FittedNetwork
from ..models.model import Model
from ..system.extras import require
from ..system.version import VERSION
from .dense import Source, dense_layers, spelled_ink

OPSET = 13
IR_VERSION = 7  # the version of the file format at the time of opset 13
_MAX_PARAMS = (2**31 - 2**20) // 4  # a protocol buffer holds at most 2 GiB

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


_VALUES = {"identity": "Identity", "exp": "Exp"}  # by the link function of a regressor


def encode(model: Source, float_input: bool = False) -> bytes:
    """Return the content of the ONNX file, checked by ``onnx.checker``.

    Parameters
    ----------
    model
        The model, or the network of an estimator.
    float_input
        The graph of a model takes float32 pixels in [0, 1] instead of raw uint8 pixels.

    Raises
    ------
    MissingExtraError
        If onnx is not installed.
    ValueError
        If a weight is not finite, or the model is larger than an ONNX file can be.
    """
    onnx = require("onnx", "onnx")
    if model.network.n_params > _MAX_PARAMS:
        raise ValueError(f"an ONNX file holds 2 GiB, not {model.network.n_params:,} parameters")
    helper = onnx.helper
    if isinstance(model, FittedNetwork):
        graph = _estimator(onnx, model)
    else:
        graph = _classifier_of_images(onnx, model, float_input)
    proto = helper.make_model(
        graph,
        producer_name="mnistcore",
        producer_version=VERSION,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(proto, {"class_names": json.dumps(model.class_names)})
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def usage(model: Source, name: str, float_input: bool = False) -> str:
    """Return Python code that predicts with onnxruntime."""
    if isinstance(model, FittedNetwork):
        given = '{"X": X.astype(np.float32)}  # X: ' + f"(N, {model.input_shape[0]})"
        results = "label, probabilities, logits" if model.classifies else "(values,)"
    else:
        pixels = f"images.astype(np.float32) / {spelled_ink(model)}" if float_input else "images"
        shape = ", ".join(map(str, model.input_shape))
        about = f"images: (N, {shape}), uint8, 0 to {spelled_ink(model)}"
        given = f'{{"images": {pixels}}}  # {about}'
        results = "label, probabilities, logits"
    return (
        ("import numpy as np\n" if "np." in given else "") + "import onnxruntime\n"
        "\n"
        f"session = onnxruntime.InferenceSession({json.dumps(name)})\n"
        f"inputs = {given}\n"
        f"{results} = session.run(None, inputs)"
    )


@dataclass(frozen=True)
class Node:
    """A node of a graph: its operator, the names of what it takes and makes, its attributes."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


class Graph:
    """A graph under construction: a chain of nodes, each fed by the last one and by constants.

    Attributes
    ----------
    nodes
        In the order of their computation.
    constants
        Arrays by name.
    """

    def __init__(self, source: str) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self._last = source

    def then(self, operator: str, output: str, *constants: str, **attributes: Any) -> None:
        """Append a node that takes the output of the last one, then the constants."""
        self.beside(operator, output, *constants, **attributes)
        self._last = output

    def beside(self, operator: str, output: str, *constants: str, **attributes: Any) -> None:
        """Add such a node without making it the last one of the chain."""
        self.nodes.append(Node(operator, (self._last, *constants), output, attributes))

    def constant(self, name: str, array: np.ndarray) -> str:
        """Add a constant; return its name."""
        self.constants[name] = array
        return name

    def proto(self, onnx: Any, inputs: Sequence[Any], outputs: Sequence[Any], about: str) -> Any:
        """Return the finished graph."""
        make, convert = onnx.helper.make_node, onnx.numpy_helper.from_array
        return onnx.helper.make_graph(
            [
                make(node.operator, node.inputs, [node.output], name=node.output, **node.attributes)
                for node in self.nodes
            ],
            "mnistcore",
            inputs,
            outputs,
            [convert(array, name) for name, array in self.constants.items()],
            doc_string=about,
        )


def _classifier_of_images(onnx: Any, model: Model, float_input: bool) -> Any:
    """Return the graph of a model."""
    kinds, info = onnx.TensorProto, onnx.helper.make_tensor_value_info
    raw = f"uint8, raw pixels from 0 to {spelled_ink(model)}"
    pixels = "float32, pixels in [0, 1]" if float_input else raw
    kind = kinds.FLOAT if float_input else kinds.UINT8
    images = info("images", kind, ["batch", *model.input_shape], pixels)
    graph = Graph("images")
    graph.then("Flatten", "pixels", axis=1)
    if not float_input:
        graph.then("Cast", "floats", to=kinds.FLOAT)
    scale = np.float32(model.scale * model.brightest if float_input else model.scale)
    if scale != 1:
        graph.then("Mul", "scaled", graph.constant("scale", np.asarray(scale)))
    if model.shift:
        shift = np.asarray(model.shift, np.float32)
        graph.then("Add", "shifted", graph.constant("shift", shift))
    _add_layers(graph, model)
    graph.beside("Softmax", "probabilities", axis=1)
    graph.beside("ArgMax", "label", axis=1, keepdims=0)
    about = f"A multi-layer perceptron. images: {pixels}; label: the index of the class."
    outputs = _outputs(onnx, model, kinds.INT64, ["batch"])
    return graph.proto(onnx, [images], outputs, about)


def _estimator(onnx: Any, fitted: FittedNetwork) -> Any:
    """Return the graph of the network of an estimator."""
    kinds, info = onnx.TensorProto, onnx.helper.make_tensor_value_info
    rows = info("X", kinds.FLOAT, ["batch", *fitted.input_shape])
    graph = Graph("X")
    classes = fitted.classes
    if classes.dtype.kind == "U":
        classes = classes.astype(object)  # as which onnx takes strings
    add_layers_and_predictions(graph, fitted, classes)
    width = fitted.network.layer_sizes[-1]
    if not fitted.classifies:
        outputs = [info("values", kinds.FLOAT, ["batch", width])]
    elif fitted.link == "softmax":
        kind = onnx.helper.np_dtype_to_tensor_dtype(classes.dtype)
        outputs = _outputs(onnx, fitted, kind, ["batch"])
    else:
        outputs = _outputs(onnx, fitted, kinds.INT64, ["batch", width])
    return graph.proto(onnx, [rows], outputs, "A multi-layer perceptron on rows of features.")


def _outputs(onnx: Any, model: Source, kind: int, shape: Sequence[Any]) -> list[Any]:
    """Return the outputs of a classifier, whose labels have this type and shape."""
    info, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    classes = ["batch", model.network.layer_sizes[-1]]
    return [
        info("label", kind, shape),
        info("probabilities", float32, classes),
        info("logits", float32, classes),
    ]


def add_layers_and_predictions(
    graph: Graph, fitted: FittedNetwork, classes: np.ndarray, double: bool = False
) -> None:
    """Add the nodes of an estimator, from float32 rows to ``label`` and ``probabilities``.

    A regressor gets ``values`` instead. With ``double``, what follows the logits is computed in
    float64, as the estimators do for float64 rows. ``classes`` are the labels to give out.
    """
    _add_layers(graph, fitted)
    if double:
        graph.then("Cast", "double_logits", to=11)  # 11 is float64
    if not fitted.classifies:
        graph.then(_VALUES[fitted.link], "values")
    elif fitted.link == "softmax":
        graph.beside("Softmax", "probabilities", axis=1)
        graph.then("ArgMax", "index", axis=1, keepdims=0)
        labels = graph.constant("classes", classes)
        graph.nodes.append(Node("Gather", (labels, "index"), "label", {}))
    else:
        graph.then("Sigmoid", "probabilities")
        half = np.asarray(0.5, np.float64 if double else np.float32)
        graph.then("Greater", "above", graph.constant("half", half))
        graph.then("Cast", "label", to=7)  # 7 is int64


def _add_layers(graph: Graph, model: Source) -> None:
    """Add the nodes from the input of the first layer to the logits."""
    layers = dense_layers(model)
    for index, layer in enumerate(layers):
        output = "logits" if index == len(layers) - 1 else f"z{index}"
        weights = graph.constant(f"w{index}", layer.weights)
        graph.then("Gemm", output, weights, graph.constant(f"b{index}", layer.bias))
        if layer.activation in _OPERATORS:
            graph.then(_OPERATORS[layer.activation], f"a{index}")
