"""Checkpoints: the state of a run in the middle of its training, to go on from bit for bit.

``checkpoint-N.safetensors``, written after N updates, has the arrays of the :class:`.Trainer` and
the weights with the best validation. The values of its metadata are strings, three of them JSON:

==============  ==============================================================================
format          "mnistcore checkpoint"
format_version  "1"
run             what is trained: config, backend, data, teachers, versions; and total_seconds
counts          the numbers of the trainer
history         a list with an object per completed epoch
checksum        SHA-256 of all the rest
==============  ==============================================================================
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels.layout import METRICS, WEIGHT_SUM
from ..models.checkpoint import STATE_FORMAT, CheckpointError, encode, open_tensors
from ..models.model import parse_trained_on
from ..system.errors import reason_of
from ..system.files import replacing
from ..system.text import parsed, spelled
from ..training.fit import Fit
from ..training.intervals import Interval
from ..training.loop import COUNTS, Trainer
from ..training.records import EpochRecord, Listener, Progress
from .folder import CHECKPOINT, RunFolder

FORMAT_VERSION = 1
KEPT = 2  # checkpoints of a run that trains; should the newest be damaged, there is another

RUN = ("config", "backend", "data", "teachers", "versions", "total_seconds")  # the entry run

_NAME = CHECKPOINT + "{}.safetensors"
_MOST = 2**53  # steps, samples or seconds
_LONGEST = 2**26  # characters of the history of as many epochs as a run may have
_BEST = "best_params"  # the array that is not the trainer's
_MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class _OtherVersionError(CheckpointError):
    """A checkpoint is whole, but of another version of the format."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint, with the names as in the file."""

    arrays: Mapping[str, np.ndarray]
    counts: Mapping[str, int | float]
    history: list[EpochRecord]
    run: Mapping[str, Any]

    def restore(self, trainer: Trainer, outcome: Fit) -> None:
        """Bring a trainer and its fit, both new, to this state."""
        trainer.restore(self.arrays, self.counts)
        outcome.history[:] = self.history
        outcome.best_params = self.arrays.get(_BEST)


@dataclass(frozen=True, eq=False)
class Past:
    """The run that a job goes on with.

    Attributes
    ----------
    folder
        Its folder.
    checkpoint
        Where it goes on; None if it was killed before its first checkpoint, and begins again.
    notices
        What the user should know about it.
    """

    folder: RunFolder
    checkpoint: Checkpoint | None = None
    notices: tuple[str, ...] = ()

    @property
    def history(self) -> list[EpochRecord]:
        """The records of the epochs before."""
        return self.checkpoint.history if self.checkpoint else []

    def rewind(self) -> None:
        """Leave in the folder what the run had come to at the checkpoint.

        A killed run may have recorded more epochs, and newer checkpoints are damaged.
        """
        for path in files(self.folder.path):
            if self.checkpoint is not None and _step(path) > self.checkpoint.counts["step"]:
                path.unlink()
        self.folder.rewind(self.history)

    @property
    def seconds(self) -> float:
        """The time that the run has taken before, all included."""
        return float(self.checkpoint.run["total_seconds"]) if self.checkpoint else 0.0


class Keeper(Listener):
    """Saves the state of a run at intervals, and keeps the newest checkpoints.

    Parameters
    ----------
    folder
        The run folder.
    every
        The interval; "none" saves nothing.
    trainer, outcome
        Whose state it is.
    describe
        Returns the entry ``run``.
    """

    def __init__(
        self,
        folder: RunFolder,
        every: Interval,
        trainer: Trainer,
        outcome: Fit,
        describe: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._folder, self._every = folder, every
        self._trainer, self._outcome, self._describe = trainer, outcome, describe
        self._saved = time.monotonic()

    def slice_done(self, progress: Progress) -> None:
        if self._every.seconds and time.monotonic() - self._saved >= self._every.seconds:
            self.save()

    def epoch_done(self, record: EpochRecord) -> None:
        if self._every.epochs and record.epoch % self._every.epochs == 0:
            self.save()

    def save(self) -> None:
        """Save the state now, unless it never is or an exception came in the middle of a slice."""
        if any(self._every) and self._trainer.between_slices:
            path = self._folder.checked()
            save(path, self._trainer, self._outcome, self._describe())
            keep(path, KEPT)
            self._saved = time.monotonic()

    def finish(self) -> None:
        """Keep of a finished run the last checkpoint alone, from which it can be trained longer."""
        keep(self._folder.checked(), 1 if any(self._every) else 0)


def save(folder: Path, trainer: Trainer, outcome: Fit, run: Mapping[str, Any]) -> None:
    """Write a checkpoint into a run folder.

    Raises
    ------
    OSError
        If it cannot be written; those that are there stay as they are.
    """
    arrays = trainer.arrays()
    if outcome.best_params is not None:
        arrays[_BEST] = outcome.best_params
    history = [vars(record) for record in outcome.history]
    entries = {"run": run, "counts": trainer.counts(), "history": history}
    metadata = {name: json.dumps(entry, allow_nan=False) for name, entry in entries.items()}
    metadata |= {"format": STATE_FORMAT, "format_version": str(FORMAT_VERSION)}
    metadata["checksum"] = _checksum(arrays, metadata)
    with replacing(folder / _NAME.format(trainer.step)) as file:
        file.write(encode(arrays, metadata))


def keep(folder: Path, number: int) -> None:
    """Remove all checkpoints but the newest ones."""
    for path in files(folder)[number:]:
        path.unlink()


def files(folder: Path) -> list[Path]:
    """Return the checkpoints in a run folder, the newest first."""
    named = folder.glob(_NAME.format("*"))
    found = [path for path in named if _step(path) >= 0 and path.is_file()]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() and number.isascii() and len(number) < 19 else -1


def newest(folder: Path) -> tuple[Checkpoint | None, str]:
    """Return the newest checkpoint that is not damaged, and a notice of those that are.

    Raises
    ------
    CheckpointError
        If all are damaged, or a newer one is whole and of another version.
    OSError
        If a file cannot be read.
    """
    damaged = ""
    for path in files(folder):
        try:
            checkpoint = load(path)
        except _OtherVersionError:
            raise
        except CheckpointError as error:
            damaged = damaged or str(error)
            continue
        if damaged:
            damaged += f"; going on from {path.name}, the one before"
        return checkpoint, damaged
    if damaged:
        raise CheckpointError(f"{damaged}, and there is no other checkpoint")
    return None, ""


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    CheckpointError
        If it is damaged or of another format; the message begins with its path.
    OSError
        If it cannot be read.
    """
    from safetensors import SafetensorError

    try:
        with open_tensors(path) as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _decode(arrays, metadata)
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from error
    except (SafetensorError, *_MALFORMED) as error:
        raise CheckpointError(f"{path}: is damaged ({reason_of(error)})") from error


def _decode(arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> Checkpoint:
    if metadata.get("format") != STATE_FORMAT:
        raise CheckpointError("is not a checkpoint of mnistcore")
    if metadata.pop("checksum", None) != _checksum(arrays, metadata):
        raise CheckpointError("is damaged (its checksum is that of another content)")
    if metadata.get("format_version") != str(FORMAT_VERSION):
        version = spelled(metadata.get("format_version"))
        raise _OtherVersionError(
            f"has format version {version}; this mnistcore reads version {FORMAT_VERSION}"
        )
    counts, run = parsed(metadata["counts"]), parsed(metadata["run"])
    history = [EpochRecord(**entry) for entry in parsed(metadata["history"], most=_LONGEST)]
    _check_arrays(arrays)
    _check_counts(counts, arrays["metrics"], len(history))
    if not all(_is_record(record, epoch) for epoch, record in enumerate(history, 1)):
        raise CheckpointError("has a history that is not that of a checkpoint")
    _check_run(run)
    return Checkpoint(arrays, counts, history, run)


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Check what a file with the right checksum must be like, too; so do the next functions."""
    n_params = arrays["params"].size
    shapes = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    wanted = {
        "params": (np.float32, (n_params,)),
        "state": (np.float32, (len(arrays["state"]), n_params)),
        "buffers": (np.float32, (arrays["buffers"].size,)),
        "metrics": (np.float64, (METRICS,)),
    }
    if _BEST in arrays:
        wanted[_BEST] = (np.float32, (arrays[_BEST].size,))
    if shapes != wanted:
        raise CheckpointError("has arrays that are not those of a checkpoint")


def _check_counts(counts: Any, metrics: np.ndarray, epochs: int) -> None:
    """Check the numbers of a trainer after so many epochs, and its sums in this one."""
    good = isinstance(counts, dict) and list(counts) == list(COUNTS)
    for name in COUNTS if good else ():
        good &= _is_number(counts[name]) and 0 <= counts[name] < _MOST
        good &= isinstance(counts[name], int) or name.endswith("seconds")
    if (
        not good
        or not 0 <= counts["epoch"] - epochs <= 1
        or counts["epoch_steps"] > counts["step"]
        or not np.isfinite(metrics).all()
        or (counts["epoch_steps"] and not metrics[WEIGHT_SUM] > 0)
    ):
        raise CheckpointError("has counts that are not those of a checkpoint")


def _is_record(record: EpochRecord, epoch: int) -> bool:
    """Whether a record is that of an epoch, in which all or nothing was validated."""
    values = dict(vars(record))
    if record.validation_loss is None and record.validation_accuracy is None:
        del values["validation_loss"], values["validation_accuracy"]
    return record.epoch == epoch and all(map(_is_number, values.values()))


def _check_run(run: Any) -> None:
    kinds = (dict, str, dict, list, dict)
    good = isinstance(run, dict) and list(run) == list(RUN)
    good = good and all(map(isinstance, run.values(), kinds)) and _is_number(run["total_seconds"])
    if not good or parse_trained_on(run["data"]) is None:
        raise CheckpointError("does not say what is trained")


def _is_number(value: object) -> bool:
    """Whether a value of JSON is a number that a float can be."""
    if not isinstance(value, int | float) or type(value) is bool:
        return False
    return abs(value) <= sys.float_info.max


def _checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the arrays and the other entries, whatever their order in a file."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
