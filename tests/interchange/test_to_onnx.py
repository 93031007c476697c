"""The ONNX graph in onnxruntime, beside the model itself."""

import dataclasses
import sys

import numpy as np
import pytest

from mnistcore.interchange import to_onnx
from mnistcore.kernels import numpy_kernels
from mnistcore.system.extras import MissingExtraError


@pytest.mark.parametrize("float_input", [False, True])
def test_onnxruntime_predicts_as_the_model_does(consumer, model, images, float_input):
    onnxruntime = consumer("onnxruntime")
    session = onnxruntime.InferenceSession(to_onnx.encode(model, float_input))
    (entry,) = session.get_inputs()
    assert entry.shape == ["batch", *model.input_shape]
    white = np.float32(model.pixel_max or 255)
    given = images.astype(np.float32) / white if float_input else images
    label, probabilities, logits = session.run(None, {entry.name: given})
    exact = model.logits(numpy_kernels, images)
    np.testing.assert_allclose(logits, exact, atol=2e-5 * max(1, np.abs(exact).max()))
    np.testing.assert_allclose(probabilities, model.predict_proba(images, numpy_kernels), atol=1e-5)
    np.testing.assert_array_equal(label, model.predict(images, numpy_kernels))
    assert [output.name for output in session.get_outputs()] == ["label", "probabilities", "logits"]


def test_any_number_of_images_goes_in(consumer, model, images):
    session = consumer("onnxruntime").InferenceSession(to_onnx.encode(model))
    for count in (0, 1, 7):
        label, probabilities, _ = session.run(None, {"images": images[:count]})
        assert label.shape == (count,)
        assert probabilities.shape == (count, len(model.class_names))


def test_the_opset_is_stated_and_the_file_is_valid(consumer, model):
    onnx = consumer("onnx")
    proto = onnx.load_model_from_string(to_onnx.encode(model))
    onnx.checker.check_model(proto, full_check=True)
    assert [(one.domain, one.version) for one in proto.opset_import] == [("", 13)]
    assert proto.producer_name == "mnistcore"


def test_the_same_model_makes_the_same_file(consumer, model):
    consumer("onnx")
    assert to_onnx.encode(model) == to_onnx.encode(model)


def test_the_extra_is_named_where_onnx_is_missing(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install -e "\.\[onnx\]" in'):
        to_onnx.encode(model)


def test_what_onnx_cannot_hold_is_refused(consumer, model, monkeypatch):
    consumer("onnx")
    params = model.params.copy()
    params[0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        to_onnx.encode(dataclasses.replace(model, params=params))
    monkeypatch.setattr(to_onnx, "_MAX_PARAMS", 2)
    with pytest.raises(ValueError, match="an ONNX file holds 2 GiB"):
        to_onnx.encode(model)
