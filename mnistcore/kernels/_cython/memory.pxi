# Raw memory: addresses of arrays that may be empty, and small blocks of our own.

from libc.stdlib cimport free
from posix.stdlib cimport posix_memalign

cdef enum:
    LINE = 64  # bytes in a cache line


cdef void *allocate(size_t n) except NULL:
    """n bytes on cache lines of their own, released by free."""
    cdef void *block
    if posix_memalign(&block, LINE, (n + LINE - 1) // LINE * LINE + LINE):
        raise MemoryError()
    return block


cdef inline const float *address(const float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef inline float *out_address(float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef inline float *aligned(float[::1] workspace) noexcept nogil:
    """The first cache line that begins in a workspace: at most 16 floats on."""
    return <float *> ((<size_t> &workspace[0] + 63) // 64 * 64)
