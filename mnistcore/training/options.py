"""Options as fields of a dataclass, with type, range, choices and help in one place.

A command declares its options as a dataclass with :func:`option`. Its command-line flags, its
configuration file and its constructor then share types, limits and error messages. Each source
checks its own values, so that the message can name the source.
"""

import dataclasses
import json
import math
import os
import textwrap
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from ..system.errors import did_you_mean, reason_of, suggestion
from ..system.files import read_bounded
from ..system.text import parsed, spelled

_Class = TypeVar("_Class", bound=type)

_KIND_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Range:
    """An interval of finite numbers. Its ``str`` completes a message "must be ..."."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"{'above' if self.open_low else 'at least'} {self.low} and finite"
        opening, closing = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"in {opening}{self.low}, {self.high}{closing}"


@dataclass(frozen=True)
class Option:
    """The properties of an option, apart from its name and default.

    Attributes
    ----------
    kind
        int, float, str or bool.
    help
        One line for ``--help``, without the default.
    limits
        The range of a number.
    choices
        The allowed names; empty for any.
    many
        Whether the value is a tuple; a single value is converted to a tuple of one.
    empty
        A word for an empty tuple, if that is allowed.
    optional
        Whether None is allowed.
    metavar
        The name of the value in ``--help``.
    shown_default
        A description of the default for ``--help``, in place of the default itself.
    """

    kind: type
    help: str
    limits: Range | None = None
    choices: tuple[str, ...] = ()
    many: bool = False
    empty: str | None = None
    optional: bool = False
    metavar: str | None = None
    shown_default: str | None = None

    @property
    def many_choices(self) -> bool:
        """Whether the choices do not fit into a line."""
        return sum(map(len, self.choices or ())) > 40

    def described(self, default: Any) -> str:
        """Return the type and the default for a docstring, such as "int, default 64"."""
        kind = self.kind.__name__
        if self.choices and not self.many_choices:
            kind = "{" + ", ".join(map(repr, self.choices)) + "}"
        if self.many:
            kind = f"{kind} or a sequence of them"
        if self.optional and self.shown_default is None:
            kind += " or None"
        return f"{kind}, default {self.shown_default or repr(default)}"

    def checked(self, value: Any, name: str) -> Any:
        """Check a value, and return it converted to the type of the option.

        Raises
        ------
        TypeError
            If the value has the wrong type.
        ValueError
            If it is outside the limits or not a choice. Both messages begin with ``name``.
        """
        if value is None and self.optional:
            return None
        if not self.many:
            return self._checked_one(value, name)
        if isinstance(value, str) or not isinstance(value, Iterable):
            value = (value,)
        value = tuple(value)
        if self.empty is not None and value == (self.empty,):
            return ()
        if not value and self.empty is None:
            raise ValueError(f"{name} must not be empty")
        return tuple(self._checked_one(one, name) for one in value)

    def _checked_one(self, value: Any, name: str) -> Any:
        value = self._converted(value, name)
        if value == "":
            raise ValueError(f"{name} must not be empty")
        if self.choices and value not in self.choices:
            hint = suggestion(value, self.choices)
            words = f"must be one of {', '.join(self.choices)}, got {spelled(value)}"
            raise ValueError(f"{name} {words}" + (f"; {hint}" if hint else ""))
        if self.limits is not None and value not in self.limits:
            raise ValueError(f"{name} must be {self.limits}, got {spelled(value)}")
        return value

    def _converted(self, value: Any, name: str) -> Any:
        if self.kind is bool and isinstance(value, bool):
            return value
        if self.kind is str and isinstance(value, str | os.PathLike):
            return os.fspath(value)
        if self.kind is int and isinstance(value, Integral) and not isinstance(value, bool):
            return int(value)
        if self.kind is float and isinstance(value, Real) and not isinstance(value, bool):
            return _as_float(value)
        raise TypeError(f"{name} must be {_KIND_NAMES[self.kind]}, got {spelled(value)}")

    def parsed(self, text: str | list[str] | bool, name: str) -> Any:
        """Parse and check a command-line value or a list of them; raises as :meth:`checked`."""
        if isinstance(text, list):
            return self.checked([self._parsed_one(one) for one in text], name)
        return self.checked(self._parsed_one(text), name)

    def _parsed_one(self, text: str | bool) -> Any:
        if self.kind in (int, float):
            try:
                return self.kind(text)
            except ValueError:
                return text  # the check rejects it, with the same message as other sources
        return text


def option(default: Any, kind: type, help: str, **settings: Any) -> Any:
    """Declare a dataclass field with an :class:`Option`; ``settings`` are its other attributes."""
    return dataclasses.field(default=default, metadata={"option": Option(kind, help, **settings)})


def options_of(cls: type) -> dict[str, Option]:
    """Return the options of a dataclass by field name, in order of declaration."""
    return {field.name: field.metadata["option"] for field in dataclasses.fields(cls)}


def document_options(cls: _Class) -> _Class:
    """Add a section to the docstring of a dataclass: its options with their help texts.

    It comes before the section Raises, in numpydoc's style, so that ``help()`` shows it.
    """
    lines = ["    Parameters", "    ----------"]
    for field in dataclasses.fields(cls):
        opt: Option = field.metadata["option"]
        lines.append(f"    {field.name} : {opt.described(field.default)}")
        choices = f"; one of {', '.join(opt.choices)}" if opt.choices and opt.many_choices else ""
        lines += textwrap.wrap(
            opt.help + choices,
            width=96,
            initial_indent="        ",
            subsequent_indent="        ",
            break_long_words=False,
        )
    before, raises, after = (cls.__doc__ or "").partition("    Raises\n")
    cls.__doc__ = before + "\n".join(lines) + "\n\n" + raises + after
    return cls


def read_options(path: str | Path, cls: type) -> dict[str, Any]:
    """Read and check a configuration file, TOML or JSON according to its suffix.

    Raises
    ------
    ValueError
        If the suffix is another, the file is malformed, a key is not an option of ``cls``, or an
        option does not accept its value. The message begins with the path.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    values = _read_mapping(path)
    options = options_of(cls)
    checked = {}
    for name, value in values.items():
        if name not in options:
            hint = did_you_mean(name.replace("-", "_"), options, "options")
            raise ValueError(f"{path}: unknown option {spelled(name)}; {hint}")
        try:
            checked[name] = options[name].checked(value, name)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
    return checked


def _read_mapping(path: Path) -> dict[str, Any]:
    ending = path.suffix.lower()
    if ending not in (".toml", ".json"):
        raise ValueError(f"{path}: the name of a configuration file must end in .toml or .json")
    content = read_bounded(path)
    try:
        text = content.decode("utf-8-sig")
        values = parsed(text, tomllib.loads if ending == ".toml" else json.loads)
    except ValueError as error:
        reason = reason_of(error)
        raise ValueError(f"{path}: is not valid {ending[1:].upper()}: {reason}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must hold an object of options, got {type(values).__name__}")
    return values


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
