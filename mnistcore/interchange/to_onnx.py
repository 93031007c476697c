"""Write a model as an ONNX graph, from raw pixels to the label.

The graph is ``images -> scale and shift -> Gemm -> activation -> ... -> logits -> Softmax,
ArgMax``. Its input is ``images`` (batch, \\*input_shape): raw uint8 pixels, or float32 pixels in
[0, 1]. Its outputs are ``label`` (batch,) int64, ``probabilities`` and ``logits`` (batch, C)
float32. Opset 13 (2020) has all these operators, so old runtimes can read the graph too.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..models.model import Model
from ..system.extras import require
from ..system.version import VERSION
from .dense import dense_layers, full_ink, spelled_ink

OPSET = 13
IR_VERSION = 7  # the version of the file format at the time of opset 13
_MAX_PARAMS = (2**31 - 2**20) // 4  # a protocol buffer holds at most 2 GiB

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def encode(model: Model, float_input: bool = False) -> bytes:
    """Return the content of the ONNX file, checked by ``onnx.checker``.

    Parameters
    ----------
    model
        The model.
    float_input
        The graph takes float32 pixels in [0, 1] instead of raw uint8 pixels.

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
    graph = _Graph(onnx)
    _add_input(graph, model, float_input)
    _add_layers(graph, model)
    proto = helper.make_model(
        graph.proto(model, float_input),
        producer_name="mnistcore",
        producer_version=VERSION,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(proto, {"class_names": json.dumps(model.class_names)})
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def usage(model: Model, name: str, float_input: bool = False) -> str:
    """Return Python code that predicts with onnxruntime."""
    images = f"images.astype(np.float32) / {spelled_ink(model)}" if float_input else "images"
    shape = ", ".join(map(str, model.input_shape))
    about = f"images: (N, {shape}), uint8, 0 to {spelled_ink(model)}"
    return (
        ("import numpy as np\n" if float_input else "") + "import onnxruntime\n"
        "\n"
        f"session = onnxruntime.InferenceSession({json.dumps(name)})\n"
        f'inputs = {{"images": {images}}}  # {about}\n'
        "label, probabilities, logits = session.run(None, inputs)"
    )


class _Graph:
    """A graph under construction: a chain of nodes, each fed by the last one and by constants."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._last = "images"

    def then(
        self,
        operator: str,
        output: str,
        constants: Sequence[tuple[str, np.ndarray]] = (),
        **attributes: Any,
    ) -> None:
        """Append a node that takes the output of the last one, then the constants."""
        self.beside(operator, output, constants, **attributes)
        self._last = output

    def beside(
        self,
        operator: str,
        output: str,
        constants: Sequence[tuple[str, np.ndarray]] = (),
        **attributes: Any,
    ) -> None:
        """Add such a node without making it the last one of the chain."""
        for name, array in constants:
            self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        inputs = [self._last, *(name for name, _ in constants)]
        node = self._onnx.helper.make_node(operator, inputs, [output], name=output, **attributes)
        self._nodes.append(node)

    def proto(self, model: Model, float_input: bool) -> Any:
        """Return the finished graph."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        raw = f"uint8, raw pixels from 0 to {spelled_ink(model)}"
        pixels = "float32, pixels in [0, 1]" if float_input else raw
        classes = model.network.layer_sizes[-1]
        images = helper.make_tensor_value_info(
            "images",
            kinds.FLOAT if float_input else kinds.UINT8,
            ["batch", *model.input_shape],
            pixels,
        )
        outputs = [
            helper.make_tensor_value_info("label", kinds.INT64, ["batch"]),
            helper.make_tensor_value_info("probabilities", kinds.FLOAT, ["batch", classes]),
            helper.make_tensor_value_info("logits", kinds.FLOAT, ["batch", classes]),
        ]
        about = f"A multi-layer perceptron. images: {pixels}; label: the index of the class."
        return helper.make_graph(
            self._nodes, "mnistcore", [images], outputs, self._constants, doc_string=about
        )


def _add_input(graph: _Graph, model: Model, float_input: bool) -> None:
    """Add the nodes from images to the first layer's input: ``pixel * scale + shift``."""
    graph.then("Flatten", "pixels", axis=1)
    if not float_input:
        graph.then("Cast", "floats", to=1)  # 1 is float32
    scale = np.float32(model.scale * full_ink(model) if float_input else model.scale)
    if scale != 1:
        graph.then("Mul", "scaled", [("scale", np.asarray(scale))])
    if model.shift:
        graph.then("Add", "shifted", [("shift", np.asarray(model.shift, np.float32))])


def _add_layers(graph: _Graph, model: Model) -> None:
    layers = dense_layers(model)
    for index, layer in enumerate(layers):
        output = "logits" if index == len(layers) - 1 else f"z{index}"
        graph.then("Gemm", output, [(f"w{index}", layer.weights), (f"b{index}", layer.bias)])
        if layer.activation in _OPERATORS:
            graph.then(_OPERATORS[layer.activation], f"a{index}")
    graph.beside("Softmax", "probabilities", axis=1)
    graph.beside("ArgMax", "label", axis=1, keepdims=0)
