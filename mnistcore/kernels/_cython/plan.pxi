# Where everything lies in the workspace and how a step is divided, both of which depend on shapes
# alone.

cdef enum:
    LIGHT = 1 << 14  # weights that every thread may read in a step: 64 KiB
    MOST_MARKED = 4096  # rows of a batch: with more, marks and copies would outgrow the caches
    SLOTS = 5  # the most for a layer: the parameters, three rows of state, a gradient

cdef struct Layer:
    int64_t fan_in
    int64_t fan_out
    int64_t activation
    int64_t weight_offset
    int64_t bias_offset
    int64_t decay
    int64_t dropout
    bint normalized  # over the batch
    int64_t norm_offset  # of its running means in the buffers
    bint skips  # its inputs may be mostly zero: they are then not multiplied
    int64_t width  # of the panels that fan_out is cut into
    int64_t panels
    int64_t batch_size  # rows that there is room for
    int64_t batch_width  # of the panels that a batch is cut into
    const float *in_place  # unpacked weights (fan_in, fan_out) to read, or NULL
    const float *end  # of the parameters that in_place points into
    float *weights[SLOTS]  # panels (panels, fan_in, width): parameters, then the rows of state
    float *bias[SLOTS]  # (panels * width,) each
    float *gain[SLOTS]  # as bias, if normalised
    float *z  # panels (panels, batch_size, width): sums of products, normalised later, or NULL
    float *statistics  # (STATISTICS, panels * width), if normalised
    float *a  # (batch_size, lda) outputs after activation and dropout
    int64_t lda
    float *dz  # panels (panels, batch_size, width): B of the weight gradient
    float *dzt  # panels (batch panels, fan_out, batch_width): B of the input gradient, or NULL

cdef struct Plan:
    # How a training step is divided among the threads of a team.
    bint rows_alone  # layers after the first are divided by rows of the batch, not by units
    int64_t parts  # of the inputs, if the first layer is narrow; else 1
    bint shared_inputs  # gathered jointly, because a copy for each thread would be too large

cdef struct Options:
    # One record of ``layout.OPTIONS_DTYPE``.
    int64_t batch_size
    int64_t optimizer
    int64_t nesterov
    int64_t seed
    int64_t epoch
    double scale
    double shift
    double momentum
    double beta1
    double beta2
    double eps
    double weight_decay
    double probs_clip
    double label_smoothing
    double norm_momentum
    double norm_eps
    double max_norm
    double ema_decay
    double clip_norm
    int64_t skip_zeros

cdef struct Batch:
    # A thread's view of the current mini-batch. Each thread gathers the inputs for itself, as
    # reading them again from memory is faster than from another core's cache.
    int64_t rows
    const int64_t *samples
    float *inputs  # (batch_size, ld_inputs)
    Marks marks  # where they are not zero, unless the first layer is narrow
    bint sparse  # whether they are mostly zero
    Marks hidden  # where the inputs of the layer at work are not zero, if it is not the first
    Strips strips  # what the first layer reads instead of inputs, if it is narrow
    Upcoming upcoming
    Layer *layers  # those of the run, or a copy for this thread
    double *losses  # (batch_size,) the loss of each row
    int32_t *hits  # (batch_size,)

cdef struct Run:
    # What the threads of a team share.
    Options options
    Layer *layers
    int64_t n_layers
    int64_t slots
    bint clipped  # gradients have a slot too, the last
    Plan plan
    float *partial  # (2, parts, batch_size, width) sums of the first layer, if it has parts
    int64_t ld_inputs
    Batch *batches  # (threads,)
    int64_t threads
    Source source
    const int32_t *targets  # class ids, or NULL
    const float *soft_targets  # rows of probabilities, or NULL
    const float *sample_weight  # NULL: all are 1
    const int64_t *order  # NULL: the rows in order
    int64_t n_order
    const double *learning_rates
    int64_t n_steps
    int64_t first_step
    bint gradient_only  # write the gradient to the first row of state and change nothing else
    float *params
    float *state  # (slots - 1, n_params)
    int64_t n_params
    float *buffers  # (2, n_normalized) running means and variances
    int64_t n_normalized  # units of all normalised layers
    double *squares  # of a gradient, of each vector of units of each layer; scratch
    double *metrics
    int64_t steps_done


cdef Plan make_plan(const Layer *layers, int64_t n_layers, int64_t batch_size) noexcept nogil:
    """Plan how a training step is divided among threads."""
    cdef Plan plan
    cdef int64_t depth, weights = 0
    cdef bint normalized = False  # then the rows of a batch are not independent
    for depth in range(n_layers):
        normalized |= layers[depth].normalized
        if depth:
            weights += layers[depth].fan_in * layers[depth].fan_out
    plan.rows_alone = weights <= LIGHT and not normalized
    plan.shared_inputs = batch_size > MOST_MARKED
    plan.parts = 1
    if (
        plan.rows_alone and not plan.shared_inputs
        and layers[0].fan_out <= panel_width(layers[0].fan_out)
    ):
        plan.parts = narrow_parts(layers[0].fan_in, layers[0].fan_out)
    return plan


cdef void read_layer(
    const int64_t[:, ::1] table, int64_t depth, int64_t batch_size, int64_t skip, int64_t threads,
    Layer *layer,
) noexcept:
    """Read a layer from a table (layers, columns), without assigning memory to it."""
    memset(layer, 0, sizeof(Layer))
    layer.fan_in, layer.fan_out = table[depth, FAN_IN], table[depth, FAN_OUT]
    layer.activation, layer.decay = table[depth, ACTIVATION], table[depth, DECAY]
    layer.weight_offset = table[depth, WEIGHT_OFFSET]
    layer.bias_offset = table[depth, BIAS_OFFSET]
    layer.dropout = table[depth, DROPOUT]
    layer.normalized = table[depth, KIND] == NORMALIZED
    if depth == 0:
        layer.skips = skip == SKIP_ALL
    else:
        # Little is zero in several rows at once, which few units take together.
        layer.skips = (
            skip != SKIP_NOTHING and table[depth - 1, ACTIVATION] == RELU
            and layer.fan_out > 2 * VL
        )
    layer.width = (
        sparse_width(layer.fan_out, threads if depth == 0 else 1) if layer.skips
        else panel_width(layer.fan_out)
    )
    layer.panels = divide_up(layer.fan_out, layer.width)
    layer.lda = leading_dimension(layer.panels * layer.width)
    layer.batch_size, layer.batch_width = batch_size, panel_width(batch_size)


cdef Run make_run(
    const int64_t[:, ::1] table, int64_t batch_size, int64_t slots, int64_t threads,
    int64_t skip, bint narrow, bint clipped,
) except *:
    """Make what follows from the shapes alone; allocate its layers and batches.

    ``narrow`` allows the inputs of a narrow first layer to be divided into parts; ``clipped``
    gives gradients a slot.
    """
    cdef Run run
    cdef int64_t depth
    memset(&run, 0, sizeof(Run))
    run.options.batch_size, run.slots, run.n_layers = batch_size, slots, table.shape[0]
    run.layers = <Layer *> allocate(threads * run.n_layers * sizeof(Layer))
    for depth in range(run.n_layers):
        read_layer(table, depth, batch_size, skip, threads, &run.layers[depth])
        run.layers[depth].norm_offset = run.n_normalized
        if run.layers[depth].normalized:
            run.n_normalized += run.layers[depth].fan_out
    run.clipped = clipped
    run.plan = make_plan(run.layers, run.n_layers, batch_size)
    if not narrow:
        run.plan.parts = 1
    if run.plan.parts > 1 or run.plan.shared_inputs:
        read_layer(table, 0, batch_size, SKIP_NOTHING, threads, run.layers)
    run.threads = threads
    run.batches = <Batch *> allocate(threads * sizeof(Batch))
    memset(run.batches, 0, threads * sizeof(Batch))
    run.ld_inputs = leading_dimension(run.layers[0].fan_in)
    run.source.columns = run.layers[0].fan_in
    return run


# ---------------------------------------------------------------------------------------------
# Places
# ---------------------------------------------------------------------------------------------

cdef inline int64_t used_width(const Layer *layer, int64_t panel) noexcept nogil:
    """Return the columns of a panel that hold units, in whole vectors; the last has padding."""
    return min(layer.width, divide_up(layer.fan_out - panel * layer.width, VL) * VL)


cdef inline int64_t gradient_size(const Layer *layer) noexcept nogil:
    """Return the number of floats of dz, and of z."""
    return layer.batch_size * layer.panels * layer.width


cdef inline int64_t transposed_size(const Layer *layer) noexcept nogil:
    """Return the number of floats of dz^T."""
    return (
        divide_up(layer.batch_size, layer.batch_width) * layer.fan_out * layer.batch_width
    )


cdef inline float *dz_of(const Layer *layer, int64_t unit, int64_t row) noexcept nogil:
    """Return the address of dz for a unit and a row of the batch."""
    require(unit < layer.panels * layer.width)
    require(row < layer.batch_size)
    return (
        layer.dz + (unit // layer.width * layer.batch_size + row) * layer.width
        + unit % layer.width
    )


cdef inline float *z_of(const Layer *layer, int64_t panel, int64_t row) noexcept nogil:
    """Return the address of z for a panel and a row of the batch."""
    return layer.z + (panel * layer.batch_size + row) * layer.width


cdef inline float *dzt_of(const Layer *layer, int64_t unit, int64_t row) noexcept nogil:
    """Return the address of dz^T for a unit and a row of the batch."""
    cdef int64_t width = layer.batch_width
    require(unit < layer.fan_out)
    require(row < layer.batch_size)
    return layer.dzt + (row // width * layer.fan_out + unit) * width + row % width


cdef void place_weights(Layer *layer, int64_t slots, Space *space) noexcept nogil:
    """Take places for the packed weights and their rows of state."""
    cdef int64_t slot
    for slot in range(slots):
        layer.weights[slot] = take(space, layer.panels * layer.fan_in * layer.width)


cdef void place_bias(Layer *layer, int64_t slots, Space *space) noexcept nogil:
    """Take places for the packed bias and its rows of state."""
    cdef int64_t slot
    for slot in range(slots):
        layer.bias[slot] = take(space, layer.panels * layer.width)


cdef void place_normalization(Layer *layer, int64_t slots, Space *space) noexcept nogil:
    """Take places for what only a normalised layer has."""
    cdef int64_t slot
    for slot in range(slots):
        layer.gain[slot] = take(space, layer.panels * layer.width)
    layer.statistics = take(space, STATISTICS * layer.panels * layer.width)


cdef void place_outputs(Layer *layer, bint transposed, Space *space) noexcept nogil:
    """Take places for the outputs and their gradients.

    Sparse products are summed in z, some words of the inputs at a time: threads that did so side
    by side in the rows of ``a`` would keep taking its cache lines from each other.
    """
    layer.a = take(space, layer.batch_size * layer.lda)
    layer.dz = take(space, gradient_size(layer))
    if layer.normalized or layer.skips:
        layer.z = take(space, gradient_size(layer))
    if transposed:
        layer.dzt = take(space, transposed_size(layer))


cdef void place_run(Run *run, Space *space) noexcept nogil:
    """Take all the places of a training program.

    Each layer has its packed parameters and rows of state, its outputs, dz and dz^T: once, or
    once for each thread except for the weights of the first layer. The gathered inputs follow.
    """
    cdef int64_t depth, thread, batch = run.options.batch_size
    cdef int64_t slots = run.slots + run.clipped
    cdef int64_t copies = run.threads if run.plan.parts > 1 else 1
    cdef Layer *layer
    if run.plan.parts > 1:
        place_strips(&run.layers[0], slots, space)
    else:
        place_weights(&run.layers[0], slots, space)
    for thread in range(copies):
        for depth in range(run.n_layers):
            layer = &run.layers[thread * run.n_layers + depth]
            if thread:
                layer[0] = run.layers[depth]
            if depth:
                place_weights(layer, slots, space)
            place_bias(layer, slots, space)
            # The first layer needs no input gradient, but the loss of the last writes dz^T.
            place_outputs(layer, depth > 0 or run.n_layers == 1, space)
            if layer.normalized:
                place_normalization(layer, slots, space)
    for thread in range(run.threads):
        run.batches[thread].layers = &run.layers[thread * run.n_layers if copies > 1 else 0]
        if run.plan.parts > 1:
            run.batches[thread].inputs = NULL
        elif thread == 0 or not run.plan.shared_inputs:
            run.batches[thread].inputs = take(space, batch * run.ld_inputs)
        else:
            run.batches[thread].inputs = run.batches[0].inputs
    run.partial = take(space, 2 * run.plan.parts * batch * run.layers[0].width)


def training_size(
    const int64_t[:, ::1] table, int64_t batch_size, int64_t slots, int64_t threads
):
    """Return the floats of workspace that a training program needs, including alignment.

    ``slots`` is the number of rows of state.
    """
    cdef Run run
    cdef Space space
    cdef int64_t size = 0
    for skip in range(SKIP_NOTHING, SKIP_ALL + 1):
        for narrow in range(2):
            run = make_run(table, batch_size, 1 + slots, threads, skip, narrow, not narrow)
            space = no_space()
            place_run(&run, &space)
            release(run.layers)
            release(run.batches)
            size = max(size, space.used)
    return size + LINE_FLOATS


def division(const int64_t[:, ::1] table, int64_t batch_size):
    """Return how often the threads of a team meet in a step, and how many can share it."""
    cdef Run run = make_run(table, batch_size, 1, 1, SKIP_NOTHING, True, False)
    cdef Plan plan = run.plan
    cdef int64_t depth, meetings = 2 * table.shape[0]
    for depth in range(run.n_layers):
        meetings += run.layers[depth].normalized
    release(run.layers)
    release(run.batches)
    if plan.parts > 1:
        return 1, plan.parts
    return (3 if plan.rows_alone else meetings), MAX_THREADS
