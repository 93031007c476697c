"""Run folders, checkpoints and studies, which commands read as others left them."""

import contextlib
import dataclasses
import functools
import json
import sqlite3
import tempfile
import threading
import time
import zlib
from pathlib import Path
from unittest import mock

import numpy as np
from safetensors import SafetensorError, deserialize

import mnistcore.figures
from mnistcore.data import load_data
from mnistcore.evaluate import _about
from mnistcore.interchange import to_c, to_numpy, to_torch
from mnistcore.kernels import numpy_kernels
from mnistcore.models import checkpoint
from mnistcore.report import comparison, single
from mnistcore.runs import checkpoints
from mnistcore.runs.data import compared, split_indices
from mnistcore.runs.execution import run as train
from mnistcore.runs.folder import load_run
from mnistcore.runs.resuming import prepare_resumed, resume
from mnistcore.runs.scores import score
from mnistcore.training.config import TrainConfig
from mnistcore.training.records import NonFiniteLossError

from .hostile import DIGITS, digits_file, hostile_model, run_command
from .target import Target, joined, split, written

SIDE = 6
# One of so many files goes on to what takes long, after it has been read.
SHOWN = 40  # through a command
USED = 6  # its run is evaluated or exported
REPORTED, DRAWN = 3, 15_000  # its run is written as a page; this has figures
TRAINED = 8  # its run is trained further
SEARCHED = 20  # its search goes on


@functools.cache
def _data(side):
    """A data set, kept as a file as well, for commands."""
    folder = Path(tempfile.mkdtemp(prefix="mnistcore-fuzz-"))
    return load_data(digits_file(folder, DIGITS, side)), folder


# Run folders


def _run_seeds():
    record = {
        "epoch": 1, "train_loss": 0.5, "train_accuracy": 0.9, "validation_loss": 0.4,
        "validation_accuracy": 0.8, "learning_rate": 0.1, "seconds": 1.5,
    }  # fmt: skip
    summary = {"data": "\x1b[31m<b>", "train_seconds": 3.5, "samples_per_second": 1e5, "n": [[1]]}
    lines = [json.dumps(record | {"epoch": epoch}) for epoch in (1, 2, 3)]
    model = hostile_model(DIGITS, SIDE)
    options = {
        "epochs": 3,
        "seed": 0,
        "validation_fraction": 0.2,
        "augment": True,
        "dropout": [0.1],
    }
    models = [dataclasses.replace(model, config={**model.config, **options}), model]
    return [
        {
            **split(written(lambda path, m=one: checkpoint.save(path, m))),
            "metrics.jsonl": "\n".join([*lines, ""]).encode(),
            "summary.json": json.dumps(summary | {"versions": {"x": "*/"}}).encode(),
            "config.json": json.dumps({"epochs": 3, "seed": 0}).encode(),
        }
        for one in models
    ]


def _run_folder(parts):
    rest = {name: content for name, content in parts.items() if "." in name}
    return {**rest, **joined(parts, "model.safetensors")}


def _number_of(folder):
    """A number that depends on nothing but the files."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return zlib.crc32(b"".join(path.read_bytes() for path in files))


def _evaluated(run, dataset):
    data = compared(run, dataset)
    scores = score(numpy_kernels, run, data)
    json.dumps(_about([run], data) | scores.to_dict(), allow_nan=False)
    with contextlib.suppress(ValueError):
        split_indices(run.model, data, "validation")


def _exported(model):
    to_numpy.encode(model), to_torch.encode(model)
    for int8 in (True, False):
        content = to_c.encode(model.taking_bytes(), int8, "p")
        assert b"\x1b" not in content
    assert not {"\x1b", "\x07"} & set(to_torch.usage(model, "x"))


def _read_run(folder):
    number = _number_of(folder)
    if number % SHOWN == 0:
        words = _words(folder)[number // SHOWN % 3]
        run_command([*words, *(["--json"] if number % 2 else [])])
        return
    with np.errstate(all="ignore"):
        run = load_run(folder)
        if number % USED < 2:
            _evaluated(run, _data(SIDE)[0])
        elif number % USED == 2:
            _exported(run.model)


def _words(folder):
    _, place = _data(SIDE)
    numpy = ["--backend", "numpy"]
    return (
        ["evaluate", str(folder), "--data", str(place / "digits.npz"), *numpy],
        ["predict", str(folder), str(place / "digit.png"), *numpy],
        ["export", str(folder), "--to", "c", "--output", str(place / "digits.c")],
    )


class _Undrawn:
    """Stands for the figure of a page."""

    def get_size_inches(self):
        return 4.0, 3.0


def _undrawn(*parts, **options):
    return _Undrawn()


def _no_picture(figure, kind):
    return b""


@contextlib.contextmanager
def _without_figures():
    figures = dict.fromkeys(mnistcore.figures.__all__, _undrawn)
    with (
        mock.patch.multiple(mnistcore.figures, **figures),
        mock.patch("mnistcore.figures.style.encode", new=_no_picture),
    ):
        yield


def _report(folder):
    number = _number_of(folder)
    dataset, _ = _data(SIDE)
    drawn = number % DRAWN == 0
    with contextlib.nullcontext() if drawn else _without_figures(), np.errstate(all="ignore"):
        run = load_run(folder)
        if number % REPORTED:
            return
        if number % 7:
            page = single.page(numpy_kernels, run, compared(run, dataset))
        else:
            other = dataclasses.replace(run, path=folder / "..")
            page = comparison.page(numpy_kernels, [run, other], [compared(run, dataset)] * 2)
        content = page.html().encode("utf-8", "replace")
    assert not {b"\x1b", b"<script"} & set(content.split(b"[")) or b"<script" not in content


# Checkpoints, whose checksum is made right


@functools.cache
def _trained():
    dataset, _ = _data(SIDE)
    options = {"hidden": (4,), "epochs": 2, "batch_norm": True, "ema": 0.9, "patience": 5}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "run")
        config = TrainConfig(
            **options, backend="numpy", batch_size=16, checkpoint_every="1epochs",
            output=str(folder), data=str(_data(SIDE)[1] / "digits.npz"),
        )  # fmt: skip
        train(config, dataset=dataset)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    (name,) = (name for name in files if name.startswith("checkpoint-"))
    return files.pop(name), files


def _checkpoint_seeds():
    content, _ = _trained()
    parts = split(content)
    header = json.loads(parts["header"])
    metadata = header.pop("__metadata__")
    return [
        {"arrays": json.dumps(header).encode(), "numbers": parts["numbers"]}
        | {name: text.encode() for name, text in metadata.items() if name != "checksum"}
    ]


def _checkpoint(parts):
    """Pack a checkpoint whose checksum is right if it can be read at all."""
    metadata = {
        name: content.decode("utf-8", "replace")
        for name, content in parts.items()
        if name not in ("arrays", "numbers")
    }
    content = _with_metadata(parts, metadata)
    with contextlib.suppress(SafetensorError, ValueError, KeyError, TypeError):
        arrays = {
            name: np.frombuffer(one["data"], checkpoint_dtype(one["dtype"])).reshape(one["shape"])
            for name, one in deserialize(content)
        }
        metadata["checksum"] = checkpoints._checksum(arrays, metadata)
        content = _with_metadata(parts, metadata)
    return {"checkpoint-8.safetensors": content}


def checkpoint_dtype(name):
    return np.dtype({"F32": "f4", "F64": "f8", "F16": "f2", "I64": "i8", "U8": "u1"}[name])


def _with_metadata(parts, metadata):
    text = json.dumps(metadata).encode()
    header = parts["arrays"].replace(b"{", b'{"__metadata__": ' + text + b", ", 1)
    return joined({"header": header, "numbers": parts["numbers"]}, "x")["x"]


def _resumable(parts):
    return {**_trained()[1], **_checkpoint(parts)}


def _resume(folder):
    number, dataset = _number_of(folder), _data(SIDE)[0]
    if number % 3 == 0:
        (folder / "summary.json").unlink()  # as that of a run that was killed
    with contextlib.suppress(NonFiniteLossError), np.errstate(all="ignore"):
        if number % TRAINED:
            prepare_resumed(folder, {"epochs": 3}, dataset).past.folder.release()
            return
        resume(folder, dataset=dataset, epochs=3)
    for path in folder.glob("*.json"):
        _strict(path.read_bytes())


def _strict(text):
    def refuse(word):
        raise AssertionError(f"{word} in JSON")

    json.loads(text, parse_constant=refuse)


# The database of a search

# Places in the database: a table, a column, a row, and the value there.
_PLACES = (
    ("study_user_attributes", "value_json"), ("trial_params", "distribution_json"),
    ("trial_params", "param_value"), ("trial_user_attributes", "value_json"),
    ("trial_values", "value"), ("trial_intermediate_values", "step"),
    ("trials", "state"), ("trials", "datetime_complete"), ("study_directions", "direction"),
)  # fmt: skip


@functools.cache
def _studied():
    with tempfile.TemporaryDirectory() as parent:
        _search(Path(parent))
        names = ("study.db", "search.json")
        files = {name: Path(parent, name).read_bytes() for name in names}
        with contextlib.closing(sqlite3.connect(Path(parent, "study.db"))) as database:
            edits = [
                [table, column, row, value]
                for table, column in _PLACES
                for row, value in database.execute(f"SELECT rowid, {column} FROM {table} LIMIT 3")
            ]
    return {**files, "edits": json.dumps(edits).encode()}


def _study(parts):
    """Pack the files of a search, with some values in its database replaced."""
    files = {name: content for name, content in parts.items() if name != "edits"}
    with contextlib.suppress(ValueError, TypeError, sqlite3.Error, OverflowError, RecursionError):
        edits = json.loads(parts["edits"])
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(files["study.db"])
            for table, column, row, value in edits:
                if (table, column) in _PLACES:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row)
                    )
            database.commit()
            files["study.db"] = database.serialize()
    return files


def _plan(folder):
    from mnistcore.search.config import SearchConfig, make_plan

    data = str(_data(SIDE)[1] / "digits.npz")
    train = {"backend": "numpy", "epochs": 1, "hidden": (3,), "data": data}
    train["optimizer"] = "sgd"
    space = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "momentum": [0.1, 0.9]}
    return make_plan(SearchConfig(output=str(folder), trials=5, workers=1), space, train)


@contextlib.contextmanager
def _searching_here():
    """Compute the trials of a search in this process, and draw none of its figures."""
    from mnistcore.search import execution, worker
    from mnistcore.search.objective import Objective

    def compute(search, listener, check):
        objective = Objective(search.plan, search.job.dataset, lambda: None)
        deadline = time.time() + 0.3
        worker.work(search.study, search.plan, objective, threading.Event(), deadline)

    with (
        mock.patch.object(execution, "_compute", compute),
        mock.patch.object(execution, "write_figures", new=_undrawn),
    ):
        yield


def _search(folder, whole=True):
    from mnistcore.search.execution import NoWinnerError, execute
    from mnistcore.search.preparation import prepare

    search = prepare(_plan(folder))
    if not whole:
        search.standing()
        return
    with _searching_here(), contextlib.suppress(NoWinnerError):
        execute(search)
    for path in folder.glob("*.json"):
        _strict(path.read_bytes())


def _open_study(folder):
    _search(folder, _number_of(folder) % SEARCHED == 0)


TARGETS = {
    "run": Target(_run_seeds, _read_run, pack=_run_folder, folder=True, short=60),
    "report": Target(
        _run_seeds, _report, pack=_run_folder, folder=True, seconds=60, short=20
    ),
    "checkpoint": Target(
        _checkpoint_seeds, lambda path: checkpoints.newest(path.parent), pack=_checkpoint
    ),
    "resume": Target(
        _checkpoint_seeds, _resume, pack=_resumable, folder=True, writes=True, seconds=20,
        short=15,
    ),
    "study": Target(
        lambda: [_studied()], _open_study, pack=_study, folder=True, writes=True, seconds=20,
        short=20,
    ),
}  # fmt: skip
