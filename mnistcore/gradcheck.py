"""Check every gradient against numerical differences: ``mnistcore gradcheck``."""

import sys
from collections.abc import Sequence

from .kernels.backends import BACKENDS, unavailable_reason
from .system.callable_module import make_callable
from .terminal.command_line import BAD_RESULT, DONE, Parser, run_command, user_errors
from .terminal.flags import offer
from .training.gradients import TOLERANCES, Check, run

__all__ = ["Check", "main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if a check failed."""
    return run_command("gradcheck", _main, argv)


def _main(argv: Sequence[str]) -> int:
    parser = Parser(
        "gradcheck",
        "Check the gradient of every kernel and of random networks against central differences"
        " along random directions, in every backend.",
    )
    backend = parser.add_argument(
        "--backend",
        metavar="{" + ",".join(BACKENDS) + "}",
        nargs="+",
        help="the backends to check (default: all that are available)",
    )
    offer(backend, BACKENDS)
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    arguments = parser.parse_args(argv)
    with user_errors():
        checks = run(arguments.backend, arguments.seed)
    _show(checks)
    if arguments.backend is None:
        for name in BACKENDS:
            reason = unavailable_reason(name)
            if reason is not None:
                print(reason, file=sys.stderr)
    return DONE if all(check.passed for check in checks) else BAD_RESULT


def _show(checks: Sequence[Check]) -> None:
    from rich.table import Table

    from .system.console import Console

    columns = list(dict.fromkeys(check.backend for check in checks))
    table = Table("gradient of", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace(" ", "\n"), justify="right")
    rows: dict[str, list[str]] = {}
    for check in checks:
        mark = "[green]{:.0e}[/]" if check.passed else "[bold red]{:.0e} FAILED[/]"
        rows.setdefault(check.name, []).append(mark.format(check.error))
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console = Console(markup=True)
    console.print(table)
    tolerances = ", ".join(f"{value:.0e} in {dtype}" for dtype, value in TOLERANCES.items())
    passed = sum(check.passed for check in checks)
    console.print(f"\nrelative errors; the tolerances are {tolerances}")
    console.print(f"{passed} of {len(checks)} gradients are right")


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(main())
