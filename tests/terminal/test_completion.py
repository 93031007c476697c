"""What a shell is offered for a word that is not complete yet."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnistcore.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
HEAVY = ("numba", "llvmlite", "rich", "matplotlib", "pooch", "scipy", "sklearn", "optuna")


def completions(line, *start, words=1):
    """Ask the program as argcomplete's shell functions do; ``start`` is what starts it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE": str(words),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
    }
    read, write = os.pipe()
    # The shell reads descriptor 8.
    command = f'"$@" 8>&{write} >/dev/null'
    subprocess.run(["bash", "-c", command, "bash", *start], env=environment, pass_fds=[write])
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        return pipe.read().split()


PROGRAM = [sys.executable, "-m", "mnistcore"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mnistcore tr", ["train"]),
        ("mnistcore help ev", ["evaluate"]),
        ("mnistcore --v", ["--version"]),
        ("mnistcore train --ep", ["--eps", "--epochs"]),
        ("mnistcore train --hidden 8 8 --lear", ["--learning-rate"]),
        ("mnistcore train --optimizer ", ["sgd", "adam", "adamw"]),
        ("mnistcore train --log csv t", ["tensorboard"]),
        ("mnistcore export --to o", ["onnx"]),
        ("mnistcore predict --backend ", ["auto", "cython", "numba", "numpy"]),
        ("mnistcore search --sampler g", ["grid"]),
        ("mnistcore search --optimizer adam", ["adam", "adamw"]),
        ("mnistcore gradcheck --backend nump", ["numpy"]),
    ],
)
def test_commands_flags_and_values_are_offered(line, offered):
    assert completions(line, *PROGRAM) == offered


def test_every_command_is_offered():
    assert set(completions("mnistcore ", *PROGRAM)) >= {*COMMANDS, "help", "--version"}


def test_the_module_is_completed_too():
    assert completions("python -m mnistcore tr", *PROGRAM, words=3) == ["train"]
    assert completions("python -m mnistcore train --see", *PROGRAM, words=3) == ["--seed"]
    start = [sys.executable, "-m", "mnistcore.train"]
    assert completions("python -m mnistcore.train --see", *start, words=3) == ["--seed"]


def test_the_program_says_that_it_can_complete():
    """Activated for all programs, argcomplete looks for these words in the first 1,024 bytes."""
    assert b"PYTHON_ARGCOMPLETE_OK" in Path(ROOT, "mnistcore", "__main__.py").read_bytes()[:1024]


@pytest.mark.parametrize("command", [*COMMANDS])
def test_every_command_completes_and_loads_nothing_heavy(command, tmp_path):
    code = (
        "import os, sys\nfrom mnistcore.__main__ import main\n"
        f"os._exit = lambda status: sys.exit(str([m for m in {HEAVY!r} if m in sys.modules]))\n"
        "main()"
    )
    line = f"mnistcore {command} --"
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "offered"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stderr.splitlines()[-1] == "[]"
    assert "--help" in (tmp_path / "offered").read_text().split()


def test_without_a_shell_that_asks_the_library_is_not_loaded():
    code = (
        "import sys\nfrom mnistcore.__main__ import main\nmain(['--help'])\n"
        "sys.exit('argcomplete' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
