"""Train a network: ``run(TrainConfig(...))`` in Python, ``mnistcore train`` in the shell.

See :mod:`.runs.execution` for what a run does.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from .runs.execution import TrainingInterrupted, TrainResult, execute, run
from .runs.job import Job, prepare
from .runs.resuming import prepare_resumed, resume
from .system.callable_module import make_callable
from .terminal.command_line import (
    BAD_RESULT,
    DONE,
    SIGNALLED,
    Parser,
    complain,
    run_command,
    user_errors,
)
from .terminal.flags import add_flags, flags_given
from .terminal.training import choose_display, print_recipes
from .training.config import TrainConfig, given_options

__all__ = ["TrainConfig", "TrainResult", "TrainingInterrupted", "main", "resume", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("train", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.list_recipes:
        print_recipes()
        return DONE
    with user_errors():
        given = given_options(flags_given(arguments, TrainConfig), arguments.config)
        if arguments.resume == "":
            raise ValueError("--resume names no run; give its folder")
        config = None if arguments.resume else TrainConfig(**given)
    display = choose_display(arguments.quiet, arguments.json)
    progress = display.shows_progress
    with user_errors():
        if config is None:
            job = prepare_resumed(arguments.resume, given, progress=progress)
        else:
            job = prepare(config, progress=progress)
    display.started(job)
    with display:
        result = execute(job, display)
    display.finished(result)
    reported = arguments.report and result.summary["test_accuracy"] is not None
    if reported:
        display.reported(_report(job, result))
    if result.message:
        complain("train", result.message)
        return BAD_RESULT
    display.advise(result, reported)
    return SIGNALLED + result.signal if result.signal else DONE


def _report(job: Job, result: TrainResult) -> Path:
    """Write ``report.html`` into the run folder."""
    from .report import ReportConfig
    from .report import run as report

    config = ReportConfig(backend=job.backend, threads=job.config.threads)
    return report(result.folder.path, config, dataset=job.dataset).path


def _parser() -> Parser:
    parser = Parser(
        "train",
        "Train a multi-layer perceptron on images of digits. Flags override the configuration"
        " file, which overrides the recipe.",
    )
    add_flags(parser, TrainConfig)
    parser.add_argument(
        "--list-recipes", action="store_true", help="list the recipes and do nothing else"
    )
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with the run in this folder, from its last checkpoint; a run that is over goes"
        " on with more --epochs N: its learning rates and the fading of its deformations are from"
        " there on those of N epochs in all",
    )
    parser.add_argument("--config", metavar="FILE", help="read options from a .toml or .json file")
    parser.add_argument(
        "--report",
        action="store_true",
        help="write figures and numbers into the run folder, as report.html",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--quiet", action="store_true", help="print the last line only")
    output.add_argument(
        "--json", action="store_true", help="print the summary as JSON and nothing else"
    )
    return parser


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(main())
