# PYTHON_ARGCOMPLETE_OK: shells may ask this file for completions
"""``mnistcore COMMAND`` and ``python -m mnistcore COMMAND``: dispatch to the command's module."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from .system.errors import did_you_mean
from .system.version import VERSION
from .terminal.command_line import COMPLETING, DONE, CommandError, run_command

# Each command is a module of this package with a main(argv); --help shows the description.
COMMANDS = {
    "train": "train a network and write a run folder",
    "evaluate": "accuracy, confusion, calibration and mistakes of a trained network",
    "report": "figures and numbers of one run, or of several side by side, as an HTML page",
    "predict": "read the digits in photographs, scans and drawings",
    "serve": "a web page: draw digits, watch networks learn",
    "search": "tune options of train: grid, random search or TPE, in several processes",
    "baselines": "train simpler and other classifiers on the same digits",
    "export": "write a model as ONNX, PyTorch weights, NumPy arrays or C",
    "convert": "make a model from weights trained with PyTorch, Keras or scikit-learn",
    "ladder": "measure kernels, step by step from loops in Python to those of training",
    "info": "show versions, the CPU, the backends, data and cache folders",
    "gradcheck": "check every gradient against numerical differences",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named by the first argument and return its exit status."""
    if COMPLETING in os.environ:
        return _complete()
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] in (["help"], ["-h"], ["--help"]):  # help COMMAND is COMMAND --help
        arguments = [*arguments[1:2], "--help"]
    command, *rest = arguments or ["--help"]
    if command in COMMANDS:
        status: int = importlib.import_module(f".{command}", __package__).main(rest)
        return status
    return run_command("", lambda _: _without_command(command), rest)


def _without_command(argument: str) -> int:
    if argument == "--help":
        print(_help())
    elif argument == "--version":
        print(f"mnistcore {VERSION}")
    else:
        raise CommandError(_unknown(argument))
    return DONE


def _complete() -> int:
    """Answer a shell that completes a command line: with commands, or as one of them does.

    The shell passes the line in the environment, with the number of its words that start the
    program (1, or 3 for ``python -m mnistcore``).
    """
    import argcomplete

    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    program = int(os.environ[COMPLETING])
    words = argcomplete.lexers.split_line(line, point)[3][program:]
    if words and words[0] in COMMANDS:
        os.environ[COMPLETING] = str(program + 1)
        status: int = importlib.import_module(f".{words[0]}", __package__).main([])
        return status
    parser = argparse.ArgumentParser()
    commands = (*COMMANDS, "help")
    parser.add_argument("command", choices=COMMANDS if words == ["help"] else commands)
    parser.add_argument("--version", action="store_true")
    if words == ["help"]:
        os.environ[COMPLETING] = str(program + 1)
    argcomplete.autocomplete(parser)
    return DONE


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:{width}}{about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mnistcore COMMAND [OPTION ...]",
            "",
            "Multi-layer perceptrons on handwritten digits, from scratch, on the CPU.",
            "",
            "commands:",
            *lines,
            "",
            "`mnistcore help COMMAND` lists the options of a command; `mnistcore --version` prints"
            " the version.",
        ]
    )


def _unknown(argument: str) -> str:
    if argument.startswith("-"):
        return f"options follow the command: mnistcore COMMAND {argument}; see mnistcore --help"
    if argument == "help":
        return "help takes a command; see mnistcore --help"
    known = (*COMMANDS, "help", "--version")
    return f"there is no command {argument!r}; {did_you_mean(argument, known, 'commands')}"


if __name__ == "__main__":
    sys.exit(main())
