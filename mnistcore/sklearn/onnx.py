"""Teach ``skl2onnx`` to convert the estimators, alone or in a pipeline. ::

    import mnistcore.sklearn.onnx
    from skl2onnx import to_onnx

    mnistcore.sklearn.onnx.register()
    onx = to_onnx(pipeline, X[:1])

Options such as ``zipmap`` mean what they do for scikit-learn's own ``MLPClassifier``. Unlike its
converter, this one gives regressors all of their outputs, and class labels of 64 bits.
"""

from typing import Any

import numpy as np

from ..interchange.to_onnx import Graph, add_layers_and_predictions
from ..system.extras import require
from .classifier import MLPClassifier
from .regressor import MLPRegressor

_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [True, False],
}


def register() -> None:
    """Register converters of ``MLPClassifier`` and ``MLPRegressor``; a second call changes nothing.

    Raises
    ------
    MissingExtraError
        If skl2onnx is not installed.
    """
    skl2onnx = require("skl2onnx", "onnx")
    skl2onnx.update_registered_converter(
        MLPClassifier, "MnistcoreMLPClassifier", _classifier_shapes, _convert, options=_OPTIONS
    )
    skl2onnx.update_registered_converter(
        MLPRegressor, "MnistcoreMLPRegressor", _regressor_shapes, _convert
    )


def _classifier_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    fitted = operator.raw_operator.fitted_network()
    if fitted.link == "logistic":  # several labels
        rows = operator.inputs[0].get_first_dimension()
        operator.outputs[0].set_type(Int64TensorType([rows, len(fitted.classes)]))


def _regressor_shapes(operator: Any) -> None:
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes

    calculate_linear_regressor_output_shapes(operator)
    operator.outputs[0].type.shape[1] = operator.raw_operator.n_outputs_


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of :func:`.to_onnx.add_layers_and_predictions` under names of this scope."""
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.common.utils_classifier import get_label_classes

    estimator, source = operator.raw_operator, operator.inputs[0]
    fitted = estimator.fitted_network()
    graph = Graph("rows")
    graph.then("Cast", "X", to=TensorProto.FLOAT)
    labels = _labels(get_label_classes(scope, estimator)) if fitted.classifies else fitted.classes
    double = isinstance(source.type, DoubleTensorType)
    add_layers_and_predictions(graph, fitted, labels, double)

    results = ("label", "probabilities") if fitted.classifies else ("values",)
    names = {"rows": source.full_name}
    names |= {name: out.full_name for name, out in zip(results, operator.outputs, strict=True)}
    for name in (*graph.constants, *(node.output for node in graph.nodes)):
        names.setdefault(name, scope.get_unique_variable_name(name))
    kinds = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "S": TensorProto.STRING}
    for name, array in graph.constants.items():
        kind = TensorProto.DOUBLE if array.dtype == np.float64 else kinds[array.dtype.kind]
        container.add_initializer(names[name], kind, array.shape, array.ravel())
    for node in graph.nodes:
        container.add_node(
            node.operator,
            [names[name] for name in node.inputs],
            [names[node.output]],
            name=scope.get_unique_operator_name(node.operator),
            **node.attributes,
        )


def _labels(classes: np.ndarray) -> np.ndarray:
    """Return class labels as skl2onnx declares them: int64, or strings in UTF-8."""
    if classes.dtype.kind in "UO":
        return np.array([name.encode() for name in classes])
    return classes.astype(np.int64)
