# Raw memory: addresses of arrays, blocks of our own, and places in a workspace.
#
# The debug build (CHECKED) puts a guard behind each block and each place: words that no kernel
# writes. A vector that is loaded or stored across one is noticed at once (see ``load``), anything
# else that was written there when the block is released or the program ends.

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


cdef inline int64_t divide_up(int64_t n, int64_t by) noexcept nogil:
    return (n + by - 1) // by


cdef inline void set_guard(float *guard) noexcept nogil:
    """Write the guard that ``require_guard`` will look for."""
    cdef int64_t i
    if CHECKED:
        for i in range(GUARD_WORDS):
            (<int32_t *> guard)[i] = GUARD


cdef inline void require_guard(const float *guard) noexcept nogil:
    """Abort where something was written over a guard."""
    cdef int64_t i
    if CHECKED:
        for i in range(GUARD_WORDS):
            require((<const int32_t *> guard)[i] == GUARD)


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
        require_guard(<float *> (<char *> block + LINE + (<size_t *> block)[0]))
    free(block)


cdef inline const float *address(const float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef inline float *out_address(float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef struct Space:
    # A workspace from which places are taken, one after another.
    float *base  # NULL: only count
    int64_t used  # floats
    bint guarded  # the guards are written: look whether they still stand


cdef Space space_in(float[::1] workspace) noexcept nogil:
    """An empty space, from the first cache line that begins in a workspace: 16 floats at most."""
    cdef Space space = no_space()
    space.base = <float *> ((<size_t> &workspace[0] + LINE - 1) // LINE * LINE)
    return space


cdef Space no_space() noexcept nogil:
    """A space without memory, to count what is taken."""
    cdef Space space
    space.base, space.used, space.guarded = NULL, 0, False
    return space


cdef inline float *take(Space *space, int64_t n) noexcept nogil:
    """A place of n floats, whole cache lines."""
    cdef float *place = space.base + space.used
    space.used += divide_up(n, LINE_FLOATS) * LINE_FLOATS + GUARD_WORDS
    if CHECKED and space.base != NULL:
        if space.guarded:
            require_guard(place + n)
        else:
            set_guard(place + n)
    return place
