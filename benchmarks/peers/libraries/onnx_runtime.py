"""onnxruntime: prediction only, from a graph that takes uint8 images and gives class ids."""

from typing import NoReturn

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from . import Job, Peer, Weights

OPSET = 17


class OnnxRuntime(Peer):
    """A session with all graph optimizations and the threads that were asked for."""

    note = "graph from uint8 to class ids, all optimizations"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = onnxruntime.InferenceSession(
            _graph(job), options, providers=["CPUExecutionProvider"]
        )

    def train(self, order: np.ndarray) -> NoReturn:
        raise NotImplementedError("onnxruntime predicts, it does not train")

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"images": images})[0]

    def weights(self) -> Weights:
        return self.job.weights


def _graph(job: Job) -> bytes:
    """A model: Cast, Mul, then Gemm and activation a layer, and ArgMax."""
    constants = [numpy_helper.from_array(np.array(1 / 255, np.float32), "scale")]
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["a0"]),
    ]
    inputs_wide = job.case.layer_sizes[0]
    activate = "Relu" if job.case.activation == "relu" else "Tanh"
    for layer, (weights, bias) in enumerate(job.weights):
        constants += [
            numpy_helper.from_array(np.ascontiguousarray(weights), f"w{layer}"),
            numpy_helper.from_array(bias, f"b{layer}"),
        ]
        inputs = [f"a{layer}", f"w{layer}", f"b{layer}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"z{layer}"]))
        nodes.append(helper.make_node(activate, [f"z{layer}"], [f"a{layer + 1}"]))
    nodes[-1] = helper.make_node("ArgMax", [f"z{layer}"], ["classes"], axis=1, keepdims=0)
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", inputs_wide])],
        [helper.make_tensor_value_info("classes", TensorProto.INT64, ["n"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8  # what opset 17 came with: older runtimes read it too
    return model.SerializeToString()
