# ``forward``: the logits of many rows, block of rows after block of rows.

cdef enum:
    BLOCK_TILES = 8  # register tiles in the rows that go through all layers together


def tile_rows():
    """The rows of a register tile: so few read the weights once, where they lie."""
    return MR


def block_rows():
    """The rows that go through all layers together where the workspace has room for them."""
    return BLOCK_TILES * MR


cdef int64_t widest(const Layer *layers, int64_t n_layers) noexcept nogil:
    """The leading dimension that serves the inputs and outputs of every layer."""
    cdef int64_t depth, ld = leading_dimension(layers[0].fan_in)
    for depth in range(n_layers):
        ld = max(ld, layers[depth].lda)
    return ld


def inference_size(const int64_t[:, ::1] table, int64_t rows):
    """The floats of workspace for blocks of ``rows`` in all: the packed weights, then two
    buffers for each member; room for alignment included.
    """
    cdef int64_t depth, used = 0
    cdef Layer *layers = <Layer *> allocate(table.shape[0] * sizeof(Layer))
    read_table(table, layers)
    for depth in range(table.shape[0]):
        place_weights(&layers[depth], 1, NULL, &used)
        place_bias(&layers[depth], 1, NULL, &used)
    free(layers)
    return used + buffer_size(table, rows)


def buffer_size(const int64_t[:, ::1] table, int64_t rows):
    """The floats of the two buffers alone, room for alignment included."""
    cdef Layer *layers = <Layer *> allocate(table.shape[0] * sizeof(Layer))
    cdef int64_t ld
    read_table(table, layers)
    ld = widest(layers, table.shape[0])
    free(layers)
    return 2 * rows * ld + 16


cdef class Inference:
    """``forward``: the members pack the weights together, then take blocks of rows.

    Packing pays where many rows use the weights, or many calls: what was packed once serves
    other programs, and calls of ``predict``. A tile's rows or fewer read them in place.
    """

    cdef Layer *layers
    cdef int32_t *identity  # 0, 1, 2 ...
    cdef Listed *listed  # of a block of rows, for each member
    cdef uint64_t *bits  # scratch of the gather, for each member
    cdef int64_t n_layers, members, rows, block, next_block, ld
    cdef Source source
    cdef const float *params
    cdef float *buffers
    cdef float *logits
    cdef object weights, arrays  # what the pointers above point into

    def __init__(self, const int64_t[:, ::1] table, int64_t members):
        cdef int64_t depth, largest = 1
        self.n_layers, self.members, self.next_block = table.shape[0], members, 0
        memset(&self.source, 0, sizeof(Source))
        self.layers = <Layer *> allocate(self.n_layers * sizeof(Layer))
        read_table(table, self.layers)
        self.ld = widest(self.layers, self.n_layers)
        for depth in range(self.n_layers):
            largest = max(largest, self.layers[depth].fan_in)
        self.identity = <int32_t *> allocate(largest * sizeof(int32_t))
        for depth in range(largest):
            self.identity[depth] = <int32_t> depth

    def __dealloc__(self):
        cdef int64_t member
        free(self.layers)
        free(self.identity)
        if self.listed != NULL:
            for member in range(self.members):
                free_listed(&self.listed[member])
        free(self.listed)
        free(self.bits)

    def set_weights(self, const float[::1] params, float[::1] workspace, bint in_place):
        """Where the parameters are, and where they will be packed; ``in_place`` for few rows."""
        cdef float *base = aligned(workspace)
        cdef int64_t depth, used = 0
        for depth in range(self.n_layers):
            place_weights(&self.layers[depth], 1, base, &used)
            place_bias(&self.layers[depth], 1, base, &used)
            if in_place:
                self.layers[depth].in_place = &params[0] + self.layers[depth].weight_offset
                self.layers[depth].end = &params[0] + params.shape[0]
        self.params, self.weights = &params[0], (params, workspace)
        self.set_buffers(base + used, workspace.shape[0] - 16 - used)

    def share_weights(self, Inference other, float[::1] workspace):
        """Use the weights that another program, of the same layers, has packed."""
        memcpy(self.layers, other.layers, self.n_layers * sizeof(Layer))
        self.weights = other, workspace
        self.set_buffers(aligned(workspace), workspace.shape[0] - 16)

    cdef void set_buffers(self, float *buffers, int64_t size) noexcept:
        """Room for the activations: larger blocks in more of it."""
        self.buffers = buffers
        self.block = min(<int64_t> BLOCK_TILES * MR, size // (2 * self.ld * self.members))

    def set_scale(self, float scale, float shift, bint skip_zeros):
        """How inputs enter, and whether the products go round their zeros."""
        set_columns(&self.source, self.layers[0].fan_in, 1)
        self.source.scale, self.source.shift = scale, shift
        self.source.skip_zeros = skip_zeros
        if skip_zeros:
            self.allocate_lists()

    cdef int allocate_lists(self) except -1:
        """Room to list what is not zero in a block of rows."""
        cdef int64_t member, size = self.members * sizeof(Listed)
        self.listed = <Listed *> allocate(size)
        memset(self.listed, 0, size)
        for member in range(self.members):
            self.listed[member] = allocate_listed(&self.source, self.block)
        self.bits = <uint64_t *> allocate(
            self.members * self.source.words * sizeof(uint64_t)
        )
        return 0

    def set_arrays(
        self, const uint8_t[:, ::1] x_bytes, const float[:, ::1] x_floats, float[:, ::1] logits
    ):
        """The inputs, one of x_bytes and x_floats being None, and where their logits go."""
        self.source.bytes, self.source.floats = NULL, NULL
        if x_bytes is not None:
            self.source.bytes = &x_bytes[0, 0]
        else:
            self.source.floats = &x_floats[0, 0]
        self.rows, self.logits = logits.shape[0], out_address(logits)
        self.arrays = (x_bytes, x_floats, logits)

    def run(self, int64_t gate, bint leads):
        """Be a member of a team: pack, meet, predict."""
        cdef Member member
        with nogil:
            member = enter(gate, leads)
            if member.index >= 0:
                self.pack_share(&member)
                meet(&member)
                self.take_blocks(member.index)
                leave(&member)

    def lead(self, int64_t desk, int64_t members):
        """Predict with packed weights, together with the members at the desk."""
        with nogil:
            lead(desk, take_blocks_of, <void *> self, members)

    cdef void take_blocks(self, int64_t index) noexcept nogil:
        """Take one block of rows after another until there are none."""
        cdef int64_t block
        cdef uint32_t mode = enter_float_mode()
        while True:
            block = add(&self.next_block, 1) - 1
            if block * self.block >= self.rows:
                break
            self.compute(
                block * self.block, min(self.block, self.rows - block * self.block),
                index, self.buffers + 2 * index * self.block * self.ld,
            )
        set_float_mode(mode)

    def pack(self):
        """Pack the weights for the calls to come."""
        cdef Member alone
        alone.index, alone.count = 0, 1
        self.pack_share(&alone)

    cdef void pack_share(self, const Member *member) noexcept nogil:
        cdef int64_t depth
        for depth in range(self.n_layers):
            if self.layers[depth].in_place == NULL:
                pack_weights(member, &self.layers[depth], 0, self.params)
            pack_bias(member, &self.layers[depth], 0, self.params)

    def predict(
        self, const uint8_t[:, ::1] x_bytes, const float[:, ::1] x_floats, float[:, ::1] logits
    ):
        """Compute a few rows, with packed weights, on the thread that calls.

        It keeps the interpreter's lock, so that calls of several threads do not meet in the
        buffers: it is over before another thread would have been woken.
        """
        cdef int64_t first = 0, rows = logits.shape[0]
        cdef uint32_t mode = enter_float_mode()
        self.source.bytes = &x_bytes[0, 0] if x_bytes is not None else NULL
        self.source.floats = &x_floats[0, 0] if x_floats is not None else NULL
        self.logits = &logits[0, 0]
        while first < rows:
            self.compute(first, min(self.block, rows - first), 0, self.buffers)
            first += self.block
        set_float_mode(mode)

    cdef void compute(
        self, int64_t first, int64_t rows, int64_t index, float *buffers
    ) noexcept nogil:
        """Rows first to first + rows through all layers, from one buffer to the other."""
        cdef int64_t depth, row, classes = self.layers[self.n_layers - 1].fan_out
        cdef float *out = buffers + self.block * self.ld
        cdef Source source = self.source
        cdef uint64_t *any_row = self.bits + index * source.words
        cdef Masks no_masks
        cdef Inputs inputs
        cdef Member alone
        cdef Parts whole
        cdef Share share
        memset(&no_masks, 0, sizeof(Masks))
        alone.index, alone.count = 0, 1
        whole.first, whole.end = 0, 1
        inputs.a, inputs.ld, inputs.identity = buffers, self.ld, self.identity
        inputs.source, inputs.listed = &source, NULL
        if self.listed != NULL:
            inputs.listed = &self.listed[index]
        if source.bytes != NULL:
            source.bytes += first * source.columns
        else:
            source.floats += first * source.columns
        gather(&source, NULL, 0, rows, &whole, any_row, inputs.listed, buffers, self.ld)
        for depth in range(self.n_layers):
            if self.layers[depth].in_place != NULL:
                forward_in_place(&self.layers[depth], &inputs, rows, &no_masks, out, self.ld)
            else:
                share = share_of(
                    &alone, self.layers[depth].panels, rows,
                    1 if inputs.listed == NULL else BLOCK,
                )
                forward_share(&self.layers[depth], &inputs, &share, &no_masks, out, self.ld)
            inputs.a, inputs.listed = out, NULL
            out = buffers if out != buffers else buffers + self.block * self.ld
        for row in range(rows):
            memcpy(
                self.logits + (first + row) * classes, inputs.a + row * self.ld,
                classes * sizeof(float),
            )


cdef void take_blocks_of(void *program, int64_t index, int64_t count) noexcept nogil:
    """A job at the desk: see ``Inference.lead``."""
    (<Inference> program).take_blocks(index)
