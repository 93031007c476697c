"""``python -m mnistcore.ladder``: measure every step on this machine and print a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.files import write_json
from ..terminal.command_line import BAD_RESULT, DONE, CommandError, Parser, run_command, user_errors
from .figures import draw, table
from .measure import SECONDS, SHAPE, Ladder, run
from .step import BACKENDS

if TYPE_CHECKING:
    from rich.console import Console

PICTURES = (".svg", ".png", ".pdf")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if a step gave a wrong result."""
    return run_command("ladder", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    for path, suffixes in ((arguments.json, ()), (arguments.plot, PICTURES)):
        if path is not None:
            _check_place(path, suffixes)

    from ..system.console import Console

    console = Console(highlight=False, markup=True)
    with console.status("") as status, user_errors():
        ladder = run(arguments.backend, arguments.shape, arguments.seconds, status.update)
    _show(ladder, console)
    if arguments.json is not None:
        write_json(arguments.json, ladder.to_dict())
    if arguments.plot is not None:
        draw(ladder, arguments.plot)
    return DONE if all(rung.exact for rung in ladder.rungs) else BAD_RESULT


def _parser() -> Parser:
    parser = Parser(
        "ladder",
        "Measure one matrix product, step by step from naive loops to the kernel that training"
        " runs on, beside NumPy's BLAS and the peak of this machine.",
    )
    parser.add_argument(
        "--backend",
        choices=(*BACKENDS, "both"),
        default="both",
        help="which steps to measure (default: both)",
    )
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        metavar=("M", "K", "N"),
        default=SHAPE,
        help=f"a (M, K) times b (K, N) (default: {' '.join(map(str, SHAPE))})",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"approximate measuring time, without compilation (default: {SECONDS:g})",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help=f"draw a chart: {_either(PICTURES)}"
    )
    return parser


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _check_place(path: Path, suffixes: Sequence[str]) -> None:
    """Check before measuring that an output file can be written."""
    if suffixes and path.suffix not in suffixes:
        raise CommandError(f"{path}: a picture must end in {_either(suffixes)}")
    if path.is_dir():
        raise CommandError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise CommandError(f"{path.parent}: no such folder")


def _show(ladder: Ladder, console: "Console") -> None:
    m, k, n = ladder.shape
    console.print(f"({m}, {k}) by ({k}, {n}) in float32: {2e-9 * m * k * n:.3g} GFLOP a call")
    peaks = (f"{peak:.0f} GFLOP/s on {_cores(c)}" for c, peak in ladder.peaks.items())
    console.print(f"peak of multiply-adds: {', '.join(peaks)}\n")
    console.print(table(ladder.rungs))
    for reason in ladder.missing.values():
        console.print(f"\n{reason}", markup=False, soft_wrap=True)
    for rung in ladder.rungs:
        if rung.rows < m:
            console.print(f"{rung.backend}, {rung.step}: measured on {rung.rows} of {m} rows")
        if not rung.exact:
            console.print(f"[bold red]{rung.backend}, {rung.step}: THE RESULT IS WRONG[/]")


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"
