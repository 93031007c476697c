import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.models.checkpoint import CheckpointError
from mnistcore.models.model import Model, TrainedOn
from mnistcore.models.network import Network


@pytest.fixture
def model():
    network = Network((6, 5, 4, 3), "tanh", (0.0, 0.25))
    params = network.init(np.random.default_rng(0))
    data = TrainedOn("F/raw", "ab" * 32, "/sets/F/raw", ("They look odd.",), "transposed")
    names = ("a", "b", "c")
    return Model(network, params, (2, 3), 1 / 16, -0.5, names, {"seed": 1}, 16.0, True, data)


@pytest.fixture
def saved(model, tmp_path):
    checkpoint.save(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def rewrite(path, tensors=None, **metadata):
    """Write a model file again with other tensors or metadata; None removes an entry."""
    old = checkpoint_metadata(path)
    changed = {key: value for key, value in {**old, **metadata}.items() if value is not None}
    save_file(load_file(path) | (tensors or {}), path, changed)


def test_a_model_comes_back_as_it_was(model, saved):
    loaded = checkpoint.load(saved)
    np.testing.assert_array_equal(loaded.params, model.params)
    assert loaded.network == model.network
    for field in dataclasses.fields(Model)[2:]:
        assert getattr(loaded, field.name) == getattr(model, field.name)


def test_one_dropout_rate_is_written_for_each_hidden_layer(tmp_path):
    network = Network((6, 5, 4, 3), "relu", 0.25)
    params = network.init(np.random.default_rng(0))
    checkpoint.save(tmp_path / "m", Model(network, params, (6,), 1.0, 0.0, ("a", "b", "c")))
    entries = json.loads(checkpoint_metadata(tmp_path / "m")["layers"])
    assert [entry["dropout"] for entry in entries] == [0.25, 0.25, 0.0]
    assert checkpoint.load(tmp_path / "m").network == network


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("class_names", ["a", "b", 3], "a class name that is no text"),
        ("class_names", ["a", "b", "c" * 201], "a class name that is no text, or too long"),
        ("input", {"shape": [10**3000] * 2000, "scale": 1, "shift": 0}, "has an input of shape"),
        ("config", {"a": json.loads("[" * 60 + "]" * 60)}, "has a 'config'"),
        ("data", {"name": "x" * 10**6, "checksum": "", "remarks": []}, "has a 'data'"),
    ],
    ids=["number", "long", "axes", "deep", "remark"],
)
def test_metadata_that_would_cost_time_or_fill_a_screen_are_refused(saved, name, value, message):
    rewrite(saved, **{name: json.dumps(value)})
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(saved)


def test_unknown_tensors_are_counted_rather_than_listed(saved):
    rewrite(saved, {f"t{i}": np.zeros(1) for i in range(5000)})
    with pytest.raises(CheckpointError, match=r"t0, t1, t10 \.\.\. t999 \(5000\)"):
        checkpoint.load(saved)


def checkpoint_metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def test_what_an_older_file_lacks_is_unknown(saved):
    entry = {"shape": [2, 3], "scale": 1 / 16, "shift": -0.5}
    rewrite(saved, data=None, input=json.dumps(entry))
    loaded = checkpoint.load(saved)
    assert (loaded.data, loaded.pixel_max, loaded.float_pixels) == (None, None, False)
    assert loaded.taking(255.0) is loaded
    assert loaded.taking_bytes().scale == loaded.scale


@pytest.mark.parametrize(
    "data",
    ["[]", "{", '{"name": "x"}', '{"name": 1, "checksum": "", "remarks": []}',
     '{"name": "x", "checksum": "", "remarks": [1]}', '{"name": "x", "checksum": "", "remarks": 1}',
     '{"name": "x", "checksum": "", "remarks": [], "folder": 7}',
     '{"name": "x", "checksum": "", "remarks": [], "look": 7}'],
)  # fmt: skip
def test_data_that_cannot_be_read_are_told(saved, data):
    rewrite(saved, data=data)
    with pytest.raises(CheckpointError, match=r"has a 'data' .*cannot be read"):
        checkpoint.load(saved)


@pytest.mark.parametrize("pixel_max", ["0", "-1", "NaN", "Infinity"])
def test_a_range_of_pixels_that_is_none_is_told(saved, pixel_max):
    rewrite(saved, input=f'{{"shape": [2, 3], "scale": 1, "shift": 0, "pixel_max": {pixel_max}}}')
    with pytest.raises(CheckpointError, match="has pixels up to"):
        checkpoint.load(saved)


def test_a_model_takes_pixels_of_another_range(model):
    images = np.random.default_rng(0).integers(0, 17, (9, 2, 3), np.uint8)
    for_bytes = model.taking_bytes()
    assert (for_bytes.pixel_max, for_bytes.float_pixels) == (255, False)
    np.testing.assert_allclose(
        for_bytes.logits(numpy_kernels, images.astype(np.float32) * (255 / 16)),
        model.logits(numpy_kernels, images),
        rtol=1e-5,
    )


def test_a_run_folder_stands_for_its_model(saved, model):
    assert checkpoint.load(saved.parent).network == model.network


def test_a_model_without_hidden_layers_comes_back(tmp_path):
    network = Network((6, 3))
    model = Model(network, network.init(np.random.default_rng(0)), (6,), 1.0, 0.0, ("a", "b", "c"))
    checkpoint.save(tmp_path / "m.safetensors", model)
    loaded = checkpoint.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.params, model.params)
    assert loaded.network.layer_sizes == (6, 3)


def test_any_reader_of_safetensors_finds_the_weights(saved, model):
    tensors = load_file(saved)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes == {
        "layers.0.weight": (6, 5),
        "layers.0.bias": (5,),
        "layers.1.weight": (5, 4),
        "layers.1.bias": (4,),
        "layers.2.weight": (4, 3),
        "layers.2.bias": (3,),
    }
    for index, (weights, bias) in enumerate(model.network.views(model.params)):
        np.testing.assert_array_equal(tensors[f"layers.{index}.weight"], weights)
        np.testing.assert_array_equal(tensors[f"layers.{index}.bias"], bias)


def test_a_model_predicts_from_raw_images(model, kernels):
    images = np.random.default_rng(1).integers(0, 17, (9, 2, 3), np.uint8)
    x = images.reshape(9, 6).astype(np.float64) * model.scale + model.shift
    params = model.params.astype(np.float64)
    expected = model.network.forward(numpy_kernels, params, x)
    np.testing.assert_allclose(model.logits(kernels, images), expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict(images, kernels), expected.argmax(axis=1))
    probs = model.predict_proba(images, kernels)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)


def test_images_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match="images of 2 x 3 pixels, got 28 x 28"):
        model.logits(numpy_kernels, np.zeros((1, 28, 28), np.uint8))


def test_a_failed_save_leaves_the_old_file_and_nothing_else(saved, model, monkeypatch):
    before = saved.read_bytes()

    def full_disk(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save(saved, model)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.safetensors: no such file; give a run"):
        checkpoint.load(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match=r"model.safetensors: no such file"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("length", [0, 4, 20, 500, -1])
def test_a_truncated_file_is_refused(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"model.safetensors: is not a safetensors file"):
        checkpoint.load(saved)


@pytest.mark.parametrize("content", [b"not a model at all", b"\x80\x04pickle", b"\xff" * 64])
def test_another_kind_of_file_is_refused(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file") as caught:
        checkpoint.load(tmp_path / "x.safetensors")
    assert "\n" not in str(caught.value)


def layer(fan_in, fan_out, **changed):
    kind = {"kind": "dense", "activation": "tanh", "dropout": 0.0}
    return {**kind, "fan_in": fan_in, "fan_out": fan_out, **changed}


LAST = layer(4, 3, activation="identity")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": None}, "was not written by mnistcore"),
        ({"format": "pt"}, "was not written by mnistcore"),
        ({"format_version": "2"}, "has format version 2; this mnistcore reads version 1"),
        ({"format_version": None}, "has format version None"),
        ({"layers": None}, "lacks 'layers'"),
        ({"layers": "{"}, "has a 'layers' in its metadata that cannot be read"),
        ({"layers": "[" * 100_000}, "has a 'layers' in its metadata that cannot be read"),
        ({"layers": "[]"}, "layer table that cannot be read"),
        ({"layers": json.dumps([3])}, "layer table that cannot be read"),
        ({"layers": json.dumps([layer(6, 5), LAST])}, "does not describe a network"),
        ({"layers": json.dumps([layer(6, 4, kind="conv"), LAST])}, "does not describe a network"),
        ({"layers": json.dumps([layer(6, 4, activation="gelu"), LAST])}, "not supported: gelu"),
        ({"layers": json.dumps([layer(6, 4, dropout=1.5), LAST])}, "dropout rate must be in"),
        ({"layers": json.dumps([layer(6, -4), layer(-4, 3)])}, "layer table|not supported"),
        ({"layers": json.dumps([layer(6, 4), LAST])}, "other tensors than its layer table says"),
        (
            {"layers": json.dumps([layer(6, 5), layer(5, 10**15), {**LAST, "fan_in": 10**15}])},
            r"has layers.1.weight of F32 \[5, 4\]; expected F32 \[5, 1000000000000000\]",
        ),
        ({"input": None}, "lacks 'input'"),
        ({"input": "[]"}, "has a 'input' in its metadata that cannot be read"),
        ({"input": "{}"}, "has an 'input' that cannot be read"),
        ({"input": '{"shape": [7], "scale": 1, "shift": 0}'}, r"shape \(7,\).* for 6 inputs"),
        ({"input": '{"shape": [6], "scale": NaN, "shift": 0}'}, "scale nan"),
        ({"class_names": '["a"]'}, "has 1 class names for 3 outputs"),
        ({"config": "3"}, "has a 'config' in its metadata that cannot be read"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_right_are_refused(saved, metadata, message):
    rewrite(saved, **metadata)
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(saved)
    assert str(caught.value).startswith(str(saved))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"layers.0.bias": np.zeros(4, np.float32)}, r"has layers.0.bias of F32 \[4\]"),
        ({"layers.0.bias": np.zeros(5, np.float64)}, r"has layers.0.bias of F64 \[5\]"),
        ({"layers.0.weight": np.zeros((5, 6), np.float32)}, r"expected F32 \[6, 5\]"),
        ({"layers.3.bias": np.zeros(4, np.float32)}, "other tensors than .*: layers.3.bias"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, tensors, message):
    rewrite(saved, tensors)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(saved)
