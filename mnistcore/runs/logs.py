"""The metrics of a run for other programs: a CSV table, and TensorBoard's event files.

Both lie in the run folder and have each epoch as soon as it is over, so that a run can be followed
while it trains, and one that is killed loses nothing. Those of a run that goes on have the epochs
before, too.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ..system.extras import require
from ..system.files import append_line, naming, replacing
from ..training.records import EpochRecord, Listener
from .folder import CSV_FILE

EVENTS_FILE = "events.out.tfevents"  # what the names of event files begin with

# The name of each figure in TensorBoard, which groups them by what is before the slash.
_TAGS = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "train_accuracy": "accuracy/train",
    "validation_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}


def check_logs(names: Sequence[str]) -> None:
    """Check that the libraries of the logs are installed; raise MissingExtraError if not."""
    if "tensorboard" in names:
        require("tensorboardX", "tensorboard")


@contextmanager
def open_logs(
    names: Sequence[str],
    folder: Path,
    images: int,
    history: Sequence[EpochRecord] | None = None,
) -> Iterator[list[Listener]]:
    """Begin the logs "csv" and "tensorboard" in a run folder, as listeners of the run.

    ``images`` is the number that an epoch trains on; ``history`` has the epochs of a run that is
    continued.
    """
    logs: list[Listener] = [_Csv(folder, images, history or ())] if "csv" in names else []
    if "tensorboard" not in names:
        yield logs
        return
    with closing(_TensorBoard(folder, images, history)) as log:
        yield [*logs, log]


def _figures(record: EpochRecord, images: int) -> dict[str, int | float | None]:
    speed = images / max(record.seconds, 1e-9)
    return {**dataclasses.asdict(record), "images_per_second": speed}


class _Csv(Listener):
    """``metrics.csv``: a header, and a row per epoch; a cell without validation is empty."""

    def __init__(self, folder: Path, images: int, history: Sequence[EpochRecord]) -> None:
        self._path, self._images = folder / CSV_FILE, images
        names = [field.name for field in dataclasses.fields(EpochRecord)]
        lines = [",".join([*names, "images_per_second"]), *map(self._line, history)]
        with replacing(self._path) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def epoch_done(self, record: EpochRecord) -> None:
        append_line(self._path, self._line(record))

    def _line(self, record: EpochRecord) -> str:
        values = _figures(record, self._images).values()
        return ",".join("" if value is None else repr(value) for value in values)


class _TensorBoard(Listener):
    """An event file with a scalar per figure and epoch, written without a thread of its own.

    A run that is continued has a file for each part. That a part begins after so many epochs makes
    TensorBoard forget what the files before have of later ones.
    """

    def __init__(self, folder: Path, images: int, history: Sequence[EpochRecord] | None) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._path, self._images = folder / EVENTS_FILE, images
        with naming(self._path):
            part = "" if history is None else f".{len(history)}"
            self._file = EventsWriter(str(folder / EVENTS_FILE.partition(".")[0]), part)
            if history is not None:
                session = SessionLog(status=SessionLog.START)
                event = Event(wall_time=time.time(), step=len(history) + 1, session_log=session)
                self._file.write_event(event)
            self._file.flush()

    def close(self) -> None:
        """End the file, which has all its events already."""
        with naming(self._path):
            self._file.close()

    def epoch_done(self, record: EpochRecord) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        figures: dict[str, Any] = _figures(record, self._images)
        values = [
            Summary.Value(tag=tag, simple_value=figures[name])
            for name, tag in _TAGS.items()
            if figures[name] is not None
        ]
        event = Event(wall_time=time.time(), step=record.epoch, summary=Summary(value=values))
        with naming(self._path):
            self._file.write_event(event)
            self._file.flush()
