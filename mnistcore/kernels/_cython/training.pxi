# ``train_steps`` and ``loss_and_gradient``: many steps in one compiled call.

cdef void next_batch(
    Run *run, const Team *team, Batch *batch, int64_t step
) noexcept nogil:
    """Gather the inputs of a step that this thread will read, and mark where they are not zero."""
    cdef Parts parts = parts_of(run, team)
    cdef int64_t size = run.options.batch_size, start = min(step * size, run.n_order)
    cdef int64_t part, first = 0, last
    cdef const int64_t *samples = NULL
    batch.rows = last = min(size, run.n_order - start)
    batch.samples = run.order
    if run.order != NULL:
        batch.samples += start
    if run.plan.parts > 1:
        for part in range(parts.first, parts.stop):
            mark_strips(&run.source, batch.samples, batch.rows, part, &batch.strips)
        if run.order != NULL:
            samples = batch.samples + batch.rows
        batch.upcoming = upcoming_columns(
            &run.source, &batch.strips, &parts, samples, batch.rows,
            min(size, run.n_order - start - batch.rows),
        )
        return
    if run.plan.shared_inputs:
        first = share(batch.rows, team.thread, team.threads)
        last = share(batch.rows, team.thread + 1, team.threads)
    batch.sparse = gather(
        &run.source, batch.samples, first, last, batch.inputs, run.ld_inputs,
        &batch.marks if run.layers[0].skips else NULL,
    )
    if batch.sparse:
        mark_columns(run.layers[0].fan_in, batch.rows, &batch.marks)


cdef Inputs inputs_of(const Run *run, int64_t depth, const Batch *batch) noexcept nogil:
    """Return what a layer multiplies in this step."""
    cdef Inputs inputs
    inputs.marks = NULL
    if depth == 0:
        inputs.a, inputs.ld = batch.inputs, run.ld_inputs
        if batch.sparse:
            inputs.marks = &batch.marks
    else:
        inputs.a, inputs.ld = batch.layers[depth - 1].a, batch.layers[depth - 1].lda
    return inputs


cdef Masks masks_of(const Run *run, int64_t depth, const Batch *batch) noexcept nogil:
    """Return the dropout of a layer's outputs in this step."""
    cdef Masks masks
    cdef double rate = dropout_rate(<uint32_t> run.layers[depth].dropout)
    masks.seed, masks.epoch, masks.layer = run.options.seed, run.options.epoch, depth
    masks.samples = batch.samples
    masks.threshold = <uint32_t> run.layers[depth].dropout
    masks.keep, masks.factor = <float> (1 - rate), <float> (1 / (1 - rate))
    return masks


cdef Update update_of(const Run *run, int64_t step, bint decay) noexcept nogil:
    """Return the constants of a step for layers with or without weight decay."""
    cdef const Options *options = &run.options
    cdef double weight_decay = options.weight_decay if decay else 0
    cdef Update update
    if run.gradient_only:
        memset(&update, 0, sizeof(Update))
        update.rule = GRADIENT
        return update
    if options.optimizer == SGD:
        return sgd_constants(
            run.learning_rates[step], options.momentum, options.nesterov, weight_decay
        )
    return adam_constants(
        run.learning_rates[step], options.beta1, options.beta2, options.eps, weight_decay,
        options.optimizer == ADAMW, run.first_step + step + 1,
    )


cdef inline void row_share(
    const Team *team, int64_t rows, int64_t *first, int64_t *last
) noexcept nogil:
    """Give a thread's rows of the batch, without splitting a vector of rows."""
    cdef int64_t grains = divide_up(rows, VL)
    first[0] = share(grains, team.thread, team.threads) * VL
    last[0] = min(rows, share(grains, team.thread + 1, team.threads) * VL)


cdef void first_layer(
    Run *run, Team *team, Batch *batch, int64_t step
) noexcept nogil:
    """Compute the first layer by units, or its sums over each part of the inputs."""
    cdef Layer *layer = &batch.layers[0]
    cdef Inputs inputs = inputs_of(run, 0, batch)
    cdef Masks masks = masks_of(run, 0, batch)
    cdef Parts parts = parts_of(run, team)
    cdef Tiles tiles
    cdef int64_t part
    if run.plan.parts == 1:
        tiles = tiles_of(team, layer.panels, batch.rows, SPARSE_ROWS)
        forward_layer(layer, &inputs, &tiles, &masks, layer.a, layer.lda)
        return
    for part in range(parts.first, parts.stop):
        part_sums(
            layer, &run.source, &batch.strips, part, batch.rows, &batch.upcoming,
            partial_of(run, step, part),
        )


cdef inline float *partial_of(const Run *run, int64_t step, int64_t part) noexcept nogil:
    """Return where a part's sums go; steps alternate, so one is read while the next is written."""
    return run.partial + (step % 2 * run.plan.parts + part) * (
        run.options.batch_size * run.layers[0].width
    )


cdef void rows_step(
    Run *run, const Batch *batch, int64_t step, int64_t first, int64_t last
) noexcept nogil:
    """Do all that follows the first layer, forward and back, for some rows of the batch.

    Rows are independent, so the threads need not meet between the layers. This pays where there
    are few weights and reading all of them costs little.
    """
    cdef Layer *layers = batch.layers
    cdef Inputs inputs
    cdef Masks masks
    cdef int64_t depth
    if run.plan.parts > 1:
        masks = masks_of(run, 0, batch)
        add_parts(
            layers, partial_of(run, step, 0), run.plan.parts, first, last, &masks
        )
    for depth in range(1, run.n_layers):
        inputs = inputs_of(run, depth, batch)
        mark_inputs(&layers[depth], first, last, &batch.hidden, &inputs)
        masks = masks_of(run, depth, batch)
        forward_rows(&layers[depth], &inputs, first, last, batch.rows, &masks)
    loss_rows(run, batch, first, last)
    for depth in range(run.n_layers - 1, 0, -1):
        masks = masks_of(run, depth - 1, batch)
        input_gradient(
            &layers[depth], &layers[depth - 1], &masks, 0, layers[depth].fan_in, first, last,
        )


cdef void layers_step(Run *run, Team *team, const Batch *batch) noexcept nogil:
    """Do what rows_step does, layer by layer: each thread computes its units for all rows."""
    cdef Layer *layer
    cdef Inputs inputs
    cdef Masks masks
    cdef Tiles tiles
    cdef int64_t depth, first, last, vectors
    for depth in range(run.n_layers):
        layer = &run.layers[depth]
        masks = masks_of(run, depth, batch)
        if depth:
            inputs = inputs_of(run, depth, batch)
            mark_inputs(layer, 0, batch.rows, &batch.hidden, &inputs)
            tiles = tiles_of(team, layer.panels, batch.rows, SPARSE_ROWS)
            forward_layer(layer, &inputs, &tiles, &masks, layer.a, layer.lda)
            meet(team)
        if layer.normalized:
            normalize_layer(layer, team, batch.rows, run.options.norm_eps, &masks)
            meet(team)
    row_share(team, batch.rows, &first, &last)
    loss_rows(run, batch, first, last)
    meet(team)
    for depth in range(run.n_layers - 1, 0, -1):
        layer = &run.layers[depth]
        masks = masks_of(run, depth - 1, batch)
        vectors = divide_up(layer.fan_in, VL)  # a share is whole vectors of units
        first = share(vectors, team.thread, team.threads) * VL
        last = min(layer.fan_in, share(vectors, team.thread + 1, team.threads) * VL)
        input_gradient(
            layer, &run.layers[depth - 1], &masks, first, last, 0, batch.rows
        )
        if run.layers[depth - 1].normalized:
            differentiate_layer(&run.layers[depth - 1], first, last, batch.rows)
        meet(team)


cdef void update_step(
    Run *run, const Team *team, int64_t step, Batch *batch
) noexcept nogil:
    """Compute and apply the gradients of all layers, or write them if they are to be clipped.

    If the first layer has parts, each thread updates its parts and its own copy of the rest.
    """
    cdef Update updates[2]
    cdef Update *update
    cdef Layer *layer
    cdef Layer written
    cdef Inputs inputs
    cdef Parts parts = parts_of(run, team)
    cdef Team owners = owners_of(run, team)
    cdef int64_t depth, part
    updates[0], updates[1] = update_of(run, step, False), update_of(run, step, True)
    if run.clipped:
        updates[0].rule = updates[1].rule = GRADIENT
    for depth in range(run.n_layers - 1, -1, -1):
        layer = &batch.layers[depth]
        if run.clipped:
            written = with_gradient(layer, run.slots)
            layer = &written
        update = &updates[layer.decay != 0]
        inputs = inputs_of(run, depth, batch)
        if depth == 0 and run.plan.parts > 1:
            for part in range(parts.first, parts.stop):
                update_part(
                    layer, &run.source, &batch.strips, part, batch.rows, update, &batch.upcoming
                )
        else:
            if depth:
                mark_inputs(layer, 0, batch.rows, &batch.hidden, &inputs)
                if inputs.marks != NULL:
                    mark_columns(layer.fan_in, batch.rows, &batch.hidden)
            update_layer(layer, &inputs, update, &owners, batch.rows)
        update_biases(layer, update, &owners, batch.rows)
        if layer.normalized:
            update_running(run, layer, &owners, batch.rows)


cdef void train(Run *run, Team *team, Batch *batch) noexcept nogil:
    """Run all steps on one thread, which meets the others between the phases of a step."""
    cdef int64_t step, first = 0, last
    pack(run, team, batch)
    next_batch(run, team, batch, 0)
    meet(team)
    for step in range(run.n_steps):
        watch_waits(team, step)
        first_layer(run, team, batch, step)
        meet(team)
        if run.plan.parts > 1:
            rows_step(run, batch, step, 0, batch.rows)
        elif run.plan.rows_alone:
            row_share(team, batch.rows, &first, &last)
            rows_step(run, batch, step, first, last)
            meet(team)
        else:
            layers_step(run, team, batch)
        if ends_early(team, step) or not count_losses(run, team, batch):
            break
        update_step(run, team, step, batch)
        if run.clipped:
            clip_and_apply(run, team, step)
        if run.options.max_norm:
            limit_norms(run, team)
        if run.options.ema_decay:
            average_parameters(run, team, batch, run.first_step + step + 1)
        if run.plan.shared_inputs:
            meet(team)
        next_batch(run, team, batch, step + 1)
        if run.plan.parts == 1:  # with more, a thread reads only what it has updated itself
            meet(team)
        if team.thread == 0:
            run.steps_done = step + 1
    meet(team)
    unpack(run, team, batch)


cdef class Training:
    """One call of a training program, built by one thread and run by the threads of a team.

    Parameters
    ----------
    table
        The layer table (layers, columns), int64.
    options
        One record of ``layout.OPTIONS_DTYPE``.
    threads
        The largest number of threads that will run it.
    skip
        Which zeros are not multiplied: SKIP_NOTHING, SKIP_HIDDEN or SKIP_ALL.
    samples
        x (N, I) uint8 or float32, targets (N,) int32 or (N, C) float32, sample_weight (N,) float32
        or of length 0.
    steps
        order (n,) int64, learning_rates (steps,) float64 and the number of the first step. None
        computes the gradient of one batch, all of x, and writes it to the row of state; the
        parameters are then only read.
    outputs
        params (P,), state (slots, P) and buffers, float32, changed in place; workspace,
        ``training_size`` floats; metrics (3,) float64, which are added to.
    """

    cdef Run state
    cdef Space space
    cdef object arrays  # what the pointers above point into
    # Threads of the team allocate nothing: the others would wait for ever for one that failed.
    cdef double *losses  # (copies, batch_size)
    cdef int32_t *hits  # (copies, batch_size)

    def __cinit__(self):
        memset(&self.state, 0, sizeof(Run))
        self.space = no_space()

    def __init__(
        self, const int64_t[:, ::1] table, const Options[::1] options, int64_t threads,
        int64_t skip, tuple samples, tuple steps, tuple outputs,
    ):
        cdef Run *run = &self.state
        cdef float[:, ::1] state = outputs[1]
        run[0] = make_run(
            table, options[0].batch_size, 1 + state.shape[0], threads, skip,
            options[0].max_norm == 0 and options[0].clip_norm == 0, options[0].clip_norm != 0,
        )
        run.options, run.gradient_only = options[0], steps is None
        self.arrays = (samples, steps, outputs)
        self.read_samples(samples, skip)
        self.read_steps(steps)
        self.read_outputs(outputs)
        self.allocate_losses()

    def __dealloc__(self):
        cdef Run *run = &self.state
        cdef int64_t thread
        if run.batches != NULL:
            for thread in range(run.threads):
                release_marks(&run.batches[thread].marks)
                release_marks(&run.batches[thread].hidden)
                release_strips(&run.batches[thread].strips)
        release(run.batches)
        release(run.layers)
        release(run.squares)
        release(self.losses)
        release(self.hits)

    cdef int read_samples(self, tuple samples, int64_t skip) except -1:
        """Read what to train on."""
        cdef Run *run = &self.state
        cdef const int32_t[::1] targets
        cdef const float[:, ::1] soft_targets
        cdef const float[::1] sample_weight = samples[2]
        cdef int64_t depth, thread, widest = 0, batch = run.options.batch_size
        set_rows(&run.source, samples[0])
        run.source.scale, run.source.shift = <float> run.options.scale, <float> run.options.shift
        run.source.skip_zeros = skip == SKIP_ALL
        for depth in range(1, run.n_layers):
            if run.layers[depth].skips:
                widest = max(widest, run.layers[depth].fan_in)
        for thread in range(run.threads):  # each thread has its own
            if run.layers[0].skips:
                run.batches[thread].marks = make_marks(batch, run.layers[0].fan_in)
            if run.plan.parts > 1:
                run.batches[thread].strips = make_strips(
                    run.source.columns, run.plan.parts, batch
                )
            if widest:
                run.batches[thread].hidden = make_marks(batch, widest)
        if samples[1].ndim == 1:
            targets = samples[1]
            run.targets = &targets[0]
        else:
            soft_targets = samples[1]
            run.soft_targets = &soft_targets[0, 0]
        run.sample_weight = &sample_weight[0] if sample_weight.shape[0] else NULL
        return 0

    cdef int read_steps(self, tuple steps) except -1:
        """Read the order, the rates and the number of steps."""
        cdef Run *run = &self.state
        cdef const int64_t[::1] order
        cdef const double[::1] learning_rates
        if steps is None:
            run.n_order, run.n_steps = run.source.rows, 1
            return 0
        order, learning_rates, run.first_step = steps
        run.order, run.n_order = &order[0], order.shape[0]
        run.learning_rates, run.n_steps = &learning_rates[0], learning_rates.shape[0]
        return 0

    cdef int read_outputs(self, tuple outputs) except -1:
        """Read the arrays that change, and take places in the workspace."""
        cdef Run *run = &self.state
        cdef const float[::1] params = outputs[0]
        cdef float[:, ::1] state = outputs[1]
        cdef float[::1] buffers = outputs[2]
        cdef float[::1] workspace = outputs[3]
        cdef double[::1] metrics = outputs[4]
        run.params, run.n_params = <float *> &params[0], params.shape[0]
        run.state, run.metrics = out_address(state), &metrics[0]
        run.buffers = &buffers[0] if buffers.shape[0] else NULL
        self.space = space_in(workspace)
        place_run(run, &self.space)
        require(self.space.used + LINE_FLOATS <= workspace.shape[0])
        return 0

    cdef int allocate_losses(self) except -1:
        """Allocate the losses and hits of each row, for each copy."""
        cdef Run *run = &self.state
        cdef int64_t i, thread, vectors = 0, batch = run.options.batch_size
        for i in range(run.n_layers):
            vectors += divide_up(run.layers[i].fan_out, VL)
        run.squares = <double *> allocate(vectors * sizeof(double))
        self.losses = <double *> allocate(run.threads * batch * sizeof(double))
        self.hits = <int32_t *> allocate(run.threads * batch * sizeof(int32_t))
        for thread in range(run.threads):
            i = thread * batch if run.plan.parts > 1 else 0
            run.batches[thread].losses = self.losses + i
            run.batches[thread].hits = self.hits + i
        return 0

    @property
    def steps_done(self):
        """The number of steps done, which is smaller than requested if a loss was not finite."""
        return self.state.steps_done

    def run(self, int64_t gate, bint leads):
        """Take part in a team: see ``threads.run_team``."""
        cdef Team team
        cdef uint32_t mode
        with nogil:
            team = enter(gate, leads)
            if team.thread >= 0:
                require(team.threads <= self.state.threads)
                mode = flush_denormals()
                self.guard(&team, SET_GUARDS)
                train(&self.state, &team, &self.state.batches[team.thread])
                set_float_mode(mode)
                leave(&team)
                self.guard(&team, REMOVE_GUARDS)

    cdef void guard(self, Team *team, int guards) noexcept nogil:
        """Take all places again in the debug build, to set or remove their guards."""
        if CHECKED and team.thread == 0:
            self.space.used, self.space.guards = 0, guards
            place_run(&self.state, &self.space)
        if CHECKED and guards == SET_GUARDS:
            meet(team)
