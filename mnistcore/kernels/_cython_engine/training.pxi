# ``train_steps`` and ``loss_and_gradient``: many steps in one compiled call.

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

cdef struct Batch:
    # One mini-batch; two take turns, because the next is gathered while this one updates.
    int64_t rows
    const int64_t *samples
    float *inputs  # (batch_size, ld_inputs)

cdef struct Run:
    # What the members of a team share.
    Options options
    Layer *layers
    int64_t n_layers
    int64_t slots
    int64_t batch_width  # of the panels that a batch is cut into
    int64_t ld_inputs
    Batch batches[2]
    Source source
    const int32_t *targets
    const float *sample_weight  # or NULL: all are 1
    const int64_t *order
    int64_t n_order
    const double *learning_rates
    int64_t n_steps
    int64_t first_step
    bint keep_gradient  # write the gradient to the first row of state, change nothing else
    float *params
    float *state  # (slots, n_params)
    int64_t n_params
    double *metrics
    int64_t steps_done
    # Blocks of our own
    int64_t *identity
    Columns *columns  # of each layer but the first, whose own differ from batch to batch
    int64_t *lists  # that these point into
    uint8_t *masks  # (members, columns)
    double *losses  # (batch_size,) of each row
    uint8_t *hits  # (batch_size,)
    int64_t *barrier


cdef int64_t place_run(Run *run, float *base) noexcept nogil:
    """Lay out the workspace from ``base`` on; the number of floats it takes.

    Per layer, the packed parameters and rows of state, the outputs, dz and dz^T; then the two
    buffers of gathered inputs.
    """
    cdef int64_t used = 0, depth, batch = run.options.batch_size
    cdef int64_t batch_panels
    cdef Layer *layer
    run.batch_width = panel_width(batch)
    batch_panels = divide_up(batch, run.batch_width)
    for depth in range(run.n_layers):
        layer = &run.layers[depth]
        place_weights(layer, 1 + run.slots, base, &used)
        layer.a = base + take(&used, batch * layer.lda)
        layer.dz = base + take(&used, batch * layer.panels * layer.width)
        layer.dzt = base + take(&used, batch_panels * layer.fan_out * run.batch_width)
    run.ld_inputs = leading_dimension(run.layers[0].fan_in)
    run.batches[0].inputs = base + take(&used, batch * run.ld_inputs)
    run.batches[1].inputs = base + take(&used, batch * run.ld_inputs)
    return used


cdef void start_batch(Run *run, Batch *batch, int64_t step) noexcept nogil:
    """The batch of a step; none has rows behind the last."""
    cdef int64_t start = min(step * run.options.batch_size, run.n_order)
    batch.rows = min(run.options.batch_size, run.n_order - start)
    batch.samples = run.order
    if run.order != NULL:
        batch.samples += start


cdef void gather_share(Run *run, const Member *member, const Batch *batch) noexcept nogil:
    """This member's rows of a batch, and the mask of their nonzero columns."""
    cdef int64_t first = member.index * batch.rows // member.count
    gather(
        &run.source, batch.samples, first, (member.index + 1) * batch.rows // member.count,
        run.masks + member.index * run.source.columns, batch.inputs + first * run.ld_inputs,
        run.ld_inputs,
    )


cdef Inputs inputs_of(
    const Run *run, int64_t depth, const Batch *batch, const Columns *columns
) noexcept nogil:
    cdef Inputs inputs
    if depth == 0:
        inputs.a, inputs.ld, inputs.columns = batch.inputs, run.ld_inputs, columns
    else:
        inputs.a, inputs.ld = run.layers[depth - 1].a, run.layers[depth - 1].lda
        inputs.columns = &run.columns[depth]
    return inputs


cdef Masks masks_of(const Run *run, int64_t depth, const Batch *batch) noexcept nogil:
    cdef Masks masks
    cdef double rate = run.layers[depth].dropout / 4294967296.0
    masks.seed, masks.epoch, masks.layer = run.options.seed, run.options.epoch, depth
    masks.samples = batch.samples
    masks.threshold = <uint32_t> run.layers[depth].dropout
    masks.keep, masks.factor = <float> (1 - rate), <float> (1 / (1 - rate))
    return masks


cdef Update update_of(const Run *run, int64_t step, bint decay) noexcept nogil:
    """The constants of a step for layers with or without weight decay."""
    cdef const Options *options = &run.options
    cdef double weight_decay = options.weight_decay if decay else 0
    cdef Update update
    if options.optimizer == SGD:
        update = sgd_constants(
            run.learning_rates[step], options.momentum, options.nesterov, weight_decay
        )
    else:
        update = adam_constants(
            run.learning_rates[step], options.beta1, options.beta2, options.eps, weight_decay,
            options.optimizer == ADAMW, run.first_step + step + 1,
        )
    if run.keep_gradient:
        update.rule, update.decay = KEEP, 0
    return update


cdef inline double weight_of(const Run *run, const Batch *batch, int64_t row) noexcept nogil:
    if run.sample_weight == NULL:
        return 1
    return run.sample_weight[row_id(batch.samples, row)]


cdef double weight_sum(const Run *run, const Batch *batch) noexcept nogil:
    cdef double total = 0
    cdef int64_t row
    if run.sample_weight == NULL:
        return <double> batch.rows
    for row in range(batch.rows):
        total += weight_of(run, batch, row)
    return total


cdef inline void row_share(
    const Member *member, int64_t rows, int64_t *first, int64_t *last
) noexcept nogil:
    """A member's rows of the batch where VL rows go together."""
    cdef int64_t blocks = divide_up(rows, VL)
    first[0] = member.index * blocks // member.count * VL
    last[0] = min(rows, (member.index + 1) * blocks // member.count * VL)


cdef void loss_share(Run *run, const Member *member, const Batch *batch) noexcept nogil:
    """The losses of this member's rows, and dz of the last layer in both layouts."""
    cdef Layer *layer = &run.layers[run.n_layers - 1]
    cdef double total = weight_sum(run, batch)
    cdef double inverse = 1 / total if total else 0
    cdef int32_t labels[VL]
    cdef float shares[VL]
    cdef int64_t row, last, rows, r, width = run.batch_width
    cdef float *dzt
    row_share(member, batch.rows, &row, &last)
    while row < last:
        rows = min(last - row, <int64_t> VL)
        for r in range(rows):
            labels[r] = run.targets[row_id(batch.samples, row + r)]
            shares[r] = <float> (weight_of(run, batch, row + r) * inverse)
        dzt = layer.dzt + row // width * layer.fan_out * width + row % width
        transpose_logits(layer, row, rows, dzt, width)
        loss_block(
            layer.a + row * layer.lda, layer.lda, rows, layer.fan_out, labels, shares, dzt,
            width, run.losses + row, run.hits + row,
        )
        transpose_gradient(layer, row, rows, run.options.batch_size, dzt, width)
        row += VL


cdef inline void transpose_logits(
    const Layer *layer, int64_t row, int64_t rows, float *dzt, int64_t width
) noexcept nogil:
    """Write VL rows of logits to ``dzt`` (classes, width), lanes being rows."""
    cdef vec x[VL]
    cdef int64_t block, i
    for block in range(divide_up(layer.fan_out, VL)):
        for i in range(VL):
            x[i] = load(layer.a + (row + i) * layer.lda + block * VL) if i < rows else splat(0)
        transpose_tile(x)
        for i in range(min(layer.fan_out - block * VL, <int64_t> VL)):
            store(dzt + (block * VL + i) * width, x[i])


cdef inline void transpose_gradient(
    const Layer *layer, int64_t row, int64_t rows, int64_t batch, const float *dzt, int64_t width
) noexcept nogil:
    """Write VL rows of dz from ``dzt`` (classes, width)."""
    cdef vec x[VL]
    cdef int64_t block, i
    for block in range(divide_up(layer.fan_out, VL)):
        for i in range(VL):
            if block * VL + i < layer.fan_out:
                x[i] = load(dzt + (block * VL + i) * width)
            else:
                x[i] = splat(0)
        transpose_tile(x)
        for i in range(rows):
            store(panel_row(layer, block * VL, row + i, batch), x[i])


cdef bint count_losses(Run *run, const Member *member, const Batch *batch) noexcept nogil:
    """Whether to go on, alike in every member: the loss is finite. The first adds up metrics."""
    cdef double loss = 0, hits = 0
    cdef int64_t row
    for row in range(batch.rows):
        loss += weight_of(run, batch, row) * run.losses[row]
    if not isfinite(loss) and not run.keep_gradient:
        return False
    if member.index == 0:
        for row in range(batch.rows):
            if run.hits[row]:
                hits += weight_of(run, batch, row)
        run.metrics[0] += loss
        run.metrics[1] += weight_sum(run, batch)
        run.metrics[2] += hits
    return True


cdef void forward_step(
    Run *run, Member *member, const Batch *batch, const Columns *columns
) noexcept nogil:
    """All layers, then the losses."""
    cdef Layer *layer
    cdef Inputs inputs
    cdef Masks masks
    cdef Share share
    cdef bint losses_follow
    cdef int64_t depth
    for depth in range(run.n_layers):
        layer = &run.layers[depth]
        inputs = inputs_of(run, depth, batch, columns)
        masks = masks_of(run, depth, batch)
        share = share_of(member, layer.panels, batch.rows)
        losses_follow = depth == run.n_layers - 1 and layer.panels == 1
        if losses_follow:
            row_share(member, batch.rows, &share.unit, &share.stop)
        forward_share(layer, &inputs, &share, &masks, layer.a, layer.lda)
        # A member that made the very rows whose losses it takes next need not wait.
        if not losses_follow:
            meet(member)
    loss_share(run, member, batch)
    meet(member)


cdef void update_step(
    Run *run, Member *member, int64_t step, const Batch *batch, const Columns *columns
) noexcept nogil:
    """The weight gradients of all layers and the updates that they make."""
    cdef Update updates[2]
    cdef Layer *layer
    cdef Inputs inputs
    cdef int64_t depth
    updates[0], updates[1] = update_of(run, step, False), update_of(run, step, True)
    for depth in range(run.n_layers - 1, -1, -1):
        layer = &run.layers[depth]
        inputs = inputs_of(run, depth, batch, columns)
        weight_gradient_share(
            layer, &inputs, &updates[layer.decay != 0], member, batch.rows,
            run.options.batch_size, run.identity,
        )
        if depth == 0:
            zero_gradient_share(layer, columns, &updates[layer.decay != 0], member)
        bias_share(
            member, layer, &updates[layer.decay != 0], batch.rows, run.options.batch_size
        )


cdef void backward_step(Run *run, Member *member, const Batch *batch) noexcept nogil:
    """dz of every layer, from the last but one to the first."""
    cdef Masks masks
    cdef int64_t depth
    for depth in range(run.n_layers - 1, 0, -1):
        masks = masks_of(run, depth - 1, batch)
        input_gradient_share(
            &run.layers[depth], &run.layers[depth - 1], &masks, member, batch.rows,
            run.options.batch_size, run.batch_width, run.identity,
        )
        meet(member)


cdef void enter(Run *run, Member *member) noexcept nogil:
    """Pack the parameters and the state; padding starts as zeros."""
    cdef Layer *layer
    cdef int64_t depth, row, batch = run.options.batch_size
    for depth in range(run.n_layers):
        layer = &run.layers[depth]
        pack_layer(member, layer, 0, run.params)
        for row in range(0 if run.keep_gradient else run.slots):
            pack_layer(member, layer, 1 + row, run.state + row * run.n_params)
        if member.index == member.count - 1:
            memset(layer.dz, 0, batch * layer.panels * layer.width * sizeof(float))
            memset(
                layer.dzt, 0,
                divide_up(batch, run.batch_width) * layer.fan_out * run.batch_width
                * sizeof(float),
            )


cdef void leave(Run *run, Member *member) noexcept nogil:
    """Unpack what changed."""
    cdef int64_t depth, row
    for depth in range(run.n_layers):
        if not run.keep_gradient:
            unpack_layer(member, &run.layers[depth], 0, run.params)
        for row in range(run.slots):
            unpack_layer(member, &run.layers[depth], 1 + row, run.state + row * run.n_params)


cdef void train_member(Run *run, Member *member, Columns *columns) noexcept nogil:
    """What one member does: all steps, meeting the others between the phases of each."""
    cdef Batch batches[2]
    cdef Batch *batch
    cdef Batch *next
    cdef int64_t step
    batches[0], batches[1] = run.batches[0], run.batches[1]
    enter(run, member)
    start_batch(run, &batches[0], 0)
    gather_share(run, member, &batches[0])
    meet(member)
    for step in range(run.n_steps):
        batch, next = &batches[step % 2], &batches[(step + 1) % 2]
        start_batch(run, next, step + 1)
        list_columns(&run.source, run.masks, member.count, columns)
        forward_step(run, member, batch, columns)
        if not count_losses(run, member, batch):
            break
        backward_step(run, member, batch)
        update_step(run, member, step, batch, columns)
        gather_share(run, member, next)
        meet(member)
        if member.index == 0:
            run.steps_done = step + 1
    leave(run, member)


cdef class Training:
    """One call of a training program: built by one thread, then run by the members of a team."""

    cdef Run state
    cdef object arrays  # what the pointers above point into
    cdef int64_t *member_lists  # of the columns of a batch, for each member

    def __cinit__(self):
        memset(&self.state, 0, sizeof(Run))

    def __init__(
        self, const int64_t[:, ::1] table, const Options[::1] options, int64_t slots,
        int64_t members,
    ):
        cdef Run *run = &self.state
        cdef int64_t depth, i, largest, used = 0
        run.options = options[0]
        run.slots = slots
        run.n_layers = table.shape[0]
        run.layers = <Layer *> allocate(run.n_layers * sizeof(Layer))
        read_table(table, run.layers)
        largest = run.options.batch_size
        for depth in range(run.n_layers):
            largest = max(largest, run.layers[depth].fan_in, run.layers[depth].fan_out)
            used += columns_size(run.layers[depth].fan_in)
        run.identity = <int64_t *> allocate(largest * sizeof(int64_t))
        for i in range(largest):
            run.identity[i] = i
        run.columns = <Columns *> allocate(run.n_layers * sizeof(Columns))
        run.lists = <int64_t *> allocate(used * sizeof(int64_t))
        used = 0
        for depth in range(run.n_layers):
            run.columns[depth] = place_columns(run.lists + used, run.layers[depth].fan_in)
            all_columns(&run.columns[depth], run.layers[depth].fan_in)
            used += columns_size(run.layers[depth].fan_in)
        run.source.columns = run.layers[0].fan_in
        run.source.scale = <float> run.options.scale
        run.source.shift = <float> run.options.shift
        run.masks = <uint8_t *> allocate(members * run.source.columns)
        # Nothing is allocated in a member: one that failed would be waited for.
        self.member_lists = allocate_lists(run.source.columns, members)
        run.losses = <double *> allocate(run.options.batch_size * sizeof(double))
        run.hits = <uint8_t *> allocate(run.options.batch_size)

    def __dealloc__(self):
        free(self.state.layers)
        free(self.state.identity)
        free(self.state.columns)
        free(self.state.lists)
        free(self.state.masks)
        free(self.member_lists)
        free(self.state.losses)
        free(self.state.hits)

    def set_samples(
        self, const uint8_t[:, ::1] x_bytes, const float[:, ::1] x_floats,
        const int32_t[::1] targets, const float[::1] sample_weight, bint skip_zeros,
    ):
        """The data; one of x_bytes and x_floats is None."""
        cdef Run *run = &self.state
        if x_bytes is not None:
            run.source.bytes = &x_bytes[0, 0]
        else:
            run.source.floats = &x_floats[0, 0]
        run.source.skip_zeros = skip_zeros
        run.targets = &targets[0]
        run.sample_weight = &sample_weight[0] if sample_weight.shape[0] else NULL
        self.arrays = (x_bytes, x_floats, targets, sample_weight)

    def set_steps(
        self, const int64_t[::1] order, const double[::1] learning_rates, int64_t first_step,
    ):
        """The steps to make."""
        cdef Run *run = &self.state
        run.order, run.n_order = &order[0], order.shape[0]
        run.learning_rates, run.n_steps = &learning_rates[0], learning_rates.shape[0]
        run.first_step = first_step
        self.arrays += (order, learning_rates)

    def set_gradient_only(self, const double[::1] learning_rates, int64_t rows):
        """One step on the rows in order, which writes the gradient to the row of state."""
        cdef Run *run = &self.state
        run.order, run.n_order = NULL, rows
        run.learning_rates, run.n_steps = &learning_rates[0], 1
        run.keep_gradient = True
        self.arrays += (learning_rates,)

    def set_outputs(
        self, float[::1] params, float[:, ::1] state, float[::1] workspace, double[::1] metrics,
        int64_t[::1] barrier,
    ):
        """What changes; ``params`` stays where only a gradient is asked for."""
        cdef Run *run = &self.state
        cdef float *base = <float *> ((<size_t> &workspace[0] + 63) // 64 * 64)
        run.params, run.n_params = &params[0], params.shape[0]
        run.state = out_address(state)
        run.metrics, run.barrier = &metrics[0], &barrier[0]
        place_run(run, base)
        self.arrays += (params, state, workspace, metrics, barrier)

    @property
    def steps_done(self):
        return self.state.steps_done

    def run(self, int64_t index, int64_t count):
        """Be member ``index`` of ``count``."""
        cdef int64_t n = self.state.source.columns
        cdef Columns columns = place_columns(self.member_lists + index * columns_size(n), n)
        cdef Member member
        cdef uint32_t mode
        member.index, member.count = index, count
        member.barrier, member.expected = self.state.barrier, 0
        with nogil:
            mode = enter_float_mode()
            train_member(&self.state, &member, &columns)
            set_float_mode(mode)


def training_size(const int64_t[:, ::1] table, int64_t batch_size, int64_t slots):
    """The floats of workspace that a training program needs, room for alignment included."""
    cdef Run run
    cdef int64_t size
    memset(&run, 0, sizeof(Run))
    run.options.batch_size, run.slots, run.n_layers = batch_size, slots, table.shape[0]
    run.layers = <Layer *> allocate(run.n_layers * sizeof(Layer))
    read_table(table, run.layers)
    size = place_run(&run, NULL) + 16
    free(run.layers)
    return size
