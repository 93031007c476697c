"""What the threads of a team do together: meet at barriers, share out work, do jobs at a desk."""

from ..threads import (
    ALONE,
    ARGUMENTS,
    ARRIVALS,
    AT_WORK,
    CALLED,
    CLOSED,
    COUNT,
    DESK_LINE,
    FUNCTION,
    INSIDE,
    JOINED,
    LEFT,
    LINGER,
    NUMBER,
    PATIENCE,
    PRESENT,
    SHUT,
    SIZE,
    TEAM,
)
from .functions import JIT, entry, inner
from .simd import (
    FLUSH_TO_ZERO,
    atomic_add,
    atomic_load,
    call,
    get_float_mode,
    load_index,
    pause,
    set_float_mode,
    store_index,
    yield_core,
)


@inner
def wait_a_little(spins):
    """Between two looks at what another thread will write; the number of looks."""
    if spins < PATIENCE:
        pause()
    else:  # the machine may have fewer free cores than the team has members
        yield_core()
    return spins + 1


@inner
def enter(gate, leads):
    """Come in to a run of a team: this thread's index and the size of the team.

    See ``threads.run_team``. The leader, with index 0, waits for all that were called. A member
    that finds the run shut has index -1, and goes without doing anything.
    """
    if gate == ALONE:
        return 0, 1
    spins = 0
    if not leads:
        index = atomic_add(gate, JOINED, 1) + 1
        while atomic_load(gate, SIZE) == 0:
            if atomic_load(gate, SHUT):
                return -1, 0
            spins = wait_a_little(spins)
        return index, load_index(gate, SIZE)
    team, called = load_index(gate, TEAM), load_index(gate, CALLED)
    if atomic_add(team, AT_WORK, 1) == 0:
        while atomic_load(gate, JOINED) < called - 1 and not atomic_load(gate, SHUT):
            spins = wait_a_little(spins)
        if not atomic_load(gate, SHUT):
            atomic_add(gate, SIZE, called)
            return 0, called
    atomic_add(team, AT_WORK, -1)
    atomic_add(gate, SHUT, 1)
    return 0, 1


@inner
def leave(gate, index, threads):
    """End this thread's part in a run; the leader waits until all others have ended theirs."""
    if threads > 1:
        if index:
            atomic_add(gate, LEFT, 1)
            return
        spins = 0
        while atomic_load(gate, LEFT) < threads - 1:
            spins = wait_a_little(spins)
        atomic_add(load_index(gate, TEAM), AT_WORK, -1)


@inner
def meet(gate, threads, meeting):
    """Wait until all threads have come to their ``meeting``-th meeting (counted from 1).

    The arrivals only grow: nobody has to reset them, so nobody can be overtaken.
    """
    if threads > 1:
        atomic_add(gate, ARRIVALS, 1)
        spins = 0
        while atomic_load(gate, ARRIVALS) < threads * meeting:
            spins = wait_a_little(spins)
    return meeting + 1


@inner
def lead(desk, job, arguments, threads):
    """Do a job of tasks, together with the members that come to the desk meanwhile.

    ``job`` is the address of a C function (arguments, thread, threads). It is posted before the
    desk opens, and stands until all that came in have left. Where another caller leads, this
    thread does it alone.
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
def attend(desk, member):
    """Be a member at the desk: see ``threads.run_tasks``. Member 0, the caller, never is."""
    if member == 0:
        return
    present = PRESENT + member * DESK_LINE
    store_index(desk, present, 1)
    last, spins = -1, 0
    while spins < LINGER and atomic_load(desk, present):
        number = atomic_load(desk, NUMBER)
        if number != last:
            last, spins = number, 0
            # A new number says that a job was posted; it may be over by now.
            if atomic_add(desk, INSIDE, 1) >= 0:
                threads = load_index(desk, COUNT)
                if member < threads:
                    job = load_index(desk, FUNCTION)
                    call(job, (load_index(desk, ARGUMENTS), member, threads))
            atomic_add(desk, INSIDE, -1)
        spins += 1
        pause()
    store_index(desk, present, 0)


@inner
def share(n, thread, threads):
    """The part [first, stop) of n units of work that a thread takes."""
    return n * thread // threads, n * (thread + 1) // threads


@inner
def flush_denormals():
    """Let this thread treat denormal numbers as zero; the mode to restore afterwards.

    Moments of dead units decay into denormals, on which every operation is many times slower.
    """
    mode = get_float_mode()
    set_float_mode(mode | FLUSH_TO_ZERO)
    return mode


MAX_TEAM = None if JIT else 1  # uncompiled threads cannot meet at spin barriers
