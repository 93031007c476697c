"""Checkpoints as files: read as they were written, or known to be damaged."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from mnistcore.kernels import numpy_kernels
from mnistcore.kernels.layout import METRICS
from mnistcore.models.checkpoint import CheckpointError
from mnistcore.models.checkpoint import load as load_model
from mnistcore.models.network import Network
from mnistcore.runs import checkpoints
from mnistcore.runs.checkpoints import RUN, files, keep, load, newest, save
from mnistcore.training.fit import Fit, fit
from mnistcore.training.loop import Trainer
from mnistcore.training.optimizers import make_options

STEPS = 12  # of an epoch
DATA = {"name": "digits", "checksum": "0", "folder": None, "remarks": [], "look": None}
DESCRIBED = dict(zip(RUN, ({}, "numpy", DATA, [], {}, 1.5), strict=True))


def make_trainer():
    rng = np.random.default_rng(0)
    x, targets = rng.integers(0, 256, (96, 5), np.uint8), rng.integers(0, 3, 96, np.int32)
    network = Network((5, 7, 3), batch_norm=True)
    options = make_options("adam", batch_size=8, scale=1 / 255, ema_decay=0.9)
    rates = lambda first, steps: np.full(steps, 0.01)  # noqa: E731
    return Trainer(
        numpy_kernels, network, network.init(rng), x, targets, np.arange(96), options, rates
    )


@pytest.fixture
def saved(tmp_path):
    """A folder with the checkpoints of two epochs, the trainer and its fit."""
    trainer = make_trainer()
    outcome = Fit(trainer.inference_params().copy())
    for epochs in (1, 2):
        fit(trainer, epochs, so_far=outcome)
        outcome.best_params = outcome.params
        save(tmp_path, trainer, outcome, DESCRIBED)
    return tmp_path, trainer, outcome


def test_a_checkpoint_is_read_as_it_was_written(saved):
    folder, trainer, outcome = saved
    path = files(folder)[0]
    assert path.name == f"checkpoint-{2 * STEPS}.safetensors"
    checkpoint = load(path)
    again = make_trainer()
    copy = Fit(again.inference_params().copy())
    checkpoint.restore(again, copy)
    assert again.counts() == trainer.counts()
    assert again.counts()["step"] == 2 * STEPS
    for name, array in trainer.arrays().items():
        assert again.arrays()[name].tobytes() == array.tobytes()
    assert copy.history == outcome.history
    np.testing.assert_array_equal(copy.best_params, outcome.best_params)
    assert checkpoint.run == DESCRIBED


def test_the_state_goes_on_as_the_original(saved):
    folder, trainer, _ = saved
    again = make_trainer()
    load(files(folder)[0]).restore(again, Fit(again.params))
    for one in (trainer, again):
        one.train_epoch(3, lambda progress: None)
    for name, array in trainer.arrays().items():
        assert again.arrays()[name].tobytes() == array.tobytes()


def test_every_damaged_byte_is_noticed_or_harmless(saved):
    """A changed byte is found, or it is one of the header that changes nothing that is read."""
    folder, _, _ = saved
    path = files(folder)[0]
    content = path.read_bytes()
    whole = load(path)
    rng = np.random.default_rng(1)
    messages = []
    for place in rng.choice(len(content), 400, replace=False):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            read = load(path)
        except CheckpointError as error:
            messages.append(str(error))
        else:
            assert read.counts == whole.counts
            assert read.arrays["params"].tobytes() == whole.arrays["params"].tobytes()
    assert len(messages) > 380
    assert all(re.fullmatch(f"{re.escape(str(path))}: .+", message) for message in messages)


@pytest.mark.parametrize("length", [0, 7, 8, 100, 2000, -1])
def test_a_shortened_file_is_damaged(saved, length):
    folder, _, _ = saved
    path = files(folder)[0]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"checkpoint-24.safetensors: is damaged \("):
        load(path)


def test_a_damaged_checkpoint_is_passed_over_with_a_notice(saved):
    folder, _, _ = saved
    last, before = files(folder)
    assert newest(folder)[1] == ""
    last.write_bytes(b"damaged")
    checkpoint, notice = newest(folder)
    assert checkpoint.counts["step"] == STEPS
    assert notice.startswith(f"{last}: is damaged (")
    assert notice.endswith(f"; going on from {before.name}, the one before")
    assert "\n" not in notice
    before.write_bytes(b"")
    with pytest.raises(CheckpointError, match="and there is no other checkpoint"):
        newest(folder)


def test_a_checkpoint_of_another_version_is_not_passed_over(saved, monkeypatch):
    folder, trainer, outcome = saved
    last, _ = files(folder)
    monkeypatch.setattr(checkpoints, "FORMAT_VERSION", 2)
    save(folder, trainer, outcome, DESCRIBED)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=f"{last}: has format version '2'; this mnistcore"):
        newest(folder)
    assert len(files(folder)) == 2


def test_a_checkpoint_that_cannot_be_opened_is_not_a_missing_one(saved, monkeypatch):
    def refused(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(PermissionError, match="Permission denied"):
        load(files(saved[0])[0])


def test_a_folder_without_checkpoints_has_none(tmp_path):
    for name in ("checkpoint-.safetensors", "checkpoint-x.safetensors", "model.safetensors"):
        (tmp_path / name).touch()
    assert newest(tmp_path) == (None, "")


def test_the_newest_are_kept_by_their_number(tmp_path):
    for step in (9, 10, 200):
        (tmp_path / f"checkpoint-{step}.safetensors").touch()
    keep(tmp_path, 2)
    assert [path.stem for path in files(tmp_path)] == ["checkpoint-200", "checkpoint-10"]


def rewritten(path, **changes):
    """Write a checkpoint again, with other entries and arrays but the right checksum."""
    from mnistcore.runs.checkpoints import _checksum

    with safe_open(path, framework="numpy") as file:
        metadata = {**file.metadata(), **changes.pop("metadata", {})}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    arrays |= changes
    del metadata["checksum"]
    metadata["checksum"] = _checksum(arrays, metadata)
    save_file(arrays, path, metadata)


COUNTS = {
    "epoch": 2, "epoch_steps": 1, "epoch_seconds": 1.0, "step": 1, "samples": 1, "seconds": 1.0
}  # fmt: skip


def history(**changes):
    """The history of two epochs, with changes to the second."""
    names = ("epoch", "train_loss", "train_accuracy", "learning_rate", "seconds")
    record = {**dict.fromkeys(names, 1), "validation_loss": None, "validation_accuracy": None}
    return json.dumps([record, {**record, "epoch": 2, **changes}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": {"format": "mnistcore"}}, "is not a checkpoint of mnistcore"),
        ({"metadata": {"format_version": "2\x1b["}}, r"has format version '2\\x1b\['"),
        ({"metadata": {"history": "[{}]"}}, "is damaged"),
        ({"metadata": {"history": "[" * 100_000}}, "is damaged"),
        ({"metadata": {"counts": "[]"}}, "has counts that are not"),
        ({"metadata": {"counts": json.dumps({**COUNTS, "seconds": -1})}}, "has counts"),
        ({"metadata": {"counts": json.dumps({**COUNTS, "seconds": "1"})}}, "has counts"),
        ({"metadata": {"counts": json.dumps({**COUNTS, "seconds": 1e999})}}, "has counts"),
        ({"metadata": {"counts": json.dumps({**COUNTS, "step": True})}}, "has counts"),
        ({"metadata": {"counts": json.dumps({**COUNTS, "step": 2**60})}}, "has counts"),
        ({"metadata": {"counts": json.dumps({**COUNTS, "epoch": 9})}}, "has counts"),
        ({"metadata": {"counts": json.dumps({**COUNTS, "epoch_steps": 2})}}, "has counts"),
        ({"metadata": {"history": history(train_loss="1")}}, "has a history"),
        ({"metadata": {"history": history(validation_loss=1.0)}}, "has a history"),
        ({"metadata": {"history": history(epoch=3)}}, "has a history"),
        ({"metadata": {"run": "{}"}}, "does not say what is trained"),
        ({"metadata": {"run": json.dumps({**DESCRIBED, "config": []})}}, "does not say"),
        ({"metadata": {"run": json.dumps({**DESCRIBED, "data": {}})}}, "has a 'data' that"),
        ({"metadata": {"run": json.dumps({**DESCRIBED, "total_seconds": 1e999})}}, "does not say"),
        ({"metadata": {"run": json.dumps({**DESCRIBED, "total_seconds": 10**400})}}, "not say"),
        ({"metadata": {"history": history(train_loss=10**400)}}, "has a history"),
        ({"metrics": np.full(METRICS, np.nan)}, "has counts"),
        ({"params": np.zeros(3, np.float32)}, "has arrays that are not"),
        ({"params": np.zeros(3)}, "has arrays that are not"),
        ({"novelty": np.zeros(3)}, "has arrays that are not"),
    ],
)
def test_what_no_run_has_written_is_refused(saved, changes, message):
    folder, _, _ = saved
    path = files(folder)[0]
    rewritten(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        load(path)


def test_a_checkpoint_is_no_model(saved):
    with pytest.raises(CheckpointError, match="is the state of a run, not a model; name the run"):
        load_model(files(saved[0])[0])
