"""Wait until idle threads have stopped spinning, before the next measurement begins."""

import time

SETTLED = 0.1  # of a core: a process that uses less than this is idle
LOOK_SECONDS = 0.005
LONGEST_SECONDS = 1.0


def settle() -> None:
    """Wait until the threads of this process have stopped spinning.

    After a call the threads of OpenBLAS look for more work for 100 ms, those of OpenMP for about
    10 ms, and would compete for the cores with whatever is measured next.
    """
    until = time.perf_counter() + LONGEST_SECONDS
    while time.perf_counter() < until:
        wall, used = time.perf_counter(), time.process_time()
        time.sleep(LOOK_SECONDS)
        if time.process_time() - used < SETTLED * (time.perf_counter() - wall):
            return
