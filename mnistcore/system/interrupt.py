"""Deferred Ctrl-C, so that it never leaves arrays or files in an inconsistent state.

And Ctrl-C while a command of the shell still imports what it needs: the process ends without a
traceback, since :func:`leave_to_system` leaves it to the system until :func:`answered` takes over.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")

# What ends a program: Ctrl-C, kill or a shutdown, and the loss of its terminal.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def starts_command() -> bool:
    """Return whether this process was started as ``mnistcore`` or ``python -m mnistcore``.

    While Python looks for the module of ``-m``, it has "-m" in its place. A process started by
    ``multiprocessing`` has the arguments of another.
    """
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    words = [*sys.orig_argv, ""]
    if program == "-m" and "-m" in words:
        return words[words.index("-m") + 1].partition(".")[0] == "mnistcore"
    return os.path.basename(program) == "mnistcore" and program in words


def leave_to_system() -> None:
    """Leave Ctrl-C to the system, which ends this process, unless it is ignored."""
    if _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def answered() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt while the block runs, where it would end the process."""
    if not _in_main_thread() or signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        yield
        return
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class Signalled(KeyboardInterrupt):
    """A signal was received; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class DeferredInterrupt:
    """Defers SIGINT, and other signals if wanted, while :meth:`during` runs some work.

    :meth:`check` or the end of the work raises :class:`Signalled`; a second SIGINT raises
    KeyboardInterrupt at once. A signal is not deferred outside the main thread, or if the program
    handles it.

    Parameters
    ----------
    signals
        The numbers of the signals to defer.

    Attributes
    ----------
    number
        The first signal that was received, or 0.
    """

    def __init__(self, signals: Sequence[int] = (signal.SIGINT,)) -> None:
        self.number = 0
        self._signals = signals
        self._raised = self._over = self._pressed = False

    def during(self, work: Callable[[], Result]) -> Result:
        """Return ``work()``. Not a context manager: a signal may interrupt ``__exit__``."""
        ours = [n for n in self._signals if _in_main_thread() and _is_default(n)]
        try:
            for number in ours:
                signal.signal(number, self._note)
            result = work()
        finally:
            self._over = True  # first, as the handler of another signal may raise in a call
            for number in ours:
                signal.signal(number, _default(number))
        if not self._raised:
            self.check()
        return result

    def check(self) -> None:
        """Raise Signalled if a signal has been received."""
        if self.number:
            self._raised = True
            raise Signalled(self.number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._over:  # restoring the handler was interrupted
            signal.signal(number, _default(number))
            if number != signal.SIGINT:
                signal.raise_signal(number)
        if number == signal.SIGINT and (self._over or self._pressed):
            raise KeyboardInterrupt
        self._pressed = self._pressed or number == signal.SIGINT
        self.number = self.number or number


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_default(number: int) -> bool:
    return signal.getsignal(number) is _default(number)


def _default(number: int) -> Callable[[int, FrameType | None], None] | signal.Handlers:
    """Return the handler of a signal in a fresh interpreter."""
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
