"""The table of docs/weights.md: a file of each kind, the command, the outcome."""

import pickle
import re
import shlex
import zipfile
from pathlib import Path

import keras_files as files
import numpy as np
import pytest
from safetensors.numpy import save_file
from small_models import make_model

from mnistcore import export
from mnistcore.__main__ import main
from mnistcore.models import checkpoint

PAGE = Path(__file__).parents[2] / "docs/weights.md"
if not PAGE.exists():
    pytest.skip("docs/weights.md is in the source folder only", allow_module_level=True)
MODEL = make_model((36, 8, 4), "relu", (6, 6))
ROWS = re.findall(r"^\| (.+?) \| `mnistcore (.+?)` \| (.+?) \|$", PAGE.read_text("utf-8"), re.M)


def arrays(weights="w", bias="b", last=4):
    pairs = MODEL.network.views(MODEL.params)
    found = {}
    for index, (w, b) in enumerate(pairs):
        keep = last if index == len(pairs) - 1 else len(b)
        found |= {f"{weights}{index}": w[:, :keep], f"{bias}{index}": b[:keep]}
    return found


def keras(activation="relu", first=()):
    pytest.importorskip("h5py", reason="h5py is not installed")
    flatten = files.layer("Flatten", "flatten")
    layers = [
        *first,
        flatten,
        files.dense("dense", 8, activation),
        files.dense("dense_1", 4, "softmax"),
    ]
    config = files.sequential(layers, (6, 6))
    pairs = MODEL.network.views(MODEL.params)
    variables = {one["config"]["name"]: ([], []) for one in config["config"]["layers"]}
    for name, pair in zip(("dense", "dense_1"), pairs, strict=True):
        variables[name] = (["kernel", "bias"], list(pair))
    return config, variables


def keras_weights_2(path):
    config, variables = keras()
    import h5py

    with h5py.File(path, "w") as file:
        files.write_named(file, config, variables, keras=2)


def state_dict(torch):
    found = {}
    for index, (w, b) in enumerate(MODEL.network.views(MODEL.params)):
        found[f"fc{index}.weight"] = torch.from_numpy(w.T.copy())
        found[f"fc{index}.bias"] = torch.from_numpy(b.copy())
    return found


def write_numpy_export(path):
    checkpoint.save("m.safetensors", MODEL)
    export.run("m.safetensors", "numpy", path)


def write_script(torch, path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("w/data.pkl", "w/constants.pkl", "w/code/net.py"):
            archive.writestr(name, b"")


def write_saved_model(path):
    Path(path).mkdir()
    (Path(path) / "saved_model.pb").write_bytes(b"\x08\x01")


# How to write a file of each kind; those of PyTorch are given torch.
MAKERS = {
    "safetensors": lambda path: save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays().items()}, path
    ),
    "`.npz` of NumPy or scikit-learn": lambda path: np.savez(
        path, **arrays("coefs_", "intercepts_")
    ),
    "`numpy.savez('w.npz', *model.get_weights())` of Keras": lambda path: np.savez(
        path, *arrays().values()
    ),
    "whole model of Keras, `.keras`": lambda path: files.write_keras(path, *keras()),
    "whole model of Keras 2 or 3, `.h5`": lambda path: files.write_whole(path, *keras(), keras=2),
    "weights of Keras 3, `.weights.h5`": lambda path: files.write_numbered(path, *keras()),
    "weights of Keras 2, `.h5`": keras_weights_2,
    "file of `mnistcore export --to torch` or `numpy`": write_numpy_export,
    "one output for two classes": lambda path: np.savez(path, **arrays(last=1)),
    "pickle or joblib of scikit-learn": lambda path: Path(path).write_bytes(
        pickle.dumps({"sklearn": 1})
    ),
    "ONNX": lambda path: Path(path).write_bytes(b"\x08\x08\x12\x07pytorch"),
    "SavedModel folder of TensorFlow": write_saved_model,
    "network with convolutions": lambda path: files.write_keras(
        path, *keras(first=[files.layer("Conv2D", "conv2d", filters=8)])
    ),
    "activation that is not supported": lambda path: files.write_keras(path, *keras("gelu")),
}
TORCH_MAKERS = {
    "`state_dict` of PyTorch, `.pt`, `.pth` or `.bin`": lambda torch, path: torch.save(
        state_dict(torch), path
    ),
    "checkpoint of a training script or of Lightning": lambda torch, path: torch.save(
        {"epoch": 3, "state_dict": state_dict(torch), "optimizer_states": []}, path
    ),
    "whole module of PyTorch": lambda torch, path: torch.save(torch.nn.Linear(3, 2), path),
    "TorchScript": write_script,
}


def test_the_table_has_every_kind():
    assert {kind for kind, _, _ in ROWS} == {*MAKERS, *TORCH_MAKERS}


@pytest.mark.parametrize(("kind", "command", "outcome"), ROWS, ids=[kind for kind, _, _ in ROWS])
def test_a_file_of_each_kind_has_the_outcome_of_the_table(
    tmp_path, monkeypatch, capsys, consumer, kind, command, outcome
):
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(command)
    if kind in TORCH_MAKERS:
        TORCH_MAKERS[kind](consumer("torch"), arguments[1])
    else:
        MAKERS[kind](arguments[1])
    status = main([*arguments, "--output", "out.safetensors"])
    out, err = capsys.readouterr()
    if outcome.startswith("refused"):
        assert status == 2
        assert re.fullmatch(r"mnistcore convert: error: .*\n", err), err
        assert all(code in err for code in re.findall("`(.+?)`", outcome))
        assert ("conv2d" in err or "gelu" in err) == ("name" in outcome)
        return
    assert (status, err) == (0, "")
    found = checkpoint.load("out.safetensors")
    if "logits 0 and z" in outcome:
        assert (found.network.layer_sizes, found.class_names) == ((36, 8, 2), ("no", "yes"))
        (_, _), (w, b) = found.network.views(found.params)
        assert not w[:, 0].any()
        assert b[0] == 0
        return
    np.testing.assert_array_equal(found.params, MODEL.params)
    assert (found.network.activation, found.input_shape) == ("relu", (6, 6))
    assert "network" in out
