"""The folder of a training run: what was asked, how it went, what came out.

====================  ====================================================================
``config.json``       the options; ``train --config`` takes it to repeat the run
``metrics.jsonl``     a line of JSON per epoch, written as the run goes
``model.safetensors`` the weights and what they need: :mod:`.checkpoint`
``summary.json``      the figures of the whole run
====================  ====================================================================
"""

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import checkpoint
from .atomic import replacing
from .loop import EpochRecord

RUNS = "runs"  # where runs are kept whose folder the user does not name
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "summary.json"


class RunFolder:
    """A folder that was made for one run; nothing that was there before is ever touched."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write ``config.json``."""
        _write_json(self.path / CONFIG_FILE, config)

    def append_metrics(self, record: EpochRecord) -> None:
        """Add an epoch's line to ``metrics.jsonl``."""
        line = json.dumps(dataclasses.asdict(record)) + "\n"
        with (self.path / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(line)

    def write_model(self, model: checkpoint.Model) -> None:
        """Write ``model.safetensors``."""
        checkpoint.save(self.path / checkpoint.MODEL_FILE, model)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        _write_json(self.path / SUMMARY_FILE, summary)


def check_output(output: str | None, option: str = "output") -> None:
    """See that files may be written to the folder that the user names, a new or an empty one.

    Raises
    ------
    ValueError
        If there is something that a run could damage, or nothing can be written there.
    """
    path = Path(RUNS if output is None else output)
    if output is not None and path.is_dir() and any(path.iterdir()):
        raise ValueError(f"{path}: is not empty; give {option} a new or an empty folder")
    existing = next(folder for folder in _upwards(path) if folder.exists())
    if not existing.is_dir():
        raise ValueError(f"{path}: cannot be written, because {existing} is not a folder")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{path}: cannot be written, because {existing} is write-protected")


def _upwards(path: Path) -> tuple[Path, ...]:
    return (path.absolute(), *path.absolute().parents)


def create_run_folder(output: str | None, label: str) -> RunFolder:
    """Make the folder that the user names, or a new one in ``runs`` named by time and label.

    Raises
    ------
    ValueError
        As :func:`check_output`.
    OSError
        If it cannot be made.
    """
    if output is not None:
        check_output(output)
        Path(output).mkdir(parents=True, exist_ok=True)
        return RunFolder(Path(output))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{label}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = Path(RUNS, name + suffix)
        try:
            path.mkdir(parents=True)
        except FileExistsError:  # another run started within the same second
            continue
        return RunFolder(path)
    raise FileExistsError(f"{RUNS}/{name}: exists, with all its variants; give output a folder")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
