"""What the displays of all commands have in common."""

import json
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

_Display = TypeVar("_Display")


class Screen:
    """A display as a context manager that restores the terminal on exit."""

    shows_progress = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Stop any display that is redrawn in place."""


def choose(
    quiet: _Display | None,
    live: Callable[["Console"], _Display],
    plain: Callable[["Console"], _Display],
) -> _Display:
    """Return ``quiet`` if given, else a live display on a terminal or a plain one elsewhere."""
    if quiet is not None:
        return quiet
    from ..system.console import Console

    console = Console()
    return live(console) if console.is_terminal else plain(console)


def print_json(content: Any) -> None:
    """Print ``content`` as strict JSON.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    print(json.dumps(content, indent=2, allow_nan=False))
