# Vectors of VL int32: what the operators of C do not say.

cdef inline ivec load_ints(const int32_t *p) noexcept nogil:
    cdef ivec x
    memcpy(&x, p, sizeof(x))
    return x


cdef inline void store_ints(int32_t *p, ivec x) noexcept nogil:
    memcpy(p, &x, sizeof(x))


cdef inline ivec splat_ints(int64_t x) noexcept nogil:
    return as_signed(splat_bits(<uint32_t> x))


cdef inline ivec lanes() noexcept nogil:
    """Return the numbers 0, 1, 2 and so on."""
    cdef int32_t numbers[VL]
    cdef int i
    for i in range(VL):
        numbers[i] = i
    return load_ints(numbers)


cdef inline ivec choose(ivec mask, ivec a, ivec b) noexcept nogil:
    return (mask & a) | (~mask & b)


cdef inline ivec least_unsigned(ivec a, ivec b) noexcept nogil:
    """Return the smaller, lane by lane, where a negative number counts as a large one."""
    return choose(less_bits(as_unsigned(a), as_unsigned(b)), a, b)


cdef inline ivec gather_ints(const int32_t *base, ivec offsets) noexcept nogil:
    """Load for each lane the int32 at base + its offset."""
    cdef int32_t places[VL]
    cdef int32_t found[VL]
    cdef int i
    store_ints(places, offsets)
    for i in range(VL):
        found[i] = base[places[i]]
    return load_ints(found)


cdef inline ivec low_bytes(ivec x) noexcept nogil:
    return x & splat_ints(255)


cdef inline ivec load_bytes_first(const uint8_t *p, int64_t n) noexcept nogil:
    """Load n <= VL bytes, then zeros; memory after them is not touched."""
    cdef uint8_t octets[VL]
    cdef int32_t numbers[VL]
    cdef int i
    if n == VL:
        memcpy(octets, p, VL)
    else:
        memset(octets, 0, VL)
        for i in range(n):
            octets[i] = p[i]
    for i in range(VL):
        numbers[i] = octets[i]
    return load_ints(numbers)


cdef inline void store_bytes_first(uint8_t *p, ivec x, int64_t n) noexcept nogil:
    """Write the low bytes of the first n <= VL lanes; memory after them is not touched."""
    cdef uint8_t octets[VL]
    cdef int32_t numbers[VL]
    cdef int i
    store_ints(numbers, x)
    for i in range(VL):
        octets[i] = <uint8_t> numbers[i]
    if n == VL:
        memcpy(p, octets, VL)
    else:
        for i in range(n):
            p[i] = octets[i]
