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
