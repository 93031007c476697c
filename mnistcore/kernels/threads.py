"""The team of threads that both compiled backends share.

The members are ordinary Python threads that sleep until there is work. Then they enter one
compiled function, which has released the interpreter lock, and stay in it for many training
steps, meeting each other at spin barriers. So a whole slice of an epoch costs one wake-up, no
threading runtime is linked, and one scheme serves Numba and Cython alike.

A single matrix product is over before a sleeping thread would have been woken. So members that
have done one linger a little at a *desk*, where the next is posted: see :func:`run_tasks`.

The caller is member 0 of its own team. A second caller that comes while the team is at work
computes on its own thread alone; a forked child starts with a team of its own.

A signal handler may raise an exception in the caller between any two bytecodes. So what must not
be interrupted half-way happens within one compiled call, the caller's own share of the work: it
takes possession of the team, lets in the members that were called, and waits for them before it
returns. An exception before that call shuts the gate of the run, and members that arrive find it
shut; one after it finds no member at work. There is no lock and no count in Python that an
exception could leave in a wrong state.
"""

import _thread
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any

import numpy as np

from ..system import cores

Work = Callable[[int, bool], Any]  # work(gate, leads)
Lead = Callable[[int, int], object]  # lead(desk, threads)
Attend = Callable[[int, int], object]  # attend(desk, index)
Order = Callable[[], object]

_cap = 0  # 0: as many as there are cores


class _Caller(threading.local):
    """The caps that a thread has set for itself, and whether it has called the team together."""

    def __init__(self) -> None:
        self.limits: list[tuple[threading.Lock, int]] = []  # blocks, held while in force; caps
        self.calls = False


_caller = _Caller()


def available_cores() -> int:
    """How many cores this process may run on."""
    return len(cores.allowed_cores()) or os.cpu_count() or 1


def get_num_threads() -> int:
    """The most threads that a compiled kernel called by this thread will use."""
    return min([_cap or available_cores(), *(n for block, n in _caller.limits if block.locked())])


def set_num_threads(n: int) -> None:
    """Cap the threads of the compiled kernels at ``n``; 0 lifts the cap.

    Results do not depend on it, to the bit. Raises ValueError where ``n`` is negative.
    """
    global _cap
    if n < 0:
        raise ValueError(f"the number of threads must not be negative, got {n}")
    _cap = n


def limited_threads(n: int) -> AbstractContextManager[Any]:
    """Within this block, kernels that this very thread calls use at most ``n`` threads.

    0 limits nothing. Raises ValueError where ``n`` is negative.
    """
    if n < 0:
        raise ValueError(f"the number of threads must not be negative, got {n}")
    # A lock is taken and released in one step each. An ``__exit__`` in Python may be cut off by a
    # signal handler that raises, and would leave the limit behind.
    block = threading.Lock()
    if n:
        in_force = [limit for limit in _caller.limits if limit[0].locked()]
        _caller.limits = [*in_force, (block, n)]
    return block


# What a meeting of a team, a barrier, costs: 0.4 us, in which one thread does so many
# multiply-adds, about 50 a nanosecond. A team has as many threads as there is work to pay for.
WORTHWHILE = 20_000
WAKING = 50  # what waking a team costs, in meetings
MAX_THREADS = 64  # that the backends lay out scratch for

# The same for work in tasks that members take one by one. Nobody waits for another; waking a
# member costs the caller a little once, but not the time that the member takes to wake up.
WORTHWHILE_TASKS = 250_000
UNLIMITED = 1 << 62

PATIENCE = 2000  # spins at a barrier, 20 to 100 us, before a member offers its core to others

ALONE = 0  # in place of the address of a gate: work for one thread

# A gate: int64 numbers, one set for each run of a team. What many threads write lies on cache
# lines of its own. The backends' ``enter``, ``meet`` and ``leave`` read it in compiled code.
ARRIVALS = 0  # at the meetings of the run
JOINED = 16  # how many members came in, and
LEFT = 32  # went out
SIZE = 48  # of the team at work; 0 until all that were called are in
CALLED = 49  # the size that the caller wants
SHUT = 50  # not 0: nobody will lead this run; members that wait or come leave
TEAM = 51  # the address of the desk, whose AT_WORK the leader takes
GATE_LENGTH = 64

# A desk: int64 numbers, where a caller posts one job at a time. The backends' ``lead`` and
# ``attend`` read it in compiled code.
NUMBER, FUNCTION, ARGUMENTS, COUNT = range(4)  # of the job; the number grows with each
INSIDE = 16  # how many members are at the job, less CLOSED while there is none
AT_WORK = 32  # how many callers lead the team: the first does, others see that they must not
PRESENT = 48  # and every DESK_LINE numbers on: whether a member is at the desk
DESK_LINE = 16
CLOSED = 1 << 32
LINGER = 20_000  # spins, 0.2 to 1 ms, that a member stays without a job


class _FreeCores:
    """An estimate of how many cores other programs leave free, from the runs of the team.

    Where a team has more threads than there are free cores, all of its threads wait at every
    barrier for one that is not running, for a time slice of the system: a team with one thread
    fewer is then many times faster. A thread that took much longer than it was on a core had to
    share that core. After such a run teams are smaller, until a larger one is tried again.
    """

    HOLD = 0.5  # seconds until a larger team is tried again
    TOLERATED = 0.1  # the share of its time that a member may spend off the cores
    GRACE = 0.001  # and seconds beside it: waking up, waiting for the interpreter
    CHANCE = 1  # so many losing runs in a row are chance, such as the first, which loads code

    def __init__(self) -> None:
        self._limit = MAX_THREADS
        self._until = 0.0
        self._losses = 0  # runs in a row that lost much time

    def limit(self) -> int:
        """The most threads that a team should have now."""
        if self._limit < MAX_THREADS and time.monotonic() > self._until:
            self._limit += 1
            self._until = time.monotonic() + self.HOLD
        return self._limit

    def judge(self, count: int, lost: float, seconds: float) -> None:
        """Learn from a run of ``seconds``: its threads were off the cores for at most ``lost``."""
        if lost <= self.GRACE + self.TOLERATED * seconds:
            self._losses = 0
            return
        self._losses += 1
        if self._losses > self.CHANCE:
            self._limit = count - 1
            self._until = time.monotonic() + self.HOLD


_free_cores = _FreeCores()


def team_size(multiply_adds: int, meetings: int) -> int:
    """How many threads pay for a run of so many multiply-adds with so many meetings.

    At most the cap, and fewer where other programs keep the cores busy.
    """
    deserved = multiply_adds // max(1, WORTHWHILE * meetings)
    if deserved <= 1:
        return 1
    return max(1, min(get_num_threads(), deserved, _free_cores.limit()))


def tasks_team_size(multiply_adds: int) -> int:
    """The same for work in tasks, where nobody waits for a member that is off the cores."""
    if multiply_adds < alone_below():
        return 1
    deserved = multiply_adds // max(1, WORTHWHILE_TASKS)
    return max(1, min(get_num_threads(), deserved, MAX_THREADS))


def alone_below() -> int:
    """The multiply-adds below which work in tasks is done by one thread."""
    return UNLIMITED if _cap == 1 else 2 * WORTHWHILE_TASKS


class _Run:
    """One run of a team: its gate, and how long its threads were off the cores."""

    def __init__(self, count: int, work: Work, desk: int) -> None:
        self.gate = np.zeros(GATE_LENGTH, np.int64)
        self.gate[CALLED], self.gate[TEAM] = count, desk
        self._address = self.gate.ctypes.data
        self._work = work
        self._lost: list[float] = []  # seconds that each thread was off the cores
        self.error: BaseException | None = None

    def lead(self) -> Any:
        """The caller's part."""
        return self._take_part(True)

    def join(self) -> None:
        """A member's part. If it fails before it came in, the caller goes on without members."""
        try:
            self._take_part(False)
        except BaseException as error:
            self.error = error
            self.gate[SHUT] = 1

    def _take_part(self, leads: bool) -> Any:
        began, on_core = time.perf_counter(), time.thread_time()
        result = self._work(self._address, leads)
        seconds = time.perf_counter() - began
        self._lost.append(seconds - (time.thread_time() - on_core))
        if len(self._lost) == self.gate[SIZE]:  # the last of them has the sum
            _free_cores.judge(len(self._lost), max(self._lost), seconds)
        return result


class _Member:
    """A sleeping thread that carries out orders, one after another."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._inbox: SimpleQueue[Order] = SimpleQueue()
        self.core = -1  # where it ran last
        self._cores: set[int] = set()  # where it may run again, once it woke up on the one it must
        self._native_id = 0  # once it runs
        # A threading.Thread complains where the wait for its start is interrupted.
        _thread.start_new_thread(self._serve, ())

    def wake_on(self, core: int, allowed: set[int]) -> None:
        """Have its next work begin on a core; from there on it may run on all that are allowed."""
        if self._native_id:
            self._cores = allowed
            cores.restrict(self._native_id, {core})

    def send(self, order: Order) -> None:
        self._inbox.put(order)

    def call_to_desk(self, attend: Attend, desk: int) -> None:
        """Call it to the desk, unless it was called and has not come yet. Nobody waits for it."""
        if self._inbox.empty():
            self._inbox.put(lambda: self._inbox.empty() and attend(desk, self._index))

    def _serve(self) -> None:
        self._native_id = threading.get_native_id()
        while True:
            try:
                self._do(self._inbox.get())
            except Exception:  # a member that died would be waited for
                sys.excepthook(*sys.exc_info())

    def _do(self, order: Order) -> None:
        """Carry out one order. Afterwards nothing here refers to its arrays."""
        if self._cores:
            cores.restrict(0, self._cores)
            self._cores = set()
        self.core = cores.current_core()
        order()
        self.core = cores.current_core()


class _Team:
    def __init__(self) -> None:
        self._members: dict[int, _Member] = {}
        desk = np.zeros(PRESENT + DESK_LINE * MAX_THREADS, np.int64)
        desk[INSIDE] = -CLOSED
        self._desk, self._address = desk.data, desk.ctypes.data
        self._at_desk = self._desk[PRESENT::DESK_LINE]

    def _first(self, count: int) -> list[_Member]:
        """Members 1 to ``count`` - 1, or fewer where the system starts no more threads.

        No lock: a signal handler that computes would wait for what it has interrupted.
        """
        for index in range(1, count):
            if index not in self._members:
                try:
                    member = _Member(index)
                except RuntimeError:
                    count = index
                    break
                if self._members.setdefault(index, member) is not member:
                    member.send(sys.exit)  # another caller was faster
        members = [self._members[index] for index in range(1, count)]
        self._spread(members)
        return members

    def run(self, count: int, work: Work) -> Any:
        """See :func:`run_team`."""
        if count == 1 or self._desk[AT_WORK] or _caller.calls:
            return work(ALONE, True)  # also for a signal handler that computes
        members = self._first(count)
        if not members:
            return work(ALONE, True)
        run = _Run(len(members) + 1, work, self._address)
        try:
            _caller.calls = True
            for index, member in enumerate(members, 1):
                self._at_desk[index] = 0  # calls it away
                member.send(run.join)
            result = run.lead()
        finally:  # no call: a signal handler might raise in it
            run.gate[SHUT] = 1
            _caller.calls = False
        if run.error:
            raise run.error
        return result

    def lead(self, count: int, lead: Lead, attend: Attend) -> None:
        """See :func:`run_tasks`."""
        if count > 1 and self._desk[AT_WORK]:
            count = 1
        if count > 1 and not all(self._at_desk[1:count]):
            attend(self._address, 0)  # returns at once; what must be compiled first is now
            for index, member in enumerate(self._first(count), 1):
                if not self._at_desk[index]:
                    member.call_to_desk(attend, self._address)
        lead(self._address, count)

    @staticmethod
    def _spread(members: list[_Member]) -> None:
        """Have members wake up on cores of their own: see :mod:`mnistcore.system.cores`."""
        allowed = cores.allowed_cores()
        last = [member.core for member in members]
        for index, core in cores.moves(last, cores.current_core(), allowed).items():
            members[index].wake_on(core, allowed)


_team = _Team()


def _forget_team() -> None:
    """Threads do not survive a fork: the child begins with none."""
    global _team
    _team = _Team()


os.register_at_fork(after_in_child=_forget_team)


def run_team(count: int, work: Work) -> Any:
    """Call ``work(gate, leads)`` on ``count`` threads and wait; what the caller's own call gave.

    ``work`` makes one compiled call, which begins with the backend's ``enter(gate, leads)``,
    whose result is the thread's index and the size of the team, and ends with its ``leave``.
    The size is ``count``, or 1 where the team is at work for another caller, or could not come:
    ``work`` must be right for both. The thread that leads, the caller's, has index 0. A member
    that comes when the caller was interrupted has an index below 0 and nothing to do.

    Raises what ``work`` raised on any of the threads.
    """
    if count == 1:
        return work(ALONE, True)
    return _team.run(count, work)


def run_tasks(count: int, lead: Lead, attend: Attend) -> None:
    """Call ``lead(desk, n)``, n being ``count`` or 1: one compiled call that does all the tasks.

    For n > 1 it posts a function at the desk (an address), which members that are there call
    too, each with its index; then it does tasks itself until none is left, closes the desk, and
    waits for those that came. A member that comes late takes fewer tasks or none: nobody waits
    for one that sleeps. ``attend(desk, index)`` is a member's part: it does jobs until there was
    none for a while, or it is called away.
    """
    _team.lead(count, lead, attend)
