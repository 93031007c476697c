"""Plain arrays, and the lines that run them."""

import io

import numpy as np

from mnistcore.interchange import to_numpy
from mnistcore.kernels import numpy_kernels


def test_the_lines_shown_predict_as_the_model_does(model, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.npz").write_bytes(to_numpy.encode(model))
    place = {"images": images}
    exec(to_numpy.usage(model, "x.npz"), place)
    np.testing.assert_array_equal(place["labels"], model.predict(images, numpy_kernels))


def test_the_lines_of_the_docstring_predict_with_relu(tmp_path, monkeypatch):
    from small_models import MODELS

    model = MODELS["relu"]
    images = np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.npz").write_bytes(to_numpy.encode(model))
    lines = [line[4:] for line in to_numpy.__doc__.splitlines() if line.startswith("    ")]
    assert len(lines) == 5
    place = {"np": np, "images": images}
    exec("\n".join(lines), place)
    np.testing.assert_array_equal(place["labels"], model.predict(images, numpy_kernels))


def test_nothing_is_pickled(model):
    with np.load(io.BytesIO(to_numpy.encode(model)), allow_pickle=False) as arrays:
        assert not any(arrays[name].dtype.hasobject for name in arrays.files)
        for index, (weights, bias) in enumerate(model.network.views(model.params)):
            np.testing.assert_array_equal(arrays[f"w{index}"], weights)
            np.testing.assert_array_equal(arrays[f"b{index}"], bias)


def test_the_same_model_makes_the_same_file(model):
    assert to_numpy.encode(model) == to_numpy.encode(model)
