"""Commands as they are typed: exit status, what goes to which stream, what is left on disk."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnistcore import __version__
from mnistcore.__main__ import COMMANDS, main
from mnistcore.data import write_idx
from mnistcore.data.folder import FILE_NAMES
from mnistcore.data.synthetic import make_digits
from mnistcore.system.interrupt import Signalled
from mnistcore.terminal import command_line
from mnistcore.terminal.command_line import CommandError, run_command, user_errors
from mnistcore.terminal.flags import flags_given
from mnistcore.train import TrainConfig, _parser
from mnistcore.training.recipes import RECIPES

ROOT = Path(__file__).parents[2]
QUICK = ["--backend", "numpy", "--hidden", "8", "--epochs", "2", "--batch-size", "32"]


def python(*arguments, **settings):
    """Start a new interpreter in the working folder, on this package."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **settings,
    )


def train(*flags):
    return main(["train", *QUICK, "--data", "../data", *flags])


BAD_LINES = [
    (["--epochs"], "argument --epochs: expected one argument"),
    (["--epochs", "many"], "--epochs must be a whole number, got 'many'"),
    (["--epochs", "0"], r"--epochs must be in \[1, 200000\], got 0"),
    (["--epoch", "3"], "there is no option --epoch; did you mean '--epochs'\\?"),
    (["--hidden", "10", "x"], "--hidden must be a whole number, got 'x'"),
    (["--hidden", "-5"], r"--hidden must be in \[1, 1000000\], got -5"),
    (["--learning-rate", "0"], "--learning-rate must be above 0 and finite, got 0.0"),
    (["--learning-rate", "nan"], "--learning-rate must be above 0 and finite, got nan"),
    (["--dropout", "1"], r"--dropout must be in \[0, 1\), got 1.0"),
    (["--dropout", "0.1", "0.2"], r"one for each hidden layer \(1\), got 2"),
    (["--validation-fraction", "1"], r"--validation-fraction must be in \[0, 1\)"),
    (["--validation-fraction", "0", "--patience", "3"], "patience needs validation"),
    (["--momentum", "0.9"], "momentum is for optimizer sgd, not adam"),
    (["--optimizer", "sgd", "--nesterov"], "nesterov needs optimizer sgd with a momentum"),
    (["--optimizer", "adagrad"], "--optimizer must be one of sgd, adam, adamw"),
    (["--backend", "cuda"], "--backend must be one of auto, cython, numba, numpy, got 'cuda'"),
    (["--recipe", "resnet"], "--recipe must be one of tanh-10-10, relu-two-hidden"),
    (["--seed", "-1"], "--seed must be in"),
    (["--seed", "1.5"], "--seed must be a whole number, got '1.5'"),
    (["--threads", "-2"], "--threads must be in"),
    (["--config", "none.toml"], "none.toml: No such file or directory"),
    (["--config", "bad.toml"], "bad.toml: unknown option 'epoch'; did you mean 'epochs'"),
    (["--config", "."], "must end in .toml or .json"),
    (["--data", "nowhere"], "nowhere: no such file or folder"),
    (["--data", "../work"], "holds no known format of data"),
    (["--data-dir", "../data"], "data_dir is for data auto or mnist"),
    (["--output", "full"], "full: is not empty; give output a new or an empty folder"),
    (["--output", "bad.toml"], "bad.toml: cannot be written, because .* is not a folder"),
    (["--quiet", "--json"], "argument --json: not allowed with argument --quiet"),
    (["-epochs", "3"], "there is no option -epochs; did you mean '--epochs'\\?"),
    (["--frob=3"], "there is no option --frob; see mnistcore train --help"),
    (["--optimizer", "Adm"], "must be one of sgd, adam, adamw, got 'Adm'; did you mean 'adam'\\?"),
    (["stray"], "unrecognized arguments: stray"),
    ([""], "an argument is empty; is it a shell variable that is not set?"),
    (["--output", ""], "--output must not be empty"),
]


@pytest.mark.parametrize(("flags", "message"), BAD_LINES)
def test_a_bad_command_line_gets_one_clear_line(place, capsys, flags, message):
    Path("bad.toml").write_text("epoch = 3\n")
    Path("full").mkdir()
    Path("full", "thesis.tex").write_text("years of work")
    before = sorted(place.rglob("*"))
    assert train(*flags) == command_line.BAD_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mnistcore train: error: .*\n", err)
    assert re.search(message, err)
    assert sorted(place.rglob("*")) == before


def test_a_write_protected_place_is_refused_before_training(place, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write anywhere
    assert train() == command_line.BAD_INPUT
    assert re.search(r"runs: cannot be written, .* write-protected", capsys.readouterr().err)


def test_a_missing_backend_is_told_with_its_reason(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mnistcore.kernels.numba_kernels", None)
    assert train("--backend", "numba") == command_line.BAD_INPUT
    out, err = capsys.readouterr()
    assert err.startswith("mnistcore train: error: backend numba is not available: ")
    assert (out, err.count("\n")) == ("", 1)


def test_a_run_on_plain_output_is_plain_lines(place, capsys):
    assert train("--output", "run") == command_line.DONE
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    assert "\r" not in out
    assert re.search(r"^network +36-8-4, relu, 332 parameters", out, re.MULTILINE)
    lines = re.findall(
        r"^epoch \d/2  loss .* train .* validation .* s  [\d,]+/s$", out, re.MULTILINE
    )
    assert len(lines) == 2
    assert re.search(r"^test accuracy  \d+\.\d\d %", out, re.MULTILINE)
    assert re.search(r"^run folder +run", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("cached", [True, False])
def test_compiling_is_said_where_nothing_is_cached(place, capsys, monkeypatch, cached):
    from mnistcore.kernels import numpy_kernels

    monkeypatch.setattr(numpy_kernels, "compiled", lambda: cached)
    assert train() == 0
    assert ("compiling the numpy kernels (first run only)" in capsys.readouterr().out) != cached


def test_quiet_prints_the_last_line_only(place, capsys):
    assert train("--quiet", "--output", "run") == command_line.DONE
    out, err = capsys.readouterr()
    assert re.fullmatch(
        r"test accuracy [\d.]+ %, test loss [\d.]+, 2 epochs in [\d.]+ s, run\n", out
    )
    assert err == ""


def test_json_prints_the_summary_and_nothing_else(place, capsys):
    assert train("--json") == command_line.DONE
    out, err = capsys.readouterr()
    printed = json.loads(out)
    folder = Path(printed.pop("run_folder"))
    assert printed == json.loads((folder / "summary.json").read_text())
    assert re.fullmatch(r"runs/\d{8}-\d{6}-relu-two-hidden-numpy", folder.as_posix())
    assert err == ""


def test_digits_on_their_side_are_told_from_training_to_pictures(place, capsys):
    images, labels = make_digits(900, 5)
    arrays = (images[:600], labels[:600], images[600:], labels[600:])
    Path("raw").mkdir()
    for name, array in zip(FILE_NAMES, arrays, strict=True):
        turned = array.transpose(0, 2, 1) if array.ndim == 3 else array
        write_idx(Path("raw", name), np.ascontiguousarray(turned, np.uint8))
    words = "training and test images of work look like digits that are transposed"
    assert main(["train", *QUICK, "--data", "raw", "--quiet", "--output", "run"]) == 0
    assert words in capsys.readouterr().err
    assert words in json.loads(Path("run/summary.json").read_text())["notices"][0]
    assert main(["evaluate", "run", "--backend", "numpy"]) == 0
    assert words in capsys.readouterr().err
    Image.fromarray(images[0]).save("digit.png")
    assert main(["predict", "run", "digit.png", "--backend", "numpy"]) == 0
    assert "trained on work, whose images look like digits that are transposed" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("flag", ["--quiet", "--json"])
def test_what_must_be_known_of_the_data_goes_to_stderr(place, capsys, monkeypatch, flag):
    import dataclasses

    from mnistcore.data import load_data
    from mnistcore.training import data_options

    dataset = dataclasses.replace(load_data("../data"), notice="These are not MNIST.")
    monkeypatch.setattr(data_options, "load_data", lambda *arguments, **settings: dataset)
    assert train(flag) == command_line.DONE
    out, err = capsys.readouterr()
    if flag == "--json":
        assert json.loads(out)["notices"] == ["These are not MNIST."]
    else:
        assert "not MNIST" not in out
    assert err == "These are not MNIST.\n"
    assert train() == command_line.DONE
    assert "These are not MNIST." in capsys.readouterr().out


def test_a_file_of_options_is_taken_and_flags_win(place, capsys):
    Path("mine.toml").write_text('epochs = 1\nhidden = 5\nbackend = "numpy"\ndata = "../data"\n')
    assert main(["train", "--config", "mine.toml", "--hidden", "6", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["layer_sizes"] == [36, 6, 4]
    assert summary["epochs_run"] == 1


def test_the_config_of_a_run_repeats_it(place, capsys):
    assert train("--json", "--output", "first") == 0
    assert main(["train", "--config", "first/config.json", "--json", "--output", "second"]) == 0
    for name in ("config.json", "model.safetensors"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()


def test_recipes_are_listed_as_the_flags_that_they_stand_for(capsys):
    assert main(["train", "--list-recipes"]) == 0
    listed = re.split(r"\n *\n", capsys.readouterr().out.strip())
    assert [about.split()[0] for about in listed] == list(RECIPES)
    for about, (name, recipe) in zip(listed, RECIPES.items(), strict=True):
        words = about.split()
        flags = words[next(i for i, word in enumerate(words) if word.startswith("--")) :]
        config = TrainConfig(**flags_given(_parser().parse_args(flags), TrainConfig))
        settings = {option: getattr(config, option) for option in recipe.settings}
        assert settings == recipe.settings, name


def test_a_diverged_run_ends_with_status_1(place, capsys):
    flags = ["--optimizer", "sgd", "--activation", "identity", "--learning-rate", "1e25"]
    assert train(*flags, "--output", "run", "--quiet") == command_line.BAD_RESULT
    err = capsys.readouterr().err
    assert re.fullmatch("mnistcore train: error: the loss is no longer finite.*\n", err)
    assert Path("run/model.safetensors").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_saves_the_best_weights_and_exits_with_130(place):
    flags = [*QUICK, "--data", "../data", "--epochs", "100000", "--output", "run"]
    process = python("-m", "mnistcore.train", *flags)
    wait_for(lambda: Path("run/metrics.jsonl").exists() or process.poll() is not None)
    time.sleep(0.3)
    began = time.perf_counter()
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    seconds = time.perf_counter() - began
    assert (process.returncode, err) == (command_line.INTERRUPTED, "")
    assert seconds < 1.5  # half a second where the machine is not busy
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["test_accuracy"] is None
    assert summary["epochs_run"] == len(Path("run/metrics.jsonl").read_text().splitlines())
    assert f"interrupted; the weights of epoch {summary['best_epoch']} are kept" in out
    assert "\nnext:\n  mnistcore train --resume run\n" in out
    assert Path("run/model.safetensors").exists()
    assert not [path for path in Path("run").iterdir() if path.name.startswith(".")]


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_a_progress_bar(place, columns):
    import pty

    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "mnistcore.train", *QUICK, "--data", "../data", "--epochs", "100"],
        stdout=theirs, stderr=theirs, env=environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux says so where others end the file
        pass
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode()
    assert re.search(r"epoch +\d+/100 .*━", text)
    assert " left" in text
    assert re.search(r"\x1b\[[\d;]*48", text)  # the confusion matrix has background colours
    assert text.endswith(("\r\n", "\x1b[?25h"))
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is shown again


@pytest.mark.parametrize("command", ["train", "evaluate", "report"])
def test_help_is_quick_because_it_loads_nothing_heavy(command):
    heavy = ("numba", "llvmlite", "rich", "pooch", "matplotlib", "safetensors", "scipy", "sklearn")
    code = (
        f"import sys; from mnistcore.{command} import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted(set(sys.modules) & set({heavy!r})))"
    )
    out, err = python("-c", code).communicate()
    assert err == ""
    assert out.splitlines()[0].startswith(f"usage: mnistcore {command}")
    assert out.splitlines()[-1] == "[]"


def test_the_module_is_a_command_of_its_own(place):
    process = python("-W", "error", "-m", "mnistcore.train", "--epochs", "0")
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err.startswith("mnistcore train: error: --epochs must be")


def shell(line, **settings):
    """Run a line of shell on this package, with the command as $1, and return what came of it."""
    words = ["bash", "-c", line, "bash", sys.executable, "-m", "mnistcore"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(words, capture_output=True, text=True, env=environment, **settings)


TRAIN = f'"$@" train {" ".join(QUICK)} --data ../data --output run'
FILES = {"config.json", "metrics.jsonl", "model.safetensors", "summary.json"}
FILES.add("checkpoint-34.safetensors")  # 2 epochs of 17 updates


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        (f"{TRAIN} | head -1; exit ${{PIPESTATUS[0]}}", 0, ""),
        (f"{TRAIN} --json | true; exit ${{PIPESTATUS[0]}}", 0, ""),
        (f"{TRAIN} >&-", 0, ""),
        (f"{TRAIN} >&- 2>&- <&-", 0, ""),
        (f"{TRAIN} 2>&1 | true; exit ${{PIPESTATUS[0]}}", 0, ""),
        (f"{TRAIN} >/dev/full", 2, "the output cannot be written (No space left on device)"),
    ],
)
def test_a_run_outlasts_the_readers_of_its_output(place, line, status, message):
    done = shell(line)
    assert done.returncode == status
    assert done.stderr == (message and f"mnistcore train: error: {message}\n")
    assert {path.name for path in Path("run").iterdir()} == FILES
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 2


ENDINGS = [">&-", ">&- 2>&-", "| true; exit ${PIPESTATUS[0]}"]


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        *(("evaluate run", ending) for ending in ENDINGS),
        ("report run", ">&- 2>&-"),  # prints one line, as the next one does, and takes seconds
        *(("export run --to c", ending) for ending in ENDINGS),
        *(("info", ending) for ending in ENDINGS),
    ],
)
def test_every_command_does_its_work_for_closed_streams(place, command, ending):
    assert train("--output", "run") == 0
    done = shell(f'"$@" {command} {ending}')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wanted = {"report run": "report.html", "export run --to c": "model.c"}.get(command)
    assert wanted is None or Path("run", wanted).exists()


@pytest.mark.parametrize("flags", [[], ["-u"]], ids=["buffered", "unbuffered"])
def test_what_was_said_is_there_if_a_signal_ends_the_process(flags):
    """Python's option -u, or PYTHONUNBUFFERED, gives streams without a buffer to write through."""
    code = (
        "import os, signal, sys\n"
        "from mnistcore.terminal.streams import lasting_output\n"
        "with lasting_output():\n"
        "    print('a notice', file=sys.stderr)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    _, err = python(*flags, "-c", code).communicate()
    assert err == "a notice\n"


def test_errors_never_go_to_stdout(place):
    done = shell('"$@" evaluate missing 2>&-')
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("command", ["train", "search", "report"])
def test_a_working_folder_that_was_removed_is_said_to_be(tmp_path, monkeypatch, capsys, command):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main([command, *(["x"] if command == "report" else ["--data", "synthetic"])]) == 2
    assert "the working folder does not exist any more" in capsys.readouterr().err


def test_a_disk_that_takes_no_more_is_named_with_the_file(place):
    done = shell(f"ulimit -f 1; {TRAIN} --hidden 100 --quiet")  # a file may have 1 KiB
    assert done.returncode == 2
    assert done.stderr == (
        "mnistcore train: error: run/model.safetensors: cannot be written (File too large)\n"
    )
    assert {path.name for path in Path("run").iterdir()} == {"config.json", "metrics.jsonl"}


def test_a_folder_is_not_left_without_a_file(place, monkeypatch, capsys):
    def full(path, content):
        raise OSError(28, "cannot be written", str(path))

    monkeypatch.setattr("mnistcore.runs.folder.write_json", full)
    assert train() == 2
    assert re.search(r"error: runs/.*/config.json: cannot be written\n", capsys.readouterr().err)
    assert list(Path("runs").iterdir()) == []


def test_a_run_ends_with_commands_to_go_on_with(place, capsys):
    assert train("--output", "it's mine") == 0
    ending = capsys.readouterr().out.partition("\nnext:\n")[2].splitlines()
    lines = [shlex.split(line) for line in ending]
    assert [line[:2] for line in lines] == [
        ["mnistcore", name] for name in ("evaluate", "report", "predict", "export")
    ]
    assert all(line[2] == "it's mine" for line in lines)
    assert main(lines[0][1:]) == main(lines[1][1:]) == main([*lines[3][1:-1], "c"]) == 0


def test_without_a_run_the_newest_is_taken_and_named(place, capsys):
    for name in ("b", "a", "c"):
        assert train("--output", f"runs/{name}", "--quiet") == 0
    Path("runs/c/model.safetensors").unlink()  # as in a run that was killed
    os.utime("runs/b/model.safetensors", (1, 1))
    capsys.readouterr()
    commands = (["evaluate", "--json"], ["report"], ["export", "--to", "c"])
    for command in commands:
        assert main(command) == 0
        out, err = capsys.readouterr()
        assert err == "the newest run: runs/a\n"
        assert "newest run" not in out
    assert {path.name for path in Path("runs/a").iterdir()} == {
        *FILES,
        "report.html",
        "model.c",
        "model.h",
    }
    assert train("--output", "runs/d", "--quiet", "--seed", "1") == 0
    Image.new("L", (9, 9)).save("blank.png")
    main(["predict", "blank.png"])
    assert capsys.readouterr().err.startswith("the newest run: runs/d\n")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_commands_are_listed(capsys, arguments):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in COMMANDS)


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mnistcore {__version__}\n"


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("trian", "there is no command 'trian'; did you mean 'train'?"),
        ("frob", "there is no command 'frob'; commands are train"),
        ("version", "did you mean '--version'?"),
        ("--quiet", "options follow the command: mnistcore COMMAND --quiet"),
    ],
)
def test_an_unknown_command_gets_a_hint(capsys, command, hint):
    assert main([command]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert hint in err
    assert main(["help", command]) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_run_main_and_help(name, capsys):
    import importlib

    module = importlib.import_module(f"mnistcore.{name}")
    assert callable(module.run)
    for ask in (lambda: module.main(["--help"]), lambda: main(["help", name])):
        with pytest.raises(SystemExit) as caught:
            ask()
        assert caught.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: mnistcore {name}")


def raising(error):
    def body(argv):
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (CommandError("no such thing"), 2, "mnistcore x: error: no such thing\n"),
        (FileNotFoundError(2, "No such file", "a/b"), 2, "mnistcore x: error: a/b: No such file\n"),
        (MemoryError(), 2, "mnistcore x: error: there is not enough memory\n"),
        (KeyboardInterrupt(), 130, "mnistcore x: interrupted\n"),
        (Signalled(15), 143, "mnistcore x: interrupted\n"),
    ],
)
def test_a_users_error_is_a_line(capsys, error, status, line):
    assert run_command("x", raising(error), []) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("error", [ValueError("a bug"), TypeError("a bug"), KeyError("a bug")])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run_command("x", raising(error), [])


def test_bad_input_is_told_from_a_bug_by_where_it_happens():
    with pytest.raises(CommandError, match="out of range"), user_errors():
        raise ValueError("out of range")
    with pytest.raises(KeyError), user_errors():
        raise KeyError("a bug")


def test_the_live_display_says_what_is_being_compiled():
    from rich.console import Console

    from mnistcore.terminal.training import LiveDisplay

    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with LiveDisplay(console) as display:
        display.preparing("numba", True)
        display.compiling("train (1 of 16)")
        assert display._status.status == (
            "compiling the numba kernels (first run only): train (1 of 16)"
        )
        display.prepared()
