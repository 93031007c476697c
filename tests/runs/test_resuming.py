"""A run that goes on equals one that was never interrupted, to the last bit."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_digits import N_TRAIN, small_digits

from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.runs import checkpoints
from mnistcore.runs.checkpoints import files
from mnistcore.runs.folder import RunFolder, load_run
from mnistcore.runs.resuming import _check_data, prepare_resumed
from mnistcore.train import TrainConfig, TrainingInterrupted, resume, run
from mnistcore.training.records import EpochRecord, Listener

BATCH = 16
STEPS = -(-N_TRAIN * 9 // 10 // BATCH)  # of an epoch


class KilledError(Exception):
    """Ends a run at once, as a kill does: nothing more is written."""


class Ends(Listener):
    """Ends a run after so many slices, by an exception."""

    def __init__(self, slices, error):
        self._left, self._error = slices, error

    def slice_done(self, progress):
        self._left -= 1
        if self._left == 0:
            raise self._error


@pytest.fixture
def dataset(tmp_path):
    return small_digits(tmp_path / "data")


@pytest.fixture
def make_config(tmp_path, monkeypatch):
    """A config of a small network; every slice is a single step, so a run can end after any."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mnistcore.training.loop.SLICE_SECONDS", 0.0)
    monkeypatch.setattr("mnistcore.training.loop.PACKING", 0.0)

    def make(**options):
        quick = {"backend": "numpy", "hidden": 12, "epochs": 3, "batch_size": BATCH}
        return TrainConfig(**{**quick, "schedule": "one-cycle", "output": "run", **options})

    return make


def trained(config, dataset):
    """The result of an undisturbed run, in slices of many steps, in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnistcore.training.loop.SLICE_SECONDS", 1e9)
        return run(dataclasses.replace(config, output="undisturbed"), dataset=dataset)


def interrupted(config, dataset, slices, error=KeyboardInterrupt):
    with pytest.raises((TrainingInterrupted, KilledError)):
        run(config, dataset=dataset, listener=Ends(slices, error))


def epochs_of(path="run"):
    lines = Path(path, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def without_seconds(history):
    return [dataclasses.replace(record, seconds=0.0) for record in history]


def assert_equal(result, wanted):
    assert result.model.params.tobytes() == wanted.model.params.tobytes()
    assert checkpoint.load("run").params.tobytes() == wanted.model.params.tobytes()
    assert without_seconds(result.history) == without_seconds(wanted.history)
    assert without_seconds(load_run("run").history) == without_seconds(wanted.history)
    for name in ("test_loss", "test_accuracy", "outcome", "epochs_run", "best_epoch"):
        assert result.summary[name] == wanted.summary[name]


class Moves(Listener):
    """Moves the run's folder away after an epoch, and perhaps puts another there."""

    def __init__(self, other):
        self._other = other

    def epoch_done(self, record):
        if record.epoch == 2:
            Path("run").rename("elsewhere")
            if self._other:
                Path("run").mkdir()


@pytest.mark.parametrize("other", [False, True])
def test_a_folder_that_is_moved_ends_the_run_and_nothing_is_mixed(dataset, make_config, other):
    config = make_config(checkpoint_every="1epochs", epochs=4)
    with pytest.raises(OSError, match=r"was moved or replaced; --resume goes on from") as caught:
        run(config, dataset=dataset, listener=Moves(other))
    assert caught.value.filename == "run"
    assert list(Path().glob("run/*")) == []
    assert_equal_weights(resume("elsewhere", dataset=dataset), trained(config, dataset))


def assert_equal_weights(result, wanted):
    assert result.model.params.tobytes() == wanted.model.params.tobytes()


def test_the_longest_history_can_be_read_again(dataset, make_config, monkeypatch):
    run(make_config(epochs=1), dataset=dataset)
    past, _ = checkpoints.newest(Path("run"))
    fields = vars(past.history[0]) | {"seconds": 1.2345678901234567e-05}
    history = [EpochRecord(**fields | {"epoch": epoch}) for epoch in range(1, 200_001)]
    arrays, counts = past.arrays, past.counts | {"epoch": 200_000}
    trainer = SimpleNamespace(
        arrays=lambda: dict(arrays), counts=lambda: counts, step=counts["step"]
    )
    checkpoints.save(
        Path("run"), trainer, SimpleNamespace(best_params=None, history=history), past.run
    )
    assert len(checkpoints.newest(Path("run"))[0].history) == 200_000


OPTIONS = [
    {},
    {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.5, "nesterov": True},
    {"batch_norm": True, "dropout": 0.2, "augment": True, "ema": 0.9},
    {"optimizer": "adamw", "clip_norm": 0.1, "max_norm": 1.0, "standardize": True, "ema": 0.99},
    {"hidden": (), "label_smoothing": 0.1, "validation_fraction": 0.0},
    {"adversarial": 1.0, "batch_norm": True, "dropout": 0.2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options))
def test_an_interrupted_run_goes_on_to_the_same_bits(kernels, dataset, make_config, options):
    config = make_config(backend=kernels.NAME, **options)
    wanted = trained(config, dataset)
    steps = -(-len(dataset.train_labels) // BATCH) if "validation_fraction" in options else STEPS
    interrupted(config, dataset, steps + 5)
    with pytest.raises(TrainingInterrupted):
        resume("run", dataset=dataset, threads=3, listener=Ends(7, KeyboardInterrupt))
    assert files(Path("run"))[0].stem == f"checkpoint-{steps + 12}"
    result = resume("run", dataset=dataset, threads=1)
    assert epochs_of() == [1, 2, 3]
    assert_equal(result, wanted)


def test_an_option_that_the_run_did_not_have_yet_changes_nothing(dataset, make_config):
    """Whatever its recipe has set since."""
    options = {"hidden": (8,), "epochs": 2, "batch_size": BATCH, "augment_strength": 1.0}
    config = make_config(recipe="augmented", **options)
    wanted = trained(config, dataset)
    interrupted(config, dataset, 3)
    path = Path("run/config.json")
    written = json.loads(path.read_text())
    del written["augment_strength"]
    path.write_text(json.dumps(written))
    assert_equal(resume("run", dataset=dataset), wanted)


@pytest.mark.parametrize("slices", [1, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS, 3 * STEPS])
def test_a_run_may_end_after_any_step(dataset, make_config, slices):
    config = make_config(patience=2)
    wanted = trained(config, dataset)
    interrupted(config, dataset, slices)
    assert_equal(resume("run", dataset=dataset), wanted)


@pytest.mark.parametrize("slices", [1, STEPS, STEPS + 1, 2 * STEPS + 3])
def test_a_killed_run_goes_on_from_its_last_checkpoint(dataset, make_config, slices):
    """Or begins again, if it has none; what it had recorded since is recorded once."""
    config = make_config(checkpoint_every="2epochs", log="csv")
    wanted = trained(config, dataset)
    interrupted(config, dataset, slices, KilledError)
    assert len(files(Path("run"))) == (slices > 2 * STEPS)
    if slices > STEPS:
        assert epochs_of() == [1, 2][: slices // (STEPS + 1)]
    assert_equal(resume("run", dataset=dataset), wanted)
    assert epochs_of() == [1, 2, 3]
    rows = Path("run/metrics.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["epoch", "1", "2", "3"]


def test_checkpoints_are_written_at_intervals_and_two_are_kept(dataset, make_config, monkeypatch):
    clock = SimpleNamespace(monotonic=iter(range(10**6)).__next__)  # it is looked at in each slice
    monkeypatch.setattr("mnistcore.runs.checkpoints.time", clock)
    config = make_config(checkpoint_every="5seconds")
    interrupted(config, dataset, STEPS + 20, KilledError)
    assert [path.stem for path in files(Path("run"))] == ["checkpoint-50", "checkpoint-45"]
    assert_equal(resume("run", dataset=dataset), trained(config, dataset))
    assert [path.stem for path in files(Path("run"))] == [f"checkpoint-{3 * STEPS}"]


def test_without_checkpoints_a_run_writes_none(dataset, make_config):
    config = make_config(checkpoint_every="none")
    interrupted(config, dataset, 20)
    assert not files(Path("run"))
    with pytest.raises(ValueError, match="run: the run ended without a checkpoint"):
        resume("run", dataset=dataset)


def test_a_damaged_checkpoint_costs_time_alone(dataset, make_config):
    config = make_config(checkpoint_every="1epochs")
    wanted = trained(config, dataset)
    interrupted(config, dataset, 2 * STEPS + 4)
    last, before = files(Path("run"))
    last.write_bytes(last.read_bytes()[:-1])
    result = resume("run", dataset=dataset)
    (notice,) = result.summary["notices"]
    assert notice.endswith(f"; going on from {before.name}, the one before")
    assert_equal(result, wanted)


def test_early_stopping_counts_on(dataset, make_config):
    config = make_config(epochs=60, patience=2, learning_rate=0.05)
    wanted = trained(config, dataset)
    assert wanted.summary["outcome"] == "stopped early"
    for slices in (STEPS + 2, wanted.summary["epochs_run"] * STEPS - 1):
        interrupted(config, dataset, slices)
        assert_equal(resume("run", dataset=dataset), wanted)
        shutil.rmtree("run")


@pytest.mark.parametrize("augment", [False, True])
def test_a_student_goes_on_with_its_teacher(dataset, make_config, augment):
    trained(make_config(), dataset)
    config = make_config(teacher="undisturbed", seed=1, augment=augment)
    wanted = run(dataclasses.replace(config, output="student"), dataset=dataset)
    interrupted(config, dataset, STEPS + 3)
    assert_equal(resume("run", dataset=dataset), wanted)
    shutil.rmtree("run")
    interrupted(config, dataset, STEPS + 3)
    shutil.move("undisturbed", "moved")
    assert_equal(resume("run", dataset=dataset, teacher=("moved",)), wanted)
    shutil.move("moved", "undisturbed")
    shutil.rmtree("run")
    interrupted(config, dataset, STEPS + 3)
    shutil.copy("student/model.safetensors", "undisturbed/model.safetensors")
    with pytest.raises(ValueError, match="run: the teachers have changed"):
        resume("run", dataset=dataset)


def test_a_finished_run_is_trained_longer(dataset, make_config):
    """With a constant rate it equals a run of so many epochs in one piece."""
    config = make_config(schedule="constant", log="csv", patience=9)
    first = run(config, dataset=dataset)
    assert first.summary["outcome"] == "finished"
    with pytest.raises(ValueError, match=r"it was trained for 3 epochs.* larger number of epochs"):
        resume("run", dataset=dataset)
    result = resume("run", dataset=dataset, epochs=5)
    assert_equal(result, trained(make_config(schedule="constant", epochs=5, patience=9), dataset))
    assert epochs_of() == [1, 2, 3, 4, 5]
    assert json.loads(Path("run/config.json").read_text())["epochs"] == 5
    assert result.summary["total_seconds"] > first.summary["total_seconds"]


def test_the_schedule_of_a_longer_run_is_that_of_all_its_epochs(dataset, make_config):
    run(make_config(schedule="cosine"), dataset=dataset)
    rates = [record.learning_rate for record in resume("run", dataset=dataset, epochs=6).history]
    whole = trained(make_config(schedule="cosine", epochs=6), dataset)
    assert rates[3:] == [record.learning_rate for record in whole.history][3:]


def test_a_run_that_stopped_early_needs_more_patience(dataset, make_config):
    run(make_config(epochs=60, patience=2, learning_rate=0.05), dataset=dataset)
    with pytest.raises(ValueError, match=r"stopped early after .* larger number of patience"):
        resume("run", dataset=dataset)
    assert resume("run", dataset=dataset, patience=4).summary["epochs_run"] > 2


def test_other_options_are_named(dataset, make_config):
    config = make_config()
    interrupted(config, dataset, 20)
    with pytest.raises(ValueError, match="options: batch_size is 8, not 16, seed is 1, not 0"):
        resume("run", dataset=dataset, seed=1, batch_size=8)
    with pytest.raises(ValueError, match="backend is cython, not numpy"):
        resume("run", dataset=dataset, backend="cython")
    with pytest.raises(ValueError, match="the run goes on in its folder; leave output out"):
        resume("run", dataset=dataset, output="other")
    with pytest.raises(ValueError, match="epochs must be in"):
        resume("run", dataset=dataset, epochs=0)
    path = Path("run/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden": [13]}))
    with pytest.raises(ValueError, match=r"hidden is \[13\], not \[12\]"):
        resume("run", dataset=dataset)
    assert not list(Path("run").glob("summary.json")) or load_run("run").summary["interrupted"]


def test_fewer_epochs_than_were_begun_are_refused(dataset, make_config):
    interrupted(make_config(), dataset, STEPS + 1)
    with pytest.raises(ValueError, match="run: epochs is 1; the run is in epoch 2"):
        resume("run", dataset=dataset, epochs=1)


def test_other_data_are_refused(dataset, make_config):
    interrupted(make_config(), dataset, 20)
    other = dataclasses.replace(dataset, train_labels=3 - dataset.train_labels)
    message = r"run: was trained on other data: .*data as it was then; name them with data"
    with pytest.raises(ValueError, match=message):
        resume("run", dataset=other)


def test_classes_of_other_names_are_refused(dataset, make_config):
    """Labels are counted in the order of their names, so the same numbers may mean others."""
    interrupted(make_config(), dataset, 20)
    renamed = [f"new {name}" for name in dataset.class_names]
    with pytest.raises(ValueError, match="run: was trained on other classes than new 0, new 1"):
        resume("run", dataset=dataclasses.replace(dataset, class_names=tuple(renamed)))


@pytest.mark.skipif(os.name != "posix", reason="makes links and pipes")
@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["link", "broken link", "pipe"])
def test_a_run_writes_into_files_of_its_own_alone(dataset, make_config, name, kind):
    """The folder of somebody else may have a link to a file of ours."""
    run(make_config(), dataset=dataset)
    Path("thesis").write_text("years of work")
    path = Path("run", name)
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("../" * ("b" not in kind) + "thesis")
    with pytest.raises(ValueError, match=f"run/{name}: is a link, or no file"):
        resume("run", dataset=dataset, epochs=5)
    assert Path("thesis").read_text() == "years of work"


def test_other_data_are_named_without_a_folder():
    names = "digits", "letters"
    before, now = ({"data": {"name": n, "checksum": n, "classes": []}} for n in names)
    with pytest.raises(ValueError, match="other data: digits, not letters; name them"):
        _check_data(Path("run"), before, now)


def test_other_versions_are_told(dataset, make_config, monkeypatch):
    config = make_config()
    interrupted(config, dataset, 20)
    monkeypatch.setattr("mnistcore.runs.job.library_versions", lambda backend: {"numpy": "9.9"})
    (notice, *_) = resume("run", dataset=dataset).summary["notices"]
    assert "numpy 9.9 instead of " in notice
    assert notice.endswith("its last digits may differ")


@pytest.mark.parametrize("path", ["missing", "data", "run/model.safetensors"])
def test_what_is_no_run_is_refused(dataset, make_config, path):
    interrupted(make_config(), dataset, 20)
    with pytest.raises(ValueError, match=f"{path}: is not a run folder; it has no config.json"):
        resume(path)


def test_a_diverged_run_does_not_go_on(dataset, make_config):
    config = make_config(optimizer="sgd", activation="identity", learning_rate=1e25)
    with pytest.raises(ArithmeticError):
        run(config, dataset=dataset)
    with pytest.raises(ValueError, match="run: the run diverged, and would again"):
        resume("run", dataset=dataset)


def test_a_run_has_one_owner(dataset, make_config):
    interrupted(make_config(), dataset, 20)
    job = prepare_resumed("run", {}, dataset)
    with pytest.raises(BlockingIOError, match="another process is training there"):
        resume("run", dataset=dataset)
    del job
    assert resume("run", dataset=dataset).summary["outcome"] == "finished"


def test_a_run_lets_its_folder_go_whatever_happens(dataset, make_config):
    interrupted(make_config(), dataset, 20, KilledError)
    with pytest.raises(ValueError, match="epochs must be"):
        resume("run", dataset=dataset, epochs=-1)
    RunFolder(Path("run")).release()


def test_a_state_in_the_middle_of_a_slice_is_not_saved(dataset, make_config, monkeypatch):
    """A second Ctrl-C, while a slice is trained: the checkpoint before stays, as after a kill."""
    config = make_config(checkpoint_every="1epochs")
    wanted = trained(config, dataset)

    train_steps = numpy_kernels.train_steps

    def cut_off(*arguments):
        train_steps(*arguments)
        raise KeyboardInterrupt

    class AtOnce(Listener):
        def epoch_done(self, record):
            if record.epoch == 2:
                monkeypatch.setattr(numpy_kernels, "train_steps", cut_off)

    with pytest.raises(KeyboardInterrupt):
        run(config, dataset=dataset, listener=AtOnce())
    assert not Path("run/summary.json").exists()
    monkeypatch.setattr(numpy_kernels, "train_steps", train_steps)
    assert files(Path("run"))[0].stem == f"checkpoint-{2 * STEPS}"
    assert_equal(resume("run", dataset=dataset), wanted)
