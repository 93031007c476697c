"""What the threads of a team do together: meet at barriers, share out work, do jobs at a desk."""

from typing import NamedTuple

import numpy as np

from ..threads import (
    ALLOWANCE,
    ALONE,
    ARGUMENTS,
    ARRIVALS,
    AT_WORK,
    BEGAN,
    CALLED,
    CLOSED,
    COUNT,
    DESK_LINE,
    FUNCTION,
    INSIDE,
    JOINED,
    LAST_STEP,
    LEFT,
    LINGER,
    LONG_WAIT,
    NUMBER,
    PATIENCE,
    PRESENT,
    SHUT,
    SIZE,
    TEAM,
    TOLERABLE,
    WAITED,
)
from .functions import JIT, call, entry, inner
from .machine import atomic_add, atomic_load, nanoseconds, pause, yield_core
from .memory import load_index, store_index


@inner
def wait_a_little(spins):
    """Pause between two polls of another thread's result; return the number of polls."""
    if spins < PATIENCE:
        pause()
    else:  # there may be fewer free cores than threads
        yield_core()
    return spins + 1


@inner
def enter(gate, leads):
    """Enter a run of a team; return the thread's number and the size of the team.

    See ``threads.run_team``. The leader, thread 0, waits for all members that were called. A
    member that finds the run shut gets the number -1 and leaves without doing anything.
    """
    if gate == ALONE:
        return 0, 1
    spins = 0
    if not leads:
        thread = atomic_add(gate, JOINED, 1) + 1
        while atomic_load(gate, SIZE) == 0:
            if atomic_load(gate, SHUT):
                return -1, 0
            spins = wait_a_little(spins)
        return thread, load_index(gate, SIZE)
    team, called = load_index(gate, TEAM), load_index(gate, CALLED)
    if atomic_add(team, AT_WORK, 1) == 0:
        while atomic_load(gate, JOINED) < called - 1 and not atomic_load(gate, SHUT):
            spins = wait_a_little(spins)
        if not atomic_load(gate, SHUT):
            store_index(gate, BEGAN, nanoseconds())
            atomic_add(gate, SIZE, called)
            return 0, called
    atomic_add(team, AT_WORK, -1)
    atomic_add(gate, SHUT, 1)
    return 0, 1


@inner
def leave(gate, thread, threads):
    """End this thread's part in a run; the leader waits until all others have ended theirs."""
    if threads > 1:
        if thread:
            atomic_add(gate, LEFT, 1)
            return
        spins = 0
        while atomic_load(gate, LEFT) < threads - 1:
            spins = wait_a_little(spins)
        atomic_add(load_index(gate, TEAM), AT_WORK, -1)


class Team(NamedTuple):
    """A thread of a team at work on one run."""

    gate: int  # address of the gate of the run
    thread: int
    threads: int
    meetings: int  # address of an int64: how many meetings this thread has come to


@inner
def make_team(gate, thread, threads, meetings):
    """Return the Team of a thread that has entered a run, before its first meeting."""
    store_index(meetings, 0, 0)
    return Team(gate, thread, threads, meetings)


@inner
def alone(team):
    """Return the same thread as a team of one, for work that it does not share."""
    return Team(team.gate, np.int64(0), np.int64(1), team.meetings)


@inner
def meet(team):
    """Wait until all threads of the team have come to this meeting.

    The count of arrivals is never reset, so no thread can miss a meeting.
    """
    if team.threads > 1:
        meeting = load_index(team.meetings, 0) + 1
        store_index(team.meetings, 0, meeting)
        atomic_add(team.gate, ARRIVALS, 1)
        spins, began = 0, np.int64(0)
        while atomic_load(team.gate, ARRIVALS) < team.threads * meeting:
            if spins == PATIENCE:
                began = nanoseconds()
            spins = wait_a_little(spins)
        if spins > PATIENCE:
            waited = nanoseconds() - began
            if waited > LONG_WAIT:
                atomic_add(team.gate, WAITED, waited)


@inner
def watch_waits(team, step):
    """Let the leader decide, before the first meeting of a step, whether the run ends in it."""
    if team.threads > 1 and team.thread == 0 and step:
        waited = atomic_load(team.gate, WAITED) // (team.threads - 1)
        waited -= load_index(team.gate, ALLOWANCE)
        if waited > 0 and waited > (nanoseconds() - load_index(team.gate, BEGAN)) // TOLERABLE:
            atomic_add(team.gate, LAST_STEP, step)


@inner
def ends_early(team, step):
    """Return whether the run ends in this step, after its first meeting: alike in every thread."""
    return team.threads > 1 and step > 0 and atomic_load(team.gate, LAST_STEP) == step


@inner
def lead(desk, job, arguments, threads):
    """Do a job of tasks, together with the threads that come to the desk in the meantime.

    ``job`` is the address of a C function (arguments, thread, threads). It is posted before the
    desk opens, and remains until all threads that joined have left. If another caller is leading,
    this thread does the job alone.
    """
    if threads == 1:
        call(job, (arguments, 0, 1))
        return
    if atomic_add(desk, AT_WORK, 1):
        atomic_add(desk, AT_WORK, -1)
        call(job, (arguments, 0, 1))
        return
    store_index(desk, FUNCTION, job)
    store_index(desk, ARGUMENTS, arguments)
    store_index(desk, COUNT, threads)
    atomic_add(desk, INSIDE, CLOSED)
    atomic_add(desk, NUMBER, 1)
    call(job, (arguments, 0, threads))
    atomic_add(desk, INSIDE, -CLOSED)
    spins = 0
    while atomic_load(desk, INSIDE) != -CLOSED:
        spins = wait_a_little(spins)
    atomic_add(desk, AT_WORK, -1)


@entry
def attend(desk, thread):
    """Attend the desk: see ``threads.run_tasks``. Thread 0, the caller, returns at once."""
    if thread == 0:
        return
    present = PRESENT + thread * DESK_LINE
    store_index(desk, present, 1)
    last, spins = -1, 0
    while spins < LINGER and atomic_load(desk, present):
        number = atomic_load(desk, NUMBER)
        if number != last:
            last, spins = number, 0
            # A new number says that a job was posted; it may be over by now.
            if atomic_add(desk, INSIDE, 1) >= 0:
                threads = load_index(desk, COUNT)
                if thread < threads:
                    job = load_index(desk, FUNCTION)
                    call(job, (load_index(desk, ARGUMENTS), thread, threads))
            atomic_add(desk, INSIDE, -1)
        spins += 1
        pause()
    store_index(desk, present, 0)


@inner
def share(n, thread, threads):
    """Return the part [first, stop) of n units of work that a thread takes."""
    return n * thread // threads, n * (thread + 1) // threads


MAX_TEAM = None if JIT else 1  # uncompiled threads cannot meet at spin barriers
