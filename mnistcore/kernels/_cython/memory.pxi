# Raw memory: addresses of arrays, allocated blocks, and places in a workspace.
#
# The debug build (CHECKED) puts a guard after each block, place and scratch buffer: words that no
# kernel produces. Loading or storing a vector across a guard is noticed at once (see ``load``), and
# any other write to it when the guard is removed. Every guard must be removed, because memory that
# is reused would otherwise look guarded where it is not.

from libc.stdint cimport int32_t
from libc.stdlib cimport free
from posix.stdlib cimport posix_memalign

cdef extern from *:
    enum:
        CHECKED  # 1 in the debug build, else 0: a macro that setup.py defines

cdef enum:
    LINE = 64  # bytes in a cache line
    LINE_FLOATS = 16
    GUARD_WORDS = 32 * CHECKED  # at least one vector
    LEAVE_GUARDS = 0
    SET_GUARDS = 1
    REMOVE_GUARDS = 2


DEBUG_BUILD = bool(CHECKED)


cdef inline int64_t divide_up(int64_t n, int64_t by) noexcept nogil:
    return (n + by - 1) // by


cdef inline void set_guard(float *guard) noexcept nogil:
    """Write the guard that ``remove_guard`` checks."""
    cdef int64_t i
    if CHECKED:
        for i in range(GUARD_WORDS):
            (<int32_t *> guard)[i] = GUARD


cdef inline void remove_guard(float *guard) noexcept nogil:
    """Remove a guard; abort if it was overwritten."""
    cdef volatile int32_t *words = <volatile int32_t *> guard  # stores must not be optimised away
    cdef int64_t i
    if CHECKED:
        for i in range(GUARD_WORDS):
            require(words[i] == GUARD)
            words[i] = 0


cdef void *allocate(size_t n) except NULL:
    """Allocate n bytes in whole cache lines, plus one spare line; free with ``release``."""
    cdef void *block
    cdef size_t size = (n + LINE - 1) // LINE * LINE + LINE
    if posix_memalign(&block, LINE, size + CHECKED * (LINE + GUARD_WORDS * sizeof(float))):
        raise MemoryError()
    if CHECKED:  # a line with the size before the block, a guard after it
        (<size_t *> block)[0] = size
        block = <char *> block + LINE
        set_guard(<float *> (<char *> block + size))
    return block


cdef void release(void *block) noexcept:
    """Free what ``allocate`` returned, or do nothing for NULL."""
    if CHECKED and block != NULL:
        block = <char *> block - LINE
        remove_guard(<float *> (<char *> block + LINE + (<size_t *> block)[0]))
    free(block)


cdef inline const float *address(const float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef inline float *out_address(float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef struct Space:
    # A workspace from which places are taken in order.
    float *base  # NULL: only count
    int64_t used  # floats
    int guards  # LEAVE_GUARDS, SET_GUARDS or REMOVE_GUARDS


cdef Space space_in(float[::1] workspace) noexcept nogil:
    """Return the space from the first cache line boundary in a workspace on (skips < 16 floats)."""
    cdef Space space = no_space()
    space.base = <float *> ((<size_t> &workspace[0] + LINE - 1) // LINE * LINE)
    return space


cdef Space no_space() noexcept nogil:
    """Return a space without memory, which only counts what is taken."""
    cdef Space space
    space.base, space.used, space.guards = NULL, 0, LEAVE_GUARDS
    return space


cdef inline float *take(Space *space, int64_t n) noexcept nogil:
    """Take a place of n floats, in whole cache lines; setting its guard fills it with NaN.

    Taking the same sizes in the same order again gives the same places.
    """
    cdef float *place = space.base + space.used
    space.used += divide_up(n, LINE_FLOATS) * LINE_FLOATS + GUARD_WORDS
    if CHECKED and space.guards == SET_GUARDS:
        memset(place, 255, n * sizeof(float))
        set_guard(place + n)
    elif CHECKED and space.guards == REMOVE_GUARDS:
        remove_guard(place + n)
    return place
