# The vector type, in C: Cython has no such type and treats a vector as a float.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if defined(__AVX512F__)
      enum { VL = 16, MR = 14 };
      #define fma_vec(a, b, c) ((vec)_mm512_fmadd_ps(a, b, c))
      #define sqrt_vec(x) ((vec)_mm512_sqrt_ps(x))
      #define widen_vec(p) ((vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_epi8(p))))
      #define PAIRS(i) i,i+16,i+1,i+17,i+2,i+18,i+3,i+19,i+4,i+20,i+5,i+21,i+6,i+22,i+7,i+23
    #elif defined(__AVX2__)
      enum { VL = 8, MR = 6 };
      #define fma_vec(a, b, c) ((vec)_mm256_fmadd_ps(a, b, c))
      #define sqrt_vec(x) ((vec)_mm256_sqrt_ps(x))
      #define widen_vec(p) ((vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadu_si64(p))))
      #define PAIRS(i) i, i+8, i+1, i+9, i+2, i+10, i+3, i+11
    #else
      #define widen_vec(p) ((vec){(p)[0], (p)[1], (p)[2], (p)[3]})
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
    enum { GUARD = 0x7fa5a5a5 };
    #define is_guard(p, lane) (((const int32_t *)(p))[lane] == GUARD)
    #define check_lanes(p) assert(!is_guard(p, 0) && !is_guard(p, VL - 1))
    #define load(p) (check_lanes(p), (vec)*(const loose_vec *)(p))
    #define store(p, x) (check_lanes(p), *(loose_vec *)(p) = (x))
    #define splat(x) ((float)(x) - (vec){0})
    #define splat_bits(x) ((uint32_t)(x) + (uvec){0})
    #define less(a, b) ((ivec)((a) < (b)))
    #define select(mask, a, b) ((vec)(((mask) & (ivec)(a)) | (~(mask) & (ivec)(b))))
    #ifdef __clang__
      #define shuffle(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
      #define shuffle(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
    #endif
    #define opaque(p) ({ const float *q_ = (p); __asm__("" : "+r"(q_)); q_; })
    #define zip_low(a, b) shuffle(a, b, PAIRS(0))
    #define zip_high(a, b) shuffle(a, b, PAIRS(VL / 2))
    """
    ctypedef float vec  # VL floats
    ctypedef int ivec  # VL int32
    ctypedef unsigned int uvec  # VL uint32
    enum:
        VL  # floats in a vector
        MR  # rows of the register tile
        GUARD  # the bits of a NaN that no kernel produces: see memory.pxi
    vec load(const float *p) noexcept nogil
    void store(float *p, vec x) noexcept nogil
    vec splat(float x) noexcept nogil
    uvec splat_bits(uint32_t x) noexcept nogil
    vec fma "fma_vec"(vec a, vec b, vec c) noexcept nogil  # a * b + c
    vec sqrt "sqrt_vec"(vec x) noexcept nogil
    ivec less(vec a, vec b) noexcept nogil  # lanes of all ones where a < b
    ivec less_bits "less"(uvec a, uvec b) noexcept nogil
    vec select(ivec mask, vec a, vec b) noexcept nogil  # a where the mask is set, else b
    ivec as_bits "(ivec)"(vec x) noexcept nogil
    uvec as_unsigned "(uvec)"(ivec x) noexcept nogil
    ivec as_signed "(ivec)"(uvec x) noexcept nogil
    vec from_bits "(vec)"(ivec x) noexcept nogil
    vec zip_low(vec a, vec b) noexcept nogil  # a0 b0 a1 b1 ... of the lower halves
    vec zip_high(vec a, vec b) noexcept nogil  # the same of the upper halves
    const float *opaque(const float *p) noexcept nogil
    vec widen "widen_vec"(const uint8_t *p) noexcept nogil  # VL bytes
    void __builtin_prefetch(const void *p, int write, int locality) noexcept nogil

cdef enum:
    NR = 2 * VL  # columns of the register tile


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
