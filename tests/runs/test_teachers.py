"""Distillation: a network that learns from trained ones."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from small_digits import small_digits

from mnistcore.data import load_data
from mnistcore.data.preprocess import flatten
from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.runs.job import prepare
from mnistcore.runs.teachers import SoftTargets, load_teachers
from mnistcore.train import TrainConfig, main, run
from mnistcore.training.records import NonFiniteLossError


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return small_digits(tmp_path / "data")


def _config(output, **options):
    quick = {"backend": "numpy", "hidden": 12, "epochs": 3, "batch_size": 16, "learning_rate": 0.01}
    return TrainConfig(**{**quick, **options, "output": output})


@pytest.fixture
def teachers(dataset):
    """Two run folders."""
    for seed in (0, 1):
        run(_config(f"teacher{seed}", seed=seed), dataset=dataset)
    return "teacher0", "teacher1"


def _softened(path, images, temperature):
    """The probabilities of a teacher, in float64."""
    logits = checkpoint.load(path).logits(numpy_kernels, images).astype(np.float64) / temperature
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _targets(teachers, kernels, dataset, temperature, weight):
    """The targets of all training images."""
    loaded = load_teachers(teachers, dataset)
    soft = SoftTargets(loaded, kernels, dataset, temperature, weight)
    soft.write(flatten(dataset.train_images), np.arange(len(dataset.train_images)))
    return soft.rows


def test_targets_are_the_teachers_mean_and_the_label(kernels, dataset, teachers):
    targets = _targets(teachers, kernels, dataset, 3.0, 0.7)
    images = dataset.train_images
    mean = (_softened(teachers[0], images, 3.0) + _softened(teachers[1], images, 3.0)) / 2
    expected = 0.7 * mean + 0.3 * np.eye(4)[dataset.train_labels]
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    assert targets.dtype == np.float32


def test_teachers_see_pixels_of_another_range_scaled(dataset, teachers):
    images = dataset.train_images.copy()
    images[0, 0, 0] = 255  # full ink, which tells the range of floats
    dataset = dataclasses.replace(dataset, train_images=images)
    in_unit_range = dataclasses.replace(
        dataset, train_images=(images / 255).astype(np.float32),
        test_images=(dataset.test_images / 255).astype(np.float32),
    )  # fmt: skip
    one, other = (
        _targets(teachers, numpy_kernels, data, 2.0, 0.9) for data in (dataset, in_unit_range)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_run_says_who_taught_it(dataset, teachers):
    file = Path(teachers[1], checkpoint.MODEL_FILE)
    result = run(_config("student", teacher=(teachers[0], file)), dataset=dataset)
    assert result.summary["teachers"] == [
        {
            "path": str(path.resolve()),
            "checksum": hashlib.sha256(Path(model).read_bytes()).hexdigest(),
        }
        for path, model in ((Path(teachers[0]), f"{teachers[0]}/model.safetensors"), (file, file))
    ]
    config = json.loads(Path("student/config.json").read_text())
    assert config["teacher"] == [str(Path(teachers[0]).resolve()), str(file.resolve())]
    again = run(TrainConfig(**config, output="again"), dataset=dataset)
    np.testing.assert_array_equal(again.model.params, result.model.params)


def test_each_option_matters(dataset, teachers):
    options = (
        {}, {"teacher": teachers[0]}, {"teacher": teachers},
        {"teacher": teachers, "teacher_weight": 0.7},
        {"teacher": teachers, "teacher_temperature": 4},
        {"teacher": teachers, "label_smoothing": 0.1},
    )  # fmt: skip
    params = {
        run(_config(f"run{i}", **how), dataset=dataset).model.params.tobytes()
        for i, how in enumerate(options)
    }
    assert len(params) == len(options)


def test_a_teacher_sees_the_images_that_the_student_sees(dataset, teachers, monkeypatch):
    seen = []
    train_steps = numpy_kernels.train_steps

    def spy(x, targets, sample_weight, order, *arguments):
        seen.append((order, x[order], targets[order]))
        return train_steps(x, targets, sample_weight, order, *arguments)

    monkeypatch.setattr(numpy_kernels, "train_steps", spy)
    run(_config("student", teacher=teachers[0], teacher_weight=1, augment=True), dataset=dataset)
    order, images, targets = map(np.concatenate, zip(*seen, strict=True))
    as_they_are = flatten(dataset.train_images)[order]
    np.testing.assert_allclose(targets, _softened(teachers[0], images, 1), atol=1e-6)
    assert np.abs(targets - _softened(teachers[0], as_they_are, 1)).max() > 0.1


def test_a_weight_of_0_is_training_on_the_labels(dataset, teachers):
    plain = run(_config("plain"), dataset=dataset)
    taught = run(_config("taught", teacher=teachers, teacher_weight=0), dataset=dataset)
    np.testing.assert_allclose(taught.model.params, plain.model.params, atol=1e-3)


def test_a_student_learns_the_built_in_digits_from_its_teacher_alone(tmp_path):
    """Its own labels are nonsense, and count for nothing."""
    how = {"backend": "auto", "hidden": 32, "epochs": 4, "learning_rate": 0.005}
    dataset = load_data("synthetic")
    teacher = run(_config(tmp_path / "teacher", **how), dataset=dataset)
    assert teacher.summary["test_accuracy"] > 0.85
    labels = np.roll(dataset.train_labels, 1)
    nonsense = dataclasses.replace(dataset, train_labels=labels)
    how |= {"hidden": 16, "validation_fraction": 0, "augment": True, "epochs": 6}
    alone = run(_config(tmp_path / "alone", **how), dataset=nonsense)
    how |= {"teacher": tmp_path / "teacher", "teacher_weight": 1}
    taught = run(_config(tmp_path / "taught", **how), dataset=nonsense)
    assert alone.summary["test_accuracy"] < 0.2
    assert taught.summary["test_accuracy"] > 0.8


def test_a_taught_run_is_the_same_for_every_number_of_threads(compiled, dataset, teachers):
    options = {"backend": compiled.NAME, "teacher": teachers, "augment": True}
    one, three = (
        run(_config(f"run{n}", threads=n, **options), dataset=dataset).model.params for n in (1, 3)
    )
    np.testing.assert_array_equal(one, three)


def test_a_teacher_that_does_not_fit_is_refused_in_one_line(dataset, teachers, capsys):
    other = dataset.renamed(("a", "b", "c", "d"))
    small = dataclasses.replace(
        dataset, train_images=dataset.train_images[:, :5], test_images=dataset.test_images[:, :5]
    )
    with pytest.raises(ValueError, match=r"^teacher0: the classes of the teacher are 0, 1, 2, 3;"):
        load_teachers(teachers, other)
    with pytest.raises(ValueError, match=r"^teacher0: the teacher takes images of 6 x 6 pixels; "):
        load_teachers(teachers, small)
    model = checkpoint.load("teacher1")
    model.params[0] = np.nan
    checkpoint.save("bad.safetensors", model)
    with pytest.raises(ValueError, match=r"^bad\.safetensors: the outputs of the network are not "):
        load_teachers(["bad.safetensors"], dataset)
    for name, words in (("nobody", "nobody: no such file"), ("teacher0", "the teacher takes")):
        assert main(["--data", "synthetic", "--teacher", name, "--quiet"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("mnistcore train: error: ")
        assert words in error
        assert error.count("\n") == 1


def test_a_teacher_whose_outputs_overflow_is_refused(dataset, teachers):
    model = checkpoint.load(teachers[0])
    params = model.params * np.float32(1e25)
    checkpoint.save("bad.safetensors", dataclasses.replace(model, params=params))
    with pytest.raises(ValueError, match=r"^bad.safetensors: the outputs of the network are not"):
        load_teachers(["bad.safetensors"], dataset)


@pytest.mark.parametrize("temperature", [1e-40, 1e-300])
def test_at_the_lowest_temperature_a_teacher_names_one_class(dataset, teachers, temperature):
    targets = _targets(teachers[:1], numpy_kernels, dataset, temperature, 1.0)
    hard = _softened(teachers[0], dataset.train_images, 1).argmax(axis=1)
    np.testing.assert_array_equal(targets, np.eye(4)[hard])


@pytest.mark.parametrize("augment", [False, True])
def test_a_teacher_that_overflows_on_a_later_image_ends_the_training(
    dataset, teachers, augment, capsys
):
    """Its first images, which are tried before, have no ink at a pixel with a damaged weight."""
    model = checkpoint.load(teachers[0])
    weights, _ = model.network.views(model.params)[0]
    weights[0] = 3e38 * (-1) ** np.arange(weights.shape[1])
    checkpoint.save("bad.safetensors", model)
    images = np.zeros((1200, *dataset.train_images.shape[1:]), np.uint8)
    images[1000:] = 255
    later = dataclasses.replace(
        dataset, train_images=images, train_labels=np.arange(1200, dtype=np.int32) % 4
    )
    config = _config("student", teacher="bad.safetensors", augment=augment)
    with pytest.raises(NonFiniteLossError, match=r"^\S*bad\.safetensors: the outputs of the netw"):
        run(config, dataset=later)
    summary = json.loads(Path("student/summary.json").read_text())
    assert summary["outcome"] == "diverged"


def test_a_teacher_of_other_data_is_told(dataset, teachers):
    other = dataclasses.replace(dataset, train_labels=3 - dataset.train_labels)
    config = _config("student", teacher=teachers)
    assert not any("teacher" in notice for notice in prepare(config, dataset).notices)
    said = prepare(config, other).notices
    for name in teachers:
        assert f"The teacher {name} was trained on other data ({dataset.name})." in said


def test_augment_on_dark_ink_is_told(dataset):
    images = np.full_like(dataset.train_images, 255)
    images[:, 2:4, 2:4] = 0
    dark = dataclasses.replace(dataset, train_images=images)
    said = [prepare(_config("run", augment=on), dark).notices for on in (False, True)]
    assert [sum("augment moves in" in notice for notice in notices) for notices in said] == [0, 1]


def test_the_plain_display_names_the_teachers(dataset, teachers, capsys):
    assert main(["--data", "data", "--epochs", "1", "--teacher", *teachers]) == 0
    assert "teacher0, teacher1: temperature 1, weight 0.5" in capsys.readouterr().out
