import dataclasses
import json
import re
import shlex
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from small_digits import small_digits, write_small_digits

from mnistcore.__main__ import main
from mnistcore.data import load_data, write_idx
from mnistcore.evaluate import EvaluateConfig
from mnistcore.evaluate import run as evaluate
from mnistcore.models.checkpoint import load, save
from mnistcore.models.metrics import percent
from mnistcore.report import ReportConfig, run, single
from mnistcore.report.page import Drawing, Page, Section, Table, Text, Tiles
from mnistcore.report.style import STYLE
from mnistcore.system.machine import cpu_model
from mnistcore.terminal import command_line
from mnistcore.train import TrainConfig
from mnistcore.train import run as train

pytestmark = pytest.mark.slow

NUMPY = ReportConfig(backend="numpy")
VOID = {"meta", "link", "img", "br"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small data set, ``data``, and two runs on it, ``one`` and ``two``."""
    place = tmp_path_factory.mktemp("report")
    write_small_digits(place / "data")
    for name, options in (("one", {"epochs": 2}), ("two", {"hidden": 4, "epochs": 1})):
        options = {"hidden": 8, "batch_size": 32, "backend": "numpy", **options}
        train(TrainConfig(**options, data=str(place / "data"), output=str(place / name)))
    return place


@pytest.fixture(autouse=True)
def _undrawn(request, monkeypatch):
    """Make the figures of a page but do not draw them, and few cards: most of its time."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(single, "_MISTAKES", 2)
        monkeypatch.setattr(single, "_SHOWN", 2)
        monkeypatch.setattr("mnistcore.figures.style.encode", lambda figure, kind: b"")


@pytest.fixture
def drawn():
    """The figures of a test are drawn."""


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A working folder with copies of the runs."""
    for name in ("one", "two"):
        shutil.copytree(place / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Reader(HTMLParser):
    """The structure of a page; fails where tags do not close or something is fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag != "script"
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        for name in ("src", "href"):
            value = attributes.get(name)
            if value is None:
                continue
            assert value.startswith(("data:", "#"))
            (self.images if name == "src" else self.links).append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    return reader


def test_the_page_about_a_run_is_whole_and_alone(here, drawn):
    report = run("one", NUMPY)
    assert report.path == Path("one/report.html")
    page = read(report.path)
    assert len(page.images) == 14
    text = " ".join(page.text)
    summary = json.loads(Path("one/summary.json").read_text())
    assert f"{100 * summary['test_accuracy']:.2f} %" in text
    assert f"{summary['test_loss']:.4f}" in text
    for title in ("Results", "Learning", "Mistakes", "Confidence", "Data", "Configuration"):
        assert title in text
    assert re.search(r"url\(|@import|http", "".join(page.text)) is None


def test_the_figures_at_the_top_of_a_page_are_those_of_the_evaluation(here):
    scores = evaluate("one", EvaluateConfig(backend="numpy"))
    wrong, n = int((scores.labels != scores.predictions).sum()), len(scores.labels)
    assert 0 < wrong != n - wrong
    low, high = (f"{100 * bound:.2f}" for bound in scores.interval)
    confidence = scores.probabilities.max(axis=1).mean()
    cells = [text.strip() for text in read(run("one", NUMPY).path).text if text.strip()]
    for value, remark in (
        (percent(1 - wrong / n), f"95 % interval {low} to {high} %"),
        (str(wrong), f"of {n} images"),
        (percent(scores.top_2_accuracy), "the truth is among the likeliest two"),
        (percent(scores.calibration.expected_error), f"mean confidence {percent(confidence)}"),
    ):
        assert cells[cells.index(remark) - 1] == value


def test_a_run_with_augmentation_shows_what_it_saw(place, tmp_path, monkeypatch):
    """Of no epoch that it did not have, and no more deformed than they were: here, at last not."""
    drawn = []
    draw = single.figures.deformations
    monkeypatch.setattr(
        single.figures, "deformations", lambda *shown: drawn.append(shown) or draw(*shown)
    )
    options = {"hidden": 8, "epochs": 2, "backend": "numpy", "augment": True, "augment_fade": 1}
    config = TrainConfig(**options, data=str(place / "data"), output=str(tmp_path / "run"))
    train(config)
    figures = tmp_path / "figures"
    page = read(run(str(tmp_path / "run"), ReportConfig(backend="numpy", figures=figures)).path)
    assert len(page.images) == 15
    assert "before each update, on deformed images; they may be worse" in " ".join(page.text)
    assert (figures / "augmentation.png").is_file()
    ((images, epochs),) = drawn
    assert epochs.shape[1] == 2
    assert np.abs(epochs[:, 0].astype(int) - images).max() > 50
    np.testing.assert_array_equal(epochs[:, 1], images)


def test_the_page_that_compares_runs(here):
    report = run(["one", "two"], NUMPY)
    assert report.path == Path("comparison.html")
    page = read(report.path)
    text = " ".join(page.text)
    assert "2 runs compared" in text
    assert "McNemar" in text
    together = evaluate(["one", "two"], EvaluateConfig(backend="numpy"))
    assert f"Together the runs read {percent(together.accuracy)} right" in text
    assert "Options that differ between the runs" in text
    assert "36-8-4" in text
    assert "36-4-4" in text


def test_the_table_of_chance_counts_what_one_run_alone_reads_right(here):
    scores = [evaluate(name, EvaluateConfig(backend="numpy")) for name in ("one", "two")]
    names = ["one", "two"]
    if scores[1].accuracy > scores[0].accuracy:
        scores, names = scores[::-1], names[::-1]
    best, other = (np.array(each.labels == each.predictions) for each in scores)
    alone = int((best & ~other).sum()), int((other & ~best).sum())
    assert alone[0] > alone[1]
    cells = [text.strip() for text in read(run(["one", "two"], NUMPY).path).text if text.strip()]
    head = cells.index(f"only {names[0]} is right")
    assert cells[head + 1 : head + 6] == [
        "only this run is right", "p", names[1], *map(str, alone)
    ]  # fmt: skip


def test_runs_on_other_data_are_compared_without_a_test(here, tmp_path):
    dataset = small_digits(tmp_path / "others")
    write_idx(tmp_path / "others/t10k-images-idx3-ubyte", 255 - dataset.test_images)
    options = {"backend": "numpy", "hidden": (), "epochs": 1, "data": str(tmp_path / "others")}
    train(TrainConfig(**options, output="three"))
    text = " ".join(read(run(["one", "three"], NUMPY).path).text)
    assert "test images of data and others" in text
    assert "McNemar" not in text
    assert "Together" not in text


def test_data_sets_of_the_same_name_are_told_apart(here, place, tmp_path):
    dataset = small_digits(tmp_path / "data")
    write_idx(tmp_path / "data/t10k-images-idx3-ubyte", 255 - dataset.test_images)
    options = {"backend": "numpy", "hidden": (), "epochs": 1, "data": "data"}
    train(TrainConfig(**options, output="three"))
    text = " ".join(read(run(["one", "three"], NUMPY).path).text)
    assert f"test images of {place / 'data'} and {tmp_path / 'data'}." in text
    report = run("one", ReportConfig(backend="numpy", data="data"))
    (notice,) = report.notices
    assert f"trained on other data ({place / 'data'}); these are figures on {tmp_path}" in notice
    assert notice in " ".join(read(report.path).text)


@pytest.mark.parametrize("change", [lambda x: x // 16, lambda x: x / 255], ids=["0-15", "floats"])
def test_the_page_about_pixels_of_another_range(here, place, change):
    dataset = load_data(place / "data")
    train_images, test_images = change(dataset.train_images), change(dataset.test_images)
    dataset = dataclasses.replace(dataset, train_images=train_images, test_images=test_images)
    config = TrainConfig(backend="numpy", hidden=8, epochs=1, output="other")
    accuracy = train(config, dataset=dataset).summary["test_accuracy"]
    report = run("other", NUMPY, dataset=dataset)
    assert report.notices == ()
    text = " ".join(read(report.path).text)
    assert f"{100 * accuracy:.2f} %" in text
    report = run("one", NUMPY, dataset=dataset)  # of a network that was trained on bytes
    assert "are scaled alike" in report.notices[0]
    scores = evaluate("one", dataset=dataset)
    summary = json.loads(Path("one/summary.json").read_text())
    assert scores.accuracy == pytest.approx(summary["test_accuracy"], abs=0.03)
    assert f"{100 * scores.accuracy:.2f} %" in " ".join(read(report.path).text)


def test_a_model_alone_gets_a_page_without_its_history(place, here):
    model = dataclasses.replace(load("one"), config={})  # as of a network trained elsewhere
    save("mine.safetensors", model)
    report = run("mine.safetensors", ReportConfig(backend="numpy", data=str(place / "data")))
    assert report.path == Path("mine.report.html")
    assert "There is no record of the epochs" in " ".join(read(report.path).text)


def test_a_run_without_mistakes_hidden_layers_or_validation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = small_digits(tmp_path / "data")
    options = {"backend": "numpy", "hidden": (), "epochs": 20, "validation_fraction": 0}
    train(TrainConfig(**options, learning_rate=0.05, output="linear"), dataset=dataset)
    text = " ".join(read(run("linear", NUMPY, dataset=dataset).path).text)
    assert "No test image was read wrong." in text
    assert "The network has no hidden layer." in text


def test_names_are_escaped(here):
    name = "<script>alert(1)</script>&$x$"
    name = name.replace("/", "")
    Path("one").rename(name)
    page = read(run([name, "two"], NUMPY).path)
    assert name in " ".join(page.text)
    assert "<script" not in Path("comparison.html").read_text()
    assert name in " ".join(read(run(name, NUMPY).path).text)


def test_what_others_wrote_into_a_run_is_escaped_and_believed_in_no_number(here):
    path = Path("one/summary.json")
    summary = json.loads(path.read_text())
    summary.update(train_seconds="<b>", samples_per_second=float("nan"), versions=["<i>"])
    summary.update(seconds=10**400, nested=json.loads("[" * 40 + "]" * 40))
    path.write_text(json.dumps(summary))
    page = Path(run("one", NUMPY).path).read_text()
    assert "<b>" not in page
    assert "<i>" not in page
    path.write_text(
        json.dumps(summary | {"train_seconds": 10**400, "samples_per_second": -(10**400)})
    )
    assert "Test accuracy" in Path(run("one", NUMPY).path).read_text()
    path.write_text(json.dumps(summary).replace('"<b>"', "[" * 900 + "]" * 900))
    with pytest.raises(ValueError, match="is not valid JSON"):
        run("one", NUMPY)


def test_equal_runs_make_equal_pages(here, drawn, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "today")
    first = run(["one", "two"], NUMPY).path.read_bytes()
    assert run(["one", "two"], NUMPY).path.read_bytes() == first


def test_figures_are_written_as_png_and_svg(here, drawn):
    config = ReportConfig(backend="numpy", figures="drawn/here", output="page.html")
    report = run(["one", "two"], config)
    assert report.path == Path("page.html")
    files = sorted(Path("drawn/here").iterdir())
    assert files == sorted(report.figure_files)
    names = {"accuracy", "learning", "hardest"}
    assert {file.name for file in files} == {
        f"{n}.{kind}" for n in names for kind in ("png", "svg")
    }
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files if file.suffix == ".png")
    assert all(b"<svg" in file.read_bytes() for file in files if file.suffix == ".svg")


def test_every_part_escapes_what_it_holds():
    bad = "<b>&\"'"
    parts = [Text(bad), Tiles([(bad, bad, bad)]), Table([bad], [[bad]], bad)]
    from mnistcore.figures import learning_curves

    parts.append(Drawing("x", learning_curves([]), bad))
    html = Page(bad, bad, [Section(bad, parts)]).html()
    assert "<b>" not in html
    reader = Reader()
    reader.feed(html)
    assert reader.text.count(bad) == 13


@pytest.mark.parametrize("runs", [["one"], ["one", "two"]])
def test_a_page_says_when_where_and_how_it_was_made(here, runs):
    config = ReportConfig(backend="numpy", output="the page.html")
    text = " ".join(read(run(runs, config).path).text)
    assert re.search(r"Written \d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4} ", text)
    assert f"Machine {cpu_model()}, " in text
    command = f"mnistcore report {' '.join(runs)} --backend numpy --output 'the page.html'"
    assert f"Command {command}" in text
    assert ("mnistcore train --config one/config.json" in text) == (len(runs) == 1)


def test_the_command_on_a_page_makes_the_page_again(here):
    before = run("one", NUMPY).path.read_text("utf-8")
    (command,) = re.findall("<code>(mnistcore report .*?)</code>", before)
    Path("one/report.html").unlink()
    assert main(shlex.split(command)[1:]) == 0
    assert command in Path("one/report.html").read_text("utf-8")


def test_on_a_narrow_screen_figures_and_tables_scroll_and_stay_legible(here):
    page = run(["one", "two"], NUMPY).path.read_text("utf-8")
    images = re.findall(r'<div class="scroll" tabindex="0"><img style="width:(\d+)%;min-', page)
    assert len(images) == page.count("<img ") == 3
    least = [int(rem) for rem in re.findall(r"min-width:(\d+)rem", page)]
    for share, rem in zip(map(int, images), least, strict=True):
        inches = 9 * share / 100
        assert 16 * rem / (72 * inches) * 9 > 9  # pixels of a label of 9 points
    assert page.count("<table") == page.count('<div class="scroll" tabindex="0"><table')


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_on_a_light_and_on_a_dark_page(dark):
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)
    light, night = (dict(re.findall(r"--(\w+): (#\w+);", block)) for block in blocks)
    colours = {**light, **(night if dark else {})}
    assert (luminance(colours["page"]) < 0.05) == dark
    for ink in ("ink", "faint", "link"):
        for paper in ("page", "pale"):
            low, high = sorted((luminance(colours[ink]), luminance(colours[paper])))
            assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2.2, 1.4.3
    # Figures are drawn in dark ink, so their box is white on any page.
    assert re.search(r"^figure \.scroll \{[^}]*background: #fff", STYLE, re.MULTILINE)


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def report(*arguments):
    return main(["report", *arguments, "--backend", "numpy"])


def test_the_command_says_where_the_page_is(here, capsys):
    assert report("one") == command_line.DONE
    out, err = capsys.readouterr()
    assert (out, err) == ("one/report.html\n", "")
    assert report("one", "two", "--figures", "drawn", "--output", "both.html") == 0
    assert capsys.readouterr().out == "both.html\n6 files of figures in drawn\n"


def test_a_report_replaces_an_earlier_one_but_nothing_else(here, capsys):
    assert report("one", "two") == 0
    assert report("one", "two") == 0
    Path("thesis.html").write_text("years of work")
    assert report("one", "--output", "thesis.html") == 2
    assert "thesis.html: exists and is not a report" in capsys.readouterr().err
    assert Path("thesis.html").read_text() == "years of work"


BAD_LINES = [
    ([], "there is no finished run in runs/; name a RUN, or make one: mnistcore train"),
    (["nowhere"], "nowhere: no such file; give a run folder"),
    (["one", "nowhere"], "nowhere: no such file"),
    (["one", "./one"], "one: is named twice"),
    (["empty"], "empty/model.safetensors: no such file"),
    (["text.safetensors"], "text.safetensors: is not a safetensors file"),
    (["broken"], "metrics.jsonl: line 1 is not the record of an epoch"),
    (["one", "--data", "nowhere"], "nowhere: no such file or folder"),
    (["one", "--output", "empty"], "empty: cannot be written, because it is a folder"),
    (["one", "--output", "no/such.html"], "because there is no folder no"),
    (["one", "--figures", "text.safetensors"], "text.safetensors is not a folder"),
    (["one", "--figures", "text.safetensors/x"], "text.safetensors is not a folder"),
    (["one", "--threads", "x"], "--threads must be a whole number, got 'x'"),
]


@pytest.mark.parametrize(("flags", "message"), BAD_LINES)
def test_a_bad_command_line_gets_one_clear_line(here, capsys, flags, message):
    Path("empty").mkdir()
    Path("text.safetensors").write_text("years of work")
    shutil.copytree("one", "broken")
    Path("broken/metrics.jsonl").write_text("{\n{\n")
    before = sorted(here.rglob("*"))
    assert report(*flags) == command_line.BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore report: error: .*\n", err)
    assert re.search(message, err)
    assert sorted(here.rglob("*")) == before


def test_training_writes_a_report_at_the_end(place, here, capsys, monkeypatch):
    flags = ["--backend", "numpy", "--epochs", "1", "--data", str(place / "data"), "--report"]
    assert main(["train", *flags, "--output", "new"]) == 0
    out = capsys.readouterr().out
    assert "\nreport         new/report.html\n\nnext:\n" in out
    assert "mnistcore report" not in out
    assert "Test accuracy" in Path("new/report.html").read_text()
    monkeypatch.setattr(single, "page", lambda *arguments: Page("title", "", []))
    assert main(["train", *flags, "--output", "json", "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert Path("json/report.html").exists()


def test_a_diverged_run_gets_no_report(place, here, capsys):
    flags = ["--optimizer", "sgd", "--activation", "identity", "--learning-rate", "1e25"]
    flags += ["--backend", "numpy", "--epochs", "1", "--data", str(place / "data"), "--report"]
    assert main(["train", *flags, "--output", "bad"]) == command_line.BAD_RESULT
    assert not Path("bad/report.html").exists()
