# Raw memory: addresses of arrays, blocks of our own, and places in a workspace.
#
# The debug build (CHECKED) puts a guard behind each block, place and scratch: words that no kernel
# makes. A vector that is loaded or stored across one is noticed at once (see ``load``), anything
# else that was written there when the guard is removed. None must stay behind: memory that is used
# again would look guarded where it is not.

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
    """Write the guard that ``remove_guard`` will look for."""
    cdef int64_t i
    if CHECKED:
        for i in range(GUARD_WORDS):
            (<int32_t *> guard)[i] = GUARD


cdef inline void remove_guard(float *guard) noexcept nogil:
    """Abort where something was written over a guard."""
    cdef volatile int32_t *words = <volatile int32_t *> guard  # a store that must not be left out
    cdef int64_t i
    if CHECKED:
        for i in range(GUARD_WORDS):
            require(words[i] == GUARD)
            words[i] = 0


cdef void *allocate(size_t n) except NULL:
    """n bytes on cache lines of their own, and one line more; for ``release``."""
    cdef void *block
    cdef size_t size = (n + LINE - 1) // LINE * LINE + LINE
    if posix_memalign(&block, LINE, size + CHECKED * (LINE + GUARD_WORDS * sizeof(float))):
        raise MemoryError()
    if CHECKED:  # a line with the size before the block, a guard behind it
        (<size_t *> block)[0] = size
        block = <char *> block + LINE
        set_guard(<float *> (<char *> block + size))
    return block


cdef void release(void *block) noexcept:
    """Free what ``allocate`` gave; NULL is nothing."""
    if CHECKED and block != NULL:
        block = <char *> block - LINE
        remove_guard(<float *> (<char *> block + LINE + (<size_t *> block)[0]))
    free(block)


cdef inline const float *address(const float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef inline float *out_address(float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef struct Space:
    # A workspace from which places are taken, one after another.
    float *base  # NULL: only count
    int64_t used  # floats
    int guards  # what to do about them


cdef Space space_in(float[::1] workspace) noexcept nogil:
    """All of a workspace from the first cache line that begins in it on, at most 16 floats."""
    cdef Space space = no_space()
    space.base = <float *> ((<size_t> &workspace[0] + LINE - 1) // LINE * LINE)
    return space


cdef Space no_space() noexcept nogil:
    """A space without memory, to count what is taken."""
    cdef Space space
    space.base, space.used, space.guards = NULL, 0, LEAVE_GUARDS
    return space


cdef inline float *take(Space *space, int64_t n) noexcept nogil:
    """A place of n floats, whole cache lines; full of NaN where its guard is set.

    What takes the same places again, with the same sizes, finds them where they were.
    """
    cdef float *place = space.base + space.used
    space.used += divide_up(n, LINE_FLOATS) * LINE_FLOATS + GUARD_WORDS
    if CHECKED and space.guards == SET_GUARDS:
        memset(place, 255, n * sizeof(float))
        set_guard(place + n)
    elif CHECKED and space.guards == REMOVE_GUARDS:
        remove_guard(place + n)
    return place
