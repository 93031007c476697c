import json
import math
import shutil

import numpy as np
import pytest
from small_digits import small_digits

from mnistcore.data import load_data
from mnistcore.data.preprocess import train_validation_split
from mnistcore.run_data import load_run_data, split_indices
from mnistcore.run_folder import load_run
from mnistcore.train import TrainConfig, run

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
    assert dataset.notice is None


def test_data_that_have_gone_are_told_with_the_way_out(trained, folder, tmp_path, monkeypatch):
    config = dict(trained.model.config, data=str(tmp_path / "gone"))
    loaded = load_run(folder)
    object.__setattr__(loaded.model, "config", config)
    with pytest.raises(ValueError, match=r"the data of the run: .*no such folder.*or give data"):
        load_run_data(loaded)


def test_other_data_come_with_a_notice(trained, tmp_path):
    small_digits(tmp_path / "others")
    dataset = load_run_data(load_run(trained.folder.path), str(tmp_path / "others"))
    assert dataset.notice == "The model was trained on data; these are figures on others."


def test_a_run_that_fell_back_on_the_built_in_digits_stays_with_them(folder, monkeypatch):
    loaded = load_run(folder)
    object.__setattr__(loaded.model, "config", {"data": "auto", "data_dir": None})
    object.__setattr__(loaded, "summary", {"data": "synthetic"})
    asked = []
    monkeypatch.setattr(
        "mnistcore.run_data.load_data",
        lambda *arguments: asked.append(arguments) or load_data(trained_data(folder)),
    )
    load_run_data(loaded)
    assert asked == [("synthetic", None)]


def trained_data(folder):
    return load_run(folder).model.config["data"]


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
