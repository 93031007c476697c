import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_digits import small_digits

from mnistcore.data import load_data, read_idx, write_idx
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.preprocess import train_validation_split
from mnistcore.data.synthetic import make_digits
from mnistcore.models import checkpoint
from mnistcore.models.datasets import own_data
from mnistcore.models.model import TrainedOn
from mnistcore.runs.data import compared, load_run_data, split_indices, trained_on
from mnistcore.runs.folder import load_run
from mnistcore.train import TrainConfig, run
from mnistcore.training.data_options import RunDataOptions

QUICK = {"backend": "numpy", "hidden": 8, "epochs": 3, "batch_size": 32}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder, and the data that lies beside it."""
    place = tmp_path_factory.mktemp("trained")
    small_digits(place / "data")
    return run(TrainConfig(**QUICK, data=str(place / "data"), output=str(place / "first")))


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the run folder to damage."""
    return shutil.copytree(trained.folder.path, tmp_path / "copy")


def test_a_run_is_read_as_it_was_written(trained):
    loaded = load_run(trained.folder.path)
    assert loaded.name == "first"
    assert loaded.history == trained.history
    assert loaded.summary == json.loads(json.dumps(trained.summary))
    np.testing.assert_array_equal(loaded.model.params, trained.model.params)


def test_a_model_alone_is_a_run_without_history(folder):
    loaded = load_run(folder / "model.safetensors")
    assert (loaded.name, loaded.history, loaded.summary) == ("model", [], {})


def test_what_an_older_version_did_not_write_is_unknown(folder):
    (folder / "summary.json").unlink()
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "train_loss": 2, "novelty": "x"}\n')
    loaded = load_run(folder)
    (record,) = loaded.history
    assert (record.epoch, record.train_loss, record.validation_loss) == (1, 2.0, None)
    assert math.isnan(record.learning_rate)
    assert loaded.summary == {}


def test_a_line_that_was_cut_off_in_writing_is_left_out(folder):
    path = folder / "metrics.jsonl"
    path.write_text(path.read_text()[:-20])
    assert [record.epoch for record in load_run(folder).history] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", b"{\n{}\n", "line 1 is not the record of an epoch"),
        ("metrics.jsonl", b"[1]\n", "line 1 is not the record"),
        ("metrics.jsonl", b'{"epoch": "one"}\n', "line 1 is not the record"),
        ("metrics.jsonl", b"[" * 100_000 + b"\n", "line 1 is not the record"),
        ("metrics.jsonl", b"\xff\n", "is not text"),
        ("summary.json", b"{", "is not valid JSON"),
        ("summary.json", b"[]", "must hold an object, got list"),
        ("summary.json", b"\xff", "is not text"),
    ],
)
def test_damaged_files_are_named(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_run(folder)
    assert str(caught.value).startswith(str(folder / name))


def test_the_data_of_a_run_are_found_again(trained):
    dataset = load_run_data(load_run(trained.folder.path))
    assert dataset.name == "data"
    assert dataset.notices == ()


def test_data_that_have_gone_are_told_with_the_way_out(trained, folder, tmp_path):
    data = shutil.copytree(trained_data(folder), tmp_path / "new/raw")
    run(TrainConfig(**QUICK, data=str(data), output=str(tmp_path / "moved")))
    moved = data.rename(tmp_path / "elsewhere")
    loaded = load_run(tmp_path / "moved")
    with pytest.raises(
        ValueError, match=r"trained on new, .*no such file or folder.* name its folder"
    ):
        load_run_data(loaded)
    assert load_run_data(loaded, RunDataOptions(data=str(moved))).notices == ()


def test_data_are_known_by_what_they_hold(trained, tmp_path):
    """A copy is the same data, whatever it is called; others are not, though called the same."""
    loaded = load_run(trained.folder.path)
    data = shutil.copytree(loaded.model.config["data"], tmp_path / "copy")
    for name in FILE_NAMES:  # in another container
        write_idx(data / f"{name}.gz", read_idx(data / name))
        (data / name).unlink()
    assert load_run_data(loaded, RunDataOptions(data=str(data))).notices == ()
    other = with_other_labels(data, tmp_path / "more/data")
    for run_again in (loaded, load_run(trained.folder.path / "model.safetensors")):
        (notice,) = load_run_data(run_again, RunDataOptions(data=str(other))).notices
        assert notice == (
            f"The network was trained on other data ({loaded.model.data.folder}); these are"
            f" figures on {other}."
        )


def test_data_that_have_grown_hold_out_other_images(tmp_path):
    images, labels = make_digits(400, 0)
    grown = [tmp_path / "grown.npz", images, labels]
    np.savez(grown[0], x=images[:380], y=labels[:380])
    run(TrainConfig(**QUICK, data=str(grown[0]), output=str(tmp_path / "run")))
    loaded = load_run(tmp_path / "run")
    np.savez(grown[0], x=images, y=labels)
    said = load_run_data(loaded).notice
    assert "has changed since the network was trained" in said
    assert said.endswith(" Other images are held out now: the network was trained on some of them.")


def test_data_that_have_changed_since_are_told(folder, tmp_path):
    data = shutil.copytree(trained_data(folder), tmp_path / "data")
    run(TrainConfig(**QUICK, data=str(data), output=str(tmp_path / "run")))
    loaded = load_run(tmp_path / "run")
    assert load_run_data(loaded).notices == ()
    shutil.rmtree(data)
    with_other_labels(trained_data(folder), data)
    (notice,) = load_run_data(loaded).notices
    assert notice == (
        f"The content of {data} has changed since the network was trained; these are figures on"
        " its current content."
    )


def test_a_run_is_found_its_data_from_another_folder(folder, tmp_path, monkeypatch):
    shutil.copytree(trained_data(folder), tmp_path / "place/raw")
    monkeypatch.chdir(tmp_path / "place")
    run(TrainConfig(**QUICK, data="raw", output="run"))
    monkeypatch.chdir(tmp_path)
    dataset = load_run_data(load_run("place/run"))
    assert (dataset.name, dataset.notices) == ("place", ())
    config = json.loads(Path("place/run/config.json").read_text())
    assert config["data"] == str(tmp_path / "place/raw")
    again = run(TrainConfig(**{**config, "output": "again"}))
    assert again.summary["data_checksum"] == dataset.checksum


def test_ink_that_is_dark_there_and_light_here_is_told(trained):
    loaded = load_run(trained.folder.path)
    here = load_data(loaded.model.config["data"])
    parts = {}
    for part, images in (("train_images", here.train_images), ("test_images", here.test_images)):
        parts[part] = np.full_like(images, 255)
        parts[part][:, 2:4, 2:4] = images[:, 2:4, 2:4]
    (notice,) = compared(loaded, dataclasses.replace(here, **parts)).notices
    assert notice.endswith(
        " The ink is light there and dark here, so expect most to be read wrong."
    )


def test_a_model_of_an_older_version_does_not_know_its_data(folder):
    model = load_run(folder).model
    checkpoint.save(folder / "model.safetensors", dataclasses.replace(model, data=None))
    loaded = load_run(folder)
    assert loaded.model.data is None
    assert trained_on(loaded, load_run_data(loaded)) is None
    assert load_run_data(loaded).notices == ()  # by its summary's name
    object.__setattr__(loaded, "summary", {"data": "another"})
    assert "trained on other data (another)" in load_run_data(loaded).notice


def test_a_run_that_fell_back_on_the_built_in_digits_stays_with_them(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mnistcore.models.datasets.load_data",
        lambda *arguments, **settings: asked.append(arguments) or load_data(trained_data(folder)),
    )
    model, config = load_run(folder).model, {"data": "auto", "data_dir": None}
    own_data(dataclasses.replace(model, config=config, data=None), "synthetic")
    data = TrainedOn("synthetic", model.data.checksum)
    own_data(dataclasses.replace(model, config=config, data=data))
    assert asked == [("synthetic", None)] * 2


def trained_data(folder):
    return load_run(folder).model.config["data"]


def with_other_labels(data, folder):
    """A copy of a data set whose test labels are others."""
    shutil.copytree(data, folder)
    dataset = load_data(folder)
    for old in folder.glob("t10k-labels*"):
        old.unlink()
    write_idx(folder / "t10k-labels-idx1-ubyte", (3 - dataset.test_labels).astype(np.uint8))
    return folder


def test_splits_are_those_of_the_training(trained):
    model, dataset = trained.model, load_data(trained.model.config["data"])
    train, validation = train_validation_split(dataset.train_labels, 0.1, 0)
    np.testing.assert_array_equal(split_indices(model, dataset, "train"), train)
    np.testing.assert_array_equal(split_indices(model, dataset, "validation"), validation)
    assert len(split_indices(model, dataset, "test")) == len(dataset.test_labels)


@pytest.mark.parametrize(
    ("config", "split", "message"),
    [
        ({}, "validation", "does not say how its training images were split"),
        ({"validation_fraction": 0, "seed": 1}, "validation", "held no images out"),
        ({"validation_fraction": 7, "seed": 1}, "train", "fraction is 7"),
        ({}, "dev", "split must be one of test, validation, train"),
    ],
)
def test_a_split_that_cannot_be_had_is_refused(trained, folder, config, split, message):
    model, dataset = load_run(folder).model, load_data(trained.model.config["data"])
    object.__setattr__(model, "config", config)
    with pytest.raises(ValueError, match=message):
        split_indices(model, dataset, split)
