# Softmax-cross-entropy: from loops over whole arrays to maxima and sums in lanes.

from libc.math cimport expf, logf
from libc.stdint cimport int32_t, uint32_t


cdef void find_maxima(const float[:, ::1] logits, float[::1] maxima) noexcept nogil:
    """Find the largest logit of each row."""
    cdef int64_t r, c
    cdef float largest
    for r in range(logits.shape[0]):
        largest = logits[r, 0]
        for c in range(1, logits.shape[1]):
            largest = max(largest, logits[r, c])
        maxima[r] = largest


cdef double mean_loss(
    const float[:, ::1] logits, const int32_t[::1] labels, float[::1] maxima, float[::1] sums
) noexcept nogil:
    """Return the mean of log(sum) + maximum - the logit of the label."""
    cdef int64_t r
    cdef double loss = 0
    for r in range(labels.shape[0]):
        loss += logf(sums[r]) + (maxima[r] - logits[r, labels[r]])
    return loss / max(1, labels.shape[0])


def softmax_naive(
    const float[:, ::1] logits, const int32_t[::1] labels, float[:, ::1] dlogits
):
    """Compute the loss, then its gradient, each from its formula: two exponentials a logit."""
    cdef int64_t r, c, n_rows = logits.shape[0]
    cdef float[::1] maxima = np.empty(n_rows, np.float32), sums = np.zeros(n_rows, np.float32)
    cdef double loss
    cdef float prob
    with nogil:
        find_maxima(logits, maxima)
        for r in range(n_rows):
            for c in range(logits.shape[1]):
                sums[r] += expf(logits[r, c] - maxima[r])
        loss = mean_loss(logits, labels, maxima, sums)
        for r in range(n_rows):
            for c in range(logits.shape[1]):
                prob = expf(logits[r, c] - maxima[r]) / sums[r]
                dlogits[r, c] = (prob - (c == labels[r])) / n_rows
    return loss


cdef void scale(const int32_t[::1] labels, float[::1] sums, float[:, ::1] dlogits) noexcept nogil:
    """Turn exponentials into the gradient: a multiplication each, and the label's own term."""
    cdef int64_t r, c
    cdef float factor, share = <float> 1 / max(1, labels.shape[0])
    for r in range(labels.shape[0]):
        factor = share / sums[r]
        for c in range(dlogits.shape[1]):
            dlogits[r, c] *= factor
        dlogits[r, labels[r]] -= share


def softmax_fused(
    const float[:, ::1] logits, const int32_t[::1] labels, float[:, ::1] dlogits
):
    """Keep the exponentials where the gradient will be."""
    cdef int64_t r, c, n_rows = logits.shape[0]
    cdef float[::1] maxima = np.empty(n_rows, np.float32), sums = np.zeros(n_rows, np.float32)
    cdef float power
    with nogil:
        find_maxima(logits, maxima)
        for r in range(n_rows):
            for c in range(logits.shape[1]):
                power = expf(logits[r, c] - maxima[r])
                dlogits[r, c] = power
                sums[r] += power
        scale(labels, sums, dlogits)
    return mean_loss(logits, labels, maxima, sums)


cdef extern from *:
    """
    #include <string.h>
    static inline uint32_t bits_of(float x) { uint32_t n; memcpy(&n, &x, 4); return n; }
    static inline float number_of(uint32_t n) { float x; memcpy(&x, &n, 4); return x; }
    """
    uint32_t bits_of(float x) noexcept nogil
    float number_of(uint32_t bits) noexcept nogil


cdef inline float power_of_e(float x) noexcept nogil:
    """Return e**x for x <= 0: 2**n times a polynomial in r, where x = n ln 2 + r."""
    x = max(x, <float> -87)
    cdef float shifted = x * <float> 1.44269504 + <float> 12582912  # n is in its lowest bits
    cdef float n = shifted - <float> 12582912
    cdef float r = x - n * <float> 0.693359375 + n * <float> 2.12194440e-4
    cdef float p = <float> 1.9875691500e-4 * r + <float> 1.3981999507e-3
    p = p * r + <float> 8.3334519073e-3
    p = p * r + <float> 4.1665795894e-2
    p = p * r + <float> 1.6666665459e-1
    p = p * r + <float> 5.0000001201e-1
    p = p * (r * r) + (r + 1)
    return number_of(bits_of(p) + (bits_of(shifted) << 23))  # n is added to the exponent of p


cdef void exponentials(
    const float[:, ::1] logits, float[::1] maxima, float[:, ::1] dlogits
) noexcept nogil:
    """Set dlogits to the exponentials of the logits less their row's maximum."""
    cdef int64_t r, c, i
    cdef float *flat = &dlogits[0, 0]
    for r in range(logits.shape[0]):
        for c in range(logits.shape[1]):
            dlogits[r, c] = logits[r, c] - maxima[r]
    for i in range(logits.shape[0] * logits.shape[1]):
        flat[i] = power_of_e(flat[i])


def softmax_vector_exp(
    const float[:, ::1] logits, const int32_t[::1] labels, float[:, ::1] dlogits
):
    """Use an exponential without branches or calls, which the compiler turns into vectors."""
    cdef int64_t r, c, n_rows = logits.shape[0]
    cdef float[::1] maxima = np.empty(n_rows, np.float32), sums = np.zeros(n_rows, np.float32)
    with nogil:
        find_maxima(logits, maxima)
        exponentials(logits, maxima, dlogits)
        for r in range(n_rows):
            for c in range(logits.shape[1]):
                sums[r] += dlogits[r, c]
        scale(labels, sums, dlogits)
    return mean_loss(logits, labels, maxima, sums)


cdef enum:
    LANES = 16


cdef float maximum_in_lanes(const float *row, int64_t n) noexcept nogil:
    """Return the largest of n numbers; lane l takes every number c with c % LANES == l."""
    cdef float lanes[LANES]
    cdef int64_t block, c, lane
    for lane in range(LANES):
        lanes[lane] = row[0]
    for block in range(n // LANES):
        for lane in range(LANES):
            lanes[lane] = max(lanes[lane], row[block * LANES + lane])
    for c in range(n // LANES * LANES, n):
        lanes[0] = max(lanes[0], row[c])
    for lane in range(1, LANES):
        lanes[0] = max(lanes[0], lanes[lane])
    return lanes[0]


cdef float sum_in_lanes(const float *row, int64_t n) noexcept nogil:
    """Return the sum of n numbers, in the same lanes."""
    cdef float lanes[LANES]
    cdef int64_t block, c, lane
    for lane in range(LANES):
        lanes[lane] = 0
    for block in range(n // LANES):
        for lane in range(LANES):
            lanes[lane] += row[block * LANES + lane]
    for c in range(n // LANES * LANES, n):
        lanes[0] += row[c]
    for lane in range(1, LANES):
        lanes[0] += lanes[lane]
    return lanes[0]


def softmax_lanes(
    const float[:, ::1] logits, const int32_t[::1] labels, float[:, ::1] dlogits
):
    """Take each maximum and each sum in sixteen lanes."""
    cdef int64_t r, n_rows = logits.shape[0], n = logits.shape[1]
    cdef float[::1] maxima = np.empty(n_rows, np.float32), sums = np.empty(n_rows, np.float32)
    with nogil:
        for r in range(n_rows):
            maxima[r] = maximum_in_lanes(&logits[r, 0], n)
        exponentials(logits, maxima, dlogits)
        for r in range(n_rows):
            sums[r] = sum_in_lanes(&dlogits[r, 0], n)
        scale(labels, sums, dlogits)
    return mean_loss(logits, labels, maxima, sums)
