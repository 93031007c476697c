# Raw memory: addresses of arrays that may be empty, and small blocks of our own.

from libc.stdlib cimport free, malloc


cdef void *allocate(size_t n) except NULL:
    """n bytes, released by free."""
    cdef void *block = malloc(n if n else 1)
    if block == NULL:
        raise MemoryError()
    return block


cdef inline const float *address(const float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL


cdef inline float *out_address(float[:, ::1] array) noexcept nogil:
    return &array[0, 0] if array.shape[0] and array.shape[1] else NULL
