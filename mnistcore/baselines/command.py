"""Compare other classifiers on the same digits: ``mnistcore baselines``."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import Dataset
from ..kernels.threads import default_threads
from ..models.metrics import percent
from ..system.files import check_folder, replacing, write_json
from ..system.machine import cpu_model, installed_version
from ..system.text import counted
from ..terminal.command_line import DONE, CommandError, Parser, run_command, user_errors
from ..terminal.display import print_json
from ..terminal.flags import add_flags, flags_given
from ..training.data_options import DataOptions
from .comparison import BASELINES, Score, run

if TYPE_CHECKING:
    from rich.table import Table


def figure(scores: Sequence[Score]) -> Any:
    """Return a matplotlib figure of the errors and the training times, worst first."""
    from ..figures import compare_baselines

    return compare_baselines(
        [score.name for score in scores],
        [1 - score.test_accuracy for score in scores],
        [score.train_seconds for score in scores],
        [score.ours for score in scores],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command("baselines", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    with user_errors():
        if arguments.output is not None:
            check_folder(arguments.output)
        options = DataOptions(**flags_given(arguments, DataOptions))
        dataset = options.load(progress=not arguments.json)
    for notice in dataset.notices:
        print(notice, file=sys.stderr)
    show = (lambda score: None) if arguments.json else _announce
    try:
        with user_errors():
            scores = run(
                dataset,
                arguments.models,
                train_images=arguments.train_images,
                threads=arguments.threads,
                seed=arguments.seed,
                on_score=show,
            )
    except ImportError as error:
        raise CommandError(str(error)) from error
    summary = _summary(dataset, scores, arguments)
    if arguments.output is not None:
        _write(arguments.output, summary, scores)
    if arguments.json:
        print_json(summary)
    else:
        _show(scores, summary)
    return DONE


def _parser() -> Parser:
    parser = Parser(
        "baselines",
        "Train other classifiers and a perceptron on the same digits; compare test accuracy,"
        " training time and prediction time.",
    )
    add_flags(parser, DataOptions)
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="NAME",
        help="only these: " + ", ".join(f'"{name}"' for name in BASELINES),
    )
    parser.add_argument(
        "--train-images", type=int, metavar="N", help="train on N images (default: all)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        help="maximum threads (default: OMP_NUM_THREADS or one per core)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of every random draw (default: 0)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write baselines.json and the figure as PNG and SVG into this folder",
    )
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    return parser


def _summary(dataset: Dataset, scores: Sequence[Score], arguments: Any) -> dict[str, Any]:
    return {
        "data": dataset.name,
        "data_checksum": dataset.checksum,
        "notices": list(dataset.notices),
        "train_images": arguments.train_images or len(dataset.train_labels),
        "test_images": len(dataset.test_labels),
        "seed": arguments.seed,
        "threads": arguments.threads or default_threads(),
        "cpu": cpu_model(),
        "scikit_learn": installed_version("scikit-learn"),
        "scores": [asdict(score) for score in scores],
    }


def _write(folder: Path, summary: Mapping[str, Any], scores: Sequence[Score]) -> None:
    from ..figures.style import encode

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "baselines.json", summary)
    for kind in ("png", "svg"):
        with replacing(folder / f"baselines.{kind}") as file:
            file.write(encode(figure(scores), kind))


def _announce(score: Score) -> None:
    print(
        f"{score.name}: {percent(score.test_accuracy)} in {score.train_seconds:.1f} s", flush=True
    )


def table(scores: Sequence[Score]) -> "Table":
    """Return a rich table with a line per score, the best last and ours in bold."""
    from rich.table import Table
    from rich.text import Text

    lines = Table(box=None, pad_edge=False)
    lines.add_column("classifier", no_wrap=True)
    for column in ("test\naccuracy", "training", "prediction"):
        lines.add_column(column, justify="right", no_wrap=True)
    lines.add_column("what it is", style="dim")
    for score in sorted(scores, key=lambda score: score.test_accuracy):
        lines.add_row(
            Text(score.name, style="bold" if score.ours else ""),
            percent(score.test_accuracy),
            f"{score.train_seconds:.2f} s",
            f"{score.predict_seconds:.2f} s",
            score.about,
        )
    return lines


def _show(scores: Sequence[Score], summary: Mapping[str, Any]) -> None:
    from ..system.console import Console

    console, threads = Console(), summary["threads"]
    console.print()
    console.print(table(scores))
    console.print(
        f"\n{summary['data']}: {summary['train_images']:,} training images,"
        f" {summary['test_images']:,} test images, {counted(threads, 'thread')};"
        " in bold, on the kernels of mnistcore",
        highlight=False,
    )
