# The micro-kernel, and the matrix products of the public tier.

cdef struct Product:
    # One tile of a product: out[r, c] = sum over i of a(r, i) b(i, c), i = index[0], index[1] ...
    const float *a  # IN, a(r, i) at a + r*a_row + i*a_step,
    int64_t a_row
    int64_t a_step
    int64_t segment  # a_segment further on after every ``segment`` terms of the sum
    int64_t a_segment
    int64_t K  # terms of the sum
    const int64_t *index
    const float *b  # IN, b(i, c) at b + i*b_step + c
    int64_t b_step


cdef inline void tile_body(
    const int rows, const int vectors, const Product *product, float *out
) noexcept nogil:
    """The tile of exactly ``rows`` x ``vectors`` vectors, to ``out`` row by row.

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
        store(out + r * vectors * VL, total[r][0])
        if vectors == 2:
            store(out + r * vectors * VL + VL, total[r][1])


cdef inline void tile_rows(
    const int vectors, int rows, const Product *product, float *out
) noexcept nogil:
    """Pick the specialisation for the number of rows; those above MR compile to nothing."""
    if rows == 1:
        tile_body(1, vectors, product, out)
    elif rows == 2:
        tile_body(2, vectors, product, out)
    elif rows == 3:
        tile_body(3, vectors, product, out)
    elif rows == 4:
        tile_body(4, vectors, product, out)
    elif rows == 5:
        tile_body(5, vectors, product, out)
    elif rows == 6:
        tile_body(6, vectors, product, out)
    elif MR >= 12 and rows == 7:
        tile_body(7, vectors, product, out)
    elif MR >= 12 and rows == 8:
        tile_body(8, vectors, product, out)
    elif MR >= 12 and rows == 9:
        tile_body(9, vectors, product, out)
    elif MR >= 12 and rows == 10:
        tile_body(10, vectors, product, out)
    elif MR >= 12 and rows == 11:
        tile_body(11, vectors, product, out)
    elif MR >= 12 and rows == 12:
        tile_body(12, vectors, product, out)
    elif MR >= 14 and rows == 13:
        tile_body(13, vectors, product, out)
    elif MR >= 14 and rows == 14:
        tile_body(14, vectors, product, out)


cdef void tile(int rows, int vectors, const Product *product, float *out) noexcept nogil:
    """``out[r, c] = sum over k of a(r, k) b(k, c)``: rows in [1, MR], vectors 1 or 2."""
    if vectors == 2:
        tile_rows(2, rows, product, out)
    else:
        tile_rows(1, rows, product, out)


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
                store(panel + c, load_part(b + c, columns - c if columns > c else 0))
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
    cdef int64_t k, c, n
    cdef int64_t block, blocks = divide_up(rows, VL)
    cdef int i
    for block in range(width // VL * blocks):
        c = block // blocks * VL
        k = block % blocks * VL
        n = min(rows - k, <int64_t> VL)
        for i in range(VL):
            if c + i >= columns:
                x[i] = splat(0)
            elif n == VL:
                x[i] = load(b + (c + i) * ldb + k)
            else:
                x[i] = load_part(b + (c + i) * ldb + k, n)
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


cdef class Matmul:
    """``out = op(a) op(b)``: built by one thread, then run by the members of a team.

    The members take (panel of columns, block of rows) after (panel, block) from a shared
    counter: a member that wakes late takes fewer. Each packs the panel of B for itself.
    """

    cdef const float[:, ::1] a
    cdef const float[:, ::1] b
    cdef float[:, ::1] out
    cdef int64_t M, N, K, width, panels, blocks, next_task
    cdef bint a_transposed, b_transposed
    cdef int64_t *identity

    def __init__(
        self, const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out,
        bint a_transposed, bint b_transposed, int64_t members,
    ):
        cdef int64_t k
        self.a, self.b, self.out = a, b, out  # IN, IN, OUT
        self.a_transposed, self.b_transposed = a_transposed, b_transposed
        self.M, self.N = out.shape[0], out.shape[1]
        self.K = a.shape[0] if a_transposed else a.shape[1]
        self.width = panel_width(self.N)
        self.panels = divide_up(self.N, self.width)
        # Enough tasks for every member, but no more packing than that needs.
        self.blocks = 1
        if members > 1:
            self.blocks = min(divide_up(2 * members, max(self.panels, 1)), divide_up(self.M, MR))
        self.next_task = 0
        self.identity = <int64_t *> allocate(self.K * sizeof(int64_t))
        for k in range(self.K):
            self.identity[k] = k

    def __dealloc__(self):
        free(self.identity)

    def run(self, int64_t index, int64_t count):
        """Take tasks until there are none."""
        cdef float *panel = <float *> allocate(self.K * self.width * sizeof(float))
        cdef int64_t task
        cdef uint32_t mode
        with nogil:
            mode = enter_float_mode()
            while True:
                task = __atomic_add_fetch(&self.next_task, 1, __ATOMIC_ACQ_REL) - 1
                if task >= self.panels * self.blocks:
                    break
                self.compute(task // self.blocks, task % self.blocks, panel)
            set_float_mode(mode)
        free(panel)

    cdef void compute(self, int64_t p, int64_t block, float *panel) noexcept nogil:
        """The columns of panel p in one block of rows."""
        cdef int64_t column = p * self.width
        cdef int64_t columns = min(self.N - column, self.width)
        cdef int64_t first = block * self.M // self.blocks
        cdef int64_t rows = (block + 1) * self.M // self.blocks - first
        cdef int64_t tiles = divide_up(rows, MR)
        cdef int64_t i, low, high
        cdef float scratch[14 * NR]
        cdef Product product
        if self.b_transposed:
            pack_transposed(
                address(self.b) + column * self.K, self.K, self.K, columns, self.width, panel
            )
        else:
            pack_panel(address(self.b) + column, self.N, self.K, columns, self.width, panel)
        product.a_row = 1 if self.a_transposed else self.K
        product.a_step = self.M if self.a_transposed else 1
        product.segment = self.K
        product.a_segment = 0
        product.K = self.K
        product.b, product.index, product.b_step = panel, self.identity, self.width
        for i in range(tiles):
            low = first + i * rows // tiles
            high = first + (i + 1) * rows // tiles
            product.a = address(self.a) + low * product.a_row
            tile(<int> (high - low), <int> (self.width // VL), &product, scratch)
            self.write(low, high, column, columns, scratch)

    cdef void write(
        self, int64_t low, int64_t high, int64_t column, int64_t columns, const float *scratch
    ) noexcept nogil:
        """Copy a tile to its place in ``out``."""
        cdef int64_t row, v, c
        cdef float *out
        for row in range(low, high):
            out = &self.out[0, 0] + row * self.N + column
            for v in range(divide_up(columns, VL)):
                c = v * VL
                if c + VL <= columns:
                    store(out + c, load(scratch + c))
                else:
                    store_part(out + c, load(scratch + c), columns - c)
            scratch += self.width
