# A matrix product: from a triple loop to a tile of vectors, on one thread and on many.


def naive(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Apply the definition: each element of ``out`` is a row of a times a column of b."""
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
    """Let a row of ``out`` grow term by term: the loops over k and j have changed places."""
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
    """Use one block of rows of b for all rows of a, while it is in the L2 cache."""
    cdef int64_t i, j, k, block, begin, stop, N = out.shape[1], terms = block_terms(N)
    cdef float factor
    with nogil:
        out[:, :] = 0
        for block in range(divide_up(a.shape[1], terms)):
            begin, stop = block * terms, min((block + 1) * terms, a.shape[1])
            for i in range(out.shape[0]):
                for k in range(begin, stop):
                    factor = a[i, k]
                    for j in range(N):
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

    Without the promise made by ``row``, a store to one row might change what is loaded from the
    next, so GCC would not vectorise this and it would be slower than blocking.
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
    """Go through a in tiles of 4 x 4; what whole tiles leave over is done as in blocking."""
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


cdef extern from *:
    """
    /* A vector of VL floats, and how many rows of two such vectors the registers hold. */
    #if defined(__AVX512F__)
      enum { VL = 16, ROWS = 8 };
    #elif defined(__AVX2__)
      enum { VL = 8, ROWS = 6 };
    #elif defined(__aarch64__)
      enum { VL = 4, ROWS = 8 };
    #else
      enum { VL = 4, ROWS = 6 };
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
    const int rows, const int vectors, const float *a, int64_t a_row, const float *b,
    int64_t b_row, int64_t n_terms, float *out, int64_t out_row,
) noexcept nogil:
    """Compute a tile of ``out``, with one or two vectors in a row; rows lie a_row, b_row, out_row
    numbers apart.

    The size is constant where this is inlined: the compiler unrolls the loops over r, and keeps
    ``total`` in registers.
    """
    cdef vec total[ROWS][2]
    cdef vec left, right, factor
    cdef int64_t k
    cdef int r
    for r in range(rows):
        total[r][0] = total[r][1] = broadcast(0)
    for k in range(n_terms):
        left, right = load(b), load(b + (vectors - 1) * VL)
        for r in range(rows):
            factor = broadcast(a[r * a_row + k])
            total[r][0] += factor * left
            if vectors == 2:
                total[r][1] += factor * right
        b += b_row
    for r in range(rows):
        store(out + r * out_row, total[r][0])
        if vectors == 2:
            store(out + r * out_row + VL, total[r][1])


cdef void compute_rest(
    const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out, int64_t row, int64_t column
) noexcept nogil:
    """Compute rows from ``row`` on, and columns from ``column`` on, as in loop order."""
    cdef int64_t i, j, k, first
    for i in range(out.shape[0]):
        first = column if i < row else 0
        for j in range(first, out.shape[1]):
            out[i, j] = 0
        for k in range(a.shape[1]):
            for j in range(first, out.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


def vectors(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Keep a tile of ``out`` in registers for the whole sum over k.

    It is written with the vector type that GCC and Clang add to C.
    """
    cdef int64_t i, j, p, t, n_rows = a.shape[0], n_terms = a.shape[1], N = out.shape[1]
    with nogil:
        for p in range(N // COLUMNS):
            for t in range(n_rows // ROWS):
                i, j = t * ROWS, p * COLUMNS
                multiply_tile(ROWS, 2, &a[i, 0], n_terms, &b[0, j], N, n_terms, &out[i, j], N)
        compute_rest(a, b, out, n_rows // ROWS * ROWS, N // COLUMNS * COLUMNS)


cdef void pack_panel(
    const float[:, ::1] b, int64_t j, int64_t width, float *panel
) noexcept nogil:
    """Copy columns of b, from j on, to a panel without gaps, with zeros after the last column."""
    cdef int64_t k, c, columns = min(width, b.shape[1] - j)
    for k in range(b.shape[0]):
        for c in range(columns):
            panel[c] = b[k, j + c]
        for c in range(columns, width):
            panel[c] = 0
        panel += width


def packing(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Copy a panel of b together before all rows of a are multiplied with it."""
    cdef int64_t i, j, p, t, n_rows = a.shape[0], n_terms = a.shape[1], N = out.shape[1]
    cdef float[:, ::1] space = np.empty((n_terms, COLUMNS), np.float32)
    cdef float *panel = &space[0, 0]
    with nogil:
        for p in range(N // COLUMNS):
            j = p * COLUMNS
            pack_panel(b, j, COLUMNS, panel)
            for t in range(n_rows // ROWS):
                i = t * ROWS
                multiply_tile(ROWS, 2, &a[i, 0], n_terms, panel, COLUMNS, n_terms, &out[i, j], N)
        compute_rest(a, b, out, n_rows // ROWS * ROWS, N // COLUMNS * COLUMNS)


cdef inline void multiply_any_tile(
    int64_t rows, const int vectors, const float *a, int64_t a_row, const float *b,
    int64_t b_row, int64_t n_terms, float *out, int64_t out_row,
) noexcept nogil:
    """Compute a tile of 1 to ROWS rows: one version for each height, as registers have names."""
    if rows == 1:
        multiply_tile(1, vectors, a, a_row, b, b_row, n_terms, out, out_row)
    elif rows == 2:
        multiply_tile(2, vectors, a, a_row, b, b_row, n_terms, out, out_row)
    elif rows == 3:
        multiply_tile(3, vectors, a, a_row, b, b_row, n_terms, out, out_row)
    elif rows == 4:
        multiply_tile(4, vectors, a, a_row, b, b_row, n_terms, out, out_row)
    elif rows == 5:
        multiply_tile(5, vectors, a, a_row, b, b_row, n_terms, out, out_row)
    elif rows == 6:
        multiply_tile(6, vectors, a, a_row, b, b_row, n_terms, out, out_row)
    elif ROWS == 8 and rows == 7:
        multiply_tile(7, vectors, a, a_row, b, b_row, n_terms, out, out_row)
    elif ROWS == 8 and rows == 8:
        multiply_tile(8, vectors, a, a_row, b, b_row, n_terms, out, out_row)


cdef int64_t panel_width(int64_t columns) noexcept nogil:
    """Return the width of the next panel: one vector if no more columns are left."""
    return VL if columns <= VL else COLUMNS


cdef void multiply_panel(
    const float[:, ::1] a, int64_t begin, int64_t stop, const float *panel, int64_t j,
    float[:, ::1] out,
) noexcept nogil:
    """Compute rows begin to stop of a panel's columns, in tiles of about equal height."""
    cdef float tile[ROWS * COLUMNS]
    cdef int64_t t, r, c, i, height, tiles = divide_up(stop - begin, ROWS)
    cdef int64_t n_terms = a.shape[1], columns = out.shape[1] - j, width = panel_width(columns)
    cdef float *place
    for t in range(tiles):
        i = begin + t * (stop - begin) // tiles
        height = begin + (t + 1) * (stop - begin) // tiles - i
        place = &out[i, j] if width <= columns else tile
        r = out.shape[1] if width <= columns else width
        if width == VL:
            multiply_any_tile(height, 1, &a[i, 0], n_terms, panel, width, n_terms, place, r)
        else:
            multiply_any_tile(height, 2, &a[i, 0], n_terms, panel, width, n_terms, place, r)
        if width > columns:
            for r in range(height):
                for c in range(columns):
                    out[i + r, j + c] = tile[r * width + c]


cdef void multiply_panels(
    const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out, float *panel,
    int64_t first, int64_t step,
) noexcept nogil:
    """Compute the columns of every step-th panel, from the first one on."""
    cdef int64_t j = first * COLUMNS
    while j < out.shape[1]:
        pack_panel(b, j, panel_width(out.shape[1] - j), panel)
        multiply_panel(a, 0, a.shape[0], panel, j, out)
        j += step * COLUMNS


def edges(const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out):
    """Make tiles as low and panels as narrow as what is left at the edges."""
    cdef float[:, ::1] panel = np.empty((a.shape[1], COLUMNS), np.float32)
    with nogil:
        multiply_panels(a, b, out, &panel[0, 0], 0, 1)


def multiply_share(
    const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out, int64_t gate, bint leads
):
    """Compute the panels of one of n threads, every n-th: between ``enter`` and ``leave``."""
    cdef float[:, ::1] panel = np.empty((a.shape[1], COLUMNS), np.float32)
    cdef Team team
    with nogil:
        team = enter(gate, leads)
        if team.thread >= 0:
            multiply_panels(a, b, out, &panel[0, 0], team.thread, team.threads)
        leave(&team)


def tile_size():
    """Return the rows and columns of a tile."""
    return ROWS, COLUMNS


def take_tasks(
    const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out, int64_t blocks,
    int64_t[::1] taken, int64_t gate, bint leads,
):
    """Compute tasks until none is left; ``taken`` counts those that any thread has taken."""
    cdef float[:, ::1] panel = np.empty((a.shape[1], COLUMNS), np.float32)
    cdef int64_t task, j, block, packed = -1, M = a.shape[0]
    cdef int64_t n_tasks = divide_up(out.shape[1], COLUMNS) * blocks
    cdef Team team
    with nogil:
        team = enter(gate, leads)
        while team.thread >= 0:
            task = atomic_add(&taken[0], 1)
            if task >= n_tasks:
                break
            j, block = task // blocks * COLUMNS, task % blocks
            if j != packed:
                pack_panel(b, j, panel_width(out.shape[1] - j), &panel[0, 0])
                packed = j
            multiply_panel(
                a, block * M // blocks, (block + 1) * M // blocks, &panel[0, 0], j, out
            )
        leave(&team)
