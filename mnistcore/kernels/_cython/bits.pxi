# Sets as bits: testing bytes for zero, listing set bits, transposing a square of bits.

cdef extern from *:
    """
    #if defined(__AVX512BW__)
      #define nonzero_bits(p) _mm512_test_epi8_mask(_mm512_loadu_si512(p), _mm512_set1_epi8(-1))
      #define test_octets(p) _mm512_test_epi64_mask(_mm512_loadu_si512(p), _mm512_set1_epi8(-1))
    #elif defined(__x86_64__)
      #define test_octets(p) 0  /* there is no such instruction */
      #define ZEROS(p, i) ((uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8( \\
          _mm_loadu_si128((const __m128i *)(p) + i), _mm_setzero_si128())) << 16 * i)
      #define nonzero_bits(p) (~(ZEROS(p, 0) | ZEROS(p, 1) | ZEROS(p, 2) | ZEROS(p, 3)))
    #else
      #define test_octets(p) 0
      #define MARKS(p, i) ((uint64_t)vaddv_u8(vand_u8(vtst_u8(vld1_u8((p) + 8 * i), \\
          vdup_n_u8(255)), vcreate_u8(0x8040201008040201))) << 8 * i)
      #define nonzero_bits(p) (MARKS(p, 0) | MARKS(p, 1) | MARKS(p, 2) | MARKS(p, 3) | \\
          MARKS(p, 4) | MARKS(p, 5) | MARKS(p, 6) | MARKS(p, 7))
    #endif
    """
    uint64_t nonzero_bits(const uint8_t *p) noexcept nogil  # bit i is set where p[i] is not 0
    uint64_t test_octets(const uint8_t *p) noexcept nogil  # of AVX-512: see nonzero_octets
    # The index of the lowest set bit (x must not be 0), and the number of set bits.
    int lowest_bit "__builtin_ctzll"(uint64_t x) noexcept nogil
    int count_bits "__builtin_popcountll"(uint64_t x) noexcept nogil

cdef enum:
    WORD = 64  # bits


cdef inline uint8_t nonzero_bytes(uint64_t bits) noexcept nogil:
    """Return a bit for each byte of a word, set where the byte is not zero."""
    cdef uint64_t low = 0x7F7F7F7F7F7F7F7F
    bits = (((bits & low) + low) | bits) & ~low  # the high bit of each such byte ...
    return <uint8_t> ((bits >> 7) * <uint64_t> 0x0102040810204080 >> 56)  # ... side by side


cdef inline uint64_t nonzero_octets(const uint8_t *p) noexcept nogil:
    """Return a bit for each eight of the 64 bytes at p that are not all zero."""
    return test_octets(p) if VL == 16 else nonzero_bytes(nonzero_bits(p))


cdef inline void swap_quadrants(uint64_t *x, const int64_t half, uint64_t mask) noexcept nogil:
    """Swap two quadrants of each square of 2 half x 2 half bits; ``half`` is a constant."""
    cdef uint64_t swapped
    cdef int64_t i, pair
    for pair in range(32 // half):
        for i in range(2 * pair * half, (2 * pair + 1) * half):
            swapped = ((x[i] >> half) ^ x[i + half]) & mask
            x[i] ^= swapped << half
            x[i + half] ^= swapped


cdef inline void transpose_bits(uint64_t *x) noexcept nogil:
    """Transpose 64 x 64 bits in place by swapping ever smaller quadrants (Warren 2012, 7-3)."""
    swap_quadrants(x, 32, 0x00000000FFFFFFFF)
    swap_quadrants(x, 16, 0x0000FFFF0000FFFF)
    swap_quadrants(x, 8, 0x00FF00FF00FF00FF)
    swap_quadrants(x, 4, 0x0F0F0F0F0F0F0F0F)
    swap_quadrants(x, 2, 0x3333333333333333)
    swap_quadrants(x, 1, 0x5555555555555555)
