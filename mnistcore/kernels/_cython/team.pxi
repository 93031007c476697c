# How the threads of a team start together, meet, part and share out work: see ``threads``.

cdef struct Team:
    # A thread and its team.
    int64_t thread
    int64_t threads
    int64_t *gate  # of the run; NULL for a lone thread
    int64_t expected  # arrivals that complete the next meeting

cdef int64_t CLOSED = 1LL << CLOSED_BIT

ctypedef void (*Job)(void *arguments, int64_t thread, int64_t threads) noexcept nogil


cdef inline Team alone() noexcept nogil:
    """Return a team of one."""
    cdef Team team
    team.thread, team.threads, team.gate, team.expected = 0, 1, NULL, 0
    return team


cdef inline int64_t share(int64_t n, int64_t thread, int64_t threads) noexcept nogil:
    """Return where a thread's share of n units begins, which is where the previous one ends."""
    return thread * n // threads


cdef inline void wait_a_little(int *spins) noexcept nogil:
    """Pause between two looks at what another thread will write."""
    spins[0] += 1
    if spins[0] < PATIENCE:
        pause()
    else:  # the machine may have fewer free cores than the team has threads
        yield_core()


cdef Team enter(int64_t address, bint leads) noexcept nogil:
    """Enter a run of a team, and return this thread's number and the size of the team.

    See ``threads.run_team``. The leader, thread 0, waits for all threads that were called. A
    thread that finds the run shut gets number -1 and must return without doing anything.
    """
    cdef int64_t *gate = <int64_t *> <size_t> address
    cdef int64_t *at_work
    cdef int spins = 0
    cdef Team team = alone()
    if address == ALONE:
        return team
    team.gate = gate
    if not leads:
        team.thread = atomic_add(gate + JOINED, 1) + 1
        while atomic_load(gate + SIZE) == 0:
            if atomic_load(gate + SHUT):
                team.thread = -1
                return team
            wait_a_little(&spins)
        team.threads = gate[SIZE]
        return team
    at_work = <int64_t *> <size_t> gate[TEAM] + AT_WORK
    if atomic_add(at_work, 1) == 0:
        while atomic_load(gate + JOINED) < gate[CALLED] - 1 and not atomic_load(gate + SHUT):
            wait_a_little(&spins)
        if not atomic_load(gate + SHUT):
            team.threads = gate[CALLED]
            gate[BEGAN] = nanoseconds()
            atomic_add(gate + SIZE, team.threads)
            return team
    atomic_add(at_work, -1)
    atomic_add(gate + SHUT, 1)
    return team


cdef void leave(const Team *team) noexcept nogil:
    """Leave a run; the leader waits until all other threads have left."""
    cdef int spins = 0
    if team.threads == 1:
        return
    if team.thread:
        atomic_add(team.gate + LEFT, 1)
        return
    while atomic_load(team.gate + LEFT) < team.threads - 1:
        wait_a_little(&spins)
    atomic_add(<int64_t *> <size_t> team.gate[TEAM] + AT_WORK, -1)


cdef inline void meet(Team *team) noexcept nogil:
    """Wait until every thread of the team has arrived."""
    cdef int spins = 0
    cdef int64_t began = 0
    if team.threads == 1:
        return
    team.expected += team.threads
    atomic_add(team.gate + ARRIVALS, 1)
    while atomic_load(team.gate + ARRIVALS) < team.expected:
        if spins == PATIENCE:
            began = nanoseconds()
        wait_a_little(&spins)
    if spins > PATIENCE:
        began = nanoseconds() - began
        if began > LONG_WAIT:
            atomic_add(team.gate + WAITED, began)


cdef inline void watch_waits(const Team *team, int64_t step) noexcept nogil:
    """Let the leader decide, before the first meeting of a step, whether the run ends in it."""
    cdef int64_t waited
    if team.threads == 1 or team.thread or step == 0:
        return
    waited = atomic_load(team.gate + WAITED) // (team.threads - 1) - team.gate[ALLOWANCE]
    if waited > 0 and waited > (nanoseconds() - team.gate[BEGAN]) // TOLERABLE:
        atomic_add(team.gate + LAST_STEP, step)


cdef inline bint ends_early(const Team *team, int64_t step) noexcept nogil:
    """Return whether the run ends in this step, after its first meeting: alike in every thread."""
    return team.threads > 1 and step > 0 and atomic_load(team.gate + LAST_STEP) == step


cdef inline void lead(int64_t address, Job job, void *arguments, int64_t threads) noexcept nogil:
    """Do a job of tasks, together with the threads that come to the desk in the meantime.

    The job is posted before the desk opens and stays there until every thread that came in has
    left. If another caller is leading, this thread does the job alone.
    """
    cdef int64_t *desk = <int64_t *> <size_t> address
    cdef int spins = 0
    if threads == 1:
        job(arguments, 0, 1)
        return
    if atomic_add(desk + AT_WORK, 1):
        atomic_add(desk + AT_WORK, -1)
        job(arguments, 0, 1)
        return
    desk[FUNCTION], desk[ARGUMENTS] = <int64_t> <size_t> job, <int64_t> <size_t> arguments
    desk[COUNT] = threads
    atomic_add(desk + INSIDE, CLOSED)
    atomic_add(desk + NUMBER, 1)
    job(arguments, 0, threads)
    atomic_add(desk + INSIDE, -CLOSED)
    while atomic_load(desk + INSIDE) != -CLOSED:
        wait_a_little(&spins)
    atomic_add(desk + AT_WORK, -1)


def attend(int64_t address, int64_t thread):
    """Serve at a desk: see ``threads.run_tasks``. Thread 0, the caller, returns at once."""
    cdef int64_t *desk = <int64_t *> <size_t> address
    cdef int64_t *present = desk + PRESENT + thread * DESK_LINE
    cdef int64_t number, last = -1
    cdef int spins = 0
    if thread == 0:
        return
    with nogil:
        __atomic_store_n(present, 1, __ATOMIC_RELEASE)
        while spins < LINGER and atomic_load(present):
            number = atomic_load(desk + NUMBER)
            if number != last:
                last, spins = number, 0
                # A new number means that a job was posted, but it may be over by now.
                if atomic_add(desk + INSIDE, 1) >= 0:
                    if thread < desk[COUNT]:
                        (<Job> <size_t> desk[FUNCTION])(
                            <void *> <size_t> desk[ARGUMENTS], thread, desk[COUNT]
                        )
                atomic_add(desk + INSIDE, -1)
            spins += 1
            pause()
        __atomic_store_n(present, 0, __ATOMIC_RELEASE)
