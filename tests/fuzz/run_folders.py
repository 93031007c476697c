"""Run folders and checkpoints, which commands read as others left them."""

import contextlib
import dataclasses
import functools
import json
import tempfile
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


@functools.cache
def data_of(side):
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


def number_of(folder):
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
    number = number_of(folder)
    if number % SHOWN == 0:
        words = _words(folder)[number // SHOWN % 3]
        run_command([*words, *(["--json"] if number % 2 else [])])
        return
    with np.errstate(all="ignore"):
        run = load_run(folder)
        if number % USED < 2:
            _evaluated(run, data_of(SIDE)[0])
        elif number % USED == 2:
            _exported(run.model)


def _words(folder):
    _, place = data_of(SIDE)
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
    number = number_of(folder)
    dataset, _ = data_of(SIDE)
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
    dataset, _ = data_of(SIDE)
    options = {"hidden": (4,), "epochs": 2, "batch_norm": True, "ema": 0.9, "patience": 5}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "run")
        config = TrainConfig(
            **options, backend="numpy", batch_size=16, checkpoint_every="1epochs",
            output=str(folder), data=str(data_of(SIDE)[1] / "digits.npz"),
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
    number, dataset = number_of(folder), data_of(SIDE)[0]
    if number % 3 == 0:
        (folder / "summary.json").unlink()  # as that of a run that was killed
    with contextlib.suppress(NonFiniteLossError), np.errstate(all="ignore"):
        if number % TRAINED:
            prepare_resumed(folder, {"epochs": 3}, dataset).past.folder.release()
            return
        resume(folder, dataset=dataset, epochs=3)
    for path in folder.glob("*.json"):
        strict_json(path.read_bytes())


def strict_json(text):
    def refuse(word):
        raise AssertionError(f"{word} in JSON")

    json.loads(text, parse_constant=refuse)


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
}  # fmt: skip
