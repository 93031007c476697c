# The members of a team of threads: their barrier and their shares of the work.

cdef enum:
    PATIENCE = 2000  # _threads.PATIENCE

cdef struct Member:
    # One thread of a team.
    int64_t index
    int64_t count
    int64_t *barrier  # of _threads.new_barrier: the arrivals of the whole team
    int64_t expected

cdef struct Share:
    # A member's share of all (panel, row) pairs, handed out in tiles of at most MR rows.
    int64_t rows  # in each panel
    int64_t unit  # the first pair of the run of rows in hand
    int64_t stop
    int64_t first
    int64_t n
    int64_t tile
    int64_t tiles
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


cdef inline Share share_of(const Member *member, int64_t panels, int64_t rows) noexcept nogil:
    """Equal shares in panel-major order; as many panels as members: each owns its columns."""
    cdef Share share
    memset(&share, 0, sizeof(Share))
    share.rows = rows
    share.unit = member.index * panels * rows // member.count
    share.stop = (member.index + 1) * panels * rows // member.count
    return share


cdef inline bint next_tile(Share *share) noexcept nogil:
    if share.tile == share.tiles:
        share.unit += share.n
        if share.unit >= share.stop:
            return False
        share.panel = share.unit // share.rows
        share.first = share.unit % share.rows
        share.n = min(share.rows - share.first, share.stop - share.unit)
        share.tile = 0
        share.tiles = divide_up(share.n, MR)
    share.low = share.first + share.tile * share.n // share.tiles
    share.tile += 1
    share.high = share.first + share.tile * share.n // share.tiles
    return True
