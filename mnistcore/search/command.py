"""``mnistcore search``: build a plan from flags and a file, and run it (:mod:`.execution`)."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..system.extras import require
from ..terminal.command_line import (
    BAD_RESULT,
    DONE,
    SIGNALLED,
    CommandError,
    Parser,
    complain,
    run_command,
    user_errors,
)
from ..terminal.flags import add_flags, flag_of, flags_given, offer
from ..training.config import TrainConfig
from ..training.options import options_of
from .config import OURS, Plan, SearchConfig, make_plan, read_file
from .space import parameters, parse_entry

_EXAMPLES = """
A searchable option is fixed if it has one value, a choice if it has several, and a range if
written as LOW:HIGH, LOW:HIGH:log or LOW:HIGH:linear. Ranges of units, learning rates and weight
decays are logarithmic by default. Architectures are written as 512-256, switches as on and off. If
no option has several values or a range, a default space is searched, less what is fixed.

examples:
  mnistcore search --trials 30 --epochs 5
  mnistcore search --sampler grid --hidden 128-64 512-256 --learning-rate 0.001 0.002 0.004
  mnistcore search --sampler random --layers 1:3 --units 64:512 --learning-rate 1e-4:1e-2
  mnistcore search --space space.toml --storage postgresql://me@db/studies --workers 4
"""

# The help of train assumes a single value for these options.
_ABOUT = {
    "hidden": "units of each hidden layer, such as 512-256, or none; instead of layers and units",
    "dropout": "share of hidden units dropped, in all layers",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run_command("search", _main, argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    with user_errors():
        plan = _plan(arguments)
        require("optuna", "search")
    from .display import choose_display
    from .execution import NoWinnerError, SearchInterrupted, execute
    from .pool import WorkersFailedError
    from .preparation import prepare
    from .study import StorageUnreachableError

    display = choose_display(arguments.quiet, arguments.json)
    with user_errors():
        search = prepare(plan, progress=display.shows_progress)
    display.started(search)
    try:
        with display:
            result = execute(search, display)
    except StorageUnreachableError as error:
        raise CommandError(str(error)) from error
    except (WorkersFailedError, NoWinnerError, ArithmeticError) as error:
        complain("search", str(error))
        return BAD_RESULT
    except SearchInterrupted as interruption:
        print(f"mnistcore search: {interruption}", file=sys.stderr)
        return SIGNALLED + interruption.number
    display.finished(result)
    return DONE


def _plan(arguments: argparse.Namespace) -> Plan:
    """Combine the options of file and flags; flags take precedence."""
    of_file: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
    if arguments.space is not None:
        of_file = read_file(arguments.space)
    search, space, train = of_file
    flags = _entries_given(arguments)
    for name in _overridden(flags):
        space.pop(name, None)
        train.pop(name, None)
    config = SearchConfig(**{**search, **flags_given(arguments, SearchConfig)})
    fixed = {**train, **flags_given(arguments, TrainConfig, _fixed_names())}
    return make_plan(config, {**space, **flags}, fixed)


def _entries_given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the entries given by flags; architectures stay text, one value each."""
    entries = {}
    for name in parameters():
        texts = getattr(arguments, name)
        if texts is not None:
            entry = texts if name == "hidden" else parse_entry(flag_of(name), texts or ["on"])
            entries[name] = entry
    return entries


def _overridden(flags: Mapping[str, Any]) -> set[str]:
    """Return the parameters of a file that flags override; hidden excludes layers and units."""
    names = set(flags)
    if names & {"hidden", "layers", "units"}:
        names |= {"hidden"} if "hidden" not in names else {"layers", "units"}
    return names


def _fixed_names() -> list[str]:
    """Return the options of train that can be set but not searched."""
    return [name for name in options_of(TrainConfig) if name not in (*OURS, *parameters())]


def _parser() -> Parser:
    parser = Parser(
        "search",
        "Tune the options of train by grid search, random search or TPE. Trials are scored on\n"
        "validation images; the winner is trained again and tested once. Running the same\n"
        "command again resumes a stopped study and joins a running one.",
    )
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_flags(parser, SearchConfig)
    parser.add_argument(
        "--space", metavar="FILE", help="TOML file with the tables [search], [space] and [train]"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--quiet", action="store_true", help="print the last line only")
    output.add_argument(
        "--json", action="store_true", help="print the summary as JSON and nothing else"
    )
    searched = parser.add_argument_group(
        "searchable options (VALUE or VALUE VALUE ...; for numbers, but not --hidden, LOW:HIGH)"
    )
    for name, opt in parameters().items():
        switch = opt.kind is bool
        choices = ("on", "off") if switch else opt.choices
        about = _ABOUT.get(name, opt.help) + (f": {', '.join(choices)}" if choices else "")
        action = searched.add_argument(
            flag_of(name),
            nargs="*" if switch else "+",
            metavar="VALUE",
            help=about.replace("%", "%%"),
        )
        offer(action, choices)
    fixed = parser.add_argument_group("options of train, the same in all trials")
    add_flags(fixed, TrainConfig, _fixed_names())
    return parser
