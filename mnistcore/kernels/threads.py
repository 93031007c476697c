"""The team of threads that both compiled backends share.

The members are ordinary Python threads that sleep until there is work. Each then enters one
compiled function, which releases the interpreter lock, and stays in it for many training steps,
synchronising with the others at spin barriers. A whole slice of an epoch thus costs one wake-up,
no threading runtime is linked, and one scheme serves both Numba and Cython.

A single matrix product takes less time than waking a thread. Members that have finished one
therefore linger at a *desk*, where the next one is posted: see :func:`run_tasks`.

The caller is member 0 of its own team. If the team is busy, a second caller computes on its own
thread alone; a forked child starts with a new team.

A signal handler may raise an exception in the caller between any two bytecodes. Everything that
must not be interrupted half-way therefore happens in one compiled call, the caller's own share of
the work: it acquires the team, admits the members that were called, and waits for them before it
returns. An exception before that call shuts the gate of the run, so members that arrive find it
shut; after the call no member is at work. No lock or count is kept in Python that an exception
could leave in a wrong state.
"""

import _thread
import math
import operator
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
from ..system.quota import cpu_quota

Work = Callable[[int, bool], Any]  # work(gate, leads)
Lead = Callable[[int, int], object]  # lead(desk, threads)
Attend = Callable[[int, int], object]  # attend(desk, index)
Order = Callable[[], object]

_cap = 0  # 0: the default


class _Caller(threading.local):
    """The caps that a thread has set for itself, and whether it has called the team."""

    def __init__(self) -> None:
        self.limits: list[tuple[threading.Lock, int]] = []  # (lock held while in force, cap)
        self.calls = False


_caller = _Caller()


def available_cores() -> int:
    """Return how many cores this process may use: those it may run on, or its CPU quota."""
    quota = cpu_quota()
    return n_cores() if quota is None else min(n_cores(), max(1, math.ceil(quota)))


def n_cores() -> int:
    """Return how many cores this process may run on."""
    return len(cores.allowed_cores()) or os.cpu_count() or 1


def default_threads() -> int:
    """Return the number of threads without any cap.

    That is ``OMP_NUM_THREADS``, or one per core. A worker of a ``multiprocessing`` pool, which does
    not know how many others there are, has one.
    """
    return omp_threads() or (1 if in_pool() else available_cores())


def in_pool() -> bool:
    """Return whether this process is a worker of a ``multiprocessing`` pool."""
    process = sys.modules.get("multiprocessing.process")  # which such a worker has imported
    return process is not None and bool(process.current_process().daemon)


def omp_threads() -> int | None:
    """Return the number in ``OMP_NUM_THREADS``, its first one if it is a list; None without one."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return (int(first) or None) if first.isdecimal() else None


def get_num_threads() -> int:
    """Return the most threads that a compiled kernel called by this thread will use.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> import mnistcore
    >>> mnistcore.get_num_threads() >= 1
    True
    """
    limits = [n for block, n in _caller.limits if block.locked()]
    if not limits:
        return _cap or default_threads()
    return min(_cap or n_cores(), *limits)


def set_num_threads(n: int) -> None:
    """Cap the threads of the compiled kernels at ``n``; 0 restores the default.

    The default is ``OMP_NUM_THREADS``, or else one thread per core that this process may use (in a
    worker of a ``multiprocessing`` pool one).
    The compiled kernels' results are the same to the bit with any cap. The NumPy backend computes
    on its BLAS, which has threads of its own: see :mod:`.blas`. More than 64 count as 64, the most
    that a kernel uses. Raises ValueError if ``n`` is negative, and TypeError if it is no integer.

    Examples
    --------
    >>> import mnistcore
    >>> mnistcore.set_num_threads(1)
    >>> mnistcore.get_num_threads()
    1
    >>> mnistcore.set_num_threads(0)
    """
    global _cap
    _cap = _count_of_threads(n)


def _count_of_threads(n: int) -> int:
    n = int(operator.index(n))  # True is 1
    if n < 0:
        raise ValueError(f"the number of threads must not be negative, got {n}")
    return min(n, MAX_THREADS)


def limited_threads(n: int) -> AbstractContextManager[Any]:
    """Return a context in which kernels called by this thread use at most ``n`` threads.

    The limit takes the place of ``OMP_NUM_THREADS`` and of a CPU quota, but a kernel never has
    more threads than there are cores. 0 sets no limit. Raises as :func:`set_num_threads`.
    Enter a context before the next is made, or it is forgotten.
    """
    n = _count_of_threads(n)
    # Acquiring or releasing a lock is a single step. A signal handler that raises could interrupt
    # an ``__exit__`` written in Python and leave the limit in force.
    block = threading.Lock()
    if n:
        in_force = [limit for limit in _caller.limits if limit[0].locked()]
        _caller.limits = [*in_force, (block, n)]
    return block


# The multiply-adds that one thread does in the 0.4 us that a meeting of a team (a barrier) costs:
# about 50 a nanosecond. A team gets only as many threads as the work pays for.
WORTHWHILE = 20_000
WAKING = 50  # cost of waking a team, in meetings
MAX_THREADS = 64  # the most that the backends lay out scratch for

# The same for work in tasks, which members take one by one without waiting for each other. Waking
# a member costs the caller a little once, but not the time that the member takes to wake up.
WORTHWHILE_TASKS = 250_000
UNLIMITED = 1 << 62

PATIENCE = 2000  # spins at a barrier, 20 to 100 us, before a member yields its core

ALONE = 0  # instead of the address of a gate: work for one thread

# A gate: int64 numbers, one set for each run of a team. Numbers that many threads write have
# their own cache lines. The backends' ``enter``, ``meet`` and ``leave`` use it in compiled code.
ARRIVALS = 0  # arrivals so far at the meetings of the run
JOINED = 16  # how many members have entered
LEFT = 32  # how many members have left
SIZE = 48  # size of the team at work; 0 until every member that was called has entered
CALLED = 49  # the size that the caller wants
SHUT = 50  # not 0: the run has no leader, and members that wait or arrive leave
TEAM = 51  # the address of the desk, whose AT_WORK the leader takes
BEGAN = 52  # when the leader entered, in nanoseconds
ALLOWANCE = 53  # nanoseconds that a member may wait, besides a share of the run's time
WAITED = 64  # nanoseconds that all members together have waited at meetings, in long waits only
LAST_STEP = 80  # the step in which the run ends early, because they waited too much; 0: none
GATE_LENGTH = 96

# In nanoseconds: a wait at a meeting that is long enough to be for a member that is off the cores,
# and how much of a run may be spent so: ALLOWED or PATIENT, and one part in TOLERABLE.
LONG_WAIT = 1_000_000
ALLOWED = 8_000_000
PATIENT = 250_000_000
TOLERABLE = 8

# A desk: int64 numbers, where a caller posts one job at a time. The backends' ``lead`` and
# ``attend`` use it in compiled code.
NUMBER, FUNCTION, ARGUMENTS, COUNT = range(4)  # of the job; the number grows with each
INSIDE = 16  # how many members are at the job, minus CLOSED while there is no job
AT_WORK = 32  # how many callers want to lead the team: only the first may
PRESENT = 48  # here and every DESK_LINE numbers after it: whether that member is at the desk
DESK_LINE = 16
CLOSED = 1 << 32
LINGER = 20_000  # spins, 0.2 to 1 ms, that a member waits for another job


class _FreeCores:
    """An estimate, from past runs of the team, of how many cores other programs leave free.

    If a team has more threads than there are free cores, all of its threads wait at every barrier
    for one that is not running, for a time slice of the system. A team with one thread fewer is
    then many times faster. Such a run ends early, after a few such waits. A thread whose elapsed
    time is much longer than its time on a core had to share that core. After such a run teams are
    smaller, until a larger one is tried again, and less often if that fails.

    If a run ended early and all of its threads were on the cores all the time, the cores themselves
    are uneven, as those of a virtual machine are whose host is busy. A smaller team would be slower
    still, and each new run packs the weights anew, so the next runs may wait longer.
    """

    HOLD = 0.5  # seconds until a larger team is tried again
    LONGEST_HOLD = 2.0  # it doubles up to this with each trial that fails
    TOLERATED = 0.1  # the share of its time that a member may spend off the cores
    GRACE = 0.001  # seconds allowed on top of it: waking up, waiting for the interpreter
    CHANCE = 1  # losing runs in a row put down to chance, such as the first, which loads code

    def __init__(self) -> None:
        self._limit = MAX_THREADS
        self._until = 0.0
        self._hold = self.HOLD
        self._losses = 0  # runs in a row that lost much time
        self._on_trial = True  # whether no run of this size has gone well yet
        self._uneven_until = 0.0  # when the cores are supposed to be even again

    def limit(self) -> int:
        """Return the most threads that a team should have now."""
        if self._limit < MAX_THREADS and time.monotonic() > self._until:
            self._limit += 1
            self._until = time.monotonic() + self._hold
            self._on_trial = True
        return self._limit

    def allowance(self) -> int:
        """Return how many nanoseconds a run may wait, besides a share of its time."""
        return PATIENT if time.monotonic() < self._uneven_until else ALLOWED

    def judge(self, count: int, lost: float, seconds: float, early: bool = False) -> None:
        """Learn from a run of ``seconds`` with threads off the cores for up to ``lost`` seconds.

        ``early`` says whether it ended early.
        """
        if lost <= self.GRACE + self.TOLERATED * seconds:
            self._losses = 0
            if early:
                self._uneven_until = time.monotonic() + self.LONGEST_HOLD
            if count == self._limit or self._limit == MAX_THREADS:
                self._on_trial, self._hold = False, self.HOLD
            return
        self._losses += 1
        again = self._on_trial and self._limit < MAX_THREADS
        if again:
            self._hold = min(2 * self._hold, self.LONGEST_HOLD)
        if again or self._losses > self.CHANCE:
            self._limit = count - 1
            self._until = time.monotonic() + self._hold


_free_cores = _FreeCores()


def team_size(multiply_adds: int, meetings: int) -> int:
    """Return how many threads pay off for a run of given multiply-adds and meetings.

    At most the cap, and fewer if other programs keep the cores busy.
    """
    deserved = multiply_adds // max(1, WORTHWHILE * meetings)
    if deserved <= 1:
        return 1
    return max(1, min(get_num_threads(), deserved, _free_cores.limit()))


def all_steps(steps: int, run: Callable[[int], int]) -> int:
    """Call ``run(done)`` until all steps are done, or none is made; return how many were done.

    A run of a team that waits too much for its members ends early, but makes at least one step. A
    run that makes none has met a loss that is not finite.
    """
    done = 0
    while done < steps and (made := run(done)):
        done += made
    return done


def tasks_team_size(multiply_adds: int) -> int:
    """Return the same for work in tasks, which does not wait for members that are off the cores."""
    if multiply_adds < alone_below():
        return 1
    deserved = multiply_adds // max(1, WORTHWHILE_TASKS)
    return max(1, min(get_num_threads(), deserved, MAX_THREADS))


def alone_below() -> int:
    """Return the number of multiply-adds below which one thread does work in tasks."""
    return UNLIMITED if _cap == 1 else 2 * WORTHWHILE_TASKS


class _Run:
    """One run of a team: its gate, and how long each thread was off the cores."""

    def __init__(self, count: int, work: Work, desk: int) -> None:
        self.gate = np.zeros(GATE_LENGTH, np.int64)
        self.gate[CALLED], self.gate[TEAM] = count, desk
        self.gate[ALLOWANCE] = _free_cores.allowance()
        self._address = self.gate.ctypes.data
        self._work = work
        self._lost: list[float] = []  # seconds that each thread was off the cores
        self.error: BaseException | None = None

    def lead(self) -> Any:
        """Do the caller's part."""
        return self._take_part(True)

    def join(self) -> None:
        """Do a member's part. If it fails before entering, the caller goes on without members."""
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
        if len(self._lost) == self.gate[SIZE]:  # the last thread has all the figures
            early = bool(self.gate[LAST_STEP])
            _free_cores.judge(len(self._lost), max(self._lost), seconds, early)
        return result


class _Member:
    """A thread that sleeps until it is sent orders, and carries them out one by one."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._inbox: SimpleQueue[Order] = SimpleQueue()
        self.core = -1  # where it ran last
        self._cores: set[int] = set()  # where it may run again after waking up on a given core
        self._native_id = 0  # set once it runs
        # threading.Thread would complain if the wait for its start were interrupted.
        _thread.start_new_thread(self._serve, ())

    def wake_on(self, core: int, allowed: set[int]) -> None:
        """Make its next order begin on ``core``; after that it may run on any ``allowed`` core."""
        if self._native_id:
            self._cores = allowed
            cores.restrict(self._native_id, {core})

    def send(self, order: Order) -> None:
        self._inbox.put(order)

    def call_to_desk(self, attend: Attend, desk: int) -> None:
        """Call it to the desk, unless a call is still pending, without waiting for it."""
        if not self.is_called():
            self._inbox.put(lambda: self._inbox.empty() and attend(desk, self._index))

    def is_called(self) -> bool:
        """Whether an order is waiting for it."""
        return not self._inbox.empty()

    def _serve(self) -> None:
        self._native_id = threading.get_native_id()
        while True:
            try:
                self._do(self._inbox.get())
            except Exception:  # if the member died, callers would wait for it forever
                sys.excepthook(*sys.exc_info())

    def _do(self, order: Order) -> None:
        """Carry out one order, keeping no reference to its arrays afterwards."""
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
        """Return members 1 to ``count`` - 1, or fewer if the system starts no more threads.

        There is no lock: a signal handler that computes would wait for the code it interrupted.
        """
        for index in range(1, count):
            if index not in self._members:
                try:
                    member = _Member(index)
                except RuntimeError:
                    count = index
                    break
                if self._members.setdefault(index, member) is not member:
                    member.send(sys.exit)  # another caller added one first
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
                self._at_desk[index] = 0  # call it away from the desk
                member.send(run.join)
            result = run.lead()
        finally:  # no function calls here: a signal handler might raise in one
            run.gate[SHUT] = 1
            _caller.calls = False
        if run.error:
            raise run.error
        return result

    def lead(self, count: int, lead: Lead, attend: Attend) -> None:
        """See :func:`run_tasks`."""
        if count > 1 and self._desk[AT_WORK]:
            count = 1
        if count > 1 and not all(map(self._comes, range(1, count))):
            attend(self._address, 0)  # returns at once, but compiles it if necessary
            for index, member in enumerate(self._first(count), 1):
                if not self._at_desk[index]:
                    member.call_to_desk(attend, self._address)
        lead(self._address, count)

    def _comes(self, index: int) -> bool:
        """Whether a member is at the desk, or was called and has yet to wake up."""
        if self._at_desk[index]:
            return True
        member = self._members.get(index)
        return member is not None and member.is_called()

    @staticmethod
    def _spread(members: list[_Member]) -> None:
        """Make members wake up on separate cores: see :mod:`mnistcore.system.cores`."""
        allowed = cores.allowed_cores()
        last = [member.core for member in members]
        for index, core in cores.moves(last, cores.current_core(), allowed).items():
            members[index].wake_on(core, allowed)


_team = _Team()


def _forget_team() -> None:
    """Start a new team in a forked child, where no other threads survive."""
    global _team
    _team = _Team()


os.register_at_fork(after_in_child=_forget_team)


def run_team(count: int, work: Work) -> Any:
    """Call ``work(gate, leads)`` on ``count`` threads, wait, and return the caller's own result.

    ``work`` makes one compiled call, which begins with the backend's ``enter(gate, leads)`` and
    ends with its ``leave``. ``enter`` returns the thread's index and the size of the team:
    ``count``, or 1 if the team is busy or could not be called; ``work`` must handle both. The
    calling thread leads and has index 0. A member that arrives after the caller was interrupted
    gets an index below 0 and has nothing to do.

    Raises what ``work`` raised on any of the threads.
    """
    if count == 1:
        return work(ALONE, True)
    return _team.run(count, work)


def run_tasks(count: int, lead: Lead, attend: Attend) -> None:
    """Call ``lead(desk, n)`` with n = ``count`` or 1: one compiled call that does all the tasks.

    For n > 1 it posts a function at the desk (an address), and members at the desk call it too,
    each with its index. It then does tasks itself until none are left, closes the desk, and waits
    for the members that took part. A member that arrives later gets fewer tasks or none; sleeping
    members are not waited for. ``attend(desk, index)`` is a member's part: it does jobs until
    there has been none for a while, or until it is called away.
    """
    _team.lead(count, lead, attend)
