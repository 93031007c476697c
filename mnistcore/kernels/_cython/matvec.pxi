# Products with one or two vectors, which would fill one row or one lane of a tile.

cdef enum:
    FEW = 2  # vectors for which a tile does not pay
    ROWS = 4  # of A that are read side by side
    TERMS = 8  # of the sums that are added at a time
    STRETCH = 1024  # columns whose sums stay in the L1 cache


cdef void dot_products(
    const float *a, int64_t a_row, int64_t rows, const float *b, int64_t k, float *out,
    int64_t out_row,
) noexcept nogil:
    """Compute the dot products of b and rows of A, at most 4 of them, of k terms each.

    The lanes of a vector are partial sums, each of every VL-th term. In place of missing rows the
    last one is computed again.
    """
    cdef vec sums[ROWS]
    cdef const float *row[ROWS]
    cdef vec terms
    cdef int64_t i = 0, left = k % VL
    cdef int r
    for r in range(ROWS):
        row[r], sums[r] = a + min(<int64_t> r, rows - 1) * a_row, splat(0)
    while i < k - left:
        terms = load(b + i)
        for r in range(ROWS):
            sums[r] = fma(load(row[r] + i), terms, sums[r])
        i += VL
    if left:
        terms = load_first(b + i, left)
        for r in range(ROWS):
            sums[r] = fma(load_first(row[r] + i, left), terms, sums[r])
    for r in range(ROWS):
        out[min(<int64_t> r, rows - 1) * out_row] = total(sums[r])


cdef inline void add_rows(
    const int rows, const float *a, int64_t a_row, int64_t a_step, const float *b, int64_t b_row,
    const int terms, int64_t columns, float *sums, int64_t sums_row,
) noexcept nogil:
    """Add the products of some columns of A and rows of B to ``rows`` rows of sums."""
    cdef vec part[FEW]
    cdef vec row
    cdef int64_t column = 0
    cdef int i, r
    while column < columns:
        for r in range(rows):
            part[r] = load(sums + r * sums_row + column)
        for i in range(terms):
            row = load(b + i * b_row + column)
            for r in range(rows):
                part[r] = fma(splat(a[r * a_row + i * a_step]), row, part[r])
        for r in range(rows):
            store(sums + r * sums_row + column, part[r])
        column += VL


cdef inline void stream(
    const int rows, const float *a, int64_t a_row, int64_t a_step, const float *b, int64_t b_row,
    int64_t k, int64_t columns, float *sums, int64_t sums_row,
) noexcept nogil:
    """Compute a few rows of a product, reading rows of B side by side."""
    cdef int64_t start = 0, n, block, v, first = k - k % TERMS
    cdef int r
    while start < columns:
        n = min(<int64_t> STRETCH, columns - start)
        for r in range(rows):
            for v in range(n // VL):
                store(sums + r * sums_row + start + v * VL, splat(0))
        for block in range(k // TERMS):
            add_rows(
                rows, a + block * TERMS * a_step, a_row, a_step,
                b + block * TERMS * b_row + start, b_row, TERMS, n, sums + start, sums_row,
            )
        add_rows(
            rows, a + first * a_step, a_row, a_step, b + first * b_row + start, b_row,
            <int> (k % TERMS), n, sums + start, sums_row,
        )
        start += STRETCH


cdef void stream_rows(
    int64_t rows, const float *a, int64_t a_row, int64_t a_step, const float *b, int64_t b_row,
    int64_t k, int64_t columns, float *sums, int64_t sums_row,
) noexcept nogil:
    """Compute sums[r, c] = sum over i of A[r, i] B[i, c], for whole vectors of columns."""
    if rows == 1:
        stream(1, a, a_row, a_step, b, b_row, k, columns, sums, sums_row)
    else:
        stream(2, a, a_row, a_step, b, b_row, k, columns, sums, sums_row)
