"""What the commands show, at the widths that terminals have: nothing cut, nothing too wide."""

import io
import string
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from small_digits import small_digits

from mnistcore.baselines.command import table as baselines_table
from mnistcore.baselines.comparison import Score
from mnistcore.evaluate import EvaluateConfig, run
from mnistcore.gradcheck import _show as show_checks
from mnistcore.ladder.figures import table as ladder_table
from mnistcore.ladder.measure import Climb, Rung
from mnistcore.models.model import Model
from mnistcore.models.network import Network
from mnistcore.pictures.files import Picture
from mnistcore.pictures.reading import Digit
from mnistcore.runs.folder import Run
from mnistcore.runs.scores import Sample
from mnistcore.terminal.pictures import draw
from mnistcore.terminal.scores import show_sample, show_scores
from mnistcore.terminal.tables import confusion_fits
from mnistcore.terminal.training import epoch_line
from mnistcore.training.gradients import Check
from mnistcore.training.records import EpochRecord

WIDTHS = (60, 80, 120)


def console_of(width):
    return Console(width=width, file=io.StringIO(), highlight=False)


def lines_of(console):
    """The lines that a console has printed, none of them cut or too wide."""
    lines = console.file.getvalue().splitlines()
    assert lines
    assert not [line for line in lines if "…" in line]
    assert max(map(len, lines)) <= console.width
    return lines


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A data set, a network of random weights for it, and its scores."""
    data = small_digits(tmp_path_factory.mktemp("screens") / "data")
    shape, names = data.test_images.shape[1:], data.class_names
    network = Network((int(np.prod(shape)), 5, len(names)))
    params = network.init(np.random.default_rng(0))
    made = Run("runs/20261128-113000", Model(network, params, shape, 1 / 255, 0.0, names), [], {})
    return data, made


def scores_of(data, made, tmp_path):
    from mnistcore.models.checkpoint import save

    save(tmp_path / "model.safetensors", made.model)
    config = EvaluateConfig(backend="numpy")
    return run(tmp_path / "model.safetensors", config, dataset=data)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_evaluation(evaluated, tmp_path, width):
    data, made = evaluated
    scores = scores_of(data, made, tmp_path)
    for names in (scores.class_names, tuple(f"Ankle boot {i}" for i in scores.class_names)):
        console = console_of(width)
        show_scores(console, made, data, replace(scores, class_names=names), 5)
        assert "true class by row" in " ".join(lines_of(console))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_confusion_matrix_that_does_not_fit_is_said_to_be_left_out(evaluated, tmp_path, width):
    data, made = evaluated
    n = 26
    confusion = np.diag(np.full(n, 800))
    one = np.ones(n)
    scores = replace(
        scores_of(data, made, tmp_path), class_names=tuple(string.ascii_uppercase),
        confusion=confusion, precision=one, recall=one, f1=one,
    )  # fmt: skip
    assert not confusion_fits(confusion, scores.class_names, width)
    console = console_of(width)
    show_scores(console, made, data, scores, 0)
    text = " ".join(" ".join(lines_of(console)).split())
    assert f"The confusion matrix needs 140 columns and is left out, as there are {width}" in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["{}", "letter {}"])
def test_an_image_is_shown_whole_beside_its_bars(width, name):
    names = tuple(name.format(c) for c in string.ascii_uppercase[:10])
    sample = Sample(8, 5, 6, np.linspace(0, 0.2, 10, dtype=np.float32), names)
    console = console_of(width)
    show_sample(console, sample, np.full((28, 28), 255, np.uint8))
    lines = lines_of(console)
    assert sum("%" in line for line in lines) == 10
    if name == "{}":
        assert any("\N{FULL BLOCK}" * 28 in line or "\N{UPPER HALF BLOCK}" * 28 in line
                   or " " * 28 in line for line in lines)  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", [1, 12])
def test_a_picture_and_what_was_read_in_it(width, count):
    pixels = np.random.default_rng(0).random((40, 40, 1), np.float32)
    seen = (255 * pixels[:28, :28, 0]).astype(np.uint8)
    shares = np.full(10, 0.1, np.float32)
    digits = [Digit(0, tuple(map(str, range(10))), shares, (0, 0, 40, 40), 0, seen)] * count
    console = console_of(width)
    console.print(draw(console, Picture(pixels, (40, 40)), digits))
    lines = lines_of(console)
    assert sum(line.count("10 %") for line in lines) == (10 if count == 1 else 12)


def test_an_epoch_fits_the_terminal():
    record = EpochRecord(100, 12.3456, 1.0, 12.3456, 1.0, 0.001, 1234.5)
    assert len(epoch_line(record, 100, 60_000)) <= 90
    assert len(epoch_line(record, 100, 60_000, narrow=True)) <= 64
    record = EpochRecord(9, 0.3456, 0.9999, 0.3456, 0.9999, 0.001, 1.5)
    assert len(epoch_line(record, 10, 60_000)) <= 80
    assert len(epoch_line(record, 10, 60_000, narrow=True)) <= 60


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_of_ladder_and_baselines(width):
    steps = ("naive loops", "instruction set", "production")
    rungs = [Rung(b, s, 14.66543, 0.12345, 16, 0.005, 12345.6, 23.3, None, None, 14, "")
             for b in ("numba", "cython") for s in steps]  # fmt: skip
    climb = Climb("matmul", (128, 784, 1024), rungs, {1: 100.0, 16: 1600.0}, {})
    about = "what it is, in a few more words"
    scores = [Score("gradient boosting", about, 0.97, 251.3, 12.3, False)] * 3
    for table in (ladder_table(climb, width), baselines_table(scores)):
        console = console_of(width)
        console.print(table)
        lines = lines_of(console)
        assert any("gradient boosting" in line or "instruction set" in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_gradients(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    backends = ("numpy float64", "numpy float32", "numba float32", "cython float32")
    show_checks([Check("logistic network, dropout", b, 1e-7, 1e-6) for b in backends])
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if "…" in line or len(line) > width]
    assert any(line.split()[-4:] == ["1e-07"] * 4 for line in lines)
