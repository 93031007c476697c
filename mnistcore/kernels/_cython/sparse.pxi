# Products of inputs that are mostly zero, as MNIST's pixels are, and what a ReLU lets pass.
#
# A bit for each input says whether it is not zero. The product with the weights and the gradient of
# the weights then take one row at a time: a row of the batch, which selects rows of the weights; or
# a column of the batch, which selects rows of dz. What is zero is not multiplied.

cdef enum:
    # The most in a panel: sums enough to hide the latency of an FMA. Two vectors of up to 8 floats
    # are multiplied and added at a time, but one of 16.
    SPARSE_VECTORS = 4 + 4 * (VL < 16)
    SPARSE_FLOATS = SPARSE_VECTORS * VL
    SPARSE_ROWS = 4  # the most that are computed together

cdef struct SparseProduct:
    # Rows of a product: out[r] = the sum of a(r, i) b[i] over every i that is marked for row r.
    const uint64_t *marks  # those of row r begin at marks + r*marks_row
    int64_t marks_row
    int64_t words
    const float *a  # a(r, i) is at a + r*a_row + i*a_step
    int64_t a_row
    int64_t a_step
    const float *b  # a panel
    float *out  # out[r] is at out + r*out_row
    int64_t out_row
    bint add  # to what is in out


cdef inline void add_marked(
    const int rows, const int vectors, const SparseProduct *product, int64_t first, vec *total
) noexcept nogil:
    """Add ``rows`` rows of a product to ``total`` together, over what is marked for any of them.

    ``rows`` and ``vectors`` are constants wherever this is inlined, so ``total`` (rows, vectors)
    is in registers. Each sum is one chain of FMAs in the order of i, as in a tile.
    """
    cdef vec element[SPARSE_VECTORS]
    cdef vec right
    cdef uint64_t marked
    cdef int64_t word, i
    cdef int r, v
    cdef const uint64_t *marks = product.marks + first * product.marks_row
    cdef const float *a = product.a + first * product.a_row
    cdef const float *b = product.b
    for word in range(product.words):
        marked = marks[word]
        for r in range(1, rows):
            marked |= marks[r * product.marks_row + word]
        while marked:
            i = lowest_bit(marked)
            marked &= marked - 1
            for r in range(rows):
                element[r] = splat(a[r * product.a_row + i * product.a_step])
            for v in range(vectors):
                right = load(b + (i * vectors + v) * VL)
                for r in range(rows):
                    total[r * vectors + v] = fma(element[r], right, total[r * vectors + v])
        a += WORD * product.a_step
        b += WORD * vectors * VL


cdef inline void sparse_group(
    const int rows, const int vectors, const SparseProduct *product, int64_t first
) noexcept nogil:
    """Compute ``rows`` rows of a product together."""
    cdef vec total[SPARSE_VECTORS]
    cdef int r, v
    cdef float *out = product.out + first * product.out_row
    for r in range(rows):
        for v in range(vectors):
            total[r * vectors + v] = splat(0)
            if product.add:
                total[r * vectors + v] = load(out + r * product.out_row + v * VL)
    add_marked(rows, vectors, product, first, total)
    for r in range(rows):
        for v in range(vectors):
            store(out + r * product.out_row + v * VL, total[r * vectors + v])


cdef inline void sparse_groups(
    const int group, const int vectors, int64_t rows, const SparseProduct *product
) noexcept nogil:
    """Compute rows in groups, and those that are left one by one."""
    cdef int64_t row = 0
    while row + group <= rows:
        sparse_group(group, vectors, product, row)
        row += group
    while row < rows:
        sparse_group(1, vectors, product, row)
        row += 1


cdef void multiply_sparse(
    int64_t rows, int64_t width, const SparseProduct *product
) noexcept nogil:
    """Compute rows of a product with a panel of the given width."""
    if width == VL:
        sparse_groups(4, 1, rows, product)
    elif width == 2 * VL:
        sparse_groups(2, 2, rows, product)
    elif width == 3 * VL:
        sparse_groups(1, 3, rows, product)
    elif width == 4 * VL:
        sparse_groups(1, 4, rows, product)
    elif SPARSE_VECTORS > 4 and width == 5 * VL:
        sparse_groups(1, 5, rows, product)
    elif SPARSE_VECTORS > 4 and width == 6 * VL:
        sparse_groups(1, 6, rows, product)
    elif SPARSE_VECTORS > 4 and width == 7 * VL:
        sparse_groups(1, 7, rows, product)
    else:
        require(width == SPARSE_FLOATS)
        sparse_groups(1, SPARSE_VECTORS, rows, product)


cdef int64_t sparse_width(int64_t n, int64_t threads) noexcept nogil:
    """Return the width of the panels for n columns: all if they are few, or else the fastest.

    It is less where that gives each of the threads a panel of its own: the weights that it
    updates are then those that it reads in the next step.
    """
    cdef int64_t vectors = divide_up(n, VL), best = SPARSE_VECTORS, width
    if divide_up(vectors, SPARSE_VECTORS) < threads:
        return divide_up(vectors, threads) * VL
    if vectors < SPARSE_VECTORS:
        return vectors * VL
    for width in range(SPARSE_VECTORS - 1, SPARSE_VECTORS // 2, -1):
        if row_cost(vectors, width) < row_cost(vectors, best):
            best = width
    return best * VL


cdef inline int64_t row_cost(int64_t vectors, int64_t width) noexcept nogil:
    """Return the time for a row of ``vectors``, in panels of ``width`` vectors; in some unit."""
    return divide_up(vectors, width) * (12 + 5 * width)  # as measured
