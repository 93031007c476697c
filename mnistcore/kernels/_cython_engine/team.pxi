# The members of a team of threads: their barrier and their shares of the work.

cdef enum:
    PATIENCE = 2000  # _threads.PATIENCE
    BLOCK = 8  # rows, or columns of the inputs, that share a list of what is not zero

cdef struct Member:
    # One thread of a team.
    int64_t index
    int64_t count
    int64_t *barrier  # of _threads.new_barrier: the arrivals of the whole team
    int64_t expected

cdef struct Share:
    # A member's share of all (panel, row) pairs, handed out in tiles of at most MR rows.
    int64_t rows  # in each panel
    int64_t grain  # BLOCK where tiles must not cross a multiple of it, else 1
    int64_t unit  # the first grain of the run of rows in hand, counted panel by panel
    int64_t stop
    int64_t end  # of that run of rows
    int64_t panel  # the tile in hand: rows low to high of the panel
    int64_t low
    int64_t high


cdef inline void meet(Member *member) noexcept nogil:
    """Wait until every member of the team has come here."""
    cdef int spins = 0
    if member.count == 1:
        return
    member.expected += member.count
    __atomic_add_fetch(member.barrier, 1, __ATOMIC_ACQ_REL)
    while __atomic_load_n(member.barrier, __ATOMIC_ACQUIRE) < member.expected:
        spins += 1
        if spins < PATIENCE:
            pause_cpu()
        else:  # the machine may have fewer free cores than the team has members
            sched_yield()


cdef inline Share share_of(
    const Member *member, int64_t panels, int64_t rows, int64_t grain
) noexcept nogil:
    """Equal shares in panel-major order; as many panels as members: each owns its columns."""
    cdef int64_t units = panels * divide_up(rows, grain)
    return share_between(
        rows, grain, member.index * units // member.count,
        (member.index + 1) * units // member.count,
    )


cdef inline Share share_between(
    int64_t rows, int64_t grain, int64_t unit, int64_t stop
) noexcept nogil:
    cdef Share share
    memset(&share, 0, sizeof(Share))
    share.rows, share.grain, share.unit, share.stop = rows, grain, unit, stop
    return share


cdef inline bint next_tile(Share *share) noexcept nogil:
    """Go on to the next tile; False where there is none."""
    cdef int64_t units, n
    if share.high == share.end:
        if share.unit >= share.stop:
            return False
        units = divide_up(share.rows, share.grain)
        share.panel = share.unit // units
        n = min(units - share.unit % units, share.stop - share.unit)
        share.high = share.unit % units * share.grain
        share.end = min(share.rows, share.high + n * share.grain)
        share.unit += n
    share.low = share.high
    n = share.end - share.low
    if share.grain == BLOCK:
        n = min(n, BLOCK - share.low % BLOCK)
    if n > MR:  # equal tiles: none is much lower than the others
        n = n // divide_up(n, MR)
    share.high = share.low + n
    return True
