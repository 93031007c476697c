"""``mnistcore COMMAND`` and ``python -m mnistcore COMMAND``: dispatch to the command's module."""

import importlib
import sys
from collections.abc import Sequence

from .system.errors import did_you_mean
from .system.version import VERSION
from .terminal.command_line import BAD_INPUT, DONE

# Each command is a module of this package with a main(argv); --help shows the description.
COMMANDS = {
    "train": "train a network and write a run folder",
    "evaluate": "accuracy, confusion, calibration and mistakes of a trained network",
    "report": "figures and numbers of one run, or of several side by side, as an HTML page",
    "predict": "read the digits in photographs, scans and drawings",
    "search": "tune options of train: grid, random search or TPE, in several processes",
    "baselines": "train simpler and other classifiers on the same digits",
    "export": "write a model as ONNX, PyTorch weights, NumPy arrays or C",
    "convert": "make a model from weights trained with PyTorch, Keras or scikit-learn",
    "ladder": "measure a matrix product, step by step from naive loops to our kernel",
    "info": "show versions, the CPU, the backends, data and cache folders",
    "gradcheck": "check every gradient against numerical differences",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command named by the first argument and return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return DONE
    command, *rest = arguments
    if command == "--version":
        print(f"mnistcore {VERSION}")
        return DONE
    if command not in COMMANDS:
        print(f"mnistcore: error: {_unknown(command)}", file=sys.stderr)
        return BAD_INPUT
    module = importlib.import_module(f".{command}", __package__)
    status: int = module.main(rest)
    return status


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
            "`mnistcore COMMAND --help` lists the options of a command; `mnistcore --version`"
            " prints the version.",
        ]
    )


def _unknown(command: str) -> str:
    return f"there is no command {command!r}; {did_you_mean(command, COMMANDS, 'commands')}"


if __name__ == "__main__":
    sys.exit(main())
