# Blocks of VL x VL floats, transposed in registers, and copies of matrices to panels.

cdef enum:
    ROUNDS = 2 + VL // 8  # log2(VL)


cdef inline void load_block(const float *p, int64_t stride, vec *block) noexcept nogil:
    """Load VL rows of VL floats, ``stride`` floats apart."""
    cdef int i
    for i in range(VL):
        block[i] = load(p + i * stride)


cdef void transpose(vec *block) noexcept nogil:
    """Transpose VL vectors in place: log2(VL) rounds, each a perfect shuffle of the whole."""
    cdef vec shuffled[VL]
    cdef int i, j
    for j in range(ROUNDS):
        for i in range(VL // 2):
            shuffled[2 * i] = zip(block[i], block[i + VL // 2], 0)
            shuffled[2 * i + 1] = zip(block[i], block[i + VL // 2], VL // 2)
        for i in range(VL):
            block[i] = shuffled[i]


cdef void pack_rows(
    const float *b, int64_t ldb, int64_t rows, int64_t columns, int64_t width, float *panel
) noexcept nogil:
    """Copy rows x columns of b to a panel (rows, width), with zeros after the last column."""
    cdef int64_t k, v, c
    for k in range(rows):
        for v in range(width // VL):
            c = v * VL
            if c + VL <= columns:
                store(panel + c, load(b + c))
            else:
                store(panel + c, splat(0))
                copy_first(panel + c, b + c, max(columns - c, <int64_t> 0))
        b += ldb
        panel += width


cdef void pack_transposed(
    const float *b, int64_t ldb, int64_t rows, int64_t columns, int64_t width, float *panel
) noexcept nogil:
    """Copy the transpose of b (columns, rows) to a panel, with zeros after the last column."""
    cdef vec block[VL]
    cdef int64_t c, k, i, n, at, blocks = divide_up(rows, VL)
    cdef const float *row
    for at in range(width // VL * blocks):
        c = at // blocks * VL
        k = at % blocks * VL
        n = min(rows - k, <int64_t> VL)
        for i in range(VL):
            row = b + (c + i) * ldb + k
            if c + i >= columns:
                block[i] = splat(0)
            elif n == VL or (columns - c - i - 1) * ldb + rows - k >= VL:
                block[i] = load(row)  # all within b; lanes past the end of the row are not stored
            else:
                block[i] = load_first(row, n)
        transpose(block)
        for i in range(n):
            store(panel + (k + i) * width + c, block[i])


cdef void unpack_transposed(
    const float *panel, int64_t rows, int64_t columns, float *b, int64_t ldb
) noexcept nogil:
    """Undo pack_transposed for a panel of width VL, which holds at most VL rows of b."""
    cdef vec block[VL]
    cdef int64_t k, n
    cdef int i
    for k in range(divide_up(rows, VL)):
        n = min(rows - k * VL, <int64_t> VL)
        for i in range(VL):
            block[i] = load(panel + (k * VL + i) * VL) if i < n else splat(0)
        transpose(block)
        for i in range(columns):
            if n == VL:
                store(b + i * ldb + k * VL, block[i])
            else:
                store_first(b + i * ldb + k * VL, block[i], n)
