"""The folder of a training run: its options, metrics, model and summary.

====================  ====================================================================
``config.json``       the options; ``train --config`` repeats the run from them
``metrics.jsonl``     a line of JSON per epoch, appended during the run
``model.safetensors`` the weights and their metadata: :mod:`.checkpoint`
``summary.json``      the results of the whole run
``checkpoint-*``      the state of the run, to be continued: :mod:`.checkpoints`
``metrics.csv``       with ``log`` "csv": :mod:`.logs`
``events.out.*``      with ``log`` "tensorboard"
====================  ====================================================================
"""

import dataclasses
import errno
import json
import math
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..models import checkpoint
from ..models.model import Model
from ..system.files import (
    append_line,
    check_folder,
    is_empty,
    read_bounded,
    replacing,
    write_json,
)
from ..system.locks import open_folder, try_lock, unlock
from ..system.text import parsed
from ..training.records import EpochRecord

RUNS = "runs"  # the parent of run folders that the user does not name
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "summary.json"
CSV_FILE = "metrics.csv"
CHECKPOINT = "checkpoint-"  # what the names of checkpoints begin with
_WRITTEN = (CONFIG_FILE, METRICS_FILE, SUMMARY_FILE, CSV_FILE, checkpoint.MODEL_FILE)

_NOT_EMPTY = "is not empty; give {} a new or an empty folder"


class RunFolder:
    """The folder of a run that this process trains; another process that wants it is refused.

    It was new or empty, or that of the run which is continued, so that no other file is touched.

    Raises
    ------
    OSError
        If another process trains in it, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = open_folder(path)
        if self._lock is not None:
            self._close = weakref.finalize(self, os.close, self._lock)
            self._close.atexit = False  # a forked process has its own end
            if try_lock(self._lock) is False:
                self._close()
                raise BlockingIOError(errno.EAGAIN, "another process is training there", str(path))

    def release(self) -> None:
        """Let other processes have the folder."""
        if self._lock is not None and self._close.alive:
            unlock(self._lock)
            self._close()

    def checked(self) -> Path:
        """Return the path, if it still leads to the folder that this process has locked.

        Raises
        ------
        OSError
            If the folder was moved, or the process has changed to another directory.
        """
        if self._lock is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._lock), os.stat(self.path)):
                    return self.path
            words = "was moved or replaced; --resume goes on from the last checkpoint in it"
            raise OSError(errno.ESTALE, words, str(self.path))
        return self.path

    def rewind(self, history: Sequence[EpochRecord]) -> None:
        """Leave the records of these epochs alone, and no summary; the model stays."""
        with replacing(self.checked() / METRICS_FILE) as file:
            file.write("".join(f"{_line(record)}\n" for record in history).encode())
        (self.path / SUMMARY_FILE).unlink(missing_ok=True)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write ``config.json``."""
        write_json(self.checked() / CONFIG_FILE, config)

    def append_metrics(self, record: EpochRecord) -> None:
        """Append an epoch's line to ``metrics.jsonl``."""
        append_line(self.checked() / METRICS_FILE, _line(record))

    def write_model(self, model: Model) -> None:
        """Write ``model.safetensors``."""
        checkpoint.save(self.checked() / checkpoint.MODEL_FILE, model)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        write_json(self.checked() / SUMMARY_FILE, summary)


def _line(record: EpochRecord) -> str:
    return json.dumps(vars(record))


def check_output(output: str | None, option: str = "output") -> None:
    """Check that the output folder is new or empty, and writable.

    ``option`` is the name to use in the message.

    Raises
    ------
    ValueError
        If the folder is not empty or cannot be written to.
    """
    path = Path(RUNS if output is None else output)
    if output is not None and path.is_dir() and not is_empty(path):
        raise ValueError(f"{path}: {_NOT_EMPTY.format(option)}")
    check_folder(path)


def create_run_folder(output: str | None, label: str) -> RunFolder:
    """Create the folder ``output``, or by default a new one in ``runs`` named by time and label.

    Raises
    ------
    OSError
        If the folder cannot be created, or another process has begun a run in it.
    """
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
        folder = RunFolder(Path(output))
        if not is_empty(folder.path):
            folder.release()
            raise OSError(errno.ENOTEMPTY, _NOT_EMPTY.format("output"), output)
        return folder
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = Path(RUNS, name + suffix)
        try:
            path.mkdir(parents=True)
        except FileExistsError:  # another run started within the same second
            continue
        return RunFolder(path)
    raise FileExistsError(f"{RUNS}/{name}: this name is taken; give output a new folder")


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, read from disk.

    Attributes
    ----------
    path
        The run folder, or the model file.
    model
        The trained network.
    history
        A record per epoch; empty without ``metrics.jsonl``.
    summary
        The content of ``summary.json``; empty without that file.
    """

    path: Path
    model: Model
    history: list[EpochRecord]
    summary: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the run: that of its folder, or of its model file without the suffix."""
        path = self.path.resolve()
        return path.name if path.is_dir() else path.stem


def as_runs(run: Run | Sequence[Run]) -> tuple[Run, ...]:
    """Return one run or several as a tuple."""
    return (run,) if isinstance(run, Run) else tuple(run)


def load_run(path: str | Path) -> Run:
    """Read a run folder, or a single model file.

    Metrics that an older version did not write are NaN; missing validation metrics are None.

    Returns
    -------
    Run
        The model, the history of epochs and the summary.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no model in the folder.
    ValueError
        If a file is damaged; the message begins with its path.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> from mnistcore.runs.folder import load_run
    >>> run = load_run("runs/first")
    >>> len(run.history), run.summary["outcome"]
    (1, 'finished')
    """
    path = Path(path)
    model = checkpoint.load(path)
    if not path.is_dir():
        return Run(path, model, [], {})
    return Run(path, model, _read_metrics(path / METRICS_FILE), read_summary(path))


def newest_run(parent: str | Path = RUNS) -> Path:
    """Return the run folder in ``parent`` whose model was written last.

    Raises
    ------
    FileNotFoundError
        If there is no run with a model.
    OSError
        If the folder cannot be read.
    """
    written = []
    for model in Path(parent).glob(f"*/{checkpoint.MODEL_FILE}"):
        with suppress(FileNotFoundError):  # removed in the meantime
            written.append((model.stat().st_mtime_ns, model.parent))
    if not written:
        raise FileNotFoundError(
            f"there is no finished run in {parent}/; name a RUN, or make one: mnistcore train"
        )
    return max(written)[1]


def is_run(path: str | Path) -> bool:
    """Return whether a path is a run folder, finished or not, or a model file."""
    path = Path(path)
    if path.suffix == Path(checkpoint.MODEL_FILE).suffix:
        return True
    return any((path / name).is_file() for name in (checkpoint.MODEL_FILE, CONFIG_FILE))


def is_run_file(path: Path) -> bool:
    """Return whether a run has written a file, by its name and the config beside it."""
    written = path.name in _WRITTEN or path.name.startswith(CHECKPOINT)
    return written and (path.parent / CONFIG_FILE).is_file()


def _read_metrics(path: Path) -> list[EpochRecord]:
    """Read ``metrics.jsonl``, ignoring a last line that was only partly written."""
    if not path.exists():
        return []
    lines = _text_of(path).split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(_record(parsed(line)))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            if number == len(lines):
                break
            raise ValueError(f"{path}: line {number} is not the record of an epoch") from error
    return records


def _record(entry: Mapping[str, Any]) -> EpochRecord:
    values: dict[str, Any] = {"epoch": int(entry.get("epoch", 0))}
    for field in dataclasses.fields(EpochRecord)[1:]:
        value = entry.get(field.name)
        missing = None if field.name.startswith("validation") else math.nan
        values[field.name] = missing if value is None else float(value)
    return EpochRecord(**values)


def read_summary(folder: Path) -> Mapping[str, Any]:
    """Read ``summary.json`` of a run folder; empty if there is none.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    path = folder / SUMMARY_FILE
    if not path.exists():
        return {}
    text = _text_of(path)
    try:
        summary = parsed(text)
    except ValueError as error:
        raise ValueError(f"{path}: is not valid JSON; it may be damaged") from error
    if not isinstance(summary, dict):
        raise ValueError(f"{path}: must hold an object, got {type(summary).__name__}")
    return summary


def _text_of(path: Path) -> str:
    try:
        return read_bounded(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not text; it may be damaged") from error
