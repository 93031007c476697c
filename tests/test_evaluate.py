import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from small_digits import N_CLASSES, N_TEST, N_TRAIN, small_digits, write_small_digits

from mnistcore.__main__ import main
from mnistcore.data import load_data, read_idx, write_idx
from mnistcore.data.folder import FILE_NAMES
from mnistcore.evaluate import EvaluateConfig, run, run_sample
from mnistcore.models.model import Model
from mnistcore.models.network import Network
from mnistcore.runs.data import split_indices
from mnistcore.runs.folder import Run, load_run
from mnistcore.terminal import command_line
from mnistcore.terminal.scores import show_sample, show_scores
from mnistcore.train import TrainConfig
from mnistcore.train import run as train

ROOT = Path(__file__).parent.parent
NUMPY = EvaluateConfig(backend="numpy")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small data set, ``data``, and a run on it, ``run``."""
    place = tmp_path_factory.mktemp("evaluate")
    write_small_digits(place / "data")
    train(
        TrainConfig(
            backend="numpy", hidden=8, epochs=2, batch_size=32,
            data=str(place / "data"), output=str(place / "run"),
        )
    )  # fmt: skip
    return place


@pytest.fixture(scope="module")
def two(place):
    """Two runs on the data: ``run``, and one of other layers and the same validation images."""
    config = json.loads((place / "run/config.json").read_text())
    network = {"hidden": (6, 5), "activation": "tanh", "standardize": True}
    train(TrainConfig(**config | network | {"output": str(place / "other")}))
    return [place / "run", place / "other"]


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """A working folder with a copy of the run."""
    shutil.copytree(place / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make_run():
    """A run with random weights, not trained, of any sizes."""

    def make(sizes, shape, class_names=None, scale=1.0):
        network = Network(sizes)
        params = network.init(np.random.default_rng(0)) * np.float32(scale)
        names = class_names or tuple(map(str, range(sizes[-1])))
        return Run(Path("made"), Model(network, params, shape, 1 / 255, 0.0, names), [], {})

    return make


def write_data(folder, shape, n_classes, n=40):
    """Random images of any size and number of classes."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in FILE_NAMES:
        images = rng.integers(0, 256, (n, *shape), np.uint8)
        labels = (np.arange(n) % n_classes).astype(np.uint8)
        write_idx(folder / name, images if "images" in name else labels)
    return load_data(folder)


def text_of(show, *arguments, width=80, **settings):
    console = Console(width=width, record=True, file=open(os.devnull, "w"), **settings)  # noqa: SIM115
    show(console, *arguments)
    console.file.close()
    return console.export_text()


def test_the_test_images_are_evaluated_as_training_did(kernels, place):
    backend = kernels.NAME
    scores = run(place / "run", EvaluateConfig(backend=backend))
    summary = json.loads((place / "run/summary.json").read_text())
    assert scores.accuracy == summary["test_accuracy"]
    assert scores.loss == pytest.approx(summary["test_loss"], rel=1e-5)
    np.testing.assert_array_equal(scores.confusion, summary["confusion_matrix"])
    assert len(scores.labels) == N_TEST
    low, high = scores.interval
    assert low < scores.accuracy < high


def test_the_validation_images_are_evaluated_as_training_did(place):
    scores = run(place / "run", EvaluateConfig(backend="numpy", split="validation"))
    record = load_run(place / "run").history[-1]
    assert scores.accuracy == record.validation_accuracy
    assert scores.loss == pytest.approx(record.validation_loss, rel=1e-5)
    dataset = load_data(place / "data")
    np.testing.assert_array_equal(scores.labels, dataset.train_labels[scores.indices])


def test_mistakes_come_the_most_confident_first(place):
    scores = run(place / "run", NUMPY)
    rows = scores.confident_mistakes()
    assert len(rows) == (~scores.hits).sum() > 3
    assert (scores.predictions[rows] != scores.labels[rows]).all()
    assert (np.diff(scores.confidences[rows]) <= 0).all()
    np.testing.assert_array_equal(scores.confident_mistakes(2), rows[:2])


def test_a_sample_has_the_probabilities_of_its_row(place):
    scores = run(place / "run", NUMPY)
    sample, image = run_sample(place / "run", 42, NUMPY)
    np.testing.assert_allclose(sample.probabilities, scores.probabilities[42], rtol=1e-5)
    np.testing.assert_array_equal(image, load_data(place / "data").test_images[42])
    assert (sample.label, sample.prediction) == (scores.labels[42], scores.predictions[42])


def test_several_runs_are_scored_by_their_mean_probabilities(two, kernels):
    config = EvaluateConfig(backend=kernels.NAME, split="validation")
    each = [run(source, config) for source in two]
    together = run(two, config)
    mean = np.mean([scores.probabilities for scores in each], axis=0)
    np.testing.assert_allclose(together.probabilities, mean, atol=1e-6)
    np.testing.assert_array_equal(together.predictions, mean.argmax(axis=1))
    own = mean[np.arange(len(mean)), together.labels]
    assert together.loss == pytest.approx(-np.log(own).mean(), rel=1e-4)
    assert together.member_accuracies == tuple(scores.accuracy for scores in each)
    assert each[0].member_accuracies == (each[0].accuracy,)
    np.testing.assert_array_equal(run(two[::-1], config).predictions, together.predictions)


def test_a_sample_of_several_runs_and_versions_is_that_of_its_row(two):
    config = EvaluateConfig(backend="numpy", test_time_augmentation=3)
    scores = run(two, config)
    sample, image = run_sample(two, 42, config)
    np.testing.assert_allclose(sample.probabilities, scores.probabilities[42], rtol=1e-5)
    np.testing.assert_array_equal(image, load_data(two[0].parent / "data").test_images[42])
    assert sample.versions == scores.versions == 3


def test_test_time_augmentation_averages_versions_and_repeats_itself(place, kernels):
    plain, *augmented = (
        run(place / "run", EvaluateConfig(backend=kernels.NAME, test_time_augmentation=n))
        for n in (1, 2, 3, 3)
    )
    two, three, again = (scores.probabilities.astype(float) for scores in augmented)
    np.testing.assert_array_equal(three, again)
    second, third = 2 * two - plain.probabilities, 3 * three - 2 * two  # each version alone
    for version in (second, third):
        assert np.abs(version - plain.probabilities).max() > 1e-3
        np.testing.assert_allclose(version.sum(axis=1), 1, atol=1e-4)
        assert version.min() > -1e-5
    assert np.abs(second - third).max() > 1e-3


def test_images_that_cannot_be_deformed_are_refused(tmp_path, make_run):
    dataset = write_data(tmp_path / "odd", (5, 9), 3)
    config = EvaluateConfig(backend="numpy", test_time_augmentation=2)
    with pytest.raises(ValueError, match="test-time augmentation deforms square images"):
        run(make_run((45, 5, 3), (5, 9)), config, dataset=dataset)


@pytest.mark.parametrize("index", [-1, N_TEST])
def test_a_sample_that_is_not_there_is_refused(place, index):
    with pytest.raises(ValueError, match=rf"must be in \[0, {N_TEST}\), got {index}"):
        run_sample(place / "run", index, NUMPY)


@pytest.mark.parametrize(
    ("shape", "n_classes"), [((5, 9), 3), ((1, 1), 2), ((3, 2), 1), ((4, 4), 47)]
)
def test_any_size_and_number_of_classes(tmp_path, make_run, shape, n_classes):
    dataset = write_data(tmp_path / "odd", shape, n_classes, 94)
    made = make_run((shape[0] * shape[1], 5, n_classes), shape)
    scores = run(made, NUMPY, dataset=dataset)
    assert scores.probabilities.shape == (94, n_classes)
    json.dumps(scores.to_dict(), allow_nan=False)
    for width in (60, 80, 200):
        text = text_of(show_scores, made, dataset, scores, 5, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "expected error" in text


def test_a_model_that_knows_more_classes_has_undefined_shares(tmp_path, make_run):
    dataset = write_data(tmp_path / "few", (2, 2), 2)
    scores = run(make_run((4, 6), (2, 2)), NUMPY, dataset=dataset)
    assert np.isnan(scores.recall[2:]).all()
    facts = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert facts["classes"][5]["recall"] is None


@pytest.mark.parametrize(
    ("sizes", "shape", "message"),
    [
        ((8, 2), (4, 2), r"takes images of 4 x 2 pixels; odd has 2 x 4"),
        ((9, 2), (3, 3), r"takes images of 3 x 3 pixels; odd has 2 x 4"),
        (
            (8, 1),
            (2, 4),
            r"odd has the classes 0, 1, of which 1 is not among 0, the classes of the model",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(tmp_path, make_run, sizes, shape, message):
    dataset = write_data(tmp_path / "odd", (2, 4), 2)
    with pytest.raises(ValueError, match=message):
        run(make_run(sizes, shape), EvaluateConfig(data=str(tmp_path / "odd"), backend="numpy"))
    with pytest.raises(ValueError, match=message):
        run_sample(make_run(sizes, shape), 0, NUMPY, dataset=dataset)


@pytest.mark.parametrize("scale", [np.nan, 1e38])
def test_outputs_that_are_not_finite_are_refused(tmp_path, make_run, scale):
    dataset = write_data(tmp_path / "data", (6, 6), N_CLASSES)
    made = make_run((36, 8, N_CLASSES), (6, 6), scale=scale)
    with pytest.raises(ValueError, match="made: the outputs of the network are not finite"):
        run(made, NUMPY, dataset=dataset)
    with pytest.raises(ValueError, match="not finite"):
        run_sample(made, 0, NUMPY, dataset=dataset)


def test_names_with_markup_are_shown_as_they_are(tmp_path, make_run):
    names = ("[red]a[/red]", "[/]")
    dataset = write_data(tmp_path / "data", (2, 2), 2).renamed(names)
    made = make_run((4, 2), (2, 2), class_names=names)
    scores = run(made, NUMPY, dataset=dataset)
    text = text_of(show_scores, made, dataset, scores, 5)
    assert "[red]a[/red]" in text
    sample, image = run_sample(made, 0, NUMPY, dataset=dataset)
    assert "[/]" in text_of(show_sample, sample, image)


def test_a_sample_is_drawn_in_half_blocks_with_its_bars(tmp_path, make_run):
    dataset = small_digits(tmp_path / "data")
    made = make_run((36, 4), (6, 6))
    sample, image = run_sample(made, 7, NUMPY, dataset=dataset)
    plain = text_of(show_sample, sample, image)
    assert plain.startswith("test image 7: 3, read ")
    lines = plain.splitlines()[2:]
    assert [line.split("%")[0].split()[-1] for line in lines if "%" in line] == [
        f"{100 * p:.2f}" for p in sample.probabilities
    ]
    assert sum("true" in line for line in lines) == 1
    coloured = text_of(show_sample, sample, image, color_system="truecolor", force_terminal=True)
    assert coloured.count("▀") == 18


def test_a_terminal_without_blocks_gets_letters(place, tmp_path):
    command = [sys.executable, "-m", "mnistcore.evaluate", str(place / "run"), "--test-index", "3"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--backend", "numpy"], env=environment, capture_output=True, check=True
    )
    assert done.stderr == b""
    assert b"#" in done.stdout


def test_a_name_that_cannot_be_shown_is_escaped(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "zahl-ü")
    command = [sys.executable, "-m", "mnistcore.evaluate", str(tmp_path / "zahl-ü")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--backend", "numpy"], env=environment, capture_output=True, check=True
    )
    assert b"zahl-\\xfc" in b"".join(done.stdout.split())


# ---------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------


def evaluate(*arguments):
    return main(["evaluate", *arguments])


def test_the_command_shows_the_figures(here, capsys):
    assert evaluate("run", "--backend", "numpy") == command_line.DONE
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("95 % interval", "F1", "top-2 accuracy", "true class by row", "most confident"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_json_alone_is_json_alone(here, capsys):
    assert evaluate("run", "--backend", "numpy", "--json", "-", "--mistakes", "2") == 0
    out, err = capsys.readouterr()
    facts = json.loads(out, parse_constant=pytest.fail)
    assert err == ""
    assert len(facts["confident_mistakes"]) == 2
    assert {"accuracy", "accuracy_interval_95", "loss", "classes", "calibration"} <= facts.keys()
    assert len(facts["calibration"]["bins"]) == 15


def test_json_goes_to_a_file_beside_the_tables(here, capsys):
    assert evaluate("run", "--backend", "numpy", "--json", "out.json") == 0
    assert "most confident" in capsys.readouterr().out
    assert json.loads(Path("out.json").read_text())["images"] == N_TEST


@pytest.mark.parametrize("name", ["x.csv", "x+y.csv"])
def test_figures_do_not_replace_the_data(here, place, capsys, name):
    rows = [",".join(map(str, [0, *range(36)]))] * 4
    Path(name).write_text("\n".join(rows))
    before = Path(name).read_bytes()
    assert evaluate("run", "--data", name, "--json", f"./{name}") == command_line.BAD_INPUT
    assert "is the file that is read" in capsys.readouterr().err
    assert Path(name).read_bytes() == before


@pytest.mark.parametrize("name", ["config.json", "summary.json", "model.safetensors"])
def test_figures_do_not_replace_a_file_of_a_run(here, capsys, name):
    before = Path("run", name).read_bytes()
    assert evaluate("run", "--json", f"run/{name}") == command_line.BAD_INPUT
    assert f"run/{name}: is a " in capsys.readouterr().err
    assert Path("run", name).read_bytes() == before


def test_figures_do_not_replace_the_data_that_the_run_records(here, capsys):
    folder = Path(json.loads(Path("run/config.json").read_text())["data"])
    file = next(path for path in folder.iterdir() if path.is_file())
    before = file.read_bytes()
    assert evaluate("run", "--json", str(file)) == command_line.BAD_INPUT
    assert "is in the folder of the data" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_one_sample_as_json(here, capsys):
    assert evaluate("run", "--backend", "numpy", "--test-index", "42", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["index"] == 42
    assert len(facts["probabilities"]) == N_CLASSES
    assert sum(facts["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_other_data_are_named_on_stderr(here, place, capsys):
    shutil.copytree(place / "data", here / "others")
    shutil.copytree(place / "data", here / "copy")
    path = here / "others/t10k-labels-idx1-ubyte"
    write_idx(path, 3 - read_idx(path))
    words = "The network was trained on other data (data); these are figures on others."
    for name, error, same in (("others", [words], False), ("copy", [], True)):
        assert evaluate("run", "--backend", "numpy", "--data", name, "--json") == 0
        out, err = capsys.readouterr()
        facts = json.loads(out)
        assert (facts["data"], facts["trained_on_this"]) == (name, same)
        assert facts["trained_on"]["folder"] == str(place / "data")
        assert (facts["data_checksum"] == facts["trained_on"]["checksum"]) is same
        assert facts["notices"] == error
        assert err == "".join(f"{line}\n" for line in error)
    with pytest.warns(UserWarning, match=re.escape(words)) as caught:
        run("run", EvaluateConfig(backend="numpy", data="others"))
    assert caught[0].filename == __file__


def test_an_ensemble_is_shown_with_its_members(here, two, capsys):
    flags = ["--backend", "numpy", "--test-time-augmentation", "2"]
    assert evaluate(*map(str, two), *flags, "--json", "out.json") == command_line.DONE
    out, err = capsys.readouterr()
    assert err == ""
    words = " ".join(out.split())
    assert "2 networks, by their mean probabilities" in words
    assert "mean of 2 versions of each image" in words
    assert words.count("% alone; 36-") == 2
    facts = json.loads(Path("out.json").read_text())
    assert [member["run"] for member in facts["members"]] == list(map(str, two))
    assert (facts["run"], facts["trained_on_this"]) == (None, True)
    assert (len(facts["member_accuracies"]), facts["test_time_augmentation"]) == (2, 2)
    assert evaluate(*map(str, two), *flags, "--test-index", "3") == command_line.DONE
    assert "mean of 2 versions of each image" in capsys.readouterr().out


def test_members_trained_on_other_data(here, place, two, capsys):
    """Without a name for the data it is an error, with one each other member is named."""
    shutil.copytree(place / "data", here / "others")
    path = here / "others/t10k-labels-idx1-ubyte"
    write_idx(path, 3 - read_idx(path))
    config = TrainConfig(backend="numpy", hidden=4, epochs=1, data="others", output="third")
    train(config)
    names = ["run", "third"]
    assert evaluate(*names, "--backend", "numpy") == command_line.BAD_INPUT
    message = "run and third were trained on different data; name with data what to evaluate them"
    assert message in capsys.readouterr().err
    assert evaluate(*names, "--backend", "numpy", "--data", "others", "--json") == 0
    out, err = capsys.readouterr()
    words = "The network of run was trained on other data (data); these are figures on others."
    assert err == f"{words}\n"
    facts = json.loads(out)
    assert facts["trained_on_this"] is False
    assert [member["trained_on_this"] for member in facts["members"]] == [False, True]


def test_members_of_different_validation_images_are_tested_alone(here, place, capsys):
    config = json.loads((place / "run/config.json").read_text())
    train(TrainConfig(**config | {"seed": 1, "output": "second"}))
    assert evaluate("run", "second", "--split", "validation") == command_line.BAD_INPUT
    assert "held out different images for validation" in capsys.readouterr().err
    assert evaluate("run", "second", "--backend", "numpy") == command_line.DONE


def test_a_member_whose_outputs_are_not_finite_is_named(tmp_path, make_run):
    dataset = write_data(tmp_path / "data", (6, 6), N_CLASSES)
    good, bad = (make_run((36, 8, N_CLASSES), (6, 6), scale=scale) for scale in (1, 1e38))
    with pytest.raises(ValueError, match="bad: the outputs of the network are not finite"):
        run([good, replace(bad, path=Path("bad"))], NUMPY, dataset=dataset)


BAD_LINES = [
    ([], "there is no finished run in runs/; name a RUN, or make one: mnistcore train"),
    (["--json", "run"], "--json run: is a run; name it before --json"),
    (["nowhere"], "nowhere: no such file; give a run folder"),
    (["empty"], "empty/model.safetensors: no such file"),
    (["text.safetensors"], "text.safetensors: is not a safetensors file"),
    (["run/config.json"], "config.json: is not a safetensors file"),
    (["run", "--data", "nowhere"], "nowhere: no such file or folder"),
    (["run", "--data", "empty"], "holds no known format of data"),
    (["run", "--data", "synthetic", "--data-dir", "x"], "data_dir is for data auto or mnist"),
    (["run", "--split", "dev"], "--split must be one of test, validation, train, got 'dev'"),
    (["run", "--backend", "cuda"], "--backend must be one of"),
    (["run", "--threads", "-1"], "--threads must be in"),
    (["run", "--bins", "0"], "--bins must be in"),
    (["run", "--mistakes", "-1"], "--mistakes must be in"),
    (["run", "--test-index", "x"], "argument --test-index: invalid int value: 'x'"),
    (["run", "--test-index", "120"], r"must be in \[0, 120\), got 120"),
    (["run", "--test-index", "-1"], r"must be in \[0, 120\), got -1"),
    (["run", "--test-index", "1", "--split", "train"], "leave --split out"),
    (["run", "--json", "empty"], "empty: cannot be written, because it is a folder"),
    (["run", "--json", "no/such.json"], "because there is no folder no"),
    ([""], "an argument is empty"),
    (["run", "stray"], "stray: no such file; give a run folder"),
    (["run", "run"], "run: is the same network as run; name it once"),
    (["run", "run/model.safetensors"], "is the same network as run; name it once"),
    (["run", "empty"], "empty/model.safetensors: no such file"),
    (["run", "text.safetensors"], "text.safetensors: is not a safetensors file"),
    (["run", "--json", "run/model.safetensors"], "is a run; name it before --json"),
    (["run", "--test-time-augmentation", "0"], "--test-time-augmentation must be in"),
    (["run", "--stray"], "there is no option --stray"),
]


@pytest.mark.parametrize(("flags", "message"), BAD_LINES)
def test_a_bad_command_line_gets_one_clear_line(here, capsys, flags, message):
    Path("empty").mkdir()
    Path("text.safetensors").write_text("years of work")
    before = sorted(here.rglob("*"))
    assert evaluate(*flags) == command_line.BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore evaluate: error: .*\n", err)
    assert re.search(message, err)
    assert sorted(here.rglob("*")) == before


def test_ctrl_c_ends_the_command_with_130(here, capsys, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("mnistcore.evaluate.run", interrupted)
    assert evaluate("run", "--backend", "numpy") == command_line.INTERRUPTED
    assert capsys.readouterr().err == "mnistcore evaluate: interrupted\n"


def test_a_run_on_joined_sets_is_measured_on_the_first(place, tmp_path, monkeypatch, capsys):
    """By every command; the second set is never validated or tested with."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "noise", (6, 6), 4, 60)
    joined = f"{place / 'data'}+noise"
    config = TrainConfig(
        backend="numpy", hidden=8, epochs=2, batch_size=32, data=joined, output="joined"
    )
    summary = train(config).summary
    assert summary["data"] == "data+noise"
    first, both = load_data(place / "data"), load_data(joined)
    model = load_run("joined").model
    assert model.config["data"] == json.loads(Path("joined/config.json").read_text())["data"]
    scores = run("joined")
    assert scores.accuracy == summary["test_accuracy"]
    np.testing.assert_array_equal(scores.labels, first.test_labels)
    validation = run("joined", EvaluateConfig(split="validation"))
    assert len(validation.labels) == len(first.train_labels) // 10
    trained = split_indices(model, both, "train")
    assert len(trained) == len(first.train_labels) * 9 // 10 + 60
    assert set(trained) >= set(range(len(first.train_labels), len(both.train_labels)))
    assert main(["evaluate", "joined"]) == 0
    assert main(["report", "joined"]) == 0
    assert "data+noise" in Path("joined/report.html").read_text()
    capsys.readouterr()
    assert main(["baselines", "--data", joined, "--models", "most frequent", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["train_images"], found["test_images"]) == (N_TRAIN + 60, N_TEST)
