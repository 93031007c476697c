# A matrix product: from a triple loop to a tile of vectors, on one thread and on many.


def naive(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Apply the definition: each element of ``out`` is a row of a times a column of b.

    Without the types of its arguments and variables this would be Python, another hundred times
    slower. With them it is C, with the same limits as in Numba: each addition waits for the one
    before it, and b is read down a column, which uses 4 bytes of every 64-byte cache line.
    """
    cdef int64_t i, j, k
    cdef float total
    with nogil:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                total = 0
                for k in range(a.shape[1]):
                    total += a[i, k] * b[k, j]
                out[i, j] = total


def loop_order(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Exchange the loops over k and j, so that a row of ``out`` grows term by term.

    The elements of a row do not depend on each other, so the C compiler turns the inner loop
    into vector instructions of the instruction set that it may assume. For each multiply-add it
    loads two vectors and stores one: these loads and stores are the limit.
    """
    cdef int64_t i, j, k
    cdef float factor
    with nogil:
        out[:, :] = 0
        for i in range(out.shape[0]):
            for k in range(a.shape[1]):
                factor = a[i, k]
                for j in range(out.shape[1]):
                    out[i, j] += factor * b[k, j]


cdef enum:
    BLOCK = 1 << 16  # floats of a block of b: 256 KiB, which half of an L2 cache holds


cdef int64_t divide_up(int64_t n, int64_t by) noexcept nogil:
    return (n + by - 1) // by


cdef int64_t block_terms(int64_t n_columns) noexcept nogil:
    """Return how many rows of b make a block, a multiple of 4."""
    return max(<int64_t> 4, BLOCK // n_columns // 4 * 4)


def blocking(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Use loop order on one block of rows of b at a time, which stays in the L2 cache.

    b is read from beyond the cache once instead of M times. This gains speed if b is larger than
    the caches, and next to nothing where loads and stores are the limit.
    """
    cdef int64_t i, j, k, block, terms = block_terms(out.shape[1])
    cdef float factor
    with nogil:
        out[:, :] = 0
        for block in range(divide_up(a.shape[1], terms)):
            for i in range(out.shape[0]):
                for k in range(block * terms, min((block + 1) * terms, a.shape[1])):
                    factor = a[i, k]
                    for j in range(out.shape[1]):
                        out[i, j] += factor * b[k, j]


cdef extern from *:
    """
    /* A pointer without aliases: stores through it change no value that is read elsewhere. */
    typedef float *__restrict__ row;
    """
    ctypedef float *row


cdef inline void add_tile(
    const float *a, int64_t a_row, const float *b, int64_t b_row,
    row t0, row t1, row t2, row t3, int64_t n_columns,
) noexcept nogil:
    """Add a 4 x 4 tile of a times four rows of b to four rows of totals t.

    The sixteen numbers of a stay in registers while j runs: sixteen multiply-adds for eight loads
    and four stores. Without the promise made by ``row``, a store to one row might change what is
    loaded from the next, so GCC would not vectorise this and it would be slower than blocking.
    """
    cdef float b0, b1, b2, b3
    cdef float f[4][4]
    cdef int64_t j
    cdef int r, c
    for r in range(4):
        for c in range(4):
            f[r][c] = a[r * a_row + c]
    for j in range(n_columns):
        b0, b1, b2, b3 = b[j], b[b_row + j], b[2 * b_row + j], b[3 * b_row + j]
        t0[j] = t0[j] + f[0][0] * b0 + f[0][1] * b1 + f[0][2] * b2 + f[0][3] * b3
        t1[j] = t1[j] + f[1][0] * b0 + f[1][1] * b1 + f[1][2] * b2 + f[1][3] * b3
        t2[j] = t2[j] + f[2][0] * b0 + f[2][1] * b1 + f[2][2] * b2 + f[2][3] * b3
        t3[j] = t3[j] + f[3][0] * b0 + f[3][1] * b1 + f[3][2] * b2 + f[3][3] * b3


def register_tile(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Add a tile of four rows and four columns of a, kept in registers, to blocking.

    Each vector loaded from b serves four rows, and each vector of ``out`` takes four terms before
    it is stored: 8 loads and 4 stores for 16 multiply-adds instead of 32 and 16. Rows and terms
    after the last whole tile are computed as in the step above.
    """
    cdef int64_t i, j, k, block, n_rows = a.shape[0], n_terms = a.shape[1], N = out.shape[1]
    cdef int64_t whole_rows = n_rows // 4 * 4, whole_terms = n_terms // 4 * 4
    cdef int64_t terms = block_terms(N)
    with nogil:
        out[:, :] = 0
        for block in range(divide_up(whole_terms, terms)):
            for i in range(0, whole_rows, 4):
                for k in range(block * terms, min((block + 1) * terms, whole_terms), 4):
                    add_tile(
                        &a[i, k], n_terms, &b[k, 0], N,
                        &out[i, 0], &out[i + 1, 0], &out[i + 2, 0], &out[i + 3, 0], N,
                    )
        for i in range(n_rows):
            for k in range(whole_terms if i < whole_rows else 0, n_terms):
                for j in range(N):
                    out[i, j] += a[i, k] * b[k, j]


cdef enum:
    PANEL = 128  # columns of a packed panel


cdef void pack_panel(
    const float[:, ::1] b, int64_t j, int64_t width, float[:, ::1] panel
) noexcept nogil:
    """Copy ``width`` columns of b, starting at j, with zeros after the last column and row."""
    cdef int64_t k, c, columns = min(width, b.shape[1] - j)
    panel[:, :] = 0
    for k in range(b.shape[0]):
        for c in range(columns):
            panel[k, c] = b[k, j + c]


cdef void pack_rows(const float[:, ::1] a, int64_t i, float[:, ::1] rows) noexcept nogil:
    """Copy rows of a, starting at row i, with zeros after the last row and the last term."""
    cdef int64_t r, k
    rows[:, :] = 0
    for r in range(min(rows.shape[0], a.shape[0] - i)):
        for k in range(a.shape[1]):
            rows[r, k] = a[i + r, k]


cdef void unpack(
    const float[:, ::1] tile, int64_t i, int64_t j, float[:, ::1] out
) noexcept nogil:
    """Copy the part of a tile that fits to ``out`` at row i and column j."""
    cdef int64_t r, c, columns = min(tile.shape[1], out.shape[1] - j)
    for r in range(min(tile.shape[0], out.shape[0] - i)):
        for c in range(columns):
            out[i + r, j + c] = tile[r, c]


def packing(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Run the register tile on operands that are first copied into a better layout.

    Columns of b make a panel, (K, 128) without gaps, and the totals of four rows stay in 2 KiB of
    the L1 cache: no power of two makes them compete. Zeros pad the last panel and tile, so that
    the inner loop has no edge cases. K N numbers are copied for 2 M K N operations.
    """
    cdef int64_t i, j, k, p, n_terms = 4 * divide_up(a.shape[1], 4)
    cdef float[:, ::1] rows = np.empty((4 * divide_up(a.shape[0], 4), n_terms), np.float32)
    cdef float[:, ::1] panel = np.empty((n_terms, PANEL), np.float32)
    cdef float[:, ::1] totals = np.empty((4, PANEL), np.float32)
    with nogil:
        pack_rows(a, 0, rows)
        for p in range(divide_up(out.shape[1], PANEL)):
            j = p * PANEL
            pack_panel(b, j, PANEL, panel)
            for i in range(0, rows.shape[0], 4):
                totals[:, :] = 0
                for k in range(0, n_terms, 4):
                    add_tile(
                        &rows[i, k], n_terms, &panel[k, 0], PANEL,
                        &totals[0, 0], &totals[1, 0], &totals[2, 0], &totals[3, 0], PANEL,
                    )
                unpack(totals, i, j, out)


cdef extern from *:
    """
    /* A vector of VL floats, and how many rows of two such vectors the registers hold. */
    #if defined(__AVX512F__)
      enum { VL = 16, ROWS = 8 };
    #elif defined(__AVX2__)
      enum { VL = 8, ROWS = 4 };
    #elif defined(__aarch64__)
      enum { VL = 4, ROWS = 8 };
    #else
      enum { VL = 4, ROWS = 4 };
    #endif
    typedef float vec __attribute__((vector_size(4 * VL)));
    typedef vec vec_in_memory __attribute__((aligned(4), may_alias));
    #define load(p) ((vec)*(const vec_in_memory *)(p))
    #define store(p, x) (*(vec_in_memory *)(p) = (x))
    #define broadcast(x) ((x) - (vec){0})
    """
    ctypedef float vec  # VL floats; Cython can safely treat it as one
    enum:
        VL
        ROWS
    vec load(const float *p) noexcept nogil
    void store(float *p, vec x) noexcept nogil
    vec broadcast(float x) noexcept nogil

cdef enum:
    COLUMNS = 2 * VL


cdef inline void multiply_tile(
    const float *a, int64_t a_row, const float *panel, int64_t n_terms, float *out, int64_t out_row
) noexcept nogil:
    """Compute a tile of ``out``, ROWS x COLUMNS: rows of a, a_row apart, times the panel.

    The compiler unrolls the loops over r, whose length it knows, and keeps ``total`` in
    registers: 16 of the 32 that AVX-512 has, or 8 of 16.
    """
    cdef vec total[ROWS][2]
    cdef vec left, right, factor
    cdef int64_t k
    cdef int r
    for r in range(ROWS):
        total[r][0] = total[r][1] = broadcast(0)
    for k in range(n_terms):
        left, right = load(panel + k * COLUMNS), load(panel + k * COLUMNS + VL)
        for r in range(ROWS):
            factor = broadcast(a[r * a_row + k])
            total[r][0] += factor * left
            total[r][1] += factor * right
    for r in range(ROWS):
        store(out + r * out_row, total[r][0])
        store(out + r * out_row + VL, total[r][1])


def multiply_panels(
    const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out, int64_t gate, bint leads
):
    """Compute the columns of ``out`` for a thread's panels: every n-th of b for n threads."""
    cdef int64_t i, j, t, n_rows = a.shape[0], n_terms = a.shape[1], n_columns = out.shape[1]
    cdef float[:, ::1] panel = np.empty((n_terms, COLUMNS), np.float32)
    cdef float[:, ::1] rows = np.empty((ROWS, n_terms), np.float32)
    cdef float[:, ::1] tile = np.empty((ROWS, COLUMNS), np.float32)
    cdef Team team
    with nogil:
        team = enter(gate, leads)
        j = team.thread * COLUMNS if team.thread >= 0 else n_columns
        while j < n_columns:
            pack_panel(b, j, COLUMNS, panel)
            for t in range(divide_up(n_rows, ROWS)):
                i = t * ROWS
                if i + ROWS <= n_rows and j + COLUMNS <= n_columns:
                    multiply_tile(&a[i, 0], n_terms, &panel[0, 0], n_terms, &out[i, j], n_columns)
                else:  # an edge: compute a whole tile, and copy the part that fits
                    pack_rows(a, i, rows)
                    multiply_tile(
                        &rows[0, 0], n_terms, &panel[0, 0], n_terms, &tile[0, 0], COLUMNS
                    )
                    unpack(tile, i, j, out)
            j += team.threads * COLUMNS
        leave(&team)


def vectors(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Keep a tile of ``out`` in registers, using the vector type that GCC and Clang add to C.

    The totals stay in registers for the whole sum over k. For each k the tile loads two vectors
    of b and ROWS numbers of a for 2 ROWS multiply-adds, and stores nothing. The FMA units are
    the limit; packing and edges account for the distance from the peak.
    """
    multiply_panels(a, b, out, 0, True)
