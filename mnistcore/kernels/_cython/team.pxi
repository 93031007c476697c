# The members of a team of threads: their shares of the work, and their desk.

cdef enum:
    NUMBER = 0  # threads.NUMBER and what follows it there
    FUNCTION = 1
    ARGUMENTS = 2
    COUNT = 3
    INSIDE = 16
    PRESENT = 48
    DESK_LINE = 16
    LINGER = 20_000
    BLOCK = 8  # rows, or columns of the inputs, that share a list of what is not zero

cdef int64_t CLOSED = 1LL << 32

ctypedef void (*Job)(void *arguments, int64_t index, int64_t count) noexcept nogil

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


cdef void lead(int64_t address, Job job, void *arguments, int64_t count) noexcept nogil:
    """Do a job of tasks, together with the members that come to the desk meanwhile.

    The job is posted before the desk opens, and stands until all that came in have left. Where
    another caller leads, this thread does it alone.
    """
    cdef int64_t *desk = <int64_t *> <size_t> address
    cdef int spins = 0
    if count == 1:
        job(arguments, 0, 1)
        return
    if add(desk + AT_WORK, 1) > 1:
        add(desk + AT_WORK, -1)
        job(arguments, 0, 1)
        return
    desk[FUNCTION], desk[ARGUMENTS] = <int64_t> <size_t> job, <int64_t> <size_t> arguments
    desk[COUNT] = count
    add(desk + INSIDE, CLOSED)
    add(desk + NUMBER, 1)
    job(arguments, 0, count)
    add(desk + INSIDE, -CLOSED)
    while seen(desk + INSIDE) != -CLOSED:
        wait_a_little(&spins)
    add(desk + AT_WORK, -1)


def attend(int64_t address, int64_t index):
    """Be a member at the desk: see ``threads.run_tasks``. Member 0, the caller, never is."""
    cdef int64_t *desk = <int64_t *> <size_t> address
    cdef int64_t *present = desk + PRESENT + index * DESK_LINE
    cdef int64_t number, last = -1
    cdef int spins = 0
    if index == 0:
        return
    with nogil:
        __atomic_store_n(present, 1, __ATOMIC_RELEASE)
        while spins < LINGER and seen(present):
            number = seen(desk + NUMBER)
            if number != last:
                last, spins = number, 0
                # A new number says that a job was posted; it may be over by now.
                if add(desk + INSIDE, 1) > 0:
                    if index < desk[COUNT]:
                        (<Job> <size_t> desk[FUNCTION])(
                            <void *> <size_t> desk[ARGUMENTS], index, desk[COUNT]
                        )
                add(desk + INSIDE, -1)
            spins += 1
            pause_cpu()
        __atomic_store_n(present, 0, __ATOMIC_RELEASE)


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
