"""Metrics as CSV and as TensorBoard's events, read back as other programs read them."""

import csv
import dataclasses
import math
import struct
import sys
from pathlib import Path

import pytest
from small_digits import small_digits

from mnistcore.data import load_data
from mnistcore.system.extras import MissingExtraError
from mnistcore.train import TrainConfig, resume, run
from mnistcore.training.records import Listener

COLUMNS = [
    "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
    "learning_rate", "seconds", "images_per_second",
]  # fmt: skip


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = small_digits(tmp_path / "data")

    def train(listener=None, **options):
        quick = {"backend": "numpy", "hidden": 8, "epochs": 3, "output": "run"}
        return run(TrainConfig(**{**quick, **options}), dataset=dataset, listener=listener)

    return train


def read_rows():
    with Path("run/metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_per_epoch(make):
    history = make(log="csv").history
    rows = read_rows()
    assert list(rows[0]) == COLUMNS
    for row, record in zip(rows, history, strict=True):
        speed = float(row.pop("images_per_second"))
        assert {name: float(cell) for name, cell in row.items()} == dataclasses.asdict(record)
        assert speed * record.seconds == pytest.approx(540)
    assert not list(Path("run").glob("events*"))


def test_a_cell_without_validation_is_empty(make):
    make(log=["csv"], validation_fraction=0.0, epochs=1)
    (row,) = read_rows()
    assert (row["validation_loss"], row["validation_accuracy"]) == ("", "")


def test_no_log_is_the_default(make):
    make()
    assert not list(Path("run").glob("metrics.csv")) + list(Path("run").glob("events*"))


def crc32c(data):
    """The Castagnoli checksum, bit by bit, masked as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_events(path):
    """The events of a file: each is its length and data, with a checksum of both."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    content, events = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        data, end = content[12 : 12 + length], 16 + length
        checks = struct.unpack("<I", content[8:12]) + struct.unpack("<I", content[end - 4 : end])
        assert checks == (crc32c(content[:8]), crc32c(data))
        events.append(event_pb2.Event.FromString(data))
        content = content[end:]
    return events


def event_file():
    (path,) = Path("run").glob("events.out.tfevents.*")
    return path


def test_events_have_each_figure_of_each_epoch(make):
    pytest.importorskip("tensorboardX")
    history = make(log=("csv", "tensorboard")).history
    first, *events = read_events(event_file())
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in events] == [1, 2, 3]
    for event, record in zip(events, history, strict=True):
        values = {value.tag: value.simple_value for value in event.summary.value}
        assert math.isclose(values.pop("images_per_second"), 540 / record.seconds, rel_tol=1e-6)
        assert values == pytest.approx(
            {
                "loss/train": record.train_loss,
                "loss/validation": record.validation_loss,
                "accuracy/train": record.train_accuracy,
                "accuracy/validation": record.validation_accuracy,
                "learning_rate": record.learning_rate,
            },
            rel=1e-6,
        )
    assert len(read_rows()) == 3


def test_tensorboard_reads_them(make):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = make(log="tensorboard", validation_fraction=0.0).history
    events = accumulator.EventAccumulator("run")
    events.Reload()
    losses = [(e.step, e.value) for e in events.Scalars("loss/train")]
    assert losses == [(r.epoch, pytest.approx(r.train_loss, rel=1e-6)) for r in history]
    assert "loss/validation" not in events.Tags()["scalars"]


def test_what_is_logged_is_on_disk_when_the_epoch_is_over(make):
    """A run that is killed loses nothing."""
    pytest.importorskip("tensorboardX")
    seen = []

    class Look(Listener):
        def epoch_done(self, record):
            seen.append((len(read_rows()), len(read_events(event_file())) - 1))

    make(Look(), log=("csv", "tensorboard"))
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_the_events_of_a_run_that_goes_on_replace_those_after_its_checkpoint(make):
    session_log = pytest.importorskip("tensorboardX.proto.event_pb2").SessionLog

    class Killed(Listener):
        def epoch_done(self, record):
            if record.epoch == 3:
                raise LookupError

    with pytest.raises(LookupError):
        make(Killed(), log="tensorboard", epochs=5, checkpoint_every="2epochs")
    history = resume("run", dataset=load_data("data")).history
    first, second = sorted(Path("run").glob("events.out.tfevents.*"), key=lambda path: path.name)
    assert [event.step for event in read_events(first)] == [0, 1, 2, 3]
    _, start, *events = read_events(second)
    assert (start.step, start.session_log.status) == (3, session_log.START)
    assert [event.step for event in events] == [3, 4, 5]
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator("run")
    events.Reload()
    losses = [(e.step, e.value) for e in events.Scalars("loss/train")]
    assert losses == [(r.epoch, pytest.approx(r.train_loss, rel=1e-6)) for r in history]


def test_without_the_library_a_run_does_not_begin(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(MissingExtraError, match="tensorboard"):
        make(log="tensorboard")
    assert not Path("run").exists()


def test_an_unknown_log_is_refused():
    with pytest.raises(ValueError, match="log must be one of csv, tensorboard, got 'wandb'"):
        TrainConfig(log=("csv", "wandb"))
