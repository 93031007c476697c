# The matrix products of the public tier.

cdef enum:
    GROUP = 1 << 17  # floats of B that are packed together: half of a small L2 cache
    A_STEP = 16  # floats from one term of the sum to the next in a packed tile of A
    SET_STRIDE = 1024  # floats: rows that lie a multiple of it apart share a set of the L1 cache


cdef class Matmul:
    """``out = op(a) op(b)``: built by one thread, then run by the members of a team.

    The members take (group of panels, block of rows) after (group, block) from a shared counter:
    a member that wakes late takes fewer. For each it packs the panels of B, then goes down the
    rows tile by tile, so that a tile of A serves all panels and ``out`` is written row by row.
    """

    cdef const float[:, ::1] a
    cdef const float[:, ::1] b
    cdef float[:, ::1] out
    cdef int64_t M, N, K, width, panels, group, blocks, tasks, next_task
    cdef bint a_transposed, b_transposed, pack_a
    cdef int32_t *identity

    def __init__(
        self, const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out,
        bint a_transposed, bint b_transposed, int64_t members,
    ):
        cdef int64_t k, groups
        self.a, self.b, self.out = a, b, out  # IN, IN, OUT
        self.a_transposed, self.b_transposed = a_transposed, b_transposed
        self.M, self.N = out.shape[0], out.shape[1]
        self.K = a.shape[0] if a_transposed else a.shape[1]
        self.width = panel_width(self.N)
        self.panels = divide_up(self.N, self.width)
        self.group = min(self.panels, max(1, GROUP // max(1, self.K * self.width)))
        groups = divide_up(self.panels, max(1, self.group))
        # Two tasks for each member, but no more packing than that needs.
        self.blocks = 1
        if members > 1 and groups:
            self.blocks = min(divide_up(2 * members, groups), divide_up(self.M, MR))
        self.tasks = groups * self.blocks
        self.next_task = 0
        # Rows of A that fall into one cache set would evict each other from the tile.
        self.pack_a = self.group > 1 and (a_transposed or self.K % SET_STRIDE == 0)
        self.identity = <int32_t *> allocate(self.K * sizeof(int32_t))
        for k in range(self.K):
            self.identity[k] = <int32_t> k

    def __dealloc__(self):
        free(self.identity)

    def run(self, int64_t index, int64_t count):
        """Take tasks until there are none."""
        cdef int64_t tile_size = max(self.K * A_STEP, MR * leading_dimension(self.K))
        cdef float *scratch = <float *> allocate(
            (tile_size + self.group * self.K * self.width) * sizeof(float)
        )
        cdef int64_t task
        cdef uint32_t mode
        with nogil:
            mode = enter_float_mode()
            while True:
                task = __atomic_add_fetch(&self.next_task, 1, __ATOMIC_ACQ_REL) - 1
                if task >= self.tasks:
                    break
                self.compute(task // self.blocks, task % self.blocks, scratch, scratch + tile_size)
            set_float_mode(mode)
        free(scratch)

    cdef void compute(
        self, int64_t group, int64_t block, float *a_tile, float *panels
    ) noexcept nogil:
        """The columns of a group of panels in one block of rows."""
        cdef int64_t p, low, first = group * self.group
        cdef int64_t last = min(first + self.group, self.panels)
        cdef int64_t begin = block * self.M // self.blocks
        cdef int64_t rows = (block + 1) * self.M // self.blocks - begin
        cdef int64_t i, n, tiles = divide_up(rows, MR)
        cdef Product product
        for p in range(first, last):
            self.pack_b(p, panels + (p - first) * self.K * self.width)
        product.segment = product.K = self.K
        product.a_segment = 0
        product.index, product.b_step = self.identity, self.width
        for i in range(tiles):
            low = begin + i * rows // tiles
            n = begin + (i + 1) * rows // tiles - low
            self.set_a(low, n, a_tile, &product)
            for p in range(first, last):
                product.b = panels + (p - first) * self.K * self.width
                self.multiply(low, n, p * self.width, &product)

    cdef void pack_b(self, int64_t p, float *panel) noexcept nogil:
        cdef int64_t column = p * self.width
        cdef int64_t columns = min(self.N - column, self.width)
        if self.b_transposed:
            pack_transposed(
                address(self.b) + column * self.K, self.K, self.K, columns, self.width, panel
            )
        else:
            pack_panel(address(self.b) + column, self.N, self.K, columns, self.width, panel)

    cdef void set_a(
        self, int64_t low, int64_t n, float *a_tile, Product *product
    ) noexcept nogil:
        """n rows of op(a): where they lie, or packed where that is a bad place."""
        cdef int64_t k, ld = leading_dimension(self.K)
        cdef const float *a = address(self.a)
        if not self.pack_a:
            product.a_row = 1 if self.a_transposed else self.K
            product.a_step = self.M if self.a_transposed else 1
            product.a = a + low * product.a_row
        elif self.a_transposed:
            for k in range(self.K):
                copy_part(a_tile + k * A_STEP, a + k * self.M + low, n)
            product.a, product.a_row, product.a_step = a_tile, 1, A_STEP
        else:
            for k in range(n):
                memcpy(a_tile + k * ld, a + (low + k) * self.K, self.K * sizeof(float))
            product.a, product.a_row, product.a_step = a_tile, ld, 1

    cdef void multiply(
        self, int64_t low, int64_t n, int64_t column, Product *product
    ) noexcept nogil:
        """One tile, straight into ``out`` where the panel is whole."""
        cdef float scratch[14 * NR]
        cdef float *out = &self.out[0, 0] + low * self.N + column
        cdef int64_t row, rest = self.N - column
        if rest >= self.width:
            product.out, product.out_row = out, self.N
            tile(n, self.width, product)
            return
        product.out, product.out_row = scratch, self.width
        tile(n, self.width, product)
        for row in range(n):
            copy_part(out + row * self.N, scratch + row * self.width, rest)
