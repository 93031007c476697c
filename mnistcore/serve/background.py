"""Threads that compute in the background, and the end of a process in which some still do."""

import os
import sys
import threading
from collections.abc import Callable
from weakref import WeakSet

from ..system.interrupt import starts_command

_started: WeakSet[threading.Thread] = WeakSet()


def in_background(name: str, work: Callable[..., object], *arguments: object) -> None:
    """Call ``work(*arguments)`` on a thread for which the end of the process does not wait."""
    thread = threading.Thread(target=work, args=arguments, name=name, daemon=True)
    _started.add(thread)
    thread.start()


def exit_at_once(status: int) -> None:
    """End the process with a status if it runs this command, and a thread still computes.

    The interpreter cannot be taken down around a thread that compiles or trains. Nothing of what
    it does is on disk. A program that only calls the command goes on.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    ours = spec is not None and spec.name.partition(".")[0] == "mnistcore"
    if (ours or starts_command()) and any(thread.is_alive() for thread in _started):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
