# The micro-kernel, and the packing of its operands.

cdef struct Product:
    # One tile of a product: out[r, c] = sum over i of a(r, i) b(i, c), i = index[0], index[1] ...
    const float *a  # IN, a(r, i) at a + r*a_row + i*a_step,
    int64_t a_row
    int64_t a_step
    int64_t segment  # a_segment further on after every ``segment`` terms of the sum
    int64_t a_segment
    int64_t K  # terms of the sum
    const int32_t *index
    const float *b  # IN, b(i, c) at b + i*b_step + c
    int64_t b_step
    float *out  # OUT, out[r, c] at out + r*out_row + c
    int64_t out_row


cdef inline void tile_body(
    const int rows, const int vectors, const Product *product
) noexcept nogil:
    """The tile of exactly ``rows`` x ``vectors`` vectors.

    ``rows`` and ``vectors`` are constants where this is inlined, so that the compiler unrolls
    their loops and keeps ``total`` in registers. On AVX-512 a whole tile holds 28 of the 32 in
    accumulators, 2 in the row of B and 1 in the broadcast element of A; an iteration of k loads
    2 vectors and 14 scalars for 28 FMAs, so the FMA units and not the loads set the pace. (AVX2
    and SSE2 have 16 registers: 12 + 2 + 1.) Each element is one chain of FMAs over k in order,
    whatever tile it falls into.
    """
    cdef vec total[14][2]
    cdef vec left, right, element
    cdef const float *start = product.a
    cdef const float *a
    cdef const float *b
    cdef int64_t k = 0, stop
    cdef int r
    for r in range(rows):
        total[r][0] = splat(0)
        if vectors == 2:
            total[r][1] = splat(0)
    while k < product.K:
        stop = min(product.K, k + product.segment)
        while k < stop:
            a = start + product.index[k] * product.a_step
            b = product.b + product.index[k] * product.b_step
            left = load(b)
            if vectors == 2:
                right = load(b + VL)
            for r in range(rows):
                element = splat(a[r * product.a_row])
                total[r][0] = fma(element, left, total[r][0])
                if vectors == 2:
                    total[r][1] = fma(element, right, total[r][1])
            k += 1
        start += product.a_segment
    for r in range(rows):
        store(product.out + r * product.out_row, total[r][0])
        if vectors == 2:
            store(product.out + r * product.out_row + VL, total[r][1])


cdef inline void sized_tile(
    const int vectors, int rows, const Product *product
) noexcept nogil:
    """Pick the specialisation for the number of rows; those above MR compile to nothing."""
    if rows == 1:
        tile_body(1, vectors, product)
    elif rows == 2:
        tile_body(2, vectors, product)
    elif rows == 3:
        tile_body(3, vectors, product)
    elif rows == 4:
        tile_body(4, vectors, product)
    elif rows == 5:
        tile_body(5, vectors, product)
    elif rows == 6:
        tile_body(6, vectors, product)
    elif MR >= 12 and rows == 7:
        tile_body(7, vectors, product)
    elif MR >= 12 and rows == 8:
        tile_body(8, vectors, product)
    elif MR >= 12 and rows == 9:
        tile_body(9, vectors, product)
    elif MR >= 12 and rows == 10:
        tile_body(10, vectors, product)
    elif MR >= 12 and rows == 11:
        tile_body(11, vectors, product)
    elif MR >= 12 and rows == 12:
        tile_body(12, vectors, product)
    elif MR >= 14 and rows == 13:
        tile_body(13, vectors, product)
    elif MR >= 14 and rows == 14:
        tile_body(14, vectors, product)


cdef void tile(int64_t rows, int64_t width, const Product *product) noexcept nogil:
    """A tile of the product: rows in [1, MR], width VL or NR."""
    if width == NR:
        sized_tile(2, <int> rows, product)
    else:
        sized_tile(1, <int> rows, product)


cdef inline int64_t divide_up(int64_t n, int64_t by) noexcept nogil:
    return (n + by - 1) // by


cdef int64_t panel_width(int64_t n) noexcept nogil:
    """The width of the panels that n columns are cut into: NR, or VL where NR pads too much."""
    if divide_up(n, NR) * NR * 10 > divide_up(n, VL) * VL * 11:
        return VL
    return NR


cdef void pack_panel(
    const float *b, int64_t ldb, int64_t rows, int64_t columns, int64_t width, float *panel
) noexcept nogil:
    """Copy rows x columns of b to a panel (rows, width), zeros behind the columns."""
    cdef int64_t k, v, c
    for k in range(rows):
        for v in range(width // VL):
            c = v * VL
            if c + VL <= columns:
                store(panel + c, load(b + c))
            else:
                store(panel + c, splat(0))
                copy_part(panel + c, b + c, max(columns - c, <int64_t> 0))
        b += ldb
        panel += width


cdef void transpose_tile(vec *x) noexcept nogil:
    """Transpose VL vectors in place: log2(VL) rounds, each a perfect shuffle of the whole."""
    cdef vec y[VL]
    cdef int i, j
    for j in range(ROUNDS):
        for i in range(VL // 2):
            y[2 * i] = zip_low(x[i], x[i + VL // 2])
            y[2 * i + 1] = zip_high(x[i], x[i + VL // 2])
        for i in range(VL):
            x[i] = y[i]


cdef void pack_transposed(
    const float *b, int64_t ldb, int64_t rows, int64_t columns, int64_t width, float *panel
) noexcept nogil:
    """Copy the transpose of b, whose ``columns`` rows hold ``rows`` floats, to a panel."""
    cdef vec x[VL]
    cdef int64_t c, k, i, n, block, blocks = divide_up(rows, VL)
    cdef const float *row
    for block in range(width // VL * blocks):
        c = block // blocks * VL
        k = block % blocks * VL
        n = min(rows - k, <int64_t> VL)
        for i in range(VL):
            row = b + (c + i) * ldb + k
            if c + i >= columns:
                x[i] = splat(0)
            elif n == VL or (columns - c - i - 1) * ldb + rows - k >= VL:
                x[i] = load(row)  # all of it lies within b: lanes behind a row are not stored
            else:
                x[i] = load_part(row, n)
        transpose_tile(x)
        for i in range(n):
            store(panel + (k + i) * width + c, x[i])


cdef void unpack_transposed(
    const float *panel, int64_t rows, int64_t columns, float *b, int64_t ldb
) noexcept nogil:
    """The inverse of pack_transposed for a panel of width VL: at most VL rows of b."""
    cdef vec x[VL]
    cdef int64_t k, n
    cdef int i
    for k in range(divide_up(rows, VL)):
        n = min(rows - k * VL, <int64_t> VL)
        for i in range(VL):
            x[i] = load(panel + (k * VL + i) * VL) if i < n else splat(0)
        transpose_tile(x)
        for i in range(columns):
            if n == VL:
                store(b + i * ldb + k * VL, x[i])
            else:
                store_part(b + i * ldb + k * VL, x[i], n)
