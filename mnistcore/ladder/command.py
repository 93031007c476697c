"""``python -m mnistcore.ladder NAME``: measure every step on this machine and print a table."""

import contextlib
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system.files import check_target, write_json
from ..system.text import counted, one_line
from ..terminal.command_line import BAD_RESULT, DONE, CommandError, Parser, run_command, user_errors
from . import backprop
from .attempts import draw_attempts, keep, kept
from .check import Place, check
from .explain import WIDTH, explain
from .figures import digits, draw, table, where_it_pays
from .measure import QUICK_SECONDS, SECONDS, Climb, run
from .mine import load_function, split
from .roofline import measure_roofline
from .roofline_figure import dark_name, draw_roofline, roofline_table
from .step import BACKENDS, LADDERS, load

if TYPE_CHECKING:
    from rich.console import Console

PICTURES = (".svg", ".png", ".pdf")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if a step gave a wrong result."""
    return run_command("ladder", _main, argv)


def _main(argv: Sequence[str]) -> int:
    if argv[:1] == ["backprop"]:  # mathematics: nothing to measure, and options of its own
        return backprop.main(argv[1:])
    arguments = _parser().parse_args(argv)
    for path, suffixes in (
        (arguments.json, ()),
        (arguments.plot, PICTURES),
        (arguments.roofline, PICTURES),
    ):
        if path is not None:
            _check_place(path, suffixes, arguments.mine)

    from ..system.console import Console

    console = Console(highlight=False, markup=True)
    _check_together(arguments)
    if arguments.roofline is not None:
        return _roofline(arguments, console)
    arguments.ladder = arguments.ladder or LADDERS[0]
    if arguments.explain is not None:
        return _explain(arguments, console)
    if arguments.mine is not None:
        return _place_mine(arguments, console)
    return _measure(arguments, console)


def _check_together(arguments: Namespace) -> None:
    """Refuse what --explain and --roofline would not look at."""
    unused = ("shape", "json", "plot")
    for what, flags in (("explain", (*unused, "seconds")), ("roofline", unused)):
        for flag in flags if getattr(arguments, what) is not None else ():
            if getattr(arguments, flag) is not None:
                raise CommandError(f"--{what} has no use for --{flag}; leave it out")


def _measure(arguments: Namespace, console: "Console") -> int:
    """Measure a ladder."""
    with user_errors(), _live(console) as watch:
        climb = run(
            arguments.ladder,
            arguments.backend,
            arguments.shape,
            arguments.seconds,
            quick=arguments.quick,
            watch=watch,
        )
    _show(climb, console)
    if arguments.json is not None:
        write_json(arguments.json, climb.to_dict())
    if arguments.plot is not None:
        draw(climb, arguments.plot)
    return BAD_RESULT if any(rung.wrong for rung in climb.rungs) else DONE


def _place_mine(arguments: Namespace, console: "Console") -> int:
    """Test a function of the reader's own, measure it, and keep the attempt."""
    with user_errors():
        path, name = split(arguments.mine)
        function = load_function(path, name)
        kept(path)  # or an error before measuring
        try:
            with _live(console) as watch:
                place = check(
                    function,
                    arguments.ladder,
                    arguments.backend,
                    arguments.shape,
                    arguments.seconds,
                    quick=arguments.quick,
                    watch=watch,
                )
        except AssertionError as wrong:
            console.print(one_line(str(wrong)), style="bold red", markup=False, soft_wrap=True)
            return BAD_RESULT
        attempts = keep(path, place)
    console.print(table(place.climb))
    console.print(f"\n{place}", markup=False, soft_wrap=True)
    if len(attempts) > 1:
        console.print(_against_best(attempts, place), markup=False)
    if arguments.json is not None:
        write_json(arguments.json, place.climb.to_dict())
    if arguments.plot is not None:
        draw_attempts(attempts, place, arguments.plot)
    return DONE


def _explain(arguments: Namespace, console: "Console") -> int:
    """Show the lesson of a step, its code, and what the compiler made of it."""
    from rich.text import Text

    console.width = min(console.width, WIDTH)
    with user_errors():
        for piece in explain(arguments.ladder, arguments.explain, arguments.backend):
            console.print(piece, markup=False, soft_wrap=isinstance(piece, Text))  # code
    return DONE


def _roofline(arguments: Namespace, console: "Console") -> int:
    """Measure the limits of this machine, and draw every kernel below them."""
    with user_errors():
        roofline = measure_roofline(
            [arguments.ladder] if arguments.ladder else LADDERS,
            arguments.backend,
            arguments.seconds,
            quick=arguments.quick,
            report=lambda text: console.print(text, style="dim", markup=False),
        )
        draw_roofline(roofline, arguments.roofline)
    for roof in roofline.roofs:
        rates = ", ".join(f"{name} {rate:.0f} GB/s" for name, rate in roof.bandwidths.items())
        peak = f"{counted(roof.threads, 'core')}: {roof.peak:.0f} GFLOP/s"
        console.print(f"{peak}; {rates}", soft_wrap=True)
    console.print()
    console.print(roofline_table(roofline))
    console.print(
        f"\ndrawn to {arguments.roofline} and {dark_name(arguments.roofline)}",
        markup=False,
        soft_wrap=True,
    )
    return DONE


def _against_best(attempts: Sequence[Mapping[str, Any]], place: Place) -> str:
    best = max(float(attempt["rate"]) for attempt in attempts[:-1])
    return (
        f"attempt {len(attempts)}, {digits(place.rate / best)} times the speed of the best before"
    )


def _parser() -> Parser:
    parser = Parser(
        "ladder",
        "Measure one computation, step by step from loops in Python to the kernel that training"
        " runs on, beside NumPy and the limits of this machine.",
    )
    parser.add_argument(
        "ladder",
        nargs="?",
        choices=(*LADDERS, "backprop"),
        help=f"what is computed (default: {LADDERS[0]}; with --roofline, all), or backprop: the"
        " mathematics, step by step",
    )
    parser.add_argument(
        "--backend",
        choices=(*BACKENDS, "both"),
        default="both",
        help="which steps to measure (default: both)",
    )
    sizes = "; ".join(f"{name}: {' '.join(load(name).sizes)}" for name in LADDERS)
    parser.add_argument(
        "--shape",
        type=int,
        nargs="+",
        metavar="SIZE",
        help=f"another shape, one number for each size ({sizes})",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--explain",
        metavar="STEP",
        help="show a step, by its name or number: the lesson, the code with what is new in it, and"
        " what the compiler made of the innermost loop",
    )
    instead.add_argument(
        "--mine",
        metavar="FILE:FUNCTION",
        help="test a function of your own, such as product.py:multiply, and find its place among"
        " the steps; attempts are kept beside the file, and --plot draws them",
    )
    instead.add_argument(
        "--roofline",
        type=Path,
        metavar="FILE",
        help="draw every kernel below the limits of this machine, in light, and in dark beside it",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smaller shape and less time, for a first look or a lecture hall",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"approximate measuring time, without compilation (default: {SECONDS:g},"
        f" or {QUICK_SECONDS:g} with --quick)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help=f"draw a chart: {_either(PICTURES)}"
    )
    return parser


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _check_place(path: Path, suffixes: Sequence[str], mine: str | None) -> None:
    """Check before measuring that an output file can be written, and is not the reader's own."""
    if suffixes and path.suffix not in suffixes:
        raise CommandError(f"{path}: a picture must end in {_either(suffixes)}")
    try:
        check_target(path, *([split(mine)[0]] if mine else []))
    except ValueError as error:
        raise CommandError(str(error)) from error


@contextlib.contextmanager
def _live(console: "Console") -> Iterator[Callable[[Climb], None]]:
    """Show the table while it is measured; on no terminal, show nothing until it is done."""
    if not console.is_terminal:
        yield lambda climb: None
        return
    from rich.live import Live

    with Live(console=console, transient=True, refresh_per_second=4) as live:
        live.update("loading and compiling (the first run takes longest)")
        yield lambda climb: live.update(table(climb, console.width))


def _show(climb: Climb, console: "Console") -> None:
    ladder = load(climb.ladder)
    shape = ", ".join(f"{n} = {size:,}" for n, size in zip(ladder.sizes, climb.shape, strict=True))
    console.print(f"{ladder.title}; {shape}")
    peaks = (f"{peak:.0f} {ladder.unit} on {counted(c, 'core')}" for c, peak in climb.peaks.items())
    console.print(f"limit of this machine: {', '.join(peaks)}\n")
    console.print(table(climb, console.width))
    for line in where_it_pays(climb):
        console.print(line)
    for reason in climb.missing.values():
        console.print(f"\n{reason}", markup=False, soft_wrap=True)
    for rung in climb.rungs:
        if rung.rows < climb.shape[0]:
            console.print(
                f"{rung.language}, {rung.step}: measured on {rung.rows} of {climb.shape[0]} rows"
            )
        if rung.wrong:
            console.print(f"[bold red]{rung.language}, {rung.step}: WRONG[/]", end=" ")
            console.print(rung.wrong, markup=False)
