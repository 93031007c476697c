"""Ctrl-C at a moment of our choosing, so that arrays and files are whole when it is obeyed."""

import signal
import threading
from types import FrameType, TracebackType


class DeferredInterrupt:
    """Within this block the first SIGINT is only noted; :meth:`check` raises it.

    A second SIGINT raises at once. Outside of the main thread, or where the program handles
    SIGINT in its own way, nothing is changed.
    """

    def __init__(self) -> None:
        self._noted = False
        self._installed = False

    def __enter__(self) -> "DeferredInterrupt":
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if SIGINT came."""
        if self._noted:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted:
            raise KeyboardInterrupt
        self._noted = True
