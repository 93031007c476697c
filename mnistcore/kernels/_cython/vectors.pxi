# The vector type, in C: Cython has no such type and treats a vector as a float.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if defined(__AVX512F__)
      enum { VL = 16, LANES = 8, MR = 14 };
      #define fma_vec(a, b, c) ((vec)_mm512_fmadd_ps(a, b, c))
      #define sqrt_vec(x) ((vec)_mm512_sqrt_ps(x))
      #define PAIRS(i) i,i+16,i+1,i+17,i+2,i+18,i+3,i+19,i+4,i+20,i+5,i+21,i+6,i+22,i+7,i+23
    #elif defined(__AVX2__)
      enum { VL = 8, LANES = 8, MR = 6 };
      #define fma_vec(a, b, c) ((vec)_mm256_fmadd_ps(a, b, c))
      #define sqrt_vec(x) ((vec)_mm256_sqrt_ps(x))
      #define PAIRS STRIP_PAIRS
    #else
      #define fma_strip fma_vec
      #define widen_strip(p) ((vec){(p)[0], (p)[1], (p)[2], (p)[3]})
      #define STRIP_PAIRS(i) i, i+4, i+1, i+5
      #define PAIRS STRIP_PAIRS
      #if defined(__x86_64__)
        enum { VL = 4, LANES = 4, MR = 6 };
        #define fma_vec(a, b, c) ((a) * (b) + (c))
        #define sqrt_vec(x) ((vec)_mm_sqrt_ps(x))
      #else
        enum { VL = 4, LANES = 4, MR = 12 };
        #define fma_vec(a, b, c) ((vec)vfmaq_f32(c, a, b))
        #define sqrt_vec(x) ((vec)vsqrtq_f32(x))
      #endif
    #endif
    #if defined(__AVX2__)
      #define fma_strip(a, b, c) ((strip_vec)_mm256_fmadd_ps(a, b, c))
      #define widen_strip(p) _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadu_si64(p)))
      #define STRIP_PAIRS(i) i, i+8, i+1, i+9, i+2, i+10, i+3, i+11
    #endif
    typedef float strip_vec __attribute__((vector_size(4 * LANES)));
    typedef int32_t strip_ints __attribute__((vector_size(4 * LANES)));
    typedef strip_vec loose_strip __attribute__((aligned(4), may_alias));
    typedef float vec __attribute__((vector_size(4 * VL)));
    typedef int32_t ivec __attribute__((vector_size(4 * VL)));
    typedef uint32_t uvec __attribute__((vector_size(4 * VL)));
    typedef vec loose_vec __attribute__((aligned(4), may_alias));
    #define splat(x) ((float)(x) - (vec){0})
    #define less(a, b) ((ivec)((a) < (b)))
    #define select(mask, a, b) ((vec)(((mask) & (ivec)(a)) | (~(mask) & (ivec)(b))))
    #ifdef __clang__
      #define shuffle(ints, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
      #define shuffle(ints, a, b, ...) __builtin_shuffle(a, b, (ints){__VA_ARGS__})
    #endif
    #define opaque(p) ({ const float *q_ = (p); __asm__("" : "+r"(q_)); q_; })
    #define zip(a, b, i) shuffle(ivec, a, b, PAIRS(i))
    #define zip_strips(a, b, i) shuffle(strip_ints, a, b, STRIP_PAIRS(i))
    """
    ctypedef float vec  # VL floats
    ctypedef int ivec  # VL int32
    ctypedef unsigned int uvec  # VL uint32
    ctypedef float loose_vec  # in memory, where it may begin at any float
    ctypedef float strip_vec  # LANES floats
    ctypedef float loose_strip
    enum:
        VL  # floats in a vector
        LANES  # at most 8: the floats in a vector of a narrow first layer
        MR  # rows of the register tile
    uvec NO_BITS "((uvec){0})"
    strip_vec NO_SUM "((strip_vec){0})"
    vec splat(float x) noexcept nogil
    vec fma "fma_vec"(vec a, vec b, vec c) noexcept nogil  # a * b + c
    strip_vec fma_strip(strip_vec a, strip_vec b, strip_vec c) noexcept nogil
    vec sqrt "sqrt_vec"(vec x) noexcept nogil
    ivec less(vec a, vec b) noexcept nogil  # lanes of all ones where a < b
    ivec less_bits "less"(uvec a, uvec b) noexcept nogil
    vec select(ivec mask, vec a, vec b) noexcept nogil  # a where the mask is set, else b
    ivec as_bits "(ivec)"(vec x) noexcept nogil
    uvec as_unsigned "(uvec)"(ivec x) noexcept nogil
    ivec as_signed "(ivec)"(uvec x) noexcept nogil
    vec from_bits "(vec)"(ivec x) noexcept nogil
    vec zip(vec a, vec b, int i) noexcept nogil  # a[i] b[i] a[i+1] b[i+1] ..., half of each
    strip_vec zip_strips(strip_vec a, strip_vec b, int i) noexcept nogil
    const float *opaque(const float *p) noexcept nogil
    strip_vec widen_strip(const uint8_t *p) noexcept nogil  # LANES bytes
    void __builtin_prefetch(const void *p, int write, int locality) noexcept nogil

cdef enum:
    NR = 2 * VL  # columns of the register tile
    GUARD = 0x7FA5A5A5  # the bits of a NaN that no kernel produces: see memory.pxi


cdef inline void check_lanes(const float *p, const int n) noexcept nogil:
    """In the debug build, abort if n floats begin or end in a guard."""
    require((<const int32_t *> p)[0] != GUARD)
    require((<const int32_t *> p)[n - 1] != GUARD)


cdef inline vec load(const float *p) noexcept nogil:
    check_lanes(p, VL)
    return (<const loose_vec *> p)[0]


cdef inline void store(float *p, vec x) noexcept nogil:
    check_lanes(p, VL)
    (<loose_vec *> p)[0] = x


cdef inline uvec splat_bits(uint32_t x) noexcept nogil:
    return x + NO_BITS


cdef inline void copy_first(float *to, const float *source, int64_t n) noexcept nogil:
    """Copy n < NR floats in pieces of sizes that the compiler knows."""
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


cdef inline vec load_first(const float *p, int64_t n) noexcept nogil:
    """Load the first n <= VL floats at p, then zeros; read nothing past the n floats."""
    cdef float lanes[VL]
    if n == VL:
        return load(p)
    store(lanes, splat(0))
    copy_first(lanes, p, n % VL)
    return load(lanes)


cdef inline vec load_last(const float *p, int64_t n, const float *end) noexcept nogil:
    """Load n < VL floats at p; the other lanes hold zeros or what follows before ``end``."""
    return load(p) if p + VL <= end else load_first(p, n)


cdef inline void store_first(float *p, vec x, int64_t n) noexcept nogil:
    """Store the first n <= VL lanes of x at p."""
    cdef float lanes[VL]
    if n == VL:
        store(p, x)
    else:
        store(lanes, x)
        copy_first(p, lanes, n % VL)


cdef inline vec maximum(vec a, vec b) noexcept nogil:
    """Return the larger, lane by lane; b where either is NaN."""
    return select(less(b, a), a, b)


cdef inline vec minimum(vec a, vec b) noexcept nogil:
    """Return the smaller, lane by lane; b where either is NaN."""
    return select(less(a, b), a, b)


cdef inline ivec equal(vec a, vec b) noexcept nogil:
    """Return lanes of all ones where a = b; neither may be NaN."""
    return ~(less(a, b) | less(b, a))


cdef inline float largest(vec x) noexcept nogil:
    """Return the largest lane; lanes that are NaN may be ignored."""
    cdef float lanes[VL]
    cdef int i
    store(lanes, x)
    for i in range(1, VL):
        lanes[0] = max(lanes[i], lanes[0])
    return lanes[0]


cdef inline float total(vec x) noexcept nogil:
    """Return the sum of the lanes, added by halves."""
    cdef float lanes[VL]
    cdef int i, width = VL
    store(lanes, x)
    while width > 1:
        width //= 2
        for i in range(width):
            lanes[i] += lanes[i + width]
    return lanes[0]


cdef inline vec lane_numbers() noexcept nogil:
    """Return 0, 1, 2, ..."""
    cdef float lanes[VL]
    cdef int i
    for i in range(VL):
        lanes[i] = i
    return load(lanes)
