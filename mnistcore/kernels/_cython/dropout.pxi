# Dropout: random numbers from a hash of counters, masks, and the kernel.

cdef inline uint32_t mix(uint32_t x) noexcept nogil:
    """Return ``layout.mix32`` of one number."""
    x = (x ^ (x >> 16)) * <uint32_t> 0x7FEB352D
    x = (x ^ (x >> 15)) * <uint32_t> 0x846CA68B
    return x ^ (x >> 16)


cdef inline uint32_t row_key(
    int64_t seed, int64_t epoch, int64_t sample, int64_t layer
) noexcept nogil:
    """Return the part of ``layout.random_bits`` that all units of a sample share."""
    cdef uint32_t key = mix(mix(<uint32_t> seed) + <uint32_t> epoch)
    return mix(mix(key + <uint32_t> sample) + <uint32_t> layer)


cdef inline double dropout_rate(uint32_t threshold) noexcept nogil:
    """Return the dropout rate of an entry in the DROPOUT column."""
    return threshold / 4294967296.0


cdef inline uvec random_lanes(uint32_t key, int64_t unit) noexcept nogil:
    """Return the random numbers of the units unit, unit + 1, ... of a sample."""
    cdef uint32_t units[VL]
    cdef uvec x
    cdef int i
    for i in range(VL):
        units[i] = (<uint32_t> unit + i) * <uint32_t> GOLDEN
    memcpy(&x, units, sizeof(units))
    x = splat_bits(key) ^ x
    x = (x ^ (x >> 16)) * splat_bits(0x7FEB352D)
    x = (x ^ (x >> 15)) * splat_bits(0x846CA68B)
    return x ^ (x >> 16)


cdef inline ivec keep_mask(uint32_t key, int64_t unit, uint32_t threshold) noexcept nogil:
    """Return a mask of all ones where the units unit, unit + 1, ... of the sample are kept."""
    return ~less_bits(random_lanes(key, unit), splat_bits(threshold))


def dropout(
    const float[:, ::1] a, const int64_t[::1] samples, uint32_t threshold, int64_t seed,
    int64_t epoch, int64_t layer, float[:, ::1] out,
):
    """Set out to a / (1 - rate) for kept units, else 0: a and out (B, O), samples (B,) ids.

    ``threshold`` is the rate in units of 2**-32.
    """
    cdef int64_t n = a.shape[1], row, v, unit, size
    cdef vec factor = splat(<float> (1 / (1 - dropout_rate(threshold))))
    cdef vec x
    cdef uint32_t key, mode
    with nogil:
        mode = flush_denormals()
        for row in range(a.shape[0]):
            key = row_key(seed, epoch, samples[row], layer)
            for v in range(divide_up(n, VL)):
                unit = v * VL
                size = min(n - unit, <int64_t> VL)
                x = load_first(&a[row, unit], size) * factor
                x = select(keep_mask(key, unit, threshold), x, splat(0))
                store_first(&out[row, unit], x, size)
        set_float_mode(mode)
