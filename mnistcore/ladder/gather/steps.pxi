# The gather of a batch of images: from a loop over pixels to loops over vectors.


def gather_naive(
    const uint8_t[:, ::1] x, const int64_t[::1] order, float scale, float[:, ::1] out,
    uint8_t[:, ::1] marks,
):
    """Take a pixel of all images, then the next pixel of all."""
    cdef int64_t b, c
    cdef uint8_t pixel
    with nogil:
        marks[:, :] = 0
        for c in range(x.shape[1]):
            for b in range(order.shape[0]):
                pixel = x[order[b], c]
                out[b, c] = pixel * scale
                if pixel != 0:
                    marks[b, c // 8] |= 1 << c % 8


def gather_row_by_row(
    const uint8_t[:, ::1] x, const int64_t[::1] order, float scale, float[:, ::1] out,
    uint8_t[:, ::1] marks,
):
    """Take an image, then the next: the loops have changed places."""
    cdef int64_t b, c
    cdef uint8_t pixel
    with nogil:
        marks[:, :] = 0
        for b in range(order.shape[0]):
            for c in range(x.shape[1]):
                pixel = x[order[b], c]
                out[b, c] = pixel * scale
                if pixel != 0:
                    marks[b, c // 8] |= 1 << c % 8


cdef inline void scale_row(const uint8_t *row, int64_t n, float scale, float *out) noexcept nogil:
    """Convert a row, as many pixels at a time as a vector holds: the compiler sees to that."""
    cdef int64_t c
    for c in range(n):
        out[c] = row[c] * scale


cdef inline void mark_row(
    const uint8_t *row, int64_t n, uint8_t *marks, int64_t n_bytes
) noexcept nogil:
    """Mark a row, and write each byte of marks once."""
    cdef int64_t k, i
    cdef uint8_t byte
    for k in range(n_bytes):
        byte = 0
        for i in range(min(<int64_t> 8, n - 8 * k)):
            byte |= (row[8 * k + i] != 0) << i
        marks[k] = byte


def gather_two_loops(
    const uint8_t[:, ::1] x, const int64_t[::1] order, float scale, float[:, ::1] out,
    uint8_t[:, ::1] marks,
):
    """Scale a row in a loop without branches, and mark it in another."""
    cdef int64_t b, n = x.shape[1]
    cdef const uint8_t *row
    with nogil:
        for b in range(order.shape[0]):
            row = &x[order[b], 0]
            scale_row(row, n, scale, &out[b, 0])
            mark_row(row, n, &marks[b, 0], marks.shape[1])


cdef inline void mark_words(const uint8_t *row, int64_t n, uint64_t *words) noexcept nogil:
    """Mark 64 pixels at a time: compare them in vectors, and take a bit from each comparison."""
    cdef uint8_t last[WORD]
    cdef int64_t w, whole = n // WORD
    for w in range(whole):
        words[w] = nonzero_bits(row + w * WORD)
    if whole * WORD < n:
        memset(last, 0, WORD)
        memcpy(last, row + whole * WORD, n - whole * WORD)
        words[whole] = nonzero_bits(last)


def gather_bits(
    const uint8_t[:, ::1] x, const int64_t[::1] order, float scale, float[:, ::1] out,
    uint8_t[:, ::1] marks,
):
    """Mark a word of pixels at a time."""
    cdef int64_t b, n = x.shape[1]
    cdef const uint8_t *row
    with nogil:
        for b in range(order.shape[0]):
            row = &x[order[b], 0]
            scale_row(row, n, scale, &out[b, 0])
            mark_words(row, n, <uint64_t *> &marks[b, 0])


cdef extern from *:
    void __builtin_prefetch(const void *, int, int) noexcept nogil

cdef enum:
    ROWS_AHEAD = 4  # how early a row is asked for
    LINE = 64  # bytes that come at once


cdef inline void fetch_row(const uint8_t *row, int64_t n) noexcept nogil:
    """Ask for the lines of a row, and do not wait for them."""
    cdef int64_t line
    for line in range(divide_up(n, LINE)):
        __builtin_prefetch(row + line * LINE, 0, 2)


def gather_prefetching(
    const uint8_t[:, ::1] x, const int64_t[::1] order, float scale, float[:, ::1] out,
    uint8_t[:, ::1] marks,
):
    """Ask for the image that comes four images later."""
    cdef int64_t b, n = x.shape[1], last = order.shape[0] - 1
    cdef const uint8_t *row
    with nogil:
        for b in range(last + 1):
            fetch_row(&x[order[min(b + ROWS_AHEAD, last)], 0], n)
            row = &x[order[b], 0]
            scale_row(row, n, scale, &out[b, 0])
            mark_words(row, n, <uint64_t *> &marks[b, 0])
