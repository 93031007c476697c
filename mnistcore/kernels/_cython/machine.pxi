# What the processor does besides arithmetic: float mode, waiting, atomics, instruction sets.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "<sched.h>":
    void yield_core "sched_yield"() noexcept nogil

cdef extern from *:
    """
    #if defined(__x86_64__)
      #include <immintrin.h>
      #define get_float_mode() _mm_getcsr()
      #define set_float_mode(mode) _mm_setcsr(mode)
      #define pause_core() _mm_pause()
      #define FLUSH_TO_ZERO 0x8040u
      #define has(feature) (__builtin_cpu_supports(feature) != 0)
    #else
      #include <arm_neon.h>
      #define get_float_mode() ({ uint64_t m; __asm__ __volatile__("mrs %0, fpcr" : "=r"(m)); m; })
      #define set_float_mode(mode) __asm__ __volatile__("msr fpcr, %0" : : "r"((uint64_t)(mode)))
      #define pause_core() __asm__ __volatile__("yield")
      #define FLUSH_TO_ZERO (1u << 24)
      #define has(feature) 0
    #endif
    #define has_avx2() (has("avx2") && has("fma"))
    #define has_avx512() (has("avx512f") && has("avx512vl") && has("avx512dq") && has("avx512bw"))
    """
    enum:
        FLUSH_TO_ZERO
    uint32_t get_float_mode() noexcept nogil
    void set_float_mode(uint32_t mode) noexcept nogil
    void pause "pause_core"() noexcept nogil
    bint has_avx2() noexcept nogil  # at run time, by the CPU and the operating system
    bint has_avx512() noexcept nogil
    int64_t __atomic_fetch_add(int64_t *, int64_t, int) noexcept nogil
    int64_t __atomic_load_n(const int64_t *, int) noexcept nogil
    void __atomic_store_n(int64_t *, int64_t, int) noexcept nogil
    int __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE, __ATOMIC_RELEASE

# C's ``assert``, which is empty except in the debug build.
cdef extern from "<assert.h>":
    void require "assert"(bint condition) noexcept nogil


cdef inline int64_t atomic_load(const int64_t *number) noexcept nogil:
    """Load a number that another thread stores, and with it all that it stored earlier."""
    return __atomic_load_n(number, __ATOMIC_ACQUIRE)


cdef inline int64_t atomic_add(int64_t *number, int64_t n) noexcept nogil:
    """Add n to a number that several threads change; return its previous value."""
    return __atomic_fetch_add(number, n, __ATOMIC_ACQ_REL)


cdef inline int64_t nanoseconds() noexcept nogil:
    """Return the time since some moment."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t> now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef inline uint32_t flush_denormals() noexcept nogil:
    """Treat denormal numbers as zero in this thread; return the mode to restore afterwards.

    The moments of dead units decay into denormals, which cost a hundred cycles each.
    """
    cdef uint32_t before = get_float_mode()
    set_float_mode(before | FLUSH_TO_ZERO)
    return before


def instruction_sets():
    """Return the names of the builds that this machine can run, best first, as a list of str."""
    names = []
    if has_avx512():
        names.append("avx512")
    if has_avx2():
        names.append("avx2")
    names.append("baseline")
    return names
