"""A network without a hidden layer, which is softmax regression, in every command."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnistcore.__main__ import main
from mnistcore.models import checkpoint
from mnistcore.search.config import SearchConfig, make_plan
from mnistcore.search.space import label, train_options
from mnistcore.train import TrainConfig
from mnistcore.training.config import given_options
from mnistcore.training.gradients import run as check_gradients

QUICK = ["--data", "../data", "--epochs", "3", "--batch-size", "16", "--learning-rate", "0.02"]


def train(*flags):
    return main(["train", *QUICK, "--hidden", "none", "--quiet", *flags])


@pytest.mark.parametrize("value", ["none", (), [], ("none",)])
def test_the_option_in_python(value):
    config = TrainConfig(hidden=value)
    assert config.hidden == ()
    assert TrainConfig(**config.to_dict()).hidden == ()


@pytest.mark.parametrize("line", ['hidden = "none"', "hidden = []"])
def test_the_option_in_a_file(tmp_path, line):
    (tmp_path / "mine.toml").write_text(line)
    assert TrainConfig(**given_options({}, tmp_path / "mine.toml")).hidden == ()
    assert TrainConfig(**given_options({"hidden": (3,)}, tmp_path / "mine.toml")).hidden == (3,)


def test_contradictions():
    with pytest.raises(ValueError, match="dropout is for hidden layers, and hidden is none"):
        TrainConfig(hidden="none", dropout=0.1)
    with pytest.raises(TypeError, match="hidden must be a whole number, got 'none'"):
        TrainConfig(hidden=("none", 3))


def test_every_backend(kernels, place, capsys):
    assert train("--backend", kernels.NAME, "--output", "run") == 0
    assert checkpoint.load("run").network.layer_sizes == (36, 4)
    capsys.readouterr()
    assert main(["evaluate", "run", "--json", "--backend", kernels.NAME]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.9
    assert main(["train", "--config", "run/config.json", "--output", "again"]) == 0
    assert (
        Path("run/model.safetensors").read_bytes() == Path("again/model.safetensors").read_bytes()
    )


def test_every_command(place, capsys):
    assert train("--report", "--output", "run") == 0
    capsys.readouterr()
    assert main(["evaluate", "run"]) == 0
    assert "36-4, no hidden layer, 148 parameters" in capsys.readouterr().out
    assert "36-4, no hidden layer" in Path("run/report.html").read_text()
    assert train("--seed", "1", "--output", "other") == 0
    assert main(["report", "run", "other"]) == 0


@pytest.mark.parametrize("to", ["onnx", "torch", "numpy", "c"])
def test_every_export(place, to):
    if to == "onnx":
        pytest.importorskip("onnx")
    assert train("--output", "run") == 0
    assert main(["export", "run", "--to", to, "--output", f"x{exported[to]}"]) == 0
    if to in ("torch", "numpy"):
        assert main(["convert", f"x{exported[to]}", "--output", "back.safetensors"]) == 0
        there, back = checkpoint.load("run"), checkpoint.load("back.safetensors")
        np.testing.assert_array_equal(there.params, back.params)


exported = {"onnx": ".onnx", "torch": ".safetensors", "numpy": ".npz", "c": ".c"}


def test_predict(place):
    flags = ["--data", "synthetic", "--hidden", "none", "--epochs", "1", "--quiet"]
    assert main(["train", *flags, "--output", "run"]) == 0
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:15] = 255
    Image.fromarray(pixels).save("one.png")
    assert main(["predict", "run", "one.png", "--backend", "numpy"]) == 0


def test_gradients():
    checks = [check for check in check_gradients(["numpy"]) if check.name == "no hidden layer"]
    assert checks
    assert all(check.passed for check in checks)


def test_the_search_space():
    assert label(()) == "none"
    grid = SearchConfig(sampler="grid")
    plan = make_plan(grid, {"hidden": ["none", "8-4"], "dropout": [0.0, 0.1]}, {"epochs": 1})
    points = plan.space.points()
    assert points == [
        {"hidden": ()},
        {"hidden": (8, 4), "dropout": 0.0},
        {"hidden": (8, 4), "dropout": 0.1},
    ]
    assert plan.train_config(points[0]).hidden == ()
    assert plan.space.point_of({"hidden": "none"}) == {"hidden": ()}
    layers = make_plan(grid, {"layers": [0, 2], "units": [4, 8]}, {}).space.points()
    assert [train_options(point)["hidden"] for point in layers] == [(), (4, 4), (8, 8)]
    assert "dropout" not in make_plan(SearchConfig(), {"hidden": "none"}, {}).entries
