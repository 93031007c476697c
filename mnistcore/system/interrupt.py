"""Deferred Ctrl-C, so that it never leaves arrays or files in an inconsistent state."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


class DeferredInterrupt:
    """Defers the first SIGINT while :meth:`during` runs some work.

    :meth:`check` or the end of the work raises it; a second SIGINT raises at once. SIGINT is not
    deferred outside the main thread, or if the program has its own handler.
    """

    def __init__(self) -> None:
        self._noted = self._raised = self._over = False

    def during(self, work: Callable[[], Result]) -> Result:
        """Return ``work()``. Not a context manager: a signal may interrupt ``__exit__``."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return work()
        try:
            signal.signal(signal.SIGINT, self._note)
            result = work()
        finally:
            self._over = True  # first, as the handler of another signal may raise in a call
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._raised:
            self.check()
        return result

    def check(self) -> None:
        """Raise KeyboardInterrupt if a SIGINT has been received."""
        if self._noted:
            self._raised = True
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._over:  # restoring the handler was interrupted
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._noted or self._over:
            raise KeyboardInterrupt
        self._noted = True
