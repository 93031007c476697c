"""The command as it is typed: exit status, what it prints, what it leaves on disk."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_digits import write_small_digits
from small_search import FLAGS, ROOT

from mnistcore.__main__ import main
from mnistcore.data import read_idx, write_idx
from mnistcore.runs.execution import TrainingInterrupted
from mnistcore.terminal import command_line
from mnistcore.training.config import TrainConfig, given_options

pytestmark = pytest.mark.slow

FILES = {
    "best.toml", "history.png", "importances.png", "parallel.png", "search.json", "study.db",
    "summary.json", "trials.csv",
}  # fmt: skip


def search(*flags):
    return main(["search", "--data", "../data", *FLAGS, *flags])


ONE = ["--output", "out", "--workers", "1", "--trials", "1", "--quiet"]


@pytest.fixture
def done(place, done_once):
    """A search of one trial, in the folder out."""
    shutil.copytree(done_once, "out")


@pytest.fixture(scope="module")
def done_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    write_small_digits(folder / "data")
    (folder / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "work")
        assert search(*ONE) == command_line.DONE
    return folder / "work" / "out"


def start(*flags):
    """The command in a process of its own, which finds no modules in the working folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mnistcore.search", "--data", "../data", *FLAGS, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_a_search_leaves_its_results_behind(place, capsys):
    flags = ["--output", "out", "--workers", "2", "--trials", "5", "--epochs", "1"]
    assert search(*flags) == command_line.DONE
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    assert len(re.findall(r"^trial \d  \d+\.\d\d % .*\(\d of 5 done\)$", out, re.MULTILINE)) == 5
    summary = json.loads(Path("out/summary.json").read_text())
    winner = f"winner-{summary['winner']}"
    assert {path.name for path in Path("out").iterdir()} == {*FILES, winner}
    assert (summary["finished_trials"], summary["complete"]) == (5, True)
    rows = list(csv.DictReader(Path("out/trials.csv").read_text().splitlines()))
    assert [int(row["number"]) for row in rows] == sorted({int(row["number"]) for row in rows})
    best = max(float(row["validation_accuracy"]) for row in rows if row["state"] == "complete")
    assert summary["validation_accuracy"] == best
    tested = re.search(r"^test +accuracy (.*) %", out, re.MULTILINE)
    assert tested[1] == f"{100 * summary['test']['accuracy']:.2f}"
    assert len({row["worker"] for row in rows}) <= 2


def test_the_winner_is_what_train_makes_of_best_toml(place, capsys):
    assert search("--output", "out", "--workers", "1", "--trials", "2") == command_line.DONE
    summary = json.loads(Path("out/summary.json").read_text())
    assert main(["train", "--config", "out/best.toml", "--output", "again"]) == command_line.DONE
    again = json.loads(Path("again/summary.json").read_text())
    assert again["test_accuracy"] == summary["test"]["accuracy"]
    assert again["test_loss"] == summary["test"]["loss"]
    metrics = Path("again/metrics.jsonl").read_text().splitlines()
    assert json.loads(metrics[-1])["validation_accuracy"] == summary["validation_accuracy"]
    config = TrainConfig(**given_options({}, "out/best.toml"))
    assert tomllib.loads(Path("out/best.toml").read_text())["hidden"] == list(config.hidden)


def test_a_complete_study_is_told_again_without_reading_the_test_set(place, capsys):
    assert search(*ONE) == command_line.DONE
    first = capsys.readouterr().out
    before = set(Path("out").rglob("*"))
    assert search(*ONE[:-1], "--json") == command_line.DONE
    told = json.loads(capsys.readouterr().out)
    assert set(Path("out").rglob("*")) == before  # no second run folder
    assert f"test accuracy {100 * told['test']['accuracy']:.2f} %" in first
    assert first.count("\n") == 1


def test_the_library_does_what_the_command_does(place):
    from mnistcore.search import SearchConfig, SearchResult, run

    result = run(
        SearchConfig(sampler="grid", workers=1, output="out"),
        space={"hidden": ["4", "8-4"]},
        train={"epochs": 1, "backend": "numpy", "data": "../data"},
    )
    assert isinstance(result, SearchResult)
    points = [record.point["hidden"] for record in result.standing.finished]
    assert sorted(points) == ["4", "8-4"]
    assert (
        result.test["accuracy"]
        == json.loads(Path(result.test["run_folder"], "summary.json").read_text())["test_accuracy"]
    )


def test_no_trial_at_all_is_a_bad_result(place, capsys):
    assert search("--timeout", "0.01", "--workers", "1") == command_line.BAD_RESULT
    err = capsys.readouterr().err
    assert re.fullmatch(r"mnistcore search: error: no trial was trained to its end .*\n", err)


def test_switches_are_fixed_or_searched(place, capsys):
    flags = ["--batch-norm", "off", "on", "--augment", "--label-smoothing", "0:0.1"]
    flags = [*flags, "--sampler", "random", "--pruner", "none", "--workers", "1", "--trials", "3"]
    assert search(*flags, "--output", "out") == command_line.DONE
    out = capsys.readouterr().out
    assert "batch norm off, on" in out
    assert "augment on" in out
    assert re.search(r"^trial 0 .*, batch norm (on|off)", out, re.MULTILINE)
    best = tomllib.loads(Path("out/best.toml").read_text())
    assert best["augment"] is True
    assert best["batch_norm"] in (False, True)
    rows = list(csv.DictReader(Path("out/trials.csv").read_text().splitlines()))
    assert {row["batch_norm"] for row in rows} <= {"True", "False"}
    assert search(*flags, "--output", "out", "--quiet") == command_line.DONE  # the same study


def test_a_flag_of_architectures_wins_over_layers_and_units(place, capsys):
    Path("space.toml").write_text("[space]\nlayers = [1, 2]\nunits = [4, 8]\n[train]\nepochs = 1\n")
    flags = ["--space", "space.toml", "--hidden", "4", "8", "--sampler", "grid", "--workers", "1"]
    quick = ["--backend", "numpy", "--data", "../data", "--output", "out"]
    assert main(["search", *flags, *quick]) == command_line.DONE
    assert re.search(r"^space +hidden 4, 8 *$", capsys.readouterr().out, re.MULTILINE)


def test_ctrl_c_leaves_a_study_that_goes_on(place):
    flags = ["--output", "out", "--workers", "2", "--trials", "2", "--quiet", "--epochs", "60"]
    flags += ["--pruner", "none"]
    process = start(*flags)
    database = Path("out/study.db")
    _await_trial(database)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == command_line.INTERRUPTED, err
    assert out == ""
    assert err == ("mnistcore search: interrupted; the same command resumes the study in out\n")
    assert not _running(database)  # nothing is left that only time could tell to be dead
    process = start(*flags)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert json.loads(Path("out/summary.json").read_text())["finished_trials"] == 2


def test_a_killed_command_takes_its_workers_along(place):
    process = start("--output", "out", "--workers", "1", "--quiet", "--epochs", "2000")
    database = Path("out/study.db")
    _await_trial(database)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while _running(database) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(database)  # it gave its trial back before it left


LOSSES = {
    "deleted": ("DELETE FROM studies", "the study cannot be reached: it is not in there any more"),
    "without its tables": (
        "DROP TABLE trial_values",
        "cannot be reached: no such table",
    ),
}


@pytest.mark.parametrize(("query", "words"), LOSSES.values(), ids=LOSSES.keys())
def test_a_study_that_is_lost_while_it_is_searched_gets_one_clear_line(query, words, place):
    """Nor do the workers find modules in the working folder."""
    Path("random.py").write_text("raise RuntimeError('the random of the working folder')\n")
    database = Path("out/study.db")
    process = start("--output", "out", "--workers", "1", "--quiet", "--epochs", "3000")
    _await_trial(database)
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute(query)
    out, err = process.communicate(timeout=120)
    assert process.returncode == command_line.BAD_INPUT
    assert out == ""
    assert err.startswith("mnistcore search: error: ")
    assert "study.db" in err
    assert words in err
    assert err.count("\n") == 1


def test_sigterm_leaves_a_study_that_goes_on(place):
    database = Path("out/study.db")
    process = start("--output", "out", "--workers", "1", "--quiet", "--epochs", "3000")
    _await_trial(database)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == command_line.SIGNALLED + signal.SIGTERM
    assert out == ""
    assert err == "mnistcore search: interrupted; the same command resumes the study in out\n"
    assert not _running(database)


def _await_trial(database):
    """Wait until a trial runs."""
    deadline = time.monotonic() + 60
    while not _running(database) and time.monotonic() < deadline:
        time.sleep(0.05)


def _running(database):
    """How many trials run, by the database alone."""
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(database) as connection:
            query = "select count(*) from trials where state = 'RUNNING'"
            return connection.execute(query).fetchone()[0]
    except sqlite3.OperationalError:  # the tables are not made yet
        return 0


BAD_LINES = [
    (["--trials", "0"], "--trials must be in"),
    (["--trials", "many"], "--trials must be a whole number, got 'many'"),
    (["--sampler", "bayes"], "--sampler must be one of tpe, random, grid"),
    (["--pruner", "halving"], "--pruner must be one of none, successive-halving"),
    (["--workers", "-1"], "--workers must be in"),
    (["--folds", "1"], "--folds must be in"),
    (["--timeout", "nan"], "--timeout must be above 0"),
    (["--grid-points", "3"], "grid_points is for sampler grid, not tpe"),
    (["--sampler", "grid", "--dropout", "0:0.5"], "dropout is a range: say how many"),
    (["--learning-rate", "1:"], "--learning-rate: a range is LOW:HIGH"),
    (["--learning-rate", "0.2:0.1"], "learning_rate: low must be below high"),
    (["--learning-rate", "fast", "slow"], "learning_rate must be a number, got 'fast'"),
    (["--activation", "relu", "gelu"], "activation must be one of"),
    (["--hidden", "8", "16"], "give either hidden, or layers and units"),
    (["--optimizer", "adam", "adamw", "--momentum", "0.1", "0.9"], "momentum is for optimizer sgd"),
    (["--validation-fraction", "0"], "a search needs validation"),
    (["--patience", "0"], "--patience must be in"),
    (["--study", "a/b"], "study must be a plain name"),
    (["--batch-norm", "on", "maybe"], "batch_norm must be true or false, got 'maybe'"),
    (["--augment", "on", "off", "--data", "flat.npz"], "augment deforms square images"),
    (["--space", "none.toml"], "none.toml: No such file or directory"),
    (["--space", "bad.toml"], r"bad.toml: unknown option 'trails' in \[search\]; did you mean"),
    (["--space", "."], "Is a directory"),
    (["--data", "nowhere"], "nowhere: no such file or folder"),
    (["--backend", "cuda"], "--backend must be one of"),
    (["--storage", "nonsense"], "storage must be a URL such as postgresql://"),
    (["--storage", "sqlite:////nowhere/x.db"], "/nowhere/x.db: cannot be used"),
    (["--storage", "postgresql://me:pw@127.0.0.1:9/x"], "127.0.0.1:9/x: cannot be used"),
    (["--output", "full"], "full: is not empty; give output a new or an empty folder"),
    (["--output", "bad.toml"], "bad.toml: cannot be written, because .* is not a folder"),
    (["--quiet", "--json"], "argument --json: not allowed with argument --quiet"),
    (["--pruned", "x"], "there is no option --pruned; did you mean .--pruner.\\?"),
]


@pytest.mark.parametrize(("flags", "message"), BAD_LINES)
def test_a_bad_command_line_gets_one_clear_line(place, capsys, flags, message):
    Path("bad.toml").write_text("[search]\ntrails = 3\n")
    np.savez("flat.npz", x=np.zeros((40, 5, 7), np.uint8), y=np.arange(40) % 4)
    Path("full").mkdir()
    Path("full", "thesis.tex").write_text("years of work")
    assert search(*flags) == command_line.BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore search: error: .*\n", err)
    assert re.search(message, err)
    assert Path("full", "thesis.tex").read_text() == "years of work"


def test_the_study_of_another_space_is_refused(done, capsys):
    assert search(*ONE, "--activation", "relu", "tanh") == command_line.BAD_INPUT
    err = capsys.readouterr().err
    assert "study 'search' is another search: its activation is not given, not" in err
    assert err.count("\n") == 1


def test_other_teachers_are_another_search(place, capsys):
    quick = ["--data", "../data", "--epochs", "1", "--backend", "numpy", "--hidden", "8"]
    assert main(["train", *quick, "--output", "teacher", "--quiet"]) == command_line.DONE
    assert search(*ONE, "--teacher", "teacher") == command_line.DONE
    shutil.copytree("teacher", "elsewhere")  # the same one
    assert search(*ONE, "--teacher", "elsewhere") == command_line.DONE
    shutil.rmtree("teacher")
    assert main(["train", *quick, "--seed", "1", "--output", "teacher", "--quiet"]) == 0
    capsys.readouterr()
    assert search(*ONE, "--teacher", "teacher") == command_line.BAD_INPUT
    assert "study 'search' is another search: its teachers" in capsys.readouterr().err


def test_other_test_images_are_another_search(done, capsys):
    """The test accuracy of a study is that of one winner on one test set."""
    (labels,) = Path("../data").glob("t10k-labels*")
    write_idx(labels, 3 - read_idx(labels))
    assert search(*ONE) == command_line.BAD_INPUT
    assert "study 'search' is another search: its checksum is" in capsys.readouterr().err


def test_a_folder_has_the_results_of_one_study(done, capsys):
    before = Path("out/best.toml").read_bytes()
    assert search(*ONE, "--study", "other") == command_line.BAD_INPUT
    assert "out: has the results of study 'search'; give another output" in capsys.readouterr().err
    assert Path("out/best.toml").read_bytes() == before


def test_a_signal_while_the_winner_is_trained_gives_its_status(place, monkeypatch):
    def train(config, dataset):
        result = SimpleNamespace(folder=SimpleNamespace(path=config.output), signal=15)
        raise TrainingInterrupted(result)

    monkeypatch.setattr("mnistcore.search.execution.train", train)
    assert search(*ONE) == 143
    assert Path("out/winner-0").is_dir()  # of its own, also beside another command
    assert search(*ONE) == 143
    assert Path("out/winner-0-2").is_dir()


def test_without_optuna_the_extra_is_named(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search("--output", "out") == command_line.BAD_INPUT
    err = capsys.readouterr().err
    assert 'pip install -e ".[search]" in' in err
    assert err.count("\n") == 1


def test_help_needs_no_optuna(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit) as left:
        main(["search", "--help"])
    assert left.value.code == 0
    assert "LOW:HIGH" in capsys.readouterr().out
