"""The machine's peak, measured once, beside which the page shows a training's speed."""

import threading
import time
from collections.abc import Callable

from ..kernels.threads import available_cores
from ..ladder.machine import peak_gflops
from .background import in_background

DELAY = 1.0  # seconds, in which the page is drawn
PAUSE = 0.3  # seconds until it is tried again


class Peak:
    """The peak in GFLOP/s by number of threads; measured on a thread, while nothing else computes.

    Parameters
    ----------
    idle
        Whether nothing computes.
    """

    def __init__(self, idle: Callable[[], bool]) -> None:
        self._idle, self._begun = idle, threading.Lock()
        self.measured: dict[int, float] = {}

    def begin(self) -> None:
        """Measure in the background, unless that has been done."""
        if self._begun.acquire(blocking=False):
            in_background("peak", self._measure)

    def _measure(self) -> None:
        time.sleep(DELAY)
        peak_gflops(1, 1, 1)  # compiles, which may go on while a network trains
        for threads in sorted({1, available_cores()}):
            while threads not in self.measured:
                before = self._idle()
                gflops = peak_gflops(threads) if before else 0.0
                if before and self._idle():
                    self.measured[threads] = gflops
                else:
                    time.sleep(PAUSE)

    def of(self, threads: int) -> float | None:
        """Return the peak of so many threads; None if it is not known yet."""
        if threads in self.measured:
            return self.measured[threads]
        single = self.measured.get(1)
        return None if single is None or threads > available_cores() else threads * single
