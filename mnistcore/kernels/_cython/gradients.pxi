# The weight gradients, the third product of a layer, and how they change the parameters.

cdef enum:
    FLOATS_AHEAD = 4 * SPARSE_FLOATS  # by which weights are prefetched before their update


cdef inline void update_rows(
    const int64_t rule, const Update *update, const Layer *layer, int64_t at, int64_t n,
    const float *gradient,
) noexcept nogil:
    """Update n packed weights, starting at ``at``; ``gradient`` NULL means zeros."""
    cdef Update own = update[0]  # which no store can change
    cdef int64_t v
    for v in range(n // VL):
        update_vec(
            rule, &own, splat(0) if gradient == NULL else load(gradient + v * VL),
            layer.weights[0] + at + v * VL, layer.weights[1] + at + v * VL,
            layer.weights[2] + at + v * VL,
        )


cdef void update_weights(
    const Update *update, const Layer *layer, int64_t at, int64_t n, const float *gradient
) noexcept nogil:
    """Call update_rows, specialised for the rule."""
    if update.rule == PLAIN:
        update_rows(PLAIN, update, layer, at, n, gradient)
    elif update.rule == MOMENTUM:
        update_rows(MOMENTUM, update, layer, at, n, gradient)
    elif update.rule == NESTEROV:
        update_rows(NESTEROV, update, layer, at, n, gradient)
    elif update.rule == MOMENTS:
        update_rows(MOMENTS, update, layer, at, n, gradient)
    else:
        update_rows(GRADIENT, update, layer, at, n, gradient)


cdef inline void fetch_weights(
    const Update *update, const Layer *layer, int64_t at, int64_t n
) noexcept nogil:
    """Prefetch the weights and state that an update will read once its product is done."""
    cdef int64_t line, slot
    cdef int64_t slots = 1 if update.rule == PLAIN else 3 if update.rule == MOMENTS else 2
    for slot in range(slots):
        for line in range(n // LINE_FLOATS):
            __builtin_prefetch(layer.weights[slot] + at + line * LINE_FLOATS, 1, 3)


cdef inline void update_tile(
    const Layer *layer, const Inputs *inputs, const Update *update, int64_t panel, int64_t first,
    int64_t n, int64_t rows,
) noexcept nogil:
    """Compute the gradient of n rows of a panel, summed over the batch, and apply it."""
    cdef float scratch[TILE + GUARD_WORDS]
    cdef int64_t row, at = (panel * layer.fan_in + first) * layer.width
    cdef int64_t used = used_width(layer, panel)
    cdef Product product
    require(first + n <= layer.fan_in)
    product.a, product.a_row, product.a_step = inputs.a + first, 1, inputs.ld
    product.K = product.segment = rows
    product.a_segment = 0
    product.b = layer.dz + panel * layer.batch_size * layer.width
    product.b_step = product.out_row = layer.width
    product.out = scratch
    set_guard(scratch + TILE)
    fetch_weights(update, layer, at, n * layer.width)
    multiply_panel(n, used, &product)
    remove_guard(scratch + TILE)
    if used == layer.width:
        update_weights(update, layer, at, n * used, scratch)
        return
    for row in range(n):
        update_weights(update, layer, at + row * layer.width, used, scratch + row * layer.width)


cdef inline void flush(const Layer *layer, Pending *pending) noexcept nogil:
    """Do the update that is pending."""
    cdef int64_t row, at, n = pending.vectors // UPDATED * VL
    if pending.vectors:
        at = pending.w - layer.weights[0]
        for row in range(UPDATED):
            update_weights(
                pending.update, layer, at + row * pending.stride, n, pending.gradient + row * NR
            )
    pending.vectors = 0


cdef void update_while_multiplying(
    const Layer *layer, const Inputs *inputs, const Update *update, int64_t panel, int64_t low,
    int64_t high, int64_t rows,
) noexcept nogil:
    """Do what update_panel does for a multiple of UPDATED rows."""
    cdef float scratch[2][TILE + GUARD_WORDS]
    cdef int64_t at, column = 0, row = low, tile = 0, used = used_width(layer, panel)
    cdef Product product
    cdef Pending pending
    memset(&pending, 0, sizeof(Pending))
    product.a_row, product.a_step, product.a_segment = 1, inputs.ld, 0
    product.K = product.segment = rows
    product.b_step, product.out_row = layer.width, NR
    pending.update, pending.stride = update, layer.width
    while column < used:
        product.b = layer.dz + panel * layer.batch_size * layer.width + column
        row = low
        while row < high:
            product.a, product.out = inputs.a + row, scratch[tile]
            multiply_and_update(min(used - column, <int64_t> NR), &product, &pending)
            at = (panel * layer.fan_in + row) * layer.width + column
            pending.gradient = scratch[tile]
            pending.vectors = UPDATED * (2 if used - column >= NR else 1)
            pending.w, pending.first = layer.weights[0] + at, layer.weights[1] + at
            pending.second = layer.weights[2] + at
            row += UPDATED
            tile = 1 - tile
        column += NR
        flush(layer, &pending)


cdef void update_panel(
    const Layer *layer, const Inputs *inputs, const Update *update, int64_t panel, int64_t low,
    int64_t high, int64_t rows,
) noexcept nogil:
    """Compute the gradient of rows low to high of a panel of weights, and apply it.

    Each tile is applied while the next one is computed, if there are registers for both.
    """
    cdef int64_t n, row = low
    if FUSED:
        row = high - (high - low) % UPDATED
        update_while_multiplying(layer, inputs, update, panel, low, row, rows)
    while row < high:
        n = (high - row) // divide_up(high - row, MR)
        update_tile(layer, inputs, update, panel, row, n, rows)
        row += n


cdef inline void update_group(
    const int rows, const int vectors, const int64_t rule, const Update *update,
    const Layer *layer, const SparseProduct *product, int64_t first, int64_t at,
) noexcept nogil:
    """Compute the gradient of ``rows`` rows of weights, starting at ``at``, and apply it.

    Without a detour through memory, the divisions and roots of one group are computed while the
    sums of the next are being added.
    """
    cdef vec total[SPARSE_VECTORS]
    cdef int64_t i
    for i in range(rows * vectors):
        total[i] = splat(0)
    add_marked(rows, vectors, product, first, total)
    for i in range(rows * vectors):
        update_vec(
            rule, update, total[i], layer.weights[0] + at + i * VL,
            layer.weights[1] + at + i * VL, layer.weights[2] + at + i * VL,
        )


cdef inline void update_groups(
    const int group, const int vectors, const int64_t rule, const Update *update,
    const Layer *layer, const SparseProduct *product, int64_t rows, int64_t at,
) noexcept nogil:
    """Update rows of weights in groups, and those that are left one by one."""
    cdef int64_t row = 0
    while row + group <= rows:
        fetch_weights(update, layer, at + FLOATS_AHEAD, group * vectors * VL)
        update_group(group, vectors, rule, update, layer, product, row, at)
        row += group
        at += group * vectors * VL
    while row < rows:
        update_group(1, vectors, rule, update, layer, product, row, at)
        row += 1
        at += vectors * VL


cdef inline void update_marked(
    const int64_t rule, const Update *update, const Layer *layer, const SparseProduct *product,
    int64_t rows, int64_t at,
) noexcept nogil:
    """Call update_groups, specialised for the width of the panels."""
    if layer.width == VL:
        update_groups(4, 1, rule, update, layer, product, rows, at)
    elif layer.width == 2 * VL:
        update_groups(2, 2, rule, update, layer, product, rows, at)
    elif layer.width == 3 * VL:
        update_groups(1, 3, rule, update, layer, product, rows, at)
    elif layer.width == 4 * VL:
        update_groups(1, 4, rule, update, layer, product, rows, at)
    elif SPARSE_VECTORS > 4 and layer.width == 5 * VL:
        update_groups(1, 5, rule, update, layer, product, rows, at)
    elif SPARSE_VECTORS > 4 and layer.width == 6 * VL:
        update_groups(1, 6, rule, update, layer, product, rows, at)
    elif SPARSE_VECTORS > 4 and layer.width == 7 * VL:
        update_groups(1, 7, rule, update, layer, product, rows, at)
    else:
        update_groups(1, SPARSE_VECTORS, rule, update, layer, product, rows, at)


cdef void update_sparse(
    const Layer *layer, const Inputs *inputs, const Update *update, const Team *team
) noexcept nogil:
    """Compute the gradient of a share of the weights of such a layer, and apply it."""
    cdef int64_t at, rows
    cdef SparseProduct product
    cdef Tiles tiles = tiles_of(team, layer.panels, layer.fan_in, SPARSE_ROWS)
    product.marks_row = product.words = inputs.marks.row_words
    product.a_row, product.a_step = 1, inputs.ld
    while next_range(&tiles):
        rows = tiles.high - tiles.low
        at = (tiles.panel * layer.fan_in + tiles.low) * layer.width
        product.marks = inputs.marks.columns + tiles.low * product.words
        product.a = inputs.a + tiles.low
        product.b = layer.dz + tiles.panel * layer.batch_size * layer.width
        if update.rule == PLAIN:
            update_marked(PLAIN, update, layer, &product, rows, at)
        elif update.rule == MOMENTUM:
            update_marked(MOMENTUM, update, layer, &product, rows, at)
        elif update.rule == NESTEROV:
            update_marked(NESTEROV, update, layer, &product, rows, at)
        elif update.rule == MOMENTS:
            update_marked(MOMENTS, update, layer, &product, rows, at)
        else:
            update_marked(GRADIENT, update, layer, &product, rows, at)


cdef void update_layer(
    const Layer *layer, const Inputs *inputs, const Update *update, const Team *team,
    int64_t rows,
) noexcept nogil:
    """Compute the weight gradient for a share of (panel, row of weights), and apply it."""
    cdef int64_t unit = share(layer.panels * layer.fan_in, team.thread, team.threads)
    cdef int64_t stop = share(layer.panels * layer.fan_in, team.thread + 1, team.threads)
    cdef int64_t low, high
    if inputs.marks != NULL:
        update_sparse(layer, inputs, update, team)
        return
    while unit < stop:
        low = unit % layer.fan_in
        high = min(layer.fan_in, low + stop - unit)
        update_panel(layer, inputs, update, unit // layer.fan_in, low, high, rows)
        unit += high - low


cdef void update_slots(
    const Update *update, const float *gradient, int64_t n, float *const *slots, int64_t at
) noexcept nogil:
    """Apply a gradient to n biases or gains, with their rows of state in the other slots."""
    if update.rule == GRADIENT:
        memcpy(slots[1] + at, gradient, n * sizeof(float))
    else:
        update_flat(update, gradient, n, slots[0] + at, slots[1] + at, slots[2] + at)


cdef void update_biases(
    const Layer *layer, const Update *update, const Team *team, int64_t rows
) noexcept nogil:
    """Compute the bias gradients of this thread's panels, summed row by row, and apply them.

    Those of a normalised layer have been summed already, and those of its gains.
    """
    cdef Update plain = update[0]
    cdef float gradient[SPARSE_FLOATS]
    cdef int64_t p, v, row, at
    cdef vec total
    plain.decay, plain.shrink = 0, 1
    for p in range(
        share(layer.panels, team.thread, team.threads),
        share(layer.panels, team.thread + 1, team.threads),
    ):
        at = p * layer.width
        if layer.normalized:
            update_slots(&plain, statistic(layer, BIAS_SUM, at), layer.width, layer.bias, at)
            update_slots(&plain, statistic(layer, GAIN_SUM, at), layer.width, layer.gain, at)
            continue
        for v in range(layer.width // VL):
            total = splat(0)
            for row in range(rows):
                total = total + load(
                    layer.dz + (p * layer.batch_size + row) * layer.width + v * VL
                )
            store(gradient + v * VL, total)
        update_slots(&plain, gradient, layer.width, layer.bias, at)
