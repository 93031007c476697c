"""Whose turn is over shall keep still: the threads of a BLAS look for more work for a while."""

import time

SETTLED = 0.1  # of a core: a process that uses less than this waits
LOOK_SECONDS = 0.005
LONGEST_SECONDS = 1.0


def settle() -> None:
    """Wait until the threads of this process have stopped spinning.

    Those of OpenBLAS look for more work for 100 ms, those of OpenMP for some 10: whoever comes
    next would share the cores with them.
    """
    until = time.perf_counter() + LONGEST_SECONDS
    while time.perf_counter() < until:
        wall, used = time.perf_counter(), time.process_time()
        time.sleep(LOOK_SECONDS)
        if time.process_time() - used < SETTLED * (time.perf_counter() - wall):
            return
