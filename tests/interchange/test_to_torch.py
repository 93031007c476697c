"""The state_dict: its layout by NumPy, and in PyTorch where that is installed."""

import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load

from mnistcore.interchange import to_torch
from mnistcore.kernels import numpy_kernels

FUNCTIONS = {
    "ReLU": lambda z: np.maximum(z, 0),
    "Tanh": np.tanh,
    "Sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "Identity": lambda z: z,
}


def test_linear_layers_with_activations_between_them_compute_the_logits(model, images):
    tensors = load(to_torch.encode(model))
    modules = to_torch._modules(model)
    x = images.reshape(200, -1) * model.scale + model.shift
    for index, module in enumerate(modules):
        if module.startswith("nn.Linear"):
            x = x @ tensors.pop(f"{index}.weight").T + tensors.pop(f"{index}.bias")
        else:
            x = FUNCTIONS[module.removeprefix("nn.").removesuffix("()")](x)
    assert not tensors
    exact = model.logits(numpy_kernels, images)
    np.testing.assert_allclose(x, exact, atol=2e-5 * max(1, np.abs(exact).max()))


def test_torch_predicts_the_same(consumer, model, images, tmp_path, monkeypatch):
    torch = consumer("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(to_torch.encode(model))
    place = {"images": torch.from_numpy(images)}
    exec(to_torch.usage(model, "x.safetensors"), place)
    probs = torch.softmax(place["logits"], 1).detach().numpy()
    np.testing.assert_allclose(probs, model.predict_proba(images, numpy_kernels), atol=1e-5)
    np.testing.assert_array_equal(probs.argmax(axis=1), model.predict(images, numpy_kernels))


def test_the_metadata_say_what_to_build(model, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(to_torch.encode(model))
    with safe_open(tmp_path / "x.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert metadata["sequential"].count("nn.Linear") == len(model.network.layer_sizes) - 1
    assert json.loads(metadata["mnistcore"])["scale"] == model.scale


def test_the_same_model_makes_the_same_file(model):
    assert to_torch.encode(model) == to_torch.encode(model)
