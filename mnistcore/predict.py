"""Read the digits in pictures: ``mnistcore predict [RUN ...] IMAGE ...``."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

from .kernels.backends import BACKENDS
from .models.ensemble import Ensemble, load_together
from .models.model import Model
from .pictures.files import FORMATS
from .pictures.readings import STDIN, Reading, doubt, predict_pictures
from .runs.folder import check_output
from .runs.table import only_table, predict_table
from .system.callable_module import make_callable
from .system.files import replacing
from .system.text import counted
from .terminal.command_line import BAD_INPUT, DONE, Parser, complain, run_command, user_errors
from .terminal.readings import choose_output, summary
from .terminal.runs import check_written, runs_or_newest, split_runs
from .terminal.streams import output_error

__all__ = ["Reading", "main", "predict_pictures", "run"]

run = predict_pictures  # every command has a function of this name


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command("predict", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    folder = None if arguments.pictures is None else Path(arguments.pictures)
    with user_errors():
        if folder is not None:
            check_output(arguments.pictures, "--pictures")
        named, pictures = split_runs(arguments.words)
        runs = runs_or_newest(named)
        model = load_together(runs)
        if table := only_table(pictures):
            return _predict_table(model, table, arguments, runs)
        if arguments.output:
            raise ValueError("--output is for a table of pictures, such as test.csv")
        readings = predict_pictures(model, pictures, arguments.many, arguments.backend)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    if words := doubt(model):
        print(words, file=sys.stderr)
    output = choose_output(arguments, model.class_names)
    status = DONE
    for reading in readings:
        if output_error() is not None and folder is None:
            break  # as `| head` does
        if reading.error:
            status = BAD_INPUT
            complain("predict", f"{reading.path}: {reading.reason}")
        output.add(reading)
        if folder is not None and reading.picture is not None:
            _write_sheet(folder, reading)
    output.end()
    return status


def _predict_table(
    model: Model | Ensemble, table: Path, arguments: Namespace, runs: Sequence[str]
) -> int:
    """Write Kaggle's ImageId,Label for a table to a file, or to stdout."""
    others = ("many", "show", "json", "pictures")
    if other := next((name for name in others if getattr(arguments, name)), None):
        raise ValueError(f"{table}: is a table, for which --{other} does nothing; leave it out")
    output = Path(arguments.output) if arguments.output else None
    if output is not None:
        check_written(output, table, *map(Path, runs))
    found = predict_table(model, table, arguments.backend)
    for notice in found.notices:
        print(notice, file=sys.stderr)
    if output is None:
        sys.stdout.write(found.to_csv())
        return DONE
    with replacing(output) as file:
        file.write(found.to_csv().encode())
    print(f"{counted(len(found.rows), 'prediction is', 'predictions are')} in {output}")
    return DONE


def _parser() -> Parser:
    parser = Parser("predict", "Read the digits in pictures: photographs, scans, drawings.")
    parser.usage = "%(prog)s [OPTION ...] [RUN ...] IMAGE ..."
    parser.add_argument(
        "words",
        metavar="[RUN ...] IMAGE",
        nargs="+",
        help="RUN: a run folder or its .safetensors file (default: the newest run in runs/);"
        " several are averaged. IMAGE: files, folders, patterns such as 'scans/*.png', or -"
        f" for standard input; {', '.join(FORMATS)}; or a CSV file with a picture in each row",
    )
    parser.add_argument(
        "--many",
        action="store_true",
        help="several digits in a picture, such as a phone number: found, split and read in lines",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--show",
        action="store_true",
        help="draw each picture, what the network saw of it and the probabilities",
    )
    form.add_argument("--csv", action="store_true", help="print a table with a row per digit")
    form.add_argument("--json", action="store_true", help="print a list with an entry per picture")
    parser.add_argument(
        "--pictures",
        metavar="FOLDER",
        help="write what --show draws as PNG files into a new or an empty folder",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the predictions for a table into this file instead of printing them",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="auto is cython if available, otherwise numpy",
    )
    return parser


def _write_sheet(folder: Path, reading: Reading) -> None:
    """Write a picture's sheet under its name, with a number appended if that is taken."""
    from .pictures.sheet import draw_sheet

    assert reading.picture is not None
    stem = "stdin" if reading.path == STDIN else Path(reading.path).stem
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    path = next(path for name in names if not (path := folder / f"{name}.png").exists())
    with replacing(path) as file:
        draw_sheet(reading.picture, reading.digits, summary(reading)).save(file, "PNG")


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(main())
