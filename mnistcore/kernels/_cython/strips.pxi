# Vectors of a narrow first layer, LANES neighbouring inputs or a unit's weights of these inputs.
#
# They are no longer than a strip, since eight neighbouring inputs are more often all zero than
# sixteen, so they are half as long as other vectors on AVX-512.

cdef inline strip_vec splat_strip(float x) noexcept nogil:
    return x - NO_SUM  # minus: for GCC to see that x stays as it is, -0.0 too


cdef inline strip_vec load_strip(const float *p) noexcept nogil:
    check_lanes(p, LANES)
    return (<const loose_strip *> p)[0]


cdef inline void store_strip(float *p, strip_vec x) noexcept nogil:
    check_lanes(p, LANES)
    (<loose_strip *> p)[0] = x


cdef inline void halve(const int n, const int m, strip_vec *total) noexcept nogil:
    """Add halves of m vectors, the first n of which are not zero, to give half as many vectors.

    Vectors m / 2 apart are combined, so that the lanes end up in the order of the vectors.
    """
    cdef int i
    for i in range(min(n, m // 2)):
        total[i] = (
            zip_strips(total[i], total[i + m // 2], 0)
            + zip_strips(total[i], total[i + m // 2], LANES // 2)
        )


cdef inline strip_vec sum_lanes(const int n, strip_vec *total) noexcept nogil:
    """Return a vector whose lane i is the sum of all lanes of total[i], for i < n <= LANES."""
    cdef int i
    if n <= 0:
        return splat_strip(0)
    for i in range(n, LANES):
        total[i] = splat_strip(0)
    if LANES == 8:
        halve(n, 8, total)
    halve(n, 4, total)
    halve(2, 2, total)
    return total[0]
