"""Predictions for a table of pictures: the function, and the command that writes Kaggle's file."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from small_models import make_model

from mnistcore.__main__ import main
from mnistcore.data import DataError
from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.models.ensemble import Ensemble
from mnistcore.models.model import TrainedOn
from mnistcore.runs.table import only_table, predict_table
from mnistcore.terminal.command_line import BAD_INPUT, DONE

X = np.random.default_rng(0).integers(0, 256, (30, 6, 6), np.uint8)
NAMES = ("ant", "b,c", "9", "zero")
HEADER = ",".join(f"pixel{i}" for i in range(36))


@pytest.fixture(scope="module")
def model():
    """A network of four classes, one of which has a comma in its name."""
    made = make_model((36, 7, 4), "tanh", (6, 6), pixel_max=255.0)
    object.__setattr__(made, "class_names", NAMES)
    return made


@pytest.fixture(scope="module")
def expected(model):
    return [NAMES[i] for i in model.predict(X, numpy_kernels)]


def write(path: Path, images=X, labels=None, header=HEADER, ids=None) -> Path:
    rows = [list(map(str, image.ravel().tolist())) for image in images]
    for front in (labels, ids):
        if front is not None:
            rows = [[str(cell), *row] for cell, row in zip(front, rows, strict=True)]
    path.write_text("".join(",".join(row) + "\n" for row in (header.split(","), *rows)))
    return path


def test_rows_are_numbered_from_one(model, expected, tmp_path):
    found = predict_table(model, write(tmp_path / "test.csv"), "numpy")
    assert len(set(expected)) > 1
    assert found.header == ("ImageId", "Label")
    assert found.rows == [str(i) for i in range(1, 31)]
    assert found.classes == expected
    assert found.notices == ()
    first, second = found.to_csv().splitlines()[:2]
    assert first == "ImageId,Label"
    assert second == f"1,{expected[0]}".replace("b,c", '"b,c"')


def test_a_column_of_ids_names_the_rows(model, expected, tmp_path):
    path = write(tmp_path / "test.csv", ids=range(100, 130), header=f"id,{HEADER}")
    found = predict_table(model, path, "numpy")
    assert found.header == ("id", "label")
    assert found.rows[:2] == ["100", "101"]
    assert found.classes == expected


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("emnist-digits-test.csv", {}, "turned upright, as those of EMNIST lie."),
        ("test.csv", {"transpose": True}, "transposed, as those of the training were."),
    ],
)
def test_pictures_are_transposed_as_those_of_the_training(
    name, config, words, model, expected, tmp_path
):
    lying = dataclasses.replace(model, config=config)
    path = write(tmp_path / name, X.transpose(0, 2, 1))
    found = predict_table(lying, path, "numpy")
    assert found.classes == expected
    assert found.notices == (f"The pictures of {path} were {words}",)


def test_networks_must_agree_on_how_pictures_lie(model, tmp_path):
    other = dataclasses.replace(model, params=-model.params, config={"transpose": True})
    with pytest.raises(ValueError, match="some of the networks were trained with transpose"):
        predict_table(Ensemble([model, other], ["a", "b"]), write(tmp_path / "test.csv"), "numpy")


def test_labels_are_not_used(model, expected, tmp_path):
    path = write(tmp_path / "test.csv", labels=["ant"] * 30, header=f"label,{HEADER}")
    found = predict_table(model, path, "numpy")
    assert found.classes == expected
    (notice,) = found.notices
    assert notice == f"The labels in {path} are not used; mnistcore evaluate scores them."


def test_pixels_on_another_scale(model, expected, tmp_path):
    found = predict_table(model, write(tmp_path / "test.csv", X / 255), "numpy")
    assert sum(a == b for a, b in zip(found.classes, expected, strict=True)) >= 29
    top = float((X / 255).max().astype(np.float32))
    said = f"The network takes pixels up to 255; those here, up to {top:g}, are scaled alike."
    assert found.notices == (said,)


def test_an_ensemble_predicts_by_its_mean_probabilities(model, expected, tmp_path):
    wide = make_model((36, 5, 4), "relu", (6, 6), scale=0.02, pixel_max=255.0, seed=3)
    unit = dataclasses.replace(wide.taking(1.0), class_names=NAMES)
    ensemble = Ensemble([model, unit])
    mean = np.mean([one.predict_proba(X, numpy_kernels, pixel_max=255) for one in (model, unit)], 0)
    found = predict_table(ensemble, write(tmp_path / "test.csv"), "numpy")
    assert found.classes == [NAMES[i] for i in mean.argmax(axis=1)] != expected


@pytest.mark.parametrize("images", [X, X / 255, X / 127.5 - 1], ids=["bytes", "to 1", "around 0"])
def test_a_network_of_pixels_around_0_reads_every_table(model, expected, images, tmp_path):
    around = dataclasses.replace(
        model, scale=127.5 * model.scale, shift=model.shift + 127.5 * model.scale, pixel_max=1.0,
        float_pixels=True, data=TrainedOn("x", "0" * 64, paper=-1.0),
    )  # fmt: skip
    assert predict_table(around, write(tmp_path / "t.csv", images), "numpy").classes == expected


def test_tables_that_do_not_fit(model, tmp_path):
    path = write(tmp_path / "test.csv", X[:, :5, :5], header=",".join(HEADER.split(",")[:25]))
    with pytest.raises(ValueError, match="holds pictures of 5 x 5 pixels, the network takes 6 x 6"):
        predict_table(model, path)
    with pytest.raises(DataError, match="no such file"):
        predict_table(model, tmp_path / "missing.csv")


def test_only_tables_are_tables(tmp_path):
    table = write(tmp_path / "test.csv")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n")
    assert only_table([str(table)]) == table
    assert only_table([str(tmp_path / "photo.png"), "-", str(tmp_path), "*.png"]) is None
    with pytest.raises(ValueError, match=r"test.csv: is a table, which is predicted alone"):
        only_table([str(table), "photo.png"])


@pytest.fixture
def place(tmp_path, monkeypatch, model):
    """A working folder with a model and a table."""
    monkeypatch.chdir(tmp_path)
    checkpoint.save(Path("model.safetensors"), model)
    write(Path("test.csv"))
    return tmp_path


def test_the_command_prints_or_writes_what_kaggle_expects(place, model, capsys):
    table = predict_table(model, "test.csv", "numpy").to_csv()
    words = ["predict", "model.safetensors", "test.csv", "--backend", "numpy"]
    assert main(words) == DONE
    assert capsys.readouterr() == (table, "")
    assert main([*words, "--output", "submission.csv"]) == DONE
    assert capsys.readouterr().out == "30 predictions are in submission.csv\n"
    assert Path("submission.csv").read_text() == table
    assert sorted(os.listdir()) == ["model.safetensors", "submission.csv", "test.csv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["test.csv", "--many"], "test.csv: is a table, for which --many does nothing; leave it"),
        (["test.csv", "--show"], "--show does nothing"),
        (["test.csv", "photo.png"], "is predicted alone"),
        (["test.csv", "--output", "none/here.csv"], "there is no folder none"),
        (["test.csv", "--output", "./test.csv"], "test.csv: is the file that is read"),
        (["test.csv", "--output", "./model.safetensors"], "model.safetensors: is the file that is"),
        (["photo.png", "--output", "x.csv"], "--output is for a table of pictures"),
        (["broken.csv"], "broken.csv: line 2, column 3 (pixel2) holds 'x'"),
        (["broken.csv", "--output", "x.csv"], "broken.csv: line 2"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_line(words, message, place, capsys):
    Path("broken.csv").write_text(f"{HEADER}\n0,1,x{',1' * 33}\n")
    assert main(["predict", "model.safetensors", *words]) == BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    assert not Path("x.csv").exists()
