"""Evaluate a network, or several that predict together: ``mnistcore evaluate RUN ...``.

In Python: ``run("runs/...")``, or ``run(["runs/...", "runs/..."])``.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .data import Dataset
from .data.preprocess import as_bytes
from .runs.data import load_run_data, trained_on
from .runs.folder import Run, is_run
from .runs.scores import EvaluateConfig, Sample, Scores, load_members, run, run_sample
from .system.callable_module import make_callable
from .system.files import write_json
from .terminal.command_line import DONE, CommandError, Parser, busy, run_command, user_errors
from .terminal.display import print_json
from .terminal.flags import add_flags, flags_given
from .terminal.runs import add_runs, check_written, runs_or_newest

__all__ = ["EvaluateConfig", "Sample", "Scores", "main", "run", "run_sample"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("evaluate", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    with user_errors():
        config = EvaluateConfig(**flags_given(arguments, EvaluateConfig))
        if arguments.json not in (None, "-"):
            if is_run(arguments.json):
                raise CommandError(f"--json {arguments.json}: is a run; name it before --json")
            named = config.data or ""  # several sets, or one with a "+" in its name
            sources = {named, *named.split("+")} - {""}
            check_written(Path(arguments.json), *map(Path, sources))
        if arguments.test_index is not None and config.split != "test":
            raise CommandError("--test-index counts the test images; leave --split out")
        runs = load_members(runs_or_newest(arguments.runs))
        dataset = load_run_data(runs, config)
        if arguments.json not in (None, "-"):
            _check_read(Path(arguments.json), runs, dataset)
        for notice in dataset.notices:
            print(notice, file=sys.stderr)
        with busy("evaluating (the first run with numba compiles its kernels)"):
            if arguments.test_index is not None:
                sample, image = run_sample(runs, arguments.test_index, config, dataset=dataset)
                facts = _about(runs, dataset) | sample.to_dict()
            else:
                scores = run(runs, config, dataset=dataset)
                facts = _about(runs, dataset) | scores.to_dict(config.mistakes)
        if arguments.json == "-":
            print_json(facts)
            return DONE
        if arguments.json is not None:
            write_json(Path(arguments.json), facts)
    from .system.console import Console
    from .terminal.scores import show_sample, show_scores

    if arguments.test_index is not None:
        show_sample(Console(), sample, as_bytes(image, dataset.pixel_max))
    else:
        show_scores(Console(), runs, dataset, scores, config.mistakes)
    return DONE


def _check_read(path: Path, runs: Sequence[Run], dataset: Dataset) -> None:
    """Check that a JSON file is no run, nor its data or a file of another kind among them."""
    data = [Path(dataset.folder)] if dataset.folder is not None else []
    check_written(path, *(one.path for one in runs), *data)
    among = any(d.is_dir() and path.resolve().is_relative_to(d.resolve()) for d in data)
    if among and path.is_file() and path.suffix != ".json":
        raise CommandError(f"--json {path}: is in the folder of the data; give it another name")


def _about(runs: Sequence[Run], dataset: Dataset) -> dict[str, Any]:
    """Return what JSON says of the data and of the runs; each of several is a member."""
    members = [
        {
            "run": str(run.path),
            "trained_on": run.model.data and run.model.data.to_dict(),
            "trained_on_this": trained_on(run, dataset),
        }
        for run in runs
    ]
    several = {"run": None, "trained_on": None, "trained_on_this": trained_on(runs, dataset)}
    return {
        "data": dataset.name,
        "data_checksum": dataset.checksum,
        **(members[0] if len(runs) == 1 else several),
        "members": members if len(runs) > 1 else [],
        "notices": list(dataset.notices),
    }


def _parser() -> Parser:
    parser = Parser(
        "evaluate",
        "Evaluate a trained network, or several by their mean probabilities: accuracy with its 95 %"
        " interval, loss, precision, recall and F1 of each class, the confusion matrix,"
        " calibration, the most confident mistakes.",
    )
    add_runs(parser, "; the probabilities of several are averaged")
    add_flags(parser, EvaluateConfig)
    parser.add_argument(
        "--test-index",
        type=int,
        metavar="I",
        help="show this test image and its probabilities instead, counting from 0",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write the figures as JSON too; - (or no FILE) prints them and nothing else",
    )
    return parser


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(main())
