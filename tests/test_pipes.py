"""Named pipes where files belong: opening one waits for ever, so none is opened."""

import os
import signal

import numpy as np
import pytest
from fuzz.hostile import DIGITS, digits_file, hostile_model, run_command

from mnistcore.data import load_data, write_idx
from mnistcore.data.named_sets import file_names
from mnistcore.models import checkpoint
from mnistcore.runs import checkpoints

if not hasattr(os, "mkfifo"):
    pytest.skip("there are no named pipes here", allow_module_level=True)


@pytest.fixture(autouse=True)
def patience():
    """End a test that waits."""

    def end(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def run(tmp_path):
    """The folder of a run of 6 x 6 pixels, with its data beside it."""
    digits_file(tmp_path, DIGITS, side=6)
    folder = tmp_path / "run"
    folder.mkdir()
    checkpoint.save(folder / checkpoint.MODEL_FILE, hostile_model(DIGITS, side=6))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("name", "words", "status"),
    [
        ("model.safetensors", ["evaluate", "run"], 2),
        ("metrics.jsonl", ["evaluate", "run", "--data", "digits.npz"], 2),
        ("summary.json", ["evaluate", "run", "--data", "digits.npz"], 2),
        ("config.json", ["train", "--resume", "run"], 2),
        ("config.json", ["train", "--config", "run/config.json"], 2),
        ("report.html", ["report", "run", "--data", "digits.npz"], 2),
        ("model.h", ["export", "run", "--to", "c"], 2),
        (".mnistcore-0123456789abcdef.tmp", ["export", "run", "--to", "numpy"], 0),
        ("digit.png", ["predict", "run"], 2),
        ("names.txt", ["train", "--data", "digits.npz", "--class-names", "run/names.txt"], 2),
        ("space.toml", ["search", "--space", "run/space.toml"], 2),
        ("w.npz", ["convert", "run/w.npz"], 2),
        ("w.h5", ["convert", "run/w.h5"], 2),
        ("x.csv", ["evaluate", "run", "--data", "run/x.csv"], 2),
    ],
)
def test_commands_do_not_wait_for_a_pipe(run, name, words, status, monkeypatch):
    monkeypatch.chdir(run.parent)
    path = run / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    if words[0] == "search":
        pytest.importorskip("optuna")
    assert run_command(words)[0] == status


def test_a_pipe_is_no_checkpoint(run):
    os.mkfifo(run / "checkpoint-9.safetensors")
    assert checkpoints.newest(run) == (None, "")


@pytest.mark.parametrize("name", ["1/b.png", "letters/emnist-letters-mapping.txt", "k.csv"])
def test_data_do_not_wait_for_a_pipe(tmp_path, name):
    images, labels = np.arange(8 * 25, dtype=np.uint8).reshape(8, 5, 5), np.arange(8) % 2
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    if name == "1/b.png":
        from PIL import Image

        (tmp_path / "0").mkdir()
        for folder in ("0", "1"):
            for number, image in enumerate(images):
                Image.fromarray(image).save(tmp_path / folder / f"{number}.png")
    elif "letters" in name:
        arrays = [images, labels.astype(np.uint8)] * 2
        for file, array in zip(file_names("emnist-letters"), arrays, strict=True):
            write_idx(place.parent / file, array)
    else:
        place = tmp_path / "kmnist_classmap.csv"
        for part in ("train", "test"):
            np.savez(tmp_path / f"kmnist-{part}-imgs.npz", images)
            np.savez(tmp_path / f"kmnist-{part}-labels.npz", labels)
    os.mkfifo(place)
    assert len(load_data(place.parent if "letters" in name else tmp_path).class_names) == 2
