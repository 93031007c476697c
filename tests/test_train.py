import dataclasses
import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from small_digits import N_CLASSES, N_TEST, N_TRAIN, small_digits

from mnistcore import get_num_threads, set_num_threads
from mnistcore.evaluate import run as evaluate
from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.models.model import TrainedOn
from mnistcore.runs.execution import _final_test, execute
from mnistcore.runs.folder import create_run_folder
from mnistcore.runs.job import engine_options, prepare
from mnistcore.terminal.training import PlainDisplay
from mnistcore.train import TrainConfig, TrainingInterrupted, main, run
from mnistcore.training.fit import Fit
from mnistcore.training.records import Listener, NonFiniteLossError

SUMMARY = {
    "test_accuracy", "test_loss", "confusion_matrix", "train_seconds", "total_seconds",
    "samples_per_second", "epochs_run", "best_epoch", "outcome", "interrupted", "backend",
    "threads", "data", "data_folder", "data_checksum", "pixel_max", "teachers", "notices",
    "layer_sizes", "seed", "versions",
}  # fmt: skip
RECORD = [
    "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
    "learning_rate", "seconds",
]  # fmt: skip


@pytest.fixture
def dataset(tmp_path):
    return small_digits(tmp_path / "data")


@pytest.fixture
def make_config(tmp_path, monkeypatch):
    """A config of a small quick network whose run folder is tmp_path/run."""
    monkeypatch.chdir(tmp_path)

    def make(**options):
        quick = {"backend": "numpy", "hidden": 12, "epochs": 4, "batch_size": 16, "output": "run"}
        return TrainConfig(**{**quick, "learning_rate": 0.01, "schedule": "constant", **options})

    return make


def backend_of(kernels):
    return kernels.NAME


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_its_folder_behind(kernels, dataset, make_config, tmp_path):
    config = make_config(backend=backend_of(kernels))
    result = run(config, dataset=dataset)
    folder = tmp_path / "run"
    names = {"config.json", "metrics.jsonl", "model.safetensors", "summary.json"}
    names.add("checkpoint-136.safetensors")  # 4 epochs of 34 updates
    assert {path.name for path in folder.iterdir()} == names
    assert json.loads((folder / "config.json").read_text()) == json.loads(
        json.dumps(config.to_dict())
    )
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == json.loads(json.dumps(result.summary))
    assert set(summary) == SUMMARY
    records = read_lines(folder / "metrics.jsonl")
    assert [list(record) for record in records] == [RECORD] * 4
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]


def test_a_run_learns_and_says_so(kernels, dataset, make_config):
    result = run(make_config(backend=backend_of(kernels), epochs=8), dataset=dataset)
    summary = result.summary
    assert summary["test_accuracy"] > 0.95
    assert summary["test_loss"] < 0.3
    assert summary["layer_sizes"] == [36, 12, N_CLASSES]
    assert summary["outcome"] == "finished"
    assert summary["interrupted"] is False
    assert summary["data"] == "data"
    assert summary["train_seconds"] == pytest.approx(sum(r.seconds for r in result.history))
    assert summary["train_seconds"] < summary["total_seconds"]
    samples = 8 * 0.9 * N_TRAIN
    assert summary["samples_per_second"] == pytest.approx(samples / summary["train_seconds"])


def test_the_model_of_the_folder_is_the_one_that_was_tested(dataset, make_config):
    summary = run(make_config(standardize=True), dataset=dataset).summary
    model = checkpoint.load("run")
    predictions = model.predict(dataset.test_images, numpy_kernels)
    assert np.mean(predictions == dataset.test_labels) == summary["test_accuracy"]
    counts = np.zeros((N_CLASSES, N_CLASSES), int)
    np.add.at(counts, (dataset.test_labels, predictions), 1)
    assert counts.tolist() == summary["confusion_matrix"]
    assert counts.sum() == N_TEST
    assert model.class_names == dataset.class_names
    assert model.input_shape == (6, 6)
    assert model.config["standardize"] is True


def test_the_model_of_a_normalised_run_is_the_one_that_was_tested(kernels, dataset, make_config):
    settings = {"hidden": (24, 16), "batch_norm": True, "label_smoothing": 0.1, "epochs": 8}
    summary = run(make_config(backend=backend_of(kernels), **settings), dataset=dataset).summary
    model = checkpoint.load("run")
    assert model.network.batch_norm is False
    predictions = model.predict(dataset.test_images, kernels)
    assert np.mean(predictions == dataset.test_labels) == summary["test_accuracy"] > 0.95


def test_standardised_pixels_have_mean_0_and_variance_1(dataset, make_config):
    job = prepare(make_config(standardize=True), dataset)
    values = dataset.train_images * job.scale + job.shift
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.var() == pytest.approx(1, abs=1e-9)


def scaled(dataset, change):
    """The data set with other pixels."""
    train, test = change(dataset.train_images), change(dataset.test_images)
    return dataclasses.replace(dataset, train_images=train, test_images=test)


RANGES = {
    "floats in [0, 1]": (lambda x: x / 255, 1),
    "floats in [0, 255]": (lambda x: x.astype(np.float64), 255),
    "int64": (lambda x: x.astype(np.int64), 255),
    "uint16": (lambda x: x.astype(np.uint16) * 257, 65535),
    "floats in [0, 16]": (lambda x: x * (16 / 255), 16),
}


@pytest.fixture
def full(dataset):
    """The data set with a white pixel in its training images."""
    images = dataset.train_images.copy()
    images[0, 0, 0] = 255
    return dataclasses.replace(dataset, train_images=images)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", RANGES)
def test_pixels_of_every_range_train_the_same_network(
    kernels, full, make_config, name, standardize
):
    change, pixel_max = RANGES[name]
    options = {"backend": backend_of(kernels), "epochs": 2, "standardize": standardize}
    wanted = run(make_config(**options, output="bytes"), dataset=full)
    other = scaled(full, change)
    found = run(make_config(**options, output="other"), dataset=other)
    assert found.summary["pixel_max"] == pytest.approx(pixel_max, rel=1e-6)
    assert found.summary["test_loss"] == pytest.approx(wanted.summary["test_loss"], rel=1e-3)
    np.testing.assert_allclose(found.model.params, wanted.model.params, atol=1e-3)
    for one, data in (("bytes", other), ("other", full)):  # each takes what the other was given
        scores = evaluate(one, dataset=data)
        assert scores.loss == pytest.approx(wanted.summary["test_loss"], rel=1e-3)


def test_a_range_that_is_not_that_of_bytes_is_shown(full, make_config, capsys):
    from rich.console import Console

    for data, words in ((full, None), (scaled(full, lambda x: x // 128), "divided by 1")):
        PlainDisplay(Console(width=100)).started(prepare(make_config(), data))
        shown = capsys.readouterr().out
        assert words in shown if words else "pixels" not in shown


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_data_set_without_images_is_refused(dataset, make_config, part):
    nothing = {f"{part}_{what}": getattr(dataset, f"{part}_{what}")[:0] for what in WHAT}
    with pytest.raises(ValueError, match=r"data has no (training|test) images"):
        prepare(make_config(), dataclasses.replace(dataset, **nothing))


WHAT = ("images", "labels")


def test_what_must_be_known_of_the_data_is_kept(dataset, make_config):
    shown = scaled(dataset, lambda x: x // 16)
    shown = dataclasses.replace(shown, test_images=dataset.test_images).noted("As told.")
    result = run(make_config(), dataset=shown)
    told, remark = result.summary["notices"]
    assert told == "As told."
    assert "seem to be on another scale" in remark
    data = checkpoint.load("run").data
    told = TrainedOn("data", shown.checksum, dataset.folder, (remark,))
    assert data == dataclasses.replace(told, ink=shown.paper_and_ink[1])
    assert result.summary["data_checksum"] == shown.checksum


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_run_repeats_itself_bit_for_bit(kernels, dataset, make_config, optimizer):
    options = {"backend": backend_of(kernels), "optimizer": optimizer, "dropout": 0.2, "epochs": 2}
    first, again, other = (
        run(make_config(**options, seed=seed, output=f"run{i}"), dataset=dataset).model.params
        for i, seed in enumerate((3, 3, 4))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_number_of_threads_changes_nothing(compiled, dataset, make_config):
    one, three = (
        run(
            make_config(backend=backend_of(compiled), threads=n, output=f"run{n}"), dataset=dataset
        ).model.params
        for n in (1, 3)
    )
    np.testing.assert_array_equal(one, three)


def test_augmented_runs_are_the_same_for_every_number_of_threads(kernels, dataset, make_config):
    options = {"backend": backend_of(kernels), "augment": True, "dropout": 0.2, "epochs": 2}
    one, three, plain = (
        run(make_config(**options | changed, output=f"run{i}"), dataset=dataset)
        for i, changed in enumerate(({"threads": 1}, {"threads": 3}, {"augment": False}))
    )
    assert one.model.config["augment"] is True
    np.testing.assert_array_equal(one.model.params, three.model.params)
    assert not np.array_equal(one.model.params, plain.model.params)


def test_an_augmented_run_needs_square_images_of_bytes(dataset, make_config, tmp_path, capsys):
    narrow = scaled(dataset, lambda x: np.ascontiguousarray(x[:, :, :5]))
    with pytest.raises(ValueError, match=r"square images of up to 1024 .* these are 6 x 5"):
        prepare(make_config(augment=True), narrow)
    with pytest.raises(ValueError, match=r"8-bit pixels .* are float32"):
        prepare(make_config(augment=True), scaled(dataset, lambda x: x / 255))
    np.savez(tmp_path / "floats.npz", x_train=np.ones((9, 4, 4)) / 2, y_train=np.arange(9) % 2)
    assert main(["--data", str(tmp_path / "floats.npz"), "--augment", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mnistcore train: error: augment deforms 8-bit pixels")
    assert error.count("\n") == 1


def test_a_cap_on_threads_holds_for_the_run_alone(compiled, dataset, make_config):
    backend = backend_of(compiled)
    seen = []

    class Watcher(Listener):
        def epoch_done(self, record):
            seen.append(get_num_threads())

    set_num_threads(3)
    run(make_config(backend=backend, threads=2, epochs=1), dataset=dataset, listener=Watcher())
    options = {"backend": backend, "epochs": 1, "output": "run2"}
    run(make_config(**options), dataset=dataset, listener=Watcher())
    assert seen == [2, 3]
    assert get_num_threads() == 3


def test_validation_images_are_not_trained_on(dataset, make_config):
    job = prepare(make_config(validation_fraction=0.25), dataset)
    assert len(job.validation_indices) == N_TRAIN // 4
    assert not set(job.validation_indices) & set(job.train_indices)
    assert len(job.train_indices) + len(job.validation_indices) == N_TRAIN


def test_without_validation_everything_is_trained_on(dataset, make_config):
    result = run(make_config(validation_fraction=0, epochs=2), dataset=dataset)
    assert [record.validation_accuracy for record in result.history] == [None, None]
    assert result.summary["best_epoch"] is None
    assert read_lines(result.folder.path / "metrics.jsonl")[0]["validation_loss"] is None
    job = prepare(make_config(validation_fraction=0, output="run2"), dataset)
    assert len(job.train_indices) == N_TRAIN


def test_patience_keeps_the_best_epoch(dataset, make_config):
    result = run(make_config(epochs=60, patience=2, learning_rate=0.05), dataset=dataset)
    accuracies = [record.validation_accuracy for record in result.history]
    assert result.summary["outcome"] == "stopped early"
    assert result.summary["epochs_run"] == len(accuracies) < 60
    best = result.summary["best_epoch"]
    assert accuracies[best - 1] == max(accuracies)
    assert len(accuracies) - best == 2
    job = prepare(make_config(output="run2"), dataset)
    x = dataset.train_images[job.validation_indices]
    labels = dataset.train_labels[job.validation_indices]
    assert np.mean(result.model.predict(x, numpy_kernels) == labels) == max(accuracies)


def test_the_learning_rate_follows_the_schedule(dataset, make_config):
    """It ends with the last step, also if the last batch of an epoch is a partial one."""
    config = make_config(schedule="cosine", epochs=2, validation_fraction=0, batch_size=170)
    history = run(config, dataset=dataset).history
    rates = [0.01 * (1 + math.cos(math.pi * step / 8)) / 2 for step in (3, 7)]
    assert [record.learning_rate for record in history] == pytest.approx(rates)


def test_the_seed_decides_about_initial_weights_validation_images_and_training(
    dataset, make_config
):
    """About each for itself; the rate is so small that the weights stay the initial ones."""
    settings = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30}
    jobs = [
        prepare(make_config(seed=seed, output=f"run{i}", **settings), dataset)
        for i, seed in enumerate((0, 0, 1))
    ]
    weights = [execute(job).model.params for job in jobs]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.corrcoef(weights[0], weights[2])[0, 1] < 0.3
    held_out = [set(job.validation_indices) for job in jobs]
    assert held_out[0] == held_out[1] != held_out[2]
    assert [int(engine_options(job)["seed"][0]) for job in jobs] == [0, 0, 1]


def test_options_reach_the_kernels(dataset, make_config):
    """Each of these, changed alone, changes the weights after an epoch."""
    base = {"optimizer": "sgd", "momentum": 0.5, "epochs": 1}
    variants = [
        {}, {"momentum": 0.8}, {"nesterov": True}, {"weight_decay": 0.01}, {"dropout": 0.3},
        {"init": "glorot"}, {"batch_size": 17}, {"activation": "tanh"}, {"standardize": True},
        {"learning_rate": 0.02}, {"schedule": "one-cycle"}, {"validation_fraction": 0.2},
        {"label_smoothing": 0.1}, {"batch_norm": True}, {"max_norm": 0.5},
        {"ema": 0.8}, {"clip_norm": 0.1},
        {"adversarial": 1.0}, {"augment": True}, {"augment": True, "augment_strength": 2.0},
        {"augment": True, "epochs": 2}, {"augment": True, "epochs": 2, "augment_fade": 1.0},
    ]  # fmt: skip
    adams = [
        {},
        {"beta1": 0.8},
        {"beta2": 0.9},
        {"eps": 1e-3},
        {"optimizer": "adamw", "weight_decay": 0.1},
    ]
    configs = [{**base, **variant} for variant in variants]
    configs += [{"optimizer": "adam", "epochs": 1, **variant} for variant in adams]
    weights = {
        run(make_config(**options, output=f"run{i}"), dataset=dataset).model.params.tobytes()
        for i, options in enumerate(configs)
    }
    assert len(weights) == len(configs)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "identity", "learning_rate": 1e25},
        {"batch_norm": True, "learning_rate": 1e25},
        {"adversarial": 1.0, "learning_rate": 1e25},
    ],
)
def test_a_diverged_run_is_saved_and_raised(kernels, dataset, make_config, options):
    config = make_config(backend=backend_of(kernels), optimizer="sgd", **options)
    with pytest.raises(NonFiniteLossError, match="lower learning rate"):
        run(config, dataset=dataset)
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["outcome"] == "diverged"
    assert summary["test_accuracy"] is None
    assert np.isfinite(checkpoint.load("run").params).all()


def test_an_interrupted_run_is_saved_and_raised(dataset, make_config):
    class CtrlC(Listener):
        def epoch_done(self, record):
            if record.epoch == 3:
                raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="the best weights so far are in run") as caught:
        run(make_config(epochs=50), dataset=dataset, listener=CtrlC())
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["epochs_run"] == 3
    assert len(read_lines(caught.value.result.folder.path / "metrics.jsonl")) == 3
    np.testing.assert_array_equal(checkpoint.load("run").params, caught.value.result.model.params)


def test_a_run_interrupted_in_its_final_test_keeps_its_best_weights(dataset, make_config):
    def interrupted():
        raise KeyboardInterrupt

    job = prepare(make_config(), dataset)
    latest, best = np.zeros((2, job.network.n_params), np.float32)
    outcome = Fit(latest, best_params=best)
    assert _final_test(job, outcome, interrupted) is None
    assert outcome.ending == "interrupted"
    assert outcome.params is best


def test_a_run_works_outside_of_the_main_thread(dataset, make_config):
    results = []
    job = prepare(make_config(epochs=1), dataset)
    thread = threading.Thread(target=lambda: results.append(execute(job)))
    thread.start()
    thread.join()
    assert results[0].summary["outcome"] == "finished"


def test_a_folder_with_something_in_it_is_left_alone(dataset, make_config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="run: is not empty; give output a new or an empty folder"):
        run(make_config(), dataset=dataset)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_taken(dataset, make_config, tmp_path):
    (tmp_path / "run").mkdir()
    assert run(make_config(epochs=1), dataset=dataset).folder.path.samefile(tmp_path / "run")


def test_an_output_below_a_file_is_refused(dataset, make_config, tmp_path):
    (tmp_path / "file").touch()
    for output in ("file", "file/run"):
        with pytest.raises(ValueError, match=r"cannot be written, because .*file is not a folder"):
            run(make_config(output=output), dataset=dataset)


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: "20260101-120000")
    paths = [create_run_folder(None, "test").path for _ in range(3)]
    names = [f"20260101-120000-test{end}" for end in ("", "-2", "-3")]
    assert [path.name for path in paths] == names
    assert all(path.parent.name == "runs" for path in paths)


def test_resume_needs_the_name_of_a_run(monkeypatch, tmp_path, capsys):
    """As from a variable of the shell that is not set."""
    monkeypatch.chdir(tmp_path)
    assert main(["--resume", "", "--data", "synthetic"]) == 2
    assert "--resume names no run; give its folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
