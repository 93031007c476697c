"""Options as flags of a command: how they are declared, and read back."""

import argparse
import dataclasses
from collections.abc import Iterable
from typing import Any

from ..training.options import Option, options_of


def flag_of(name: str) -> str:
    """The command-line flag of an option."""
    return "--" + name.replace("_", "-")


def add_flags(
    parser: "argparse._ActionsContainer", cls: type, names: Iterable[str] | None = None
) -> None:
    """Give ``parser`` a flag for every option of a dataclass; see :func:`flags_given`.

    ``names`` are the options that get one, where not all do.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    for name, opt in _selected(cls, names).items():
        default = opt.shown_default or _spelled(defaults[name])
        about = f"{opt.help} (default: {default})".replace("%", "%%")
        if opt.kind is bool:
            action = argparse.BooleanOptionalAction
            parser.add_argument(flag_of(name), action=action, default=None, help=about)
            continue
        metavar = "{" + ",".join(opt.choices) + "}" if opt.choices else opt.metavar
        nargs = "+" if opt.many else None
        parser.add_argument(flag_of(name), metavar=metavar, nargs=nargs, help=about)


def _selected(cls: type, names: Iterable[str] | None) -> dict[str, Option]:
    options = options_of(cls)
    return options if names is None else {name: options[name] for name in names}


def flags_given(
    arguments: argparse.Namespace, cls: type, names: Iterable[str] | None = None
) -> dict[str, Any]:
    """The checked values of the flags that stand on the command line, those alone."""
    given = {}
    for name, opt in _selected(cls, names).items():
        text = getattr(arguments, name)
        if text is not None:
            given[name] = opt.parsed(text, flag_of(name))
    return given


def _spelled(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(_spelled, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
