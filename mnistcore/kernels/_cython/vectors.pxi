# The vector type and what Cython has no word for, in C; then exp, tanh and the random numbers.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if defined(__x86_64__)
      #include <immintrin.h>
      #define get_float_mode() _mm_getcsr()
      #define set_float_mode(mode) _mm_setcsr(mode)
      #define FLUSH_TO_ZERO 0x8040u
      #define has(feature) (__builtin_cpu_supports(feature) != 0)
    #else
      #include <arm_neon.h>
      #define get_float_mode() ({ uint64_t mode; \\
          __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode)); mode; })
      #define set_float_mode(mode) __asm__ __volatile__("msr fpcr, %0" : : "r"((uint64_t)(mode)))
      #define FLUSH_TO_ZERO (1u << 24)
      #define has(feature) 0
    #endif
    #define has_avx2() (has("avx2") && has("fma"))
    #define has_avx512() (has("avx512f") && has("avx512vl") && has("avx512dq") && has("avx512bw"))
    #if defined(__AVX512F__)
      enum { VL = 16, MR = 14 };
      #define fma_vec(a, b, c) ((vec)_mm512_fmadd_ps(a, b, c))
      #define sqrt_vec(x) ((vec)_mm512_sqrt_ps(x))
      #define PAIRS(i) i, i+16, i+1, i+17, i+2, i+18, i+3, i+19, \\
                       i+4, i+20, i+5, i+21, i+6, i+22, i+7, i+23
    #elif defined(__AVX2__)
      enum { VL = 8, MR = 6 };
      #define fma_vec(a, b, c) ((vec)_mm256_fmadd_ps(a, b, c))
      #define sqrt_vec(x) ((vec)_mm256_sqrt_ps(x))
      #define PAIRS(i) i, i+8, i+1, i+9, i+2, i+10, i+3, i+11
    #else
      #define PAIRS(i) i, i+4, i+1, i+5
      #if defined(__x86_64__)
        enum { VL = 4, MR = 6 };
        #define fma_vec(a, b, c) ((a) * (b) + (c))
        #define sqrt_vec(x) ((vec)_mm_sqrt_ps(x))
      #else
        enum { VL = 4, MR = 12 };
        #define fma_vec(a, b, c) ((vec)vfmaq_f32(c, a, b))
        #define sqrt_vec(x) ((vec)vsqrtq_f32(x))
      #endif
    #endif
    typedef float vec __attribute__((vector_size(4 * VL)));
    typedef int32_t ivec __attribute__((vector_size(4 * VL)));
    typedef uint32_t uvec __attribute__((vector_size(4 * VL)));
    typedef vec loose_vec __attribute__((aligned(4), may_alias));
    #define load(p) ((vec)*(const loose_vec *)(p))
    #define store(p, x) (*(loose_vec *)(p) = (x))
    #define splat(x) ((float)(x) - (vec){0})
    #define splat_bits(x) ((uint32_t)(x) + (uvec){0})
    #define less(a, b) ((ivec)((a) < (b)))
    #define select(mask, a, b) ((vec)(((mask) & (ivec)(a)) | (~(mask) & (ivec)(b))))
    #ifdef __clang__
      #define shuffle(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
      #define shuffle(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
    #endif
    #define zip_low(a, b) shuffle(a, b, PAIRS(0))
    #define zip_high(a, b) shuffle(a, b, PAIRS(VL / 2))
    #if defined(__AVX512BW__)
      #define nonzero_bytes(p) _mm512_test_epi8_mask(_mm512_loadu_si512(p), _mm512_set1_epi8(-1))
      #define LANES _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
      #define store_set_bits(p, bits, base) _mm512_storeu_si512(p, \
          _mm512_maskz_compress_epi32(bits, _mm512_add_epi32(LANES, _mm512_set1_epi32(base))))
    #elif defined(__x86_64__)
      #define ZEROS(p, i) ((uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8( \
          _mm_loadu_si128((const __m128i *)(p) + i), _mm_setzero_si128())) << 16 * i)
      #define nonzero_bytes(p) (~(ZEROS(p, 0) | ZEROS(p, 1) | ZEROS(p, 2) | ZEROS(p, 3)))
    #else
      #define MARKS(p, i) ((uint64_t)vaddv_u8(vand_u8(vtst_u8(vld1_u8((p) + 8 * i), \
          vdup_n_u8(255)), vcreate_u8(0x8040201008040201))) << 8 * i)
      #define nonzero_bytes(p) (MARKS(p, 0) | MARKS(p, 1) | MARKS(p, 2) | MARKS(p, 3) | \
          MARKS(p, 4) | MARKS(p, 5) | MARKS(p, 6) | MARKS(p, 7))
    #endif
    #ifndef store_set_bits
      #define store_set_bits(p, bits, base) ((void)0)
    #endif
    """
    ctypedef float vec  # VL floats
    ctypedef int ivec  # VL int32
    ctypedef unsigned int uvec  # VL uint32
    enum:
        VL  # floats in a vector
        MR  # rows of the register tile
        FLUSH_TO_ZERO
    vec load(const float *p) noexcept nogil
    void store(float *p, vec x) noexcept nogil
    vec splat(float x) noexcept nogil
    uvec splat_bits(uint32_t x) noexcept nogil
    vec fma "fma_vec"(vec a, vec b, vec c) noexcept nogil  # a * b + c
    vec sqrt "sqrt_vec"(vec x) noexcept nogil
    ivec less(vec a, vec b) noexcept nogil  # lanes of all ones where a < b
    ivec less_bits "less"(uvec a, uvec b) noexcept nogil
    vec select(ivec mask, vec a, vec b) noexcept nogil  # a where the mask is set, else b
    ivec bits "(ivec)"(vec x) noexcept nogil
    uvec as_unsigned "(uvec)"(ivec x) noexcept nogil
    vec from_bits "(vec)"(ivec x) noexcept nogil
    vec zip_low(vec a, vec b) noexcept nogil  # a0 b0 a1 b1 ... of the lower halves
    vec zip_high(vec a, vec b) noexcept nogil  # the same of the upper halves
    uint64_t nonzero_bytes(const uint8_t *p) noexcept nogil  # bit i is set where p[i] is not 0
    # The number of the lowest set bit, x not 0; and how many are set.
    int lowest_bit "__builtin_ctzll"(uint64_t x) noexcept nogil
    int count_bits "__builtin_popcount"(uint32_t x) noexcept nogil
    void store_set_bits(int32_t *p, int bits, int64_t base) noexcept nogil  # VL 16: see append_bits
    uint32_t get_float_mode() noexcept nogil
    void set_float_mode(uint32_t mode) noexcept nogil
    bint has_avx2() noexcept nogil  # of the CPU and the operating system, when it runs
    bint has_avx512() noexcept nogil
    void __builtin_prefetch(const void *p, int write, int locality) noexcept nogil

cdef enum:
    NR = 2 * VL  # columns of the register tile
    ROUNDS = 2 + VL // 8  # log2(VL)


cdef inline void copy_part(float *to, const float *source, int64_t n) noexcept nogil:
    """Copy n < NR floats in pieces whose sizes the compiler knows."""
    if VL >= 16 and n & 16:
        memcpy(to, source, 64)
        to += 16
        source += 16
    if VL >= 8 and n & 8:
        memcpy(to, source, 32)
        to += 8
        source += 8
    if n & 4:
        memcpy(to, source, 16)
        to += 4
        source += 4
    if n & 2:
        memcpy(to, source, 8)
        to += 2
        source += 2
    if n & 1:
        to[0] = source[0]


cdef inline vec load_part(const float *p, int64_t n) noexcept nogil:
    """The first n <= VL floats at p and zeros; touches nothing behind them."""
    cdef float lanes[VL]
    if n == VL:
        return load(p)
    store(lanes, splat(0))
    copy_part(lanes, p, n % VL)
    return load(lanes)


cdef inline void store_part(float *p, vec x, int64_t n) noexcept nogil:
    """Store the first n <= VL lanes of x at p."""
    cdef float lanes[VL]
    if n == VL:
        store(p, x)
    else:
        store(lanes, x)
        copy_part(p, lanes, n % VL)


cdef inline vec maximum(vec a, vec b) noexcept nogil:
    """The larger, lane by lane; b where either is NaN."""
    return select(less(b, a), a, b)


cdef inline vec minimum(vec a, vec b) noexcept nogil:
    """The smaller, lane by lane; b where either is NaN."""
    return select(less(a, b), a, b)


cdef inline vec exp(vec x) noexcept nogil:
    """e**x to about 1 ulp; 0 below -87.4, inf above 88.4, NaN for NaN.

    ``x = n log 2 + r`` with log 2 in two parts (Cody and Waite 1980, chapter 6), a polynomial
    for e**r (the coefficients of Cephes' expf) and n added to the exponent. Adding 1.5 * 2**23
    rounds to an integer and leaves it in the low bits.
    """
    cdef vec rounder = splat(12582912.0)
    cdef vec clamped = minimum(splat(89.0), maximum(splat(-88.0), x))
    cdef vec shifted = fma(clamped, splat(1.44269504088896341), rounder)
    cdef vec n = shifted - rounder
    cdef vec r = fma(n, splat(2.12194440e-4), fma(n, splat(-0.693359375), clamped))
    cdef vec p = splat(1.9875691500e-4)
    p = fma(p, r, splat(1.3981999507e-3))
    p = fma(p, r, splat(8.3334519073e-3))
    p = fma(p, r, splat(4.1665795894e-2))
    p = fma(p, r, splat(1.6666665459e-1))
    p = fma(p, r, splat(5.0000001201e-1))
    p = fma(p, r * r, r + splat(1.0))
    return p * from_bits((bits(shifted) + 127) << 23)


cdef inline vec tanh(vec x) noexcept nogil:
    """tanh x to about 2 ulp, small x included: a polynomial below 0.625, else by exp (Cephes)."""
    cdef ivec sign = bits(x) & bits(splat(-0.0))
    cdef vec size = from_bits(bits(x) ^ sign)
    cdef vec large = splat(1.0) - splat(2.0) / (exp(size + size) + splat(1.0))
    cdef vec square = size * size
    cdef vec p = splat(-5.70498872745e-3)
    p = fma(p, square, splat(2.06390887954e-2))
    p = fma(p, square, splat(-5.37397155531e-2))
    p = fma(p, square, splat(1.33314422036e-1))
    p = fma(p, square, splat(-3.33332819422e-1))
    p = fma(p * square, size, size)
    p = select(less(size, splat(0.625)), p, large)
    return from_bits(bits(p) | sign)


cdef inline vec logistic(vec x) noexcept nogil:
    return splat(1.0) / (splat(1.0) + exp(splat(0.0) - x))


cdef inline uint32_t mix(uint32_t x) noexcept nogil:
    """``layout.mix32`` for one number."""
    x = (x ^ (x >> 16)) * <uint32_t> 0x7FEB352D
    x = (x ^ (x >> 15)) * <uint32_t> 0x846CA68B
    return x ^ (x >> 16)


cdef inline uint32_t random_key(
    int64_t seed, int64_t epoch, int64_t sample, int64_t layer
) noexcept nogil:
    """``layout.random_bits``: what is common to the units of a sample."""
    cdef uint32_t key = mix(mix(<uint32_t> seed) + <uint32_t> epoch)
    return mix(mix(key + <uint32_t> sample) + <uint32_t> layer)


cdef inline ivec keep_mask(uint32_t key, int64_t unit, uint32_t threshold) noexcept nogil:
    """All ones where the units unit, unit + 1, ... of the sample stay."""
    cdef uint32_t units[VL]
    cdef uvec x
    cdef int i
    for i in range(VL):
        units[i] = (<uint32_t> unit + i) * <uint32_t> 0x9E3779B9
    memcpy(&x, units, sizeof(units))
    x = splat_bits(key) ^ x
    x = (x ^ (x >> 16)) * splat_bits(0x7FEB352D)
    x = (x ^ (x >> 15)) * splat_bits(0x846CA68B)
    x = x ^ (x >> 16)
    return ~less_bits(x, splat_bits(threshold))


cdef inline void transpose_bits(uint64_t *x) noexcept nogil:
    """Transpose 64 x 64 bits in place: swap quadrants, then theirs (Warren 2012, section 7-3)."""
    cdef uint64_t swapped, mask = 0xFFFFFFFF
    cdef int64_t half = 32, pair, i
    while half:
        for pair in range(32 // half):
            for i in range(2 * pair * half, (2 * pair + 1) * half):
                swapped = ((x[i] >> half) ^ x[i + half]) & mask
                x[i] ^= swapped << half
                x[i + half] ^= swapped
        half //= 2
        mask ^= mask << half


cdef inline uint32_t enter_float_mode() noexcept nogil:
    """Flush denormals to zero in this thread; the mode to restore when done.

    Moments of dead units decay into denormals, which cost a hundred cycles each.
    """
    cdef uint32_t before = get_float_mode()
    set_float_mode(before | FLUSH_TO_ZERO)
    return before


def instruction_sets():
    """The names of the builds that this machine can run, best first."""
    names = []
    if has_avx512():
        names.append("avx512")
    if has_avx2():
        names.append("avx2")
    names.append("baseline")
    return names
