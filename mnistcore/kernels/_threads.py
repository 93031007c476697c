"""The team of threads that both compiled backends share.

The members are ordinary Python threads that sleep until there is work, then enter one compiled
function that has released the interpreter lock and stay in it for many training steps, meeting
each other at spin barriers. So a whole slice of an epoch costs one wake-up, no threading
runtime is linked, and one scheme serves Numba and Cython alike.

A matrix product is over before a sleeping thread would have been woken. So members that did one
linger a little at a *desk*, where the next is posted: see :func:`run_tasks`.

The caller is member 0 of its own team. A second caller that comes while the team is at work
computes on its own thread alone; a forked child starts with a team of its own.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import numpy as np

from . import _cores

Work = Callable[[int, int], object]

_cap = 0  # 0: as many as there are cores
_caller = threading.local()  # its ``cap``: what a caller of its own thread asked for


def available_cores() -> int:
    """How many cores this process may run on."""
    return len(_cores.allowed_cores()) or os.cpu_count() or 1


def get_num_threads() -> int:
    """The most threads that a compiled kernel called by this thread will use."""
    most = _cap or available_cores()
    return min(most, getattr(_caller, "cap", most))


def set_num_threads(n: int) -> None:
    """Cap the threads of the compiled kernels at ``n``; 0 lifts the cap.

    Results do not depend on it, to the bit. Raises ValueError where ``n`` is negative.
    """
    global _cap
    if n < 0:
        raise ValueError(f"the number of threads must not be negative, got {n}")
    _cap = n


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """Within this block, kernels that this very thread calls use at most ``n`` threads.

    0 limits nothing. Raises ValueError where ``n`` is negative.
    """
    if n < 0:
        raise ValueError(f"the number of threads must not be negative, got {n}")
    before = getattr(_caller, "cap", None)
    if n:
        _caller.cap = n if before is None else min(n, before)
    try:
        yield
    finally:
        if before is not None:
            _caller.cap = before
        elif n:
            del _caller.cap


# What a meeting of a team costs, counted in multiply-adds that one thread does in that time:
# 0.4 us at about 50 of them a nanosecond. A team pays where its threads have several times as
# much to do between two meetings.
WORTHWHILE = 20_000
START = 50  # what waking a team costs, in meetings
MAX_THREADS = 64  # that the backends lay out scratch for

# The same for work in tasks that members take one by one: none waits for another, and waking a
# member costs the caller a little, once, not the time until it has come.
WORTHWHILE_TASKS = 250_000
UNLIMITED = 1 << 62

PATIENCE = 2000  # spins at a barrier, 20 to 100 us, before a member offers its core to others


def new_barrier() -> np.ndarray:
    """A barrier for one run of a team: int64 zeros, a cache line or two; arrivals come first."""
    return np.zeros(16, np.int64)


# A desk: int64 numbers, where a caller posts one job at a time. What different threads write
# lies on different cache lines. The backends' ``lead`` and ``attend`` read it in compiled code.
NUMBER, FUNCTION, ARGUMENTS, COUNT = range(4)  # of the job; the number grows with each
INSIDE = 16  # how many members are at the job, less CLOSED while there is none
PRESENT = 32  # and every DESK_LINE numbers on: whether a member is at the desk
DESK_LINE = 16
CLOSED = 1 << 32
LINGER = 20_000  # spins, 0.2 to 1 ms, that a member stays without a job


class _Room:
    """How many cores seem to be free: learned from how the teams fared.

    Members of a team that has more threads than there are free cores wait for one that is not
    running, a time slice at a time: one thread fewer is then many times faster. A member that
    spent much less time on a core than it took had to share it with other programs. A team with
    such a member is followed by smaller ones, and now and then by a larger one that tries.
    """

    HOLD = 0.5  # seconds until a larger team is tried again
    TOLERATED = 0.1  # the share of its time that a member may spend off the cores
    START = 0.001  # and seconds beside it: waking up, waiting for the interpreter
    CHANCE = 1  # so many losing runs in a row are chance, such as the first, which loads code

    def __init__(self) -> None:
        self._limit = MAX_THREADS
        self._until = 0.0
        self._losses = 0  # runs in a row that lost much time

    def limit(self) -> int:
        if self._limit < MAX_THREADS and time.monotonic() > self._until:
            self._limit += 1
            self._until = time.monotonic() + self.HOLD
        return self._limit

    def judge(self, count: int, lost: float, seconds: float) -> None:
        """Take in a run of ``seconds``, whose members were off the cores for at most ``lost``."""
        if lost <= self.START + self.TOLERATED * seconds:
            self._losses = 0
            return
        self._losses += 1
        if self._losses > self.CHANCE:
            self._limit = count - 1
            self._until = time.monotonic() + self.HOLD


_room = _Room()


def team_size(multiply_adds: int, meetings: int) -> int:
    """How many threads so much work between start and end, with so many meetings, deserves.

    At most the cap, and fewer where other programs keep the cores busy.
    """
    deserved = multiply_adds // max(1, WORTHWHILE * meetings)
    if deserved <= 1:
        return 1
    return max(1, min(get_num_threads(), deserved, _room.limit()))


def tasks_team_size(multiply_adds: int) -> int:
    """The same for work in tasks: nobody waits for a member that is off the cores."""
    if multiply_adds < alone_below():
        return 1
    deserved = multiply_adds // max(1, WORTHWHILE_TASKS)
    return max(1, min(get_num_threads(), deserved, MAX_THREADS))


def alone_below() -> int:
    """Work of fewer multiply-adds than this is done by one thread, whoever asks."""
    return UNLIMITED if _cap == 1 else 2 * WORTHWHILE_TASKS


def _timed(work: Work, index: int, count: int) -> float:
    """Do a member's work; the seconds that it was off the cores meanwhile."""
    began, on_core = time.perf_counter(), time.thread_time()
    work(index, count)
    return time.perf_counter() - began - (time.thread_time() - on_core)


class _Member:
    """A sleeping thread: ``start`` hands it its share of the work, ``wait`` awaits its end."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._inbox: SimpleQueue[tuple[Work, int] | Callable[[int], object]] = SimpleQueue()
        self._done = threading.Semaphore(0)
        self._error: BaseException | None = None
        self.lost = 0.0  # seconds of its last work that it was off the cores
        self.core = -1  # where it ran last
        self._cores: set[int] = set()  # where it may run again, once it woke up on the one it must
        name = f"mnistcore-{index}"
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def wake_on(self, core: int, allowed: set[int]) -> None:
        """Have its next work begin on a core; from there on it may run on all that are allowed."""
        if self._thread.native_id is not None:
            self._cores = allowed
            _cores.restrict(self._thread.native_id, {core})

    def start(self, work: Work, count: int) -> None:
        self._inbox.put((work, count))

    def wait(self) -> BaseException | None:
        self._done.acquire()
        return self._error

    def send(self, attend: Callable[[int], object]) -> None:
        """Have it call ``attend(index)``; nobody awaits the end of that."""
        self._inbox.put(attend)

    def _serve(self) -> None:
        while True:
            self._do(self._inbox.get())

    def _do(self, order: tuple[Work, int] | Callable[[int], object]) -> None:
        """What it is given; when this is over it holds none of the arrays."""
        if self._cores:
            _cores.restrict(0, self._cores)
            self._cores = set()
        self.core = _cores.current_core()
        if not isinstance(order, tuple):
            order(self._index)
            self.core = _cores.current_core()
            return
        work, count = order
        try:
            self.lost = _timed(work, self._index, count)
            self._error = None
        except BaseException as error:
            self._error = error
        self.core = _cores.current_core()
        self._done.release()


class _Team:
    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._members: list[_Member] = []
        self._desk = np.zeros(PRESENT + DESK_LINE * MAX_THREADS, np.int64)
        self._desk[INSIDE] = -CLOSED
        self._address = self._desk.ctypes.data
        self._at_desk = self._desk.data[PRESENT::DESK_LINE]

    def _first(self, count: int) -> list[_Member]:
        """Members 1 to ``count`` - 1."""
        while len(self._members) < count - 1:
            self._members.append(_Member(len(self._members) + 1))
        return self._members[: count - 1]

    def run(self, count: int, work: Work) -> float:
        """Do the work; the most seconds that a member was off the cores meanwhile."""
        if count == 1 or not self._busy.acquire(blocking=False):
            work(0, 1)
            return 0.0
        try:
            others = self._first(count)
            self._spread(others)
            for index, member in enumerate(others, 1):
                self._at_desk[index] = 0  # calls it away
                member.start(work, count)
            lost = _timed(work, 0, count)
            errors = [error for member in others if (error := member.wait())]
            lost = max(lost, *(member.lost for member in others))
        finally:
            self._busy.release()
        if errors:
            raise errors[0]
        return lost

    def lead(self, count: int, lead: Work, attend: Work) -> None:
        """See :func:`run_tasks`."""
        if count == 1 or not self._busy.acquire(blocking=False):
            lead(self._address, 1)
            return
        try:
            if not all(self._at_desk[1:count]):
                self._call_to_desk(count, attend)
            lead(self._address, count)
        finally:
            self._busy.release()

    def _call_to_desk(self, count: int, attend: Work) -> None:
        attend(self._address, 0)  # returns at once; what must be compiled first is now
        members = self._first(count)
        self._spread(members)
        for index, member in enumerate(members, 1):
            if not self._at_desk[index]:
                self._at_desk[index] = 1
                member.send(lambda index: attend(self._address, index))

    @staticmethod
    def _spread(members: list[_Member]) -> None:
        """Have members wake up on cores of their own: see :mod:`_cores`."""
        allowed = _cores.allowed_cores()
        last = [member.core for member in members]
        for index, core in _cores.moves(last, _cores.current_core(), allowed).items():
            members[index].wake_on(core, allowed)


_team = _Team()


def _forget_team() -> None:
    """Threads do not survive a fork: the child begins with none."""
    global _team
    _team = _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_team)


def run_team(count: int, work: Work) -> None:
    """Call ``work(index, n)`` for every index below n, each on a thread of its own, and wait.

    n is ``count``, or 1 where the team is at work for another caller. ``work`` must be right for
    every n. The caller's thread does index 0.
    """
    if count == 1:
        work(0, 1)
        return
    began = time.perf_counter()
    lost = _team.run(count, work)
    _room.judge(count, lost, time.perf_counter() - began)


def run_tasks(count: int, lead: Work, attend: Work) -> None:
    """Call ``lead(desk, n)``, n being ``count`` or 1: one compiled call that does all the tasks.

    For n > 1 it posts a function at the desk (an address), which members that are there call
    too, each with its index; then it does tasks itself until none is left, closes the desk, and
    waits for those that came. A member that comes late takes fewer tasks or none: nobody waits
    for a sleeping one. ``attend(desk, index)`` is a member's part: it does jobs until there was
    none for a while, or it is called away.
    """
    _team.lead(count, lead, attend)
