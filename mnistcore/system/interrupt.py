"""Ctrl-C at a moment of our choosing, so that arrays and files are whole when it is obeyed."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


class DeferredInterrupt:
    """While :meth:`during` does some work the first SIGINT is only noted.

    :meth:`check` raises it, or else the end of the work. A second SIGINT raises at once.
    Outside of the main thread, or where the program handles SIGINT in its own way, nothing is
    changed.
    """

    def __init__(self) -> None:
        self._noted = self._raised = self._over = False

    def during(self, work: Callable[[], Result]) -> Result:
        """What the work comes to. No ``with`` block: another signal may cut an ``__exit__`` off."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return work()
        try:
            signal.signal(signal.SIGINT, self._note)
            result = work()
        finally:
            self._over = True  # before any call: another signal's handler may raise in one
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._raised:
            self.check()
        return result

    def check(self) -> None:
        """Raise KeyboardInterrupt if SIGINT came."""
        if self._noted:
            self._raised = True
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._over:  # putting the handler back was cut off
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._noted or self._over:
            raise KeyboardInterrupt
        self._noted = True
