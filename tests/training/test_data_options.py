"""The options of data: names of classes from files, and what a run keeps of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from mnistcore.__main__ import main
from mnistcore.data import load_data, write_idx
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.synthetic import make_digits
from mnistcore.runs.folder import load_run
from mnistcore.search.config import SearchConfig, make_plan
from mnistcore.training.config import TrainConfig
from mnistcore.training.data_options import DataOptions, RunDataOptions

QUICK = ("--backend", "numpy", "--hidden", "8", "--epochs", "1", "--quiet")
LETTERS = tuple("ABCDEFGHIJ")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working folder with transposed digits that are labelled 1 to 10, as letters would be."""
    monkeypatch.chdir(tmp_path)
    images, labels = make_digits(400, 0)
    turned = np.ascontiguousarray(images.transpose(0, 2, 1))
    Path("set").mkdir()
    arrays = (turned[:300], labels[:300] + 1, turned[300:], labels[300:] + 1)
    for name, array in zip(FILE_NAMES, arrays, strict=True):
        write_idx(Path("set", name), array.astype(np.uint8))
    Path("names.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*LETTERS, "", ""]).encode())
    return tmp_path


@pytest.mark.parametrize("given", [["names.txt"], list(LETTERS), "names.txt"])
def test_names_are_given_one_by_one_or_as_a_file(given, place):
    assert DataOptions(class_names=given).class_names == LETTERS
    dataset = DataOptions(data="set", class_names=given, transpose=True).load()
    assert dataset.class_names == LETTERS
    images, _ = make_digits(400, 0)
    np.testing.assert_array_equal(dataset.train_images, images[:300])


def test_a_name_that_is_no_file_is_a_name(place):
    assert DataOptions(class_names=["names"]).class_names == ("names",)
    assert DataOptions().class_names == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no names; write one in each line"),
        (b"\n \n", "has no names"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"a\n" * 2**20, "is larger than 1048576 bytes"),
    ],
)
def test_a_file_of_names_that_cannot_be_used_is_named(content, message, place):
    Path("bad.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"^bad.txt: {message}"):
        DataOptions(class_names="bad.txt")


def test_a_run_keeps_how_its_data_was_read(place, capsys, monkeypatch):
    options = ("--data", "set", "--transpose", "--class-names", "names.txt")
    assert main(["train", *QUICK, *options, "--output", "run"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["data"] == str(place / "set")
    assert (config["transpose"], config["class_names"]) == (True, list(LETTERS))
    model = load_run("run").model
    assert model.class_names == LETTERS
    assert model.network.layer_sizes[-1] == 10
    Path("names.txt").unlink()
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    dataset = RunDataOptions().load_or_own(model)
    assert (dataset.checksum, dataset.class_names) == (model.data.checksum, LETTERS)
    flags = ["--config", "../run/config.json", "--quiet", "--output", "again"]
    assert main(["train", *flags]) == 0
    again = load_run("again").model
    assert again.data.checksum == model.data.checksum
    np.testing.assert_array_equal(again.params, model.params)
    capsys.readouterr()
    assert main(["evaluate", "../run", "--backend", "numpy", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["trained_on_this"] is True
    assert [entry["name"] for entry in facts["classes"]] == list(LETTERS)


def test_what_is_named_anew_is_read_as_it_is_asked_for(place):
    main(["train", *QUICK, "--data", "set", "--transpose", "--output", "run"])
    model = load_run("run").model
    assert RunDataOptions(data="set").load_or_own(model).checksum != model.data.checksum
    same = RunDataOptions(data="set", transpose=True)
    assert same.load_or_own(model).checksum == model.data.checksum
    as_it_lies = RunDataOptions(transpose=False).load_or_own(model)
    assert as_it_lies.checksum == load_data("set").checksum


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"data": "synthetic", "transpose": True},
            "digits are upright; leave transpose out",
        ),
        ({"data": "set", "class_names": ["a", "b"]}, "has 10 classes, .* gives 2 names"),
        ({"data": "set", "class_names": ["a"] * 10}, "two classes of the name 'a'"),
        ({"class_names": [""]}, "class_names must not be empty"),
    ],
)
def test_options_that_make_no_sense(options, message, place):
    with pytest.raises(ValueError, match=message):
        DataOptions(**options).load()


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "report", "baselines", "search", "export"]
)
def test_every_command_that_reads_data_has_the_options(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    for flag in ("--data DATA", "--data-dir DIR", "--transpose, --no-transpose", "--class-names"):
        assert f"  {flag}" in shown


def test_a_search_hands_the_options_to_its_workers(place):
    train = {"data": "set", "transpose": True, "class_names": LETTERS, "backend": "numpy"}
    plan = make_plan(SearchConfig(), None, train)
    sent = json.loads(json.dumps(plan.to_json()))
    config = type(plan).from_json(sent).train_config({})
    assert config.load().class_names == LETTERS
    assert "class_names" not in plan.settings()["train"]  # the content of the data counts


def test_the_options_of_a_run_are_those_of_a_command():
    assert TrainConfig().load.__func__ is DataOptions.load
    with pytest.raises(TypeError, match="data must be text, got None"):
        TrainConfig(data=None)
