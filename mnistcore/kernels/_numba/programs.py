"""The programs as sets of functions, compiled by several processes at once where nothing is cached.

A program is loaded by this process and by helpers, as many as there are other cores to use. They
take the functions that are not in the disk cache from one queue, and put each there; whoever needs
it later reads it. If a helper cannot be started, fails or is killed, what it leaves is compiled
here. A function that is missing from the list of its program is compiled when it is first called.
"""

import atexit
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import types
from numba.core.compiler_lock import global_compiler_lock

from ...system.interrupt import DeferredInterrupt
from ..threads import available_cores, get_num_threads
from .cache import CACHE_FOLDER
from .functions import JIT, compile_function, is_cached, name_of
from .inputs import mark_columns, mark_rows
from .memory import address_in
from .prediction import CALLED, pack_share, predict, take_blocks
from .selection import FUNCTIONS
from .sparse import MULTIPLY, UPDATE_MARKED
from .team import attend
from .training import SIGNATURE as TRAIN
from .training import train

Function = tuple[Any, Any]  # an entry and its signature, or a C function and None

MOST_HELPERS = 3  # the longest function takes as long as a quarter of all
FEWEST = 4  # functions for which helpers pay off: each takes about a second to start
PATIENCE = 60.0  # seconds to wait for a helper that is at work on its last function

# The helper's first statements: modules are found where the caller finds them.
_HELPER = """
import sys
sys.path[:] = {path!r}
from mnistcore.kernels._numba import programs
programs.{name}.help({folder!r}, {parent})
"""


class Program:
    """Functions that are needed together.

    Parameters
    ----------
    name
        Its name in this module.
    functions
        The functions and their signatures (None for a C function), the slowest to compile first.
    """

    def __init__(self, name: str, *functions: Function) -> None:
        self._name, self._functions = name, functions
        self._loaded = not JIT
        self._work: _Work | None = None  # once helpers are at it

    def is_cached(self) -> bool:
        """Return whether nothing would have to be compiled."""
        return not JIT or not self._missing()

    def begin(self) -> None:
        """Start helpers on what is not cached, if there are cores for them, and return at once."""
        if self._loaded:
            return
        with global_compiler_lock:
            if self._work is None and (missing := self._missing()):
                self._work = _Work(self._name, missing)

    def load(self, report: Callable[[str], None] = lambda text: None) -> None:
        """Compile what is not cached; ``report`` is told before each function which one it is.

        Ctrl-C waits for the end of a function: LLVM calls Python where exceptions are lost.
        """
        if self._loaded:
            return
        interrupt = DeferredInterrupt()

        def compile_number(number: int) -> None:
            interrupt.check()
            self._compile(number, report)

        with global_compiler_lock:
            if not self._loaded:
                interrupt.during(lambda: self._compile_missing(compile_number))
                self._loaded = True

    def _compile_missing(self, compile_number: Callable[[int], None]) -> None:
        self.begin()
        work, self._work = self._work, None
        if work:
            work.finish(compile_number)
            for number in self._missing():  # what a helper left that failed
                compile_number(number)

    def help(self, folder: str, parent: int) -> None:
        """Compile functions whose numbers come from the standard input: a helper's whole work."""
        if folder == CACHE_FOLDER:
            for number in _numbers(0):
                if os.getppid() != parent:
                    return
                compile_function(*self._functions[number])

    def _compile(self, number: int, report: Callable[[str], None]) -> None:
        function, signature = self._functions[number]
        report(f"{name_of(function)} ({number + 1} of {len(self._functions)})")
        compile_function(function, signature)

    def _missing(self) -> list[int]:
        """Return the numbers of the functions that are not cached."""
        return [i for i, function in enumerate(self._functions) if not is_cached(*function)]


class _Work:
    """The functions of a program that are still to be compiled, and the helpers that do it."""

    def __init__(self, name: str, missing: list[int]) -> None:
        self._owner = os.getpid()
        self._queue, inlet = os.pipe()
        os.write(inlet, bytes(missing))
        os.close(inlet)
        self._helpers: list[subprocess.Popen[bytes]] = []
        atexit.register(self.end)
        with suppress(OSError):  # there may be no more processes, or no memory for one
            for _ in range(_most_helpers(len(missing))):
                self._helpers.append(_start_helper(name, self._queue))

    def finish(self, compile_number: Callable[[int], None]) -> None:
        """Take part until nothing is left in the queue, and wait for the helpers."""
        try:
            for number in _numbers(self._queue):
                compile_number(number)
            with suppress(subprocess.TimeoutExpired):
                for helper in self._helpers:
                    helper.wait(PATIENCE)
        finally:
            self.end()

    def end(self) -> None:
        """End the helpers; what they leave is compiled when it is first called."""
        atexit.unregister(self.end)
        helpers, self._helpers = self._helpers, []
        if os.getpid() != self._owner:  # a fork: they are its parent's
            return
        for helper in helpers:
            helper.kill()
            helper.wait()
        os.close(self._queue)


def _start_helper(name: str, queue: int) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    code = _HELPER.format(path=sys.path, name=name, folder=CACHE_FOLDER, parent=parent)
    return subprocess.Popen(
        [sys.executable, *["-O"] * sys.flags.optimize, "-c", code],
        stdin=queue,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _numbers(queue: int) -> Iterator[int]:
    """Take numbers from a queue, a pipe that all processes read, until it is empty."""
    while number := os.read(queue, 1):
        yield number[0]


def _most_helpers(functions: int) -> int:
    """Return how many helpers to start for so many functions."""
    interpreter = Path(sys.executable or "").name.startswith("python")  # not a program around it
    if functions < FEWEST or not interpreter:
        return 0
    return min(MOST_HELPERS, get_num_threads() - 1, available_cores() - 1)


_INT, _FLAG = types.int64, types.boolean

PREDICTION = Program(
    "PREDICTION",
    *[(FUNCTIONS[name], None) for name in CALLED],
    (MULTIPLY[-1], None),  # for the widest panels, which most networks have
    (mark_rows, None),
    (take_blocks, None),
    (predict, (_INT,) * 8),
    (pack_share, (*[_INT] * 6, _FLAG)),
    (address_in, (_INT,)),
    (attend, (_INT, _INT)),
)
TRAINING = Program(
    "TRAINING",
    (train, TRAIN),
    (UPDATE_MARKED[-1], None),
    *[(function, None) for function in FUNCTIONS.values()],
    (mark_columns, None),
    *PREDICTION._functions[len(CALLED) :],
)
