"""Options as command-line flags: adding them to a parser and reading them back."""

import argparse
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..training.options import Option, options_of


def flag_of(name: str) -> str:
    """Return the command-line flag of an option, such as ``--batch-size`` of "batch_size"."""
    return "--" + name.replace("_", "-")


def add_flags(
    parser: "argparse._ActionsContainer", cls: type, names: Iterable[str] | None = None
) -> None:
    """Add a flag to ``parser`` for each option of a dataclass, or only for those in ``names``.

    :func:`flags_given` reads them back.
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
        flag = parser.add_argument(flag_of(name), metavar=metavar, nargs=nargs, help=about)
        offer(flag, opt.choices)


def offer(action: argparse.Action, words: Sequence[str]) -> None:
    """Let a shell complete the value of a flag with one of these words, if there are any."""
    if words:
        action.completer = lambda **_: words  # type: ignore[attr-defined]  # argcomplete's


def _selected(cls: type, names: Iterable[str] | None) -> dict[str, Option]:
    options = options_of(cls)
    return options if names is None else {name: options[name] for name in names}


def flags_given(
    arguments: argparse.Namespace, cls: type, names: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return the checked values of only those flags that were given on the command line.

    Raises
    ------
    TypeError, ValueError
        If an option does not accept its value; the message begins with the flag.
    """
    given = {}
    for name, opt in _selected(cls, names).items():
        text = getattr(arguments, name)
        if text is not None:
            given[name] = opt.parsed(text, flag_of(name))
    return given


def as_flags(values: Mapping[str, Any]) -> str:
    """Return options as a command line has them, such as ``--hidden 128 64 --no-augment``."""
    words = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(flag_of(name if value else f"no_{name}"))
        else:
            words.append(f"{flag_of(name)} {_spelled(value)}")
    return " ".join(words)


def _spelled(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(_spelled, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
