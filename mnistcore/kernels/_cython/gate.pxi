# How the threads of a team come together for one run, meet in it, and part: see ``threads``.

from libc.stdint cimport int64_t

cdef extern from "<sched.h>":
    int sched_yield() noexcept nogil

cdef extern from *:
    """
    #if defined(__x86_64__)
      #define pause_cpu() __builtin_ia32_pause()
    #else
      #define pause_cpu() __asm__ __volatile__("yield")
    #endif
    """
    void pause_cpu() noexcept nogil
    int64_t __atomic_add_fetch(int64_t *, int64_t, int) noexcept nogil
    int64_t __atomic_load_n(const int64_t *, int) noexcept nogil
    void __atomic_store_n(int64_t *, int64_t, int) noexcept nogil
    int __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE, __ATOMIC_RELEASE

cdef enum:
    PATIENCE = 2000  # threads.PATIENCE
    ARRIVALS = 0  # threads.ARRIVALS and what follows it there
    JOINED = 16
    LEFT = 32
    SIZE = 48
    CALLED = 49
    SHUT = 50
    TEAM = 51
    AT_WORK = 32  # of the desk

cdef struct Member:
    # One thread of a team.
    int64_t index
    int64_t count
    int64_t *gate  # of the run; NULL for a thread alone
    int64_t expected  # arrivals at its next meeting


cdef inline void wait_a_little(int *spins) noexcept nogil:
    """Between two looks at what another thread will write."""
    spins[0] += 1
    if spins[0] < PATIENCE:
        pause_cpu()
    else:  # the machine may have fewer free cores than the team has members
        sched_yield()


cdef inline int64_t seen(const int64_t *number) noexcept nogil:
    """A number that another thread writes, and all that this thread wrote before it."""
    return __atomic_load_n(number, __ATOMIC_ACQUIRE)


cdef inline int64_t add(int64_t *number, int64_t n) noexcept nogil:
    """Add to a number that several threads write; what it is now."""
    return __atomic_add_fetch(number, n, __ATOMIC_ACQ_REL)


cdef Member enter(int64_t address, bint leads) noexcept nogil:
    """Come in to a run of a team: this thread's index and the size of the team.

    See ``threads.run_team``. The leader, with index 0, waits for all that were called. A member
    that finds the run shut has index -1, and goes without doing anything.
    """
    cdef int64_t *gate = <int64_t *> <size_t> address
    cdef int64_t *at_work
    cdef int spins = 0
    cdef Member member
    member.index, member.count, member.gate, member.expected = 0, 1, gate, 0
    if gate == NULL:
        return member
    if not leads:
        member.index = add(gate + JOINED, 1)
        while seen(gate + SIZE) == 0:
            if seen(gate + SHUT):
                member.index = -1
                return member
            wait_a_little(&spins)
        member.count = gate[SIZE]
        return member
    at_work = <int64_t *> <size_t> gate[TEAM] + AT_WORK
    if add(at_work, 1) == 1:
        while seen(gate + JOINED) < gate[CALLED] - 1 and not seen(gate + SHUT):
            wait_a_little(&spins)
        if not seen(gate + SHUT):
            member.count = add(gate + SIZE, gate[CALLED])
            return member
    add(at_work, -1)
    add(gate + SHUT, 1)
    return member


cdef void leave(const Member *member) noexcept nogil:
    """End this thread's part in a run; the leader waits until all others have ended theirs."""
    cdef int spins = 0
    if member.count == 1:
        return
    if member.index:
        add(member.gate + LEFT, 1)
        return
    while seen(member.gate + LEFT) < member.count - 1:
        wait_a_little(&spins)
    add(<int64_t *> <size_t> member.gate[TEAM] + AT_WORK, -1)


cdef inline void meet(Member *member) noexcept nogil:
    """Wait until every thread of the team has come here."""
    cdef int spins = 0
    if member.count == 1:
        return
    member.expected += member.count
    add(member.gate + ARRIVALS, 1)
    while seen(member.gate + ARRIVALS) < member.expected:
        wait_a_little(&spins)
