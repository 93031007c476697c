# Gradients that are written as a whole, clipped by their norm, and then applied.
#
# Without a limit for the norm, a tile of a gradient is applied as soon as it is computed. With
# one, the gradient goes to a further slot of the packed parameters first.

cdef double CLIP_EPS = 1e-6  # added to the norm, as PyTorch does


cdef void sum_squares(
    const Layer *layer, int64_t slot, int64_t first, int64_t stop, double *out
) noexcept nogil:
    """Sum the squares of a layer's gradient over each vector of units, from ``first`` to ``stop``.

    How they are added depends on no panel and no thread.
    """
    cdef vec x, squares
    cdef int64_t vector, row, unit, width = layer.width
    cdef const float *w
    for vector in range(first, stop):
        unit = vector * VL
        w = layer.weights[slot] + unit // width * layer.fan_in * width + unit % width
        x = load(layer.bias[slot] + unit)
        squares = x * x
        if layer.normalized:
            x = load(layer.gain[slot] + unit)
            squares = fma(x, x, squares)
        for row in range(layer.fan_in):
            x = load(w + row * width)
            squares = fma(x, x, squares)
        out[vector] = total(squares)


cdef inline double clip_factor(const double *squares, int64_t n, double limit) noexcept nogil:
    """Return what a gradient is multiplied by, given n sums of squares; NaN if one of them is."""
    cdef double factor, norm = 0
    cdef int64_t i
    for i in range(n):
        norm += squares[i]
    factor = limit / (sqrt_double(norm) + CLIP_EPS)
    return 1 if factor >= 1 else factor


cdef inline void apply_slots(
    const int64_t rule, const Update *update, float factor, int64_t slot, float *const *slots,
    int64_t at, int64_t n,
) noexcept nogil:
    """Apply the gradient of n packed parameters, which is in a slot of theirs."""
    cdef int64_t v, i
    for v in range(n // VL):
        i = at + v * VL
        update_vec(
            rule, update, load(slots[slot] + i) * splat(factor), slots[0] + i, slots[1] + i,
            slots[2] + i,
        )


cdef inline void apply_rule(
    const int64_t rule, const Layer *layer, const Update *update, const Team *team, float factor,
    int64_t slot,
) noexcept nogil:
    """Apply this thread's share of a layer's gradient."""
    cdef Update own = update[0]  # which no store can change
    cdef int64_t unit, row, units = layer.panels * layer.fan_in
    cdef int64_t vectors = divide_up(layer.fan_out, VL)
    for row in range(
        share(units, team.thread, team.threads), share(units, team.thread + 1, team.threads)
    ):
        apply_slots(
            rule, &own, factor, slot, layer.weights, row * layer.width,
            used_width(layer, row // layer.fan_in),
        )
    own.decay, own.shrink = 0, 1
    unit = share(vectors, team.thread, team.threads) * VL
    units = share(vectors, team.thread + 1, team.threads) * VL - unit
    apply_slots(rule, &own, factor, slot, layer.bias, unit, units)
    if layer.normalized:
        apply_slots(rule, &own, factor, slot, layer.gain, unit, units)


cdef void apply_gradient(
    const Layer *layer, const Update *update, const Team *team, float factor, int64_t slot
) noexcept nogil:
    """Call apply_rule, specialised for the rule."""
    if update.rule == PLAIN:
        apply_rule(PLAIN, layer, update, team, factor, slot)
    elif update.rule == MOMENTUM:
        apply_rule(MOMENTUM, layer, update, team, factor, slot)
    elif update.rule == NESTEROV:
        apply_rule(NESTEROV, layer, update, team, factor, slot)
    else:
        apply_rule(MOMENTS, layer, update, team, factor, slot)


cdef Layer with_gradient(const Layer *layer, int64_t slot) noexcept nogil:
    """Return a layer whose first row of state, where gradients are written to, is a slot."""
    cdef Layer other = layer[0]
    other.weights[1], other.bias[1], other.gain[1] = (
        layer.weights[slot], layer.bias[slot], layer.gain[slot]
    )
    return other


cdef void clip_and_apply(Run *run, Team *team, int64_t step) noexcept nogil:
    """Apply the gradient that all threads have written, clipped by its norm.

    Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural
    networks", algorithm 1.
    """
    cdef Update updates[2]
    cdef Layer *layer
    cdef int64_t depth, of_layer, vectors = 0
    cdef float factor
    meet(team)
    for depth in range(run.n_layers):
        of_layer = divide_up(run.layers[depth].fan_out, VL)
        sum_squares(
            &run.layers[depth], run.slots, share(of_layer, team.thread, team.threads),
            share(of_layer, team.thread + 1, team.threads), run.squares + vectors,
        )
        vectors += of_layer
    meet(team)
    factor = <float> clip_factor(run.squares, vectors, run.options.clip_norm)
    updates[0], updates[1] = update_of(run, step, False), update_of(run, step, True)
    for depth in range(run.n_layers):
        layer = &run.layers[depth]
        apply_gradient(layer, &updates[layer.decay != 0], team, factor, run.slots)
