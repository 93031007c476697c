"""Names of classes, files and data that are programs for whoever shows them, in every command."""

import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from fuzz.hostile import DIGITS, NAMES, digits_file, hostile_model, run_command
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from mnistcore.__main__ import COMMANDS as KNOWN
from mnistcore.figures import style
from mnistcore.interchange import to_numpy
from mnistcore.models import checkpoint

ESCAPES = "\x1b]0;title\x07\u202e"
RUN, SECOND, READER = f"<script>{ESCAPES}", "=cmd()", f"reader\n{ESCAPES}"
PICTURE = f"=cmd(){ESCAPES}\n<script>.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set, two runs, a picture and a table, all of them with such names."""
    folder = tmp_path_factory.mktemp("hostile")
    digits_file(folder)
    for name in (RUN, SECOND, READER):
        (folder / name).mkdir()
        names = DIGITS if name == READER else NAMES
        checkpoint.save(folder / name / checkpoint.MODEL_FILE, hostile_model(names))
    (folder / RUN / "summary.json").write_text(
        json.dumps({"note": ESCAPES, "versions": {"a": "<b>"}})
    )
    (folder / "digit.png").rename(folder / PICTURE)
    header = ["id", *(f"pixel{i}" for i in range(784))]
    rows = [[f"=cmd(){ESCAPES}", *([0] * 784)], ["@b", *([255] * 784)], ["-1", *([9] * 784)]]
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (folder / f"{ESCAPES}.npz").write_bytes(to_numpy.encode(hostile_model()))
    shutil.copy(folder / "digits.npz", folder / DIGITS_FILE)
    return folder


@pytest.fixture(params=["pipe", "terminal"])
def place(folder, request, monkeypatch):
    monkeypatch.chdir(folder)
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
    return folder


DATA = ["--data", "digits.npz", "--backend", "numpy"]
DIGITS_FILE = f"<b>{ESCAPES}.npz"
SEARCH = [
    *("--trials", "1", "--workers", "1", "--epochs", "1", "--hidden", "none"),
    *("--backend", "numpy", "--learning-rate", "0.1", "0.2", "--batch-size", "32"),
]
COMMANDS = {
    "evaluate": ["evaluate", RUN, *DATA],
    "evaluate several": ["evaluate", RUN, SECOND, *DATA],
    "evaluate an image": ["evaluate", RUN, *DATA, "--test-index", "1"],
    "evaluate JSON": ["evaluate", RUN, *DATA, "--json"],
    "evaluate what is not there": ["evaluate", f"{ESCAPES}\nmnistcore: fine", *DATA],
    "predict": ["predict", READER, PICTURE],
    "predict and draw": ["predict", READER, PICTURE, "--show"],
    "predict JSON": ["predict", READER, PICTURE, "--json"],
    "predict CSV": ["predict", READER, PICTURE, "--csv"],
    "predict a table": ["predict", READER, "table.csv"],
    "predict what is not there": ["predict", READER, f"{ESCAPES}.png"],
    "export C": ["export", RUN, "--to", "c"],
    "export NumPy": ["export", RUN, "--to", "numpy"],
    "export PyTorch": ["export", RUN, "--to", "torch"],
    "convert": ["convert", f"{ESCAPES}.npz", "--output", "converted.safetensors"],
    "train": ["train", *DATA, "--epochs", "1", "--hidden", "none"],
    "resume": ["train", "--resume", RUN],
    "report": ["report", f"{ESCAPES}", *DATA],
    "export ONNX": ["export", RUN, "--to", "onnx"],
    "baselines": ["baselines", "--data", DIGITS_FILE, "--models", "nearest centroid"],
    "baselines of no kind": ["baselines", "--data", DIGITS_FILE, "--models", ESCAPES],
    "search": ["search", "--data", DIGITS_FILE, "--study", ESCAPES, *SEARCH],
    "serve what is not there": ["serve", ESCAPES, "--no-browser"],
    "search in no database": ["search", "--data", DIGITS_FILE, "--storage", ESCAPES],
    "search in no space": ["search", "--data", DIGITS_FILE, "--space", f"{ESCAPES}.toml"],
    "info": ["info"],
    **{f"an unknown option of {name}": [name, f"--{ESCAPES}"] for name in KNOWN},
    "an unknown command": [f"{ESCAPES}"],
}
LIBRARIES = {"serve": "uvicorn", "search": "optuna", "baselines": "sklearn", "export ONNX": "onnx"}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_name_reaches_the_terminal_as_it_is(name, place, monkeypatch):
    for start, library in LIBRARIES.items():
        if name.startswith(start):
            pytest.importorskip(library)
    if name == "info":
        monkeypatch.setenv("MNISTCORE_DATA_DIR", ESCAPES)
    _, out, errors = run_command(COMMANDS[name])
    assert "\x1b]" not in out + errors
    assert "\x1b[2J" not in out + errors


@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "report", "convert"])
@pytest.mark.parametrize("name", ["format_version", "format", "layers", "tensors"])
def test_metadata_of_a_model_reach_no_terminal(command, name, folder, tmp_path):
    content = checkpoint.encode({f"{ESCAPES}{i}": np.zeros(1) for i in range(3000)}, {})
    path = tmp_path / "model.safetensors"
    if name != "tensors":
        checkpoint.save(path, hostile_model())
        tensors, metadata = load_file(path), safe_open(path, framework="numpy").metadata()
        value = json.dumps([ESCAPES]) if name == "layers" else ESCAPES * 10**5
        content = checkpoint.encode(tensors, metadata | {name: value})
    path.write_bytes(content)
    more = {"predict": [str(folder / PICTURE)], "export": ["--to", "c"]}.get(command, [])
    status, _, errors = run_command([command, str(path), *more])
    assert status == 2 or command == "convert"  # which takes weights of any format
    assert len(errors) < 2500


def test_names_are_shown_with_their_signs_written_out(folder, monkeypatch):
    monkeypatch.chdir(folder)
    _, out, _ = run_command(COMMANDS["evaluate"])
    assert r"\x1b]0;title" in out
    assert "<script>" in out
    assert "[" not in run_command(["evaluate", "[red]x[/red]", *DATA])[1]


@pytest.mark.parametrize("words", ["predict CSV", "predict a table"])
def test_no_cell_is_a_formula(words, folder, monkeypatch):
    monkeypatch.chdir(folder)
    status, out, _ = run_command(COMMANDS[words])
    rows = list(csv.reader(io.StringIO(out)))
    assert status == 0
    assert len({len(row) for row in rows}) == 1
    for cell in (cell for row in rows for cell in row):
        assert re.fullmatch(r"-?[\d.]+", cell) or not cell.startswith(("=", "+", "-", "@")), cell
    assert any("cmd()" in cell for row in rows for cell in row)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.tags |= {f"{tag} {name}" for name, _ in attrs if name.startswith("on")}

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("runs", [[RUN], [RUN, SECOND]], ids=["one", "several"])
def test_a_page_shows_names_and_runs_none(runs, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    page, figures = tmp_path / "page.html", tmp_path / "figures"
    encode = style.encode
    monkeypatch.setattr(style, "encode", lambda f, kind: b"" if kind == "png" else encode(f, kind))
    words = ["report", *runs, *DATA, "--output", str(page), "--figures", str(figures)]
    assert run_command(words)[0] == 0
    parser = _Tags()
    parser.feed(page.read_text())
    assert not parser.tags & {"script", "b", "a onclick"}
    assert "<script>" in parser.text
    for figure in figures.glob("*.svg"):
        found = ElementTree.parse(figure)
        assert not [node for node in found.iter() if "script" in node.tag]


def test_a_comment_in_c_ends_where_it_should(folder, tmp_path, monkeypatch, consumer):
    import subprocess

    monkeypatch.chdir(folder)
    compiler = consumer("cc")
    output = tmp_path / "model.c"
    assert run_command(["export", RUN, "--to", "c", "--output", str(output)])[0] == 0
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
    subprocess.run([compiler, *strict, str(output)], check=True)
    assert "\x1b" not in output.read_text()


def test_labels_of_a_table_are_data_and_nothing_else(tmp_path, monkeypatch):
    rows = [",".join([name, *map(str, range(25))]) for name in ("=cmd()", "<script>") * 6]
    Path(tmp_path, "labels.csv").write_text("\n".join(rows))
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "--data",
        "labels.csv",
        "--epochs",
        "1",
        "--hidden",
        "none",
        "--backend",
        "numpy",
    ]
    assert run_command([*words, "--output", "run"])[0] == 0
    assert checkpoint.load("run").class_names == ("<script>", "=cmd()")
    assert run_command(["evaluate", "run", "--backend", "numpy"])[0] == 0
    image = np.zeros((28, 28), np.uint8)
    Image.fromarray(image).save("blank.png")
    assert run_command(["predict", "run", "blank.png"])[0] == 2
