"""``mnistcore serve``: load the runs, listen, say where, and serve until Ctrl-C."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ..system.extras import require
from ..system.interrupt import Signalled
from ..terminal.command_line import DONE, SIGNALLED, Parser, run_command, user_errors
from ..terminal.flags import add_flags, flags_given
from ..terminal.runs import runs_or_newest
from .background import exit_at_once
from .config import ServeConfig


def run(sources: Sequence[str | Path] | str | Path = (), config: ServeConfig | None = None) -> None:
    """Serve the page until a signal ends it.

    Parameters
    ----------
    sources
        Run folders or ``.safetensors`` files, among which the page chooses. There may be none:
        the page trains networks too.
    config
        The options.

    Raises
    ------
    FileNotFoundError
        If a run does not exist.
    ValueError
        If a run is damaged or does not read characters, or the data cannot be found or used, or
        the address cannot be listened on.
    MissingExtraError
        If Starlette or uvicorn is not installed.
    KeyboardInterrupt
        On Ctrl-C.
    """
    config = config or ServeConfig()
    for library in ("starlette", "uvicorn"):
        require(library, "serve")
    from .application import make_site
    from .server import announce, listen, serve

    paths = [sources] if isinstance(sources, str | Path) else sources
    site = make_site(paths, config)
    with listen(config.host, config.port) as listening:
        announce(site, listening)
        serve(site, listening)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("serve", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    status = DONE
    try:
        with user_errors():
            config = ServeConfig(**flags_given(arguments, ServeConfig))
            run(_runs(arguments.runs), config)
    except KeyboardInterrupt as interrupt:  # how a server ends: nothing to say
        number = interrupt.number if isinstance(interrupt, Signalled) else signal.SIGINT
        status = SIGNALLED + number
    exit_at_once(status)
    return status


def _runs(named: Sequence[str]) -> list[str]:
    """Return the runs that were named, or the newest one; none if there is none."""
    try:
        return runs_or_newest(named)
    except FileNotFoundError:
        print("no run was named: the page can train a network", file=sys.stderr)
        return []


def _parser() -> Parser:
    parser = Parser(
        "serve", "Serve a page in which one draws digits, and watches networks learn to read them."
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="run folders or .safetensors files to choose among (default: the newest run in runs/,"
        " or none: the page can train one)",
    )
    add_flags(parser, ServeConfig)
    return parser
