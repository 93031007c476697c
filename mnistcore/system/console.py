"""A console of rich for text that anyone may have written."""

import os
import sys
from collections.abc import Iterable
from typing import Any

import rich.console
from rich.segment import Segment

from .text import escaped


class Console(rich.console.Console):
    """Shows text as it is: markup is obeyed only if asked, and control characters are escaped.

    The colours and movements of rich itself pass the escaping stream of a command.
    """

    def __init__(self, *, stderr: bool = False, **settings: Any) -> None:
        stream = sys.stderr if stderr else sys.stdout
        settings.setdefault("file", getattr(stream, "unescaped", stream))
        if os.environ.get("COLUMNS") == "0":  # unknown; rich would show nothing
            settings.setdefault("width", 80)
        super().__init__(stderr=stderr, emoji=False, **{"markup": False, **settings})

    def render(
        self, renderable: Any, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return what is shown of something, with the text in it escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=escaped(segment.text))
