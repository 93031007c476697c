"""Exceptions at chosen moments, as a signal handler would raise them."""

import dis
import signal
import sys
from collections.abc import Callable, Iterator


class InterruptError(Exception):
    """What the signal handler raises."""


class Alarm:
    """Raises InterruptError in a job, at most once, and never after it: a signal may be late."""

    def __init__(self) -> None:
        self._armed = False

    def __enter__(self) -> "Alarm":
        self._before = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *error) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, number, frame):
        if self._armed:
            self._armed = False
            raise InterruptError

    def interrupts(self, job: Callable[[], object], seconds: float) -> bool:
        """Whether it rang, so many seconds on, before the end of the job."""
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            job()
            self._armed = False
        except InterruptError:
            return True
        return False


class _Tracer:
    """Calls a handler where the interpreter looks for signals for the n-th time in some files.

    That is where a call has returned, a function begins, or a loop goes round.
    """

    def __init__(self, n: int, files: tuple[str, ...], handler: Callable[[], object]) -> None:
        self._n, self._files, self._handler = n, files, handler
        # The name of the last instruction of each frame; the frames themselves must be free to go.
        self._last: dict[int, str] = {}
        self.looks = 0

    def follow(self, frame, event, argument):
        if not frame.f_code.co_filename.endswith(self._files):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._look

    def _look(self, frame, event, argument):
        if event == "opcode":
            if self._last.get(id(frame), "").startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
                self.looks += 1
                if self.looks == self._n:
                    self._handler()
            self._last[id(frame)] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        else:  # an exception, or a return: the next instruction follows none
            self._last.pop(id(frame), None)
        return self._look


def _raise() -> None:
    raise InterruptError


def interrupted_everywhere(
    job: Callable[[], object], files: tuple[str, ...], handler: Callable[[], object] = _raise
) -> Iterator[None]:
    """Do the job again and again, interrupted once at each moment in the code of some files."""
    n = 1
    while True:
        tracer = _Tracer(n, files, handler)
        try:
            sys.settrace(tracer.follow)
            job()
        except InterruptError:
            pass
        finally:
            sys.settrace(None)
        if tracer.looks < n:
            return
        yield
        n += 1
