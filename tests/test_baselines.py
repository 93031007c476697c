"""The baselines: each learns, the same every time; table, files and mistakes of the command."""

import dataclasses
import json
import re
import sys

import numpy as np
import pytest
from small_digits import small_digits, write_small_digits

from mnistcore.baselines import BASELINES, main, run

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_digits(tmp_path_factory.mktemp("digits") / "data")


def test_all_learn_but_the_one_that_cannot(dataset):
    seen = []
    scores = run(dataset, threads=1, on_score=seen.append)
    assert scores == seen
    accuracies = {score.name: score.test_accuracy for score in scores}
    assert list(accuracies) == list(BASELINES)
    commonest = np.bincount(dataset.train_labels).argmax()
    assert accuracies.pop("most frequent") == np.mean(dataset.test_labels == commonest)
    assert min(accuracies.values()) > 0.8
    assert [score.name for score in scores if score.ours] == ["softmax regression", "MLP"]


def test_pixels_enter_in_the_same_range_whatever_theirs_is(dataset):
    seen = {}
    for divisor in (1, 255.0):
        train, test = dataset.train_images / divisor, dataset.test_images / divisor
        other = dataclasses.replace(dataset, train_images=train, test_images=test)
        seen[divisor] = run(other, ["logistic regression", "MLP"], threads=1)
    for one, other in zip(*seen.values(), strict=True):
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=0.02)


def test_the_same_images_and_draws_for_a_seed(dataset):
    names = ["nearest centroid", "MLP", "random forest"]
    settings = {"train_images": 101, "threads": 1, "seed": 3}
    first, second = (run(dataset, names, **settings) for _ in range(2))
    assert [a.test_accuracy for a in first] == [b.test_accuracy for b in second]


def test_the_command_prints_a_table_and_writes_both_files(tmp_path, capsys):
    data = write_small_digits(tmp_path / "data")
    output = tmp_path / "a" / "b"
    flags = ["--models", "MLP", "k-NN", "--threads", "1", "--output", str(output)]
    assert main(["--data", str(data), *flags]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"classifier +accuracy +training", shown)
    assert "k-NN" in shown
    summary = json.loads((output / "baselines.json").read_text())
    assert [score["name"] for score in summary["scores"]] == ["MLP", "k-NN"]
    assert summary["train_images"] == 600
    assert (output / "baselines.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_all_that_is_printed(tmp_path, capsys):
    data = write_small_digits(tmp_path / "data")
    assert main(["--data", str(data), "--models", "nearest centroid", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["name"] == "nearest centroid"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "SVM"], "unknown baseline 'SVM'"),
        (["--models", "random tree"], "'random tree'; did you mean 'random forest'?"),
        (["--output", __file__], "test_baselines.py: cannot be written, because"),
        (["--threads", "0"], "threads must be at least 1"),
        (["--train-images", "601"], "from 1 to 600"),
        (["--train-images", "0"], "from 1 to 600"),
        (["--seed", "-1"], "seed"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(tmp_path, capsys, flags, message):
    data = write_small_digits(tmp_path / "data")
    assert main(["--data", str(data), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_scikit_learn_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["--data", str(write_small_digits(tmp_path / "data"))]) == 2
    assert 'pip install -e ".[sklearn]" in' in capsys.readouterr().err


def test_ctrl_c_while_the_perceptron_trains_ends_the_command(tmp_path, capsys, monkeypatch):
    from mnistcore.sklearn import estimator

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(estimator, "train_epoch", interrupted)
    data = write_small_digits(tmp_path / "data")
    assert main(["--data", str(data), "--models", "MLP", "k-NN"]) == 130
    assert "k-NN" not in capsys.readouterr().out
