"""Train a network: ``run(TrainConfig(...))`` in Python, ``mnistcore train`` in the shell.

See :mod:`.runs.job` for what a run does.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from .runs.job import Job, TrainingInterrupted, TrainResult, execute, prepare, run
from .system.callable_module import make_callable
from .terminal.command_line import BAD_RESULT, DONE, INTERRUPTED, Parser, run_command, user_errors
from .terminal.flags import add_flags, flags_given
from .terminal.training import choose_display, print_recipes
from .training.config import TrainConfig, build_config

__all__ = ["TrainConfig", "TrainResult", "TrainingInterrupted", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("train", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.list_recipes:
        print_recipes()
        return DONE
    with user_errors():
        config = build_config(flags_given(arguments, TrainConfig), arguments.config)
    display = choose_display(arguments.quiet, arguments.json)
    with user_errors():
        job = prepare(config, progress=display.shows_progress)
    display.started(job)
    with display:
        result = execute(job, display)
    display.finished(result)
    reported = arguments.report and result.summary["test_accuracy"] is not None
    if reported:
        display.reported(_report(job, result))
    if result.message:
        print(f"mnistcore train: error: {result.message}", file=sys.stderr)
        return BAD_RESULT
    display.advise(result.folder.path, reported)
    return INTERRUPTED if result.summary["interrupted"] else DONE


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
