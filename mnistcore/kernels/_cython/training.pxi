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
    double probs_clip
    int64_t skip_zeros

cdef struct Batch:
    # A member's view of the mini-batch in hand. Its inputs are gathered by each member for
    # itself: to read them again from memory is faster than from another core's cache.
    int64_t rows
    const int64_t *samples
    float *inputs  # (batch_size, ld_inputs)
    Listed listed  # where the inputs are not zero
    RowLists lists  # the same, seen from the columns
    uint64_t *any_row  # scratch of the gather
    Layer *layers  # the run's, or this member's own
    double *losses  # (batch_size,) of each row
    int32_t *hits  # (batch_size,)

cdef struct Run:
    # What the members of a team share.
    Options options
    Layer *layers
    int64_t n_layers
    int64_t slots
    Plan plan
    int64_t batch_width  # of the panels that a batch is cut into
    float *partial  # (2, parts, batch_size, width) sums of the first layer, where it has parts
    int64_t ld_inputs
    Batch *batches  # (members,)
    int64_t members
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
    bint listed  # what is not zero in the inputs is listed
    # Blocks of our own
    int32_t *identity  # 0, 1, 2 ...


cdef void place_layer(Run *run, Layer *layer, float *base, int64_t *used) noexcept nogil:
    """Lay out what a layer keeps but its weights."""
    cdef int64_t batch = run.options.batch_size
    place_bias(layer, 1 + run.slots, base, used)
    layer.a = base + take(used, batch * layer.lda)
    layer.dz = base + take(used, batch * layer.panels * layer.width)
    layer.dzt = base + take(
        used, divide_up(batch, run.batch_width) * layer.fan_out * run.batch_width
    )


cdef int64_t place_run(Run *run, float *base) noexcept nogil:
    """Lay out the workspace from ``base`` on; the number of floats it takes.

    Per layer, the packed parameters and rows of state, the outputs, dz and dz^T: once, or once
    for each member but for the weights of the first layer. Then the gathered inputs.
    """
    cdef int64_t used = 0, depth, m, batch = run.options.batch_size
    cdef int64_t copies = run.members if run.plan.parts > 1 else 1
    cdef Layer *layer
    run.batch_width = panel_width(batch)
    run.ld_inputs = leading_dimension(run.layers[0].fan_in)
    place_weights(&run.layers[0], 1 + run.slots, base, &used)
    for m in range(copies):
        for depth in range(run.n_layers):
            layer = &run.layers[m * run.n_layers + depth]
            if m:
                layer[0] = run.layers[depth]
            if depth:
                place_weights(layer, 1 + run.slots, base, &used)
            place_layer(run, layer, base, &used)
    for m in range(run.members):
        run.batches[m].layers = &run.layers[m * run.n_layers if copies > 1 else 0]
        if m == 0 or not run.plan.shared_inputs:
            run.batches[m].inputs = base + take(&used, batch * run.ld_inputs)
        else:
            run.batches[m].inputs = run.batches[0].inputs
    run.partial = base + take(&used, 2 * run.plan.parts * batch * run.layers[0].width)
    return used


cdef Upcoming upcoming_of(const Run *run, int64_t step) noexcept nogil:
    """The rows of a step's batch; behind the last there are none."""
    cdef Upcoming upcoming
    cdef int64_t start = min(step * run.options.batch_size, run.n_order)
    upcoming.rows = min(run.options.batch_size, run.n_order - start)
    upcoming.samples = run.order
    if run.order != NULL:
        upcoming.samples += start
    upcoming.row, upcoming.shares, upcoming.due = 0, 1, 0
    return upcoming


cdef inline Parts parts_of(const Run *run, const Member *member) noexcept nogil:
    """The parts of the inputs that a member owns; where there is but one, all share it."""
    cdef Parts parts
    parts.first, parts.end = 0, 1
    if run.plan.parts > 1:
        parts.first = member.index * run.plan.parts // member.count
        parts.end = (member.index + 1) * run.plan.parts // member.count
    return parts


cdef void gather_batch(
    Run *run, const Member *member, Batch *batch, int64_t step
) noexcept nogil:
    """The inputs of a step that this member will read, and where they are not zero."""
    cdef Parts parts = parts_of(run, member)
    cdef Upcoming upcoming = upcoming_of(run, step)
    cdef int64_t part, first = 0, last = upcoming.rows
    batch.rows, batch.samples = upcoming.rows, upcoming.samples
    if run.plan.shared_inputs:
        first = member.index * batch.rows // member.count
        last = (member.index + 1) * batch.rows // member.count
    gather(
        &run.source, batch.samples, first, last, &parts, batch.any_row,
        &batch.listed if run.listed else NULL, batch.inputs, run.ld_inputs,
    )
    if run.listed:
        for part in range(parts.first, parts.end):
            list_rows(&run.source, &batch.listed, part, batch.rows, &batch.lists)


cdef Inputs inputs_of(const Run *run, int64_t depth, const Batch *batch) noexcept nogil:
    cdef Inputs inputs
    inputs.identity, inputs.source = run.identity, &run.source
    inputs.listed, inputs.lists = NULL, &batch.lists
    if depth == 0:
        inputs.a, inputs.ld = batch.inputs, run.ld_inputs
        if run.listed:
            inputs.listed = &batch.listed
    else:
        inputs.a, inputs.ld = batch.layers[depth - 1].a, batch.layers[depth - 1].lda
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
    """A member's rows of the batch where vectors of rows, and their blocks, stay together."""
    cdef int64_t grain = max(<int64_t> VL, <int64_t> BLOCK), grains = divide_up(rows, grain)
    first[0] = member.index * grains // member.count * grain
    last[0] = min(rows, (member.index + 1) * grains // member.count * grain)


cdef void loss_rows(
    Run *run, const Batch *batch, int64_t row, int64_t last
) noexcept nogil:
    """The losses of some rows, and dz of the last layer in both layouts."""
    cdef Layer *layer = &batch.layers[run.n_layers - 1]
    cdef double total = weight_sum(run, batch)
    cdef double inverse = 1 / total if total else 0
    cdef int32_t labels[VL]
    cdef float shares[VL]
    cdef int64_t rows, r, width = run.batch_width
    cdef float *dzt
    while row < last:
        rows = min(last - row, <int64_t> VL)
        for r in range(rows):
            labels[r] = run.targets[row_id(batch.samples, row + r)]
            shares[r] = <float> (weight_of(run, batch, row + r) * inverse)
        dzt = layer.dzt + row // width * layer.fan_out * width + row % width
        transpose_logits(layer, row, rows, dzt, width)
        loss_block(
            layer.a + row * layer.lda, layer.lda, rows, layer.fan_out, labels, shares, dzt,
            width, batch.losses + row, batch.hits + row,
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


cdef inline double clipped(double value, double low, double high) noexcept nogil:
    """The value within bounds; NaN stays NaN."""
    return high if value > high else low if value < low else value


cdef bint count_losses(Run *run, const Member *member, const Batch *batch) noexcept nogil:
    """Whether to go on, alike in every member: the loss is finite. The first adds up metrics."""
    cdef double loss = 0, hits = 0, clip = run.options.probs_clip
    cdef double low = -log1p(-clip), high = -log(clip)  # 0 and infinity where nothing is clipped
    cdef int64_t row
    for row in range(batch.rows):
        loss += weight_of(run, batch, row) * clipped(batch.losses[row], low, high)
    if not isfinite(loss) and not run.keep_gradient:
        return False
    if member.index == 0:
        for row in range(batch.rows):
            if batch.hits[row]:
                hits += weight_of(run, batch, row)
        run.metrics[0] += loss
        run.metrics[1] += weight_sum(run, batch)
        run.metrics[2] += hits
    return True


cdef void first_forward(
    Run *run, Member *member, const Batch *batch, int64_t step
) noexcept nogil:
    """The first layer, by units; or its sums over each part of the inputs."""
    cdef Layer *layer = &batch.layers[0]
    cdef Inputs inputs = inputs_of(run, 0, batch)
    cdef Masks masks = masks_of(run, 0, batch)
    cdef Parts parts = parts_of(run, member)
    cdef Share share
    cdef int64_t part
    if run.plan.parts == 1:
        share = share_of(
            member, layer.panels, batch.rows, 1 if inputs.listed == NULL else BLOCK
        )
        forward_share(layer, &inputs, &share, &masks, layer.a, layer.lda)
        return
    for part in range(parts.first, parts.end):
        partial_sums(layer, &inputs, part, batch.rows, partial_of(run, step, part))


cdef inline float *partial_of(const Run *run, int64_t step, int64_t part) noexcept nogil:
    """Two steps take turns: one member may write the next while another reads this one."""
    return run.partial + (step % 2 * run.plan.parts + part) * (
        run.options.batch_size * run.layers[0].width
    )


cdef void rows_step(
    Run *run, const Batch *batch, int64_t step, int64_t first, int64_t last
) noexcept nogil:
    """All that follows the first layer, forward and back, for some rows of the batch.

    No row needs another: where the weights are few, and reading all of them costs little, the
    members need not meet between the layers.
    """
    cdef Layer *layers = batch.layers
    cdef Inputs inputs
    cdef Masks masks
    cdef int64_t depth
    if run.plan.parts > 1:
        masks = masks_of(run, 0, batch)
        add_parts(
            layers, partial_of(run, step, 0), run.plan.parts, run.options.batch_size, first,
            last, &masks,
        )
    for depth in range(1, run.n_layers):
        inputs = inputs_of(run, depth, batch)
        masks = masks_of(run, depth, batch)
        forward_rows(&layers[depth], &inputs, first, last, batch.rows, &masks)
    loss_rows(run, batch, first, last)
    for depth in range(run.n_layers - 1, 0, -1):
        masks = masks_of(run, depth - 1, batch)
        input_gradient(
            &layers[depth], &layers[depth - 1], &masks, 0, layers[depth].fan_in, first, last,
            run.options.batch_size, run.batch_width, run.identity,
        )


cdef void layers_step(Run *run, Member *member, const Batch *batch) noexcept nogil:
    """The same, layer by layer: each member computes its units of a layer for all rows."""
    cdef Layer *layer
    cdef Inputs inputs
    cdef Masks masks
    cdef Share share
    cdef int64_t depth, first, last
    for depth in range(1, run.n_layers):
        layer = &run.layers[depth]
        inputs = inputs_of(run, depth, batch)
        masks = masks_of(run, depth, batch)
        share = share_of(member, layer.panels, batch.rows, 1)
        forward_share(layer, &inputs, &share, &masks, layer.a, layer.lda)
        meet(member)
    row_share(member, batch.rows, &first, &last)
    loss_rows(run, batch, first, last)
    meet(member)
    for depth in range(run.n_layers - 1, 0, -1):
        masks = masks_of(run, depth - 1, batch)
        input_gradient_share(
            &run.layers[depth], &run.layers[depth - 1], &masks, member, batch.rows,
            run.options.batch_size, run.batch_width, run.identity,
        )
        meet(member)


cdef void update_step(
    Run *run, const Member *member, int64_t step, const Batch *batch
) noexcept nogil:
    """The weight gradients of all layers and the updates that they make.

    Where the first layer has parts, each member updates its own, and its own copy of the rest.
    """
    cdef Update updates[2]
    cdef Update *update
    cdef Layer *layer
    cdef Inputs inputs
    cdef Parts parts = parts_of(run, member)
    cdef Upcoming upcoming
    cdef Member alone, worker = member[0]
    cdef int64_t depth, part
    alone.index, alone.count = 0, 1
    if run.plan.parts > 1:
        worker = alone
    updates[0], updates[1] = update_of(run, step, False), update_of(run, step, True)
    for depth in range(run.n_layers - 1, -1, -1):
        layer = &batch.layers[depth]
        update = &updates[layer.decay != 0]
        inputs = inputs_of(run, depth, batch)
        if depth == 0 and run.plan.parts > 1:
            upcoming = upcoming_of(run, step + 1)
            upcoming.shares = (
                divide_up(layer.fan_in, BLOCK) * (parts.end - parts.first) // run.plan.parts
            )
            for part in range(parts.first, parts.end):
                part_gradient(
                    layer, &inputs, update, &parts, part, &upcoming, run.options.batch_size
                )
        else:
            weight_gradient_share(
                layer, &inputs, update, &worker, batch.rows, run.options.batch_size
            )
        bias_share(&worker, layer, update, batch.rows, run.options.batch_size)


cdef void pack_in(Run *run, const Member *member, const Batch *batch) noexcept nogil:
    """Pack the parameters and the state; padding starts as zeros."""
    cdef Layer *layer
    cdef Member alone, worker = member[0]
    cdef const float *flat
    cdef int64_t depth, row, rows = run.options.batch_size
    alone.index, alone.count = 0, 1
    if run.plan.parts > 1:
        worker = alone
    for depth in range(run.n_layers):
        layer = &batch.layers[depth]
        for row in range(1 if run.keep_gradient else 1 + run.slots):
            flat = run.params if row == 0 else run.state + (row - 1) * run.n_params
            pack_weights(member if depth == 0 else &worker, layer, row, flat)
            pack_bias(&worker, layer, row, flat)
        if worker.index == worker.count - 1:
            memset(layer.dz, 0, rows * layer.panels * layer.width * sizeof(float))
            memset(
                layer.dzt, 0,
                divide_up(rows, run.batch_width) * layer.fan_out * run.batch_width
                * sizeof(float),
            )


cdef void unpack_out(Run *run, const Member *member, const Batch *batch) noexcept nogil:
    """Unpack what changed. Of copies, the first member's are as good as any."""
    cdef Layer *layer
    cdef Member alone, worker = member[0]
    cdef float *flat
    cdef int64_t depth, row
    alone.index, alone.count = 0, 1
    if run.plan.parts > 1:
        worker = alone
    for depth in range(run.n_layers):
        layer = &batch.layers[depth]
        for row in range(1 if run.keep_gradient else 0, 1 + run.slots):
            flat = run.params if row == 0 else run.state + (row - 1) * run.n_params
            if depth == 0:
                unpack_weights(member, layer, row, flat)
            elif member.index == 0 or run.plan.parts == 1:
                unpack_weights(&worker, layer, row, flat)
            if member.index == 0 or run.plan.parts == 1:
                unpack_bias(&worker, layer, row, flat)


cdef void train_member(Run *run, Member *member, Batch *batch) noexcept nogil:
    """What one member does: all steps, meeting the others between the phases of each."""
    cdef int64_t step, first = 0, last
    pack_in(run, member, batch)
    gather_batch(run, member, batch, 0)
    meet(member)
    for step in range(run.n_steps):
        first_forward(run, member, batch, step)
        meet(member)
        if run.plan.parts > 1:
            rows_step(run, batch, step, 0, batch.rows)
        elif run.plan.rows_alone:
            row_share(member, batch.rows, &first, &last)
            rows_step(run, batch, step, first, last)
            meet(member)
        else:
            layers_step(run, member, batch)
        if not count_losses(run, member, batch):
            break
        update_step(run, member, step, batch)
        if run.plan.shared_inputs:
            meet(member)
        gather_batch(run, member, batch, step + 1)
        if run.plan.parts == 1:  # else a member goes on with what it has updated itself
            meet(member)
        if member.index == 0:
            run.steps_done = step + 1
    meet(member)
    unpack_out(run, member, batch)


cdef Run run_of(
    const int64_t[:, ::1] table, int64_t batch_size, int64_t slots, int64_t members
) except *:
    """What follows from the shapes alone; its layers and batches are allocated."""
    cdef Run run
    memset(&run, 0, sizeof(Run))
    run.options.batch_size, run.slots, run.n_layers = batch_size, slots, table.shape[0]
    run.layers = <Layer *> allocate(members * run.n_layers * sizeof(Layer))
    read_table(table, run.layers)
    run.plan = plan_of(run.layers, run.n_layers, batch_size)
    run.members = members
    run.batches = <Batch *> allocate(members * sizeof(Batch))
    memset(run.batches, 0, members * sizeof(Batch))
    set_columns(&run.source, run.layers[0].fan_in, run.plan.parts)
    return run


cdef class Training:
    """One call of a training program: built by one thread, then run by the members of a team."""

    cdef Run state
    cdef object arrays  # what the pointers above point into
    # Nothing is allocated in a member: one that failed would be waited for.
    cdef double *losses  # (copies, batch_size)
    cdef int32_t *hits  # (copies, batch_size)

    def __cinit__(self):
        memset(&self.state, 0, sizeof(Run))

    def __init__(
        self, const int64_t[:, ::1] table, const Options[::1] options, int64_t slots,
        int64_t members,
    ):
        cdef int64_t depth, i, m, batch = options[0].batch_size, largest = batch
        cdef Run *run = &self.state
        run[0] = run_of(table, batch, slots, members)
        run.options = options[0]
        for depth in range(run.n_layers):
            largest = max(largest, run.layers[depth].fan_in, run.layers[depth].fan_out)
        run.identity = <int32_t *> allocate(largest * sizeof(int32_t))
        for i in range(largest):
            run.identity[i] = <int32_t> i
        run.source.scale = <float> run.options.scale
        run.source.shift = <float> run.options.shift
        self.losses = <double *> allocate(members * batch * sizeof(double))
        self.hits = <int32_t *> allocate(members * batch * sizeof(int32_t))
        for m in range(members):
            i = m * batch if run.plan.parts > 1 else 0
            run.batches[m].losses, run.batches[m].hits = self.losses + i, self.hits + i

    def __dealloc__(self):
        cdef Run *run = &self.state
        cdef int64_t m
        if run.batches != NULL:
            for m in range(run.members):
                free_listed(&run.batches[m].listed)
                free_row_lists(&run.batches[m].lists)
                free(run.batches[m].any_row)
        free(run.batches)
        free(run.layers)
        free(run.identity)
        free(self.losses)
        free(self.hits)

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
        if run.plan.parts > 1 or skip_zeros and not run.plan.shared_inputs:
            self.allocate_lists()
        run.targets = &targets[0]
        run.sample_weight = &sample_weight[0] if sample_weight.shape[0] else NULL
        self.arrays = (x_bytes, x_floats, targets, sample_weight)

    cdef int allocate_lists(self) except -1:
        """Room to list what is not zero in the inputs."""
        cdef Run *run = &self.state
        cdef int64_t m, batch = run.options.batch_size
        for m in range(run.members):
            run.batches[m].listed = allocate_listed(&run.source, batch)
            run.batches[m].lists = allocate_row_lists(&run.source, batch)
            run.batches[m].any_row = <uint64_t *> allocate(
                run.source.words * sizeof(uint64_t)
            )
        run.listed = True
        return 0

    def set_steps(
        self, const int64_t[::1] order, const double[::1] learning_rates, int64_t first_step,
        float[::1] params,
    ):
        """The steps to make, and what they change."""
        cdef Run *run = &self.state
        run.order, run.n_order = &order[0], order.shape[0]
        run.learning_rates, run.n_steps = &learning_rates[0], learning_rates.shape[0]
        run.first_step = first_step
        run.params, run.n_params = &params[0], params.shape[0]
        self.arrays += (order, learning_rates, params)

    def set_gradient_only(
        self, const double[::1] learning_rates, int64_t rows, const float[::1] params
    ):
        """One step on the rows in order, which writes the gradient to the row of state.

        ``params`` are only read.
        """
        cdef Run *run = &self.state
        run.order, run.n_order = NULL, rows
        run.learning_rates, run.n_steps = &learning_rates[0], 1
        run.params, run.n_params = <float *> &params[0], params.shape[0]
        run.keep_gradient = True
        self.arrays += (learning_rates, params)

    def set_outputs(
        self, float[:, ::1] state, float[::1] workspace, double[::1] metrics
    ):
        """What changes beside the parameters."""
        cdef Run *run = &self.state
        cdef float *base = aligned(workspace)
        run.state = out_address(state)
        run.metrics = &metrics[0]
        place_run(run, base)
        self.arrays += (state, workspace, metrics)

    @property
    def steps_done(self):
        return self.state.steps_done

    def run(self, int64_t gate, bint leads):
        """Be a member of a team."""
        cdef Member member
        cdef uint32_t mode
        with nogil:
            member = enter(gate, leads)
            if member.index >= 0:
                mode = enter_float_mode()
                train_member(&self.state, &member, &self.state.batches[member.index])
                set_float_mode(mode)
                leave(&member)


def training_size(
    const int64_t[:, ::1] table, int64_t batch_size, int64_t slots, int64_t members
):
    """The floats of workspace that a training program needs, room for alignment included."""
    cdef Run run = run_of(table, batch_size, slots, members)
    cdef int64_t size = place_run(&run, NULL) + 16
    free(run.layers)
    free(run.batches)
    return size


def division(const int64_t[:, ::1] table, int64_t batch_size):
    """How often the members of a team meet in a step, and the most that can share it."""
    cdef Run run = run_of(table, batch_size, 0, 1)
    cdef Plan plan = run.plan
    free(run.layers)
    free(run.batches)
    if plan.parts > 1:
        return 1, plan.parts
    return (3 if plan.rows_alone else 2 * table.shape[0]), MOST_MEMBERS
