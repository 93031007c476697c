# ``forward``: the logits of many rows, one block of rows after another.

cdef enum:
    BLOCK_TILES = 8  # register tiles in the rows that go through all layers together


def tile_rows():
    """Return the rows of a register tile; up to this many rows read the weights in place."""
    return MR


def block_rows():
    """Return the rows that go through all layers together if the workspace has room for them."""
    return BLOCK_TILES * MR


def weights_size(const int64_t[:, ::1] table):
    """Return the floats of workspace for the packed parameters of a layer table."""
    cdef Space space = no_space()
    cdef Layer layer
    cdef int64_t depth
    for depth in range(table.shape[0]):
        read_layer(table, depth, 1, SKIP_ALL, 1, &layer)
        place_weights(&layer, 1, &space)
        place_bias(&layer, 1, &space)
    return space.used + LINE_FLOATS


def buffers_size(const int64_t[:, ::1] table, int64_t rows):
    """Return the floats of workspace for blocks with ``rows`` rows in total."""
    cdef Layer layer
    cdef int64_t depth, ld = 0
    for depth in range(table.shape[0]):
        read_layer(table, depth, 1, SKIP_ALL, 1, &layer)
        ld = max(ld, leading_dimension(layer.fan_in), layer.lda)
    return 2 * rows * ld + LINE_FLOATS


cdef class Weights:
    """The parameters of a network for predictions, either packed or read in place.

    Packing pays if many rows or many calls use the weights. A tile's worth of rows or fewer read
    them in place.

    Parameters
    ----------
    table
        The layer table (layers, columns), int64.
    params
        (P,) float32.
    workspace
        ``weights_size`` floats to pack them into.
    in_place
        Read the weights where they lie, and pack only the biases.
    """

    cdef Layer *layers
    cdef int64_t n_layers
    cdef int64_t ld  # a leading dimension that suits the inputs and outputs of every layer
    cdef Space space
    cdef const float *params
    cdef object arrays  # what the pointers above point into

    def __cinit__(self):
        self.space = no_space()

    def __init__(
        self, const int64_t[:, ::1] table, const float[::1] params, float[::1] workspace,
        bint in_place,
    ):
        cdef Layer *layer
        cdef int64_t depth
        self.n_layers = table.shape[0]
        self.layers = <Layer *> allocate(self.n_layers * sizeof(Layer))
        self.params, self.arrays = &params[0], (params, workspace)
        for depth in range(self.n_layers):
            layer = &self.layers[depth]
            read_layer(table, depth, 1, SKIP_ALL, 1, layer)
            self.ld = max(self.ld, leading_dimension(layer.fan_in), layer.lda)
            if in_place:
                layer.in_place = &params[0] + layer.weight_offset
                layer.end = &params[0] + params.shape[0]
        self.space = space_in(workspace)
        self.place()
        require(self.space.used + LINE_FLOATS <= workspace.shape[0])

    def __dealloc__(self):
        release(self.layers)

    cdef void place(self) noexcept nogil:
        """Take all the places."""
        cdef int64_t depth
        self.space.used = 0
        for depth in range(self.n_layers):
            place_weights(&self.layers[depth], 1, &self.space)
            place_bias(&self.layers[depth], 1, &self.space)

    def pack(self):
        """Pack the parameters on the calling thread."""
        cdef Team team = alone()
        self.guard(&team, SET_GUARDS)
        self.pack_share(&team)
        self.guard(&team, REMOVE_GUARDS)

    cdef void guard(self, Team *team, int guards) noexcept nogil:
        """Take all places again in the debug build, to set or remove their guards."""
        if CHECKED and team.thread == 0:
            self.space.guards = guards
            self.place()
        if CHECKED and guards == SET_GUARDS:
            meet(team)

    cdef void pack_share(self, const Team *team) noexcept nogil:
        """Pack a thread's share of the parameters."""
        cdef int64_t depth
        for depth in range(self.n_layers):
            if self.layers[depth].in_place == NULL:
                pack_weights(team, &self.layers[depth], 0, self.params)
            pack_bias(team, &self.layers[depth], 0, self.params)


cdef struct Call:
    # The work and the buffers of one call.
    const Layer *layers
    int64_t n_layers
    Source source
    int64_t skip  # which zeros are not multiplied
    Marks *marks  # one for each thread, of a block of rows
    float *buffers  # two for each thread, (block, ld) each
    int64_t block  # rows in a block
    int64_t ld
    float *logits
    int64_t rows
    int64_t *next_block  # a counter that the threads share


cdef class Prediction:
    """The program behind ``forward``, whose threads take blocks of rows.

    Parameters
    ----------
    weights
        The parameters. The caller of ``lead`` or ``predict`` must have packed them.
    threads
        The largest number of threads that will take part.
    scale, shift
        An input value enters as value * scale + shift.
    skip
        Which zeros are not multiplied: SKIP_NOTHING, SKIP_HIDDEN or SKIP_ALL.
    workspace
        ``buffers_size`` floats; a larger workspace allows larger blocks.
    """

    cdef Call call  # all but the arguments of a call
    cdef Weights weights
    cdef int64_t threads, next_block
    cdef object workspace  # what the pointers above point into

    def __cinit__(self):
        memset(&self.call, 0, sizeof(Call))

    def __init__(
        self, Weights weights, int64_t threads, float scale, float shift, int64_t skip,
        float[::1] workspace,
    ):
        cdef Call *call = &self.call
        cdef Space space = space_in(workspace)
        self.weights, self.workspace, self.threads = weights, workspace, threads
        call.layers, call.n_layers = weights.layers, weights.n_layers
        call.buffers, call.ld = space.base, weights.ld
        call.block = min(
            <int64_t> BLOCK_TILES * MR,
            (workspace.shape[0] - LINE_FLOATS) // (2 * call.ld * threads),
        )
        call.source.columns = call.layers[0].fan_in
        call.source.scale, call.source.shift = scale, shift
        call.skip = skip
        self.allocate_marks()

    def __dealloc__(self):
        cdef int64_t thread
        if self.call.marks != NULL:
            for thread in range(self.threads):
                release_marks(&self.call.marks[thread])
        release(self.call.marks)

    cdef int allocate_marks(self) except -1:
        """Allocate, for each thread, the marks of a block's non-zeros."""
        cdef Call *call = &self.call
        cdef int64_t depth, thread, widest = 0
        for depth in range(call.n_layers):
            if call.layers[depth].skips:
                widest = max(widest, call.layers[depth].fan_in)
        if call.skip != SKIP_NOTHING:
            call.marks = <Marks *> allocate(self.threads * sizeof(Marks))
            memset(call.marks, 0, self.threads * sizeof(Marks))
            for thread in range(self.threads):
                call.marks[thread] = make_marks(call.block, widest)
        return 0

    cdef Call call_for(self, x, float[:, ::1] logits) except *:
        """Return a call; the caller must keep both arrays alive."""
        cdef Call call = self.call
        set_rows(&call.source, x)
        call.logits, call.rows = out_address(logits), logits.shape[0]
        return call

    def run(self, x, float[:, ::1] logits, int64_t gate, bint leads):
        """Take part in a team that packs, meets and predicts once: see ``threads.run_team``.

        x (N, I) uint8 or float32, logits (N, C).
        """
        cdef Call call = self.call_for(x, logits)
        cdef Team team
        call.next_block = &self.next_block
        with nogil:
            team = enter(gate, leads)
            if team.thread >= 0:
                require(team.threads <= self.threads)
                self.weights.guard(&team, SET_GUARDS)
                self.weights.pack_share(&team)
                meet(&team)
                take_blocks(&call, team.thread, team.threads)
                leave(&team)
                self.weights.guard(&team, REMOVE_GUARDS)

    def lead(self, x, float[:, ::1] logits, int64_t desk, int64_t threads):
        """Predict together with the threads at the desk: see ``threads.run_tasks``."""
        cdef Call call = self.call_for(x, logits)
        cdef int64_t next_block = 0
        call.next_block = &next_block
        with nogil:
            lead(desk, take_blocks, &call, threads)

    def predict(self, x, float[:, ::1] logits):
        """Compute a few rows on the calling thread.

        It keeps the interpreter's lock, so that calls from several threads cannot share the
        buffers. The call is over before another thread would have been woken.
        """
        cdef Call call = self.call_for(x, logits)
        cdef int64_t next_block = 0
        call.next_block = &next_block
        take_blocks(&call, 0, 1)


cdef void take_blocks(void *arguments, int64_t thread, int64_t threads) noexcept nogil:
    """Take blocks of rows from the shared counter until none are left."""
    cdef const Call *call = <const Call *> arguments
    cdef int64_t first
    cdef uint32_t mode = flush_denormals()
    while True:
        first = atomic_add(call.next_block, 1) * call.block
        if first >= call.rows:
            break
        predict_block(call, first, thread)
    set_float_mode(mode)


cdef void predict_block(const Call *call, int64_t first, int64_t thread) noexcept nogil:
    """Send a block of rows, starting at ``first``, through all layers via two buffers."""
    cdef int64_t depth, row, rows = min(call.block, call.rows - first)
    cdef int64_t classes = call.layers[call.n_layers - 1].fan_out
    cdef float *buffers = call.buffers + 2 * thread * call.block * call.ld
    cdef float *out = buffers + call.block * call.ld
    cdef Source source = call.source
    cdef const Layer *layer
    cdef Masks no_masks
    cdef Inputs inputs
    cdef Team team = alone()
    cdef Tiles tiles
    memset(&no_masks, 0, sizeof(Masks))
    inputs.a, inputs.ld = buffers, call.ld
    inputs.marks = NULL
    skip_rows(&source, first)
    gather(&source, NULL, 0, rows, buffers, call.ld, NULL)
    for depth in range(call.n_layers):
        layer = &call.layers[depth]
        if layer.in_place != NULL:
            forward_in_place(layer, &inputs, rows, &no_masks, out, call.ld)
        else:
            if call.skip == SKIP_ALL or (call.skip == SKIP_HIDDEN and depth):
                mark_inputs(layer, 0, rows, &call.marks[thread], &inputs)
            tiles = tiles_of(&team, layer.panels, rows, 1)
            forward_layer(layer, &inputs, &tiles, &no_masks, out, call.ld)
        inputs.a, inputs.marks = out, NULL
        out = buffers if out != buffers else buffers + call.block * call.ld
    for row in range(rows):
        memcpy(
            call.logits + (first + row) * classes, inputs.a + row * call.ld,
            classes * sizeof(float),
        )
