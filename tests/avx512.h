/* What the AVX-512 build needs, on machines without it: tests/sanitizers.py includes this first.
   GCC makes two vectors of 32 bytes of each of 64, to the same bits. */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define __AVX512F__ 1
#define __AVX512BW__ 1

typedef float floats16 __attribute__((vector_size(64)));
typedef union {
  floats16 whole;
  __m256 half[2];
} halves;

static inline floats16 fmadd16(floats16 a, floats16 b, floats16 c) {
  halves x = {a}, y = {b}, z = {c};
  for (int i = 0; i < 2; i++)
    z.half[i] = _mm256_fmadd_ps(x.half[i], y.half[i], z.half[i]);
  return z.whole;
}

static inline floats16 sqrt16(floats16 a) {
  halves x = {a};
  for (int i = 0; i < 2; i++)
    x.half[i] = _mm256_sqrt_ps(x.half[i]);
  return x.whole;
}

static inline uint64_t nonzero_bytes16(const uint8_t *p) {
  uint64_t found = 0;
  for (int i = 0; i < 64; i++)
    found |= (uint64_t)(p[i] != 0) << i;
  return found;
}

static inline uint8_t nonzero_octets16(const uint8_t *p) {
  uint8_t found = 0;
  for (int i = 0; i < 8; i++) {
    uint64_t octet;
    memcpy(&octet, p + 8 * i, 8);
    found |= (octet != 0) << i;
  }
  return found;
}

#define _mm512_fmadd_ps(a, b, c) fmadd16(a, b, c)
#define _mm512_sqrt_ps(a) sqrt16(a)
#define _mm512_loadu_si512(p) (p)
#define _mm512_set1_epi8(x) 0
#define _mm512_test_epi8_mask(p, x) nonzero_bytes16(p)
#define _mm512_test_epi64_mask(p, x) nonzero_octets16(p)
