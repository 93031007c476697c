"""Wait until idle threads have stopped spinning, before the next measurement begins."""

import time

SETTLED = 0.1  # of a core: a process that uses less than this is idle
LOOK_SECONDS = 0.005
QUIET_LOOKS = 3  # in a row: on a busy machine a thread that spins may miss one
LONGEST_SECONDS = 1.0


def settle() -> None:
    """Wait until the threads of this process have stopped spinning.

    After a call the threads of OpenBLAS look for more work for 100 ms, those of OpenMP for about
    10 ms, and would compete for the cores with whatever is measured next.
    """
    until = time.perf_counter() + LONGEST_SECONDS
    quiet = 0
    while quiet < QUIET_LOOKS and time.perf_counter() < until:
        wall, used = time.perf_counter(), time.process_time()
        time.sleep(LOOK_SECONDS)
        idle = time.process_time() - used < SETTLED * (time.perf_counter() - wall)
        quiet = quiet + 1 if idle else 0
