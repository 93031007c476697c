# The optimizers: how a gradient changes the parameters.

cdef enum:
    # What is done with a gradient.
    PLAIN = 0  # descent without momentum
    MOMENTUM = 1
    NESTEROV = 2
    MOMENTS = 3  # Adam and AdamW
    GRADIENT = 4  # write the gradient itself to the first row of state

cdef struct Update:
    # The constants of one optimizer step, as the float32 numbers that the loops use.
    int64_t rule
    float learning_rate
    float momentum
    float decay  # weight_decay if it is added to the gradient, else 0
    float shrink  # 1 - learning_rate * weight_decay if it acts on the weights, else 1
    float beta1
    float beta1_rest  # 1 - beta1
    float beta2
    float beta2_rest
    float m_scale  # learning_rate / (1 - beta1**step)
    float v_scale  # 1 / (1 - beta2**step)
    float eps


cdef Update sgd_constants(
    double learning_rate, double momentum, bint nesterov, double weight_decay
) noexcept nogil:
    cdef Update update
    memset(&update, 0, sizeof(Update))
    update.rule = PLAIN
    if momentum:
        update.rule = NESTEROV if nesterov else MOMENTUM
    update.learning_rate = <float> learning_rate
    update.momentum = <float> momentum
    update.decay = <float> weight_decay
    update.shrink = 1
    return update


cdef Update adam_constants(
    double learning_rate, double beta1, double beta2, double eps, double weight_decay,
    bint decoupled, int64_t step,
) noexcept nogil:
    cdef Update update
    memset(&update, 0, sizeof(Update))
    update.rule = MOMENTS
    update.decay = <float> (0 if decoupled else weight_decay)
    update.shrink = <float> (1 - learning_rate * weight_decay if decoupled else 1)
    update.beta1, update.beta1_rest = <float> beta1, <float> (1 - beta1)
    update.beta2, update.beta2_rest = <float> beta2, <float> (1 - beta2)
    update.m_scale = <float> (learning_rate / (1 - pow(beta1, step)))
    update.v_scale = <float> (1 / (1 - pow(beta2, step)))
    update.eps = <float> eps
    return update


cdef inline void update_vec(
    const int64_t rule, const Update *update, vec gradient, float *w, float *first, float *second
) noexcept nogil:
    """Update in place a vector of parameters at w, with rows of state at first and second.

    ``rule`` is a constant wherever this is inlined. The formulas match the reference term by term.
    """
    cdef vec m, v, root
    cdef vec weight = load(w)
    if rule == GRADIENT:
        store(first, gradient)
        return
    if update.decay != 0:  # an infinite weight times a decay of 0 would be NaN
        gradient = fma(splat(update.decay), weight, gradient)
    if rule == PLAIN:
        store(w, weight - splat(update.learning_rate) * gradient)
    elif rule == MOMENTS:
        m = fma(splat(update.beta1_rest), gradient, splat(update.beta1) * load(first))
        v = fma(
            splat(update.beta2_rest), gradient * gradient, splat(update.beta2) * load(second)
        )
        root = sqrt(v * splat(update.v_scale)) + splat(update.eps)
        store(first, m)
        store(second, v)
        store(w, weight * splat(update.shrink) - m * splat(update.m_scale) / root)
    else:
        m = fma(splat(update.momentum), load(first), gradient)
        store(first, m)
        if rule == NESTEROV:
            m = fma(splat(update.momentum), m, gradient)
        store(w, weight - splat(update.learning_rate) * m)


# ---------------------------------------------------------------------------------------------
# A tile of a gradient, computed while the weights of the tile before it are updated
# ---------------------------------------------------------------------------------------------

cdef enum:
    # Whether there are registers for both: with 16, one after the other is faster.
    FUSED = MR > 6
    UPDATED = MR - 2  # rows of such a tile

cdef struct Pending:
    # A tile of a gradient, and the weights and rows of state that it will change.
    const Update *update
    const float *gradient
    float *w
    float *first
    float *second
    int64_t vectors  # one or two of each row of a tile; 0: nothing is pending
    int64_t stride  # from row to row of the weights and the state; the gradient's is NR


cdef inline void update_next(
    const int vectors, const int64_t rule, const Pending *pending, int64_t v
) noexcept nogil:
    """Update vector v of what is pending, and prefetch what the tile after it will change."""
    cdef int64_t i = v // vectors * pending.stride + v % vectors * VL
    cdef int64_t ahead = i + UPDATED * pending.stride
    update_vec(
        rule, pending.update, load(pending.gradient + v // vectors * NR + v % vectors * VL),
        pending.w + i, pending.first + i, pending.second + i,
    )
    __builtin_prefetch(pending.w + ahead, 1, 3)
    if rule != PLAIN:
        __builtin_prefetch(pending.first + ahead, 1, 3)
    if rule == MOMENTS:
        __builtin_prefetch(pending.second + ahead, 1, 3)


cdef inline void updating_body(
    const int vectors, const int64_t rule, const Product *product, const Pending *pending
) noexcept nogil:
    """Compute a tile of UPDATED rows; a vector is updated every few terms of its sums.

    Divisions, square roots and loads from afar then take place beside the FMAs.
    """
    cdef vec total[MR][2]
    cdef const float *a = product.a
    cdef const float *b = product.b
    cdef int64_t v, each = product.K // (UPDATED * vectors)
    cdef int r
    for r in range(UPDATED):
        total[r][0] = splat(0)
        if vectors == 2:
            total[r][1] = splat(0)
    for v in range(pending.vectors):
        add_products(UPDATED, vectors, product, a, b, each, total)
        a += each * product.a_step
        b += each * product.b_step
        update_next(vectors, rule, pending, v)
    add_products(
        UPDATED, vectors, product, a, b, product.K - each * pending.vectors, total
    )
    store_tile(UPDATED, vectors, product, total)


cdef inline void updating_tile(
    const int64_t rule, int64_t width, const Product *product, const Pending *pending
) noexcept nogil:
    if width == NR:
        updating_body(2, rule, product, pending)
    else:
        updating_body(1, rule, product, pending)


cdef void multiply_and_update(
    int64_t width, const Product *product, const Pending *pending
) noexcept nogil:
    """Call updating_body, specialised for the width and the rule."""
    require(pending.vectors == 0 or pending.vectors * VL == UPDATED * width)
    if pending.update.rule == PLAIN:
        updating_tile(PLAIN, width, product, pending)
    elif pending.update.rule == MOMENTUM:
        updating_tile(MOMENTUM, width, product, pending)
    elif pending.update.rule == NESTEROV:
        updating_tile(NESTEROV, width, product, pending)
    elif pending.update.rule == MOMENTS:
        updating_tile(MOMENTS, width, product, pending)
    else:
        updating_tile(GRADIENT, width, product, pending)


cdef inline void update_loop(
    const int64_t rule, const Update *update, const float *gradient, int64_t n, float *w,
    float *first, float *second,
) noexcept nogil:
    """Update n parameters; the last few go through a copy, with the same arithmetic."""
    cdef float rows[3][VL]
    cdef int64_t i, v, rest = n % VL
    cdef Update own = update[0]  # else a store to a parameter might change a constant
    for v in range(n // VL):
        i = v * VL
        update_vec(rule, &own, load(gradient + i), w + i, first + i, second + i)
    if rest:
        i = n - rest
        store(rows[0], load_first(w + i, rest))
        if rule != PLAIN:
            store(rows[1], load_first(first + i, rest))
        if rule == MOMENTS:
            store(rows[2], load_first(second + i, rest))
        update_vec(rule, update, load_first(gradient + i, rest), rows[0], rows[1], rows[2])
        memcpy(w + i, rows[0], rest * sizeof(float))
        if rule != PLAIN:
            memcpy(first + i, rows[1], rest * sizeof(float))
        if rule == MOMENTS:
            memcpy(second + i, rows[2], rest * sizeof(float))


cdef void update_flat(
    const Update *update, const float *gradient, int64_t n, float *w, float *first, float *second
) noexcept nogil:
    if update.rule == PLAIN:
        update_loop(PLAIN, update, gradient, n, w, first, second)
    elif update.rule == MOMENTUM:
        update_loop(MOMENTUM, update, gradient, n, w, first, second)
    elif update.rule == NESTEROV:
        update_loop(NESTEROV, update, gradient, n, w, first, second)
    elif update.rule == MOMENTS:
        update_loop(MOMENTS, update, gradient, n, w, first, second)


cdef void update_share(
    const Update *update, const float[::1] gradient, float[::1] params, float[::1] first,
    float[::1] second, int64_t gate, bint leads,
) noexcept nogil:
    """Do a thread's part of one optimizer step; rows of state may have length 0."""
    cdef Team team = enter(gate, leads)
    cdef int64_t n = params.shape[0], lines = divide_up(n, LINE_FLOATS), low, high
    cdef uint32_t mode
    if team.thread >= 0:
        mode = flush_denormals()
        low = LINE_FLOATS * share(lines, team.thread, team.threads)
        high = min(n, LINE_FLOATS * share(lines, team.thread + 1, team.threads))
        if low < high:
            update_flat(
                update, &gradient[low], high - low, &params[low],
                &first[low] if first.shape[0] else NULL, &second[low] if second.shape[0] else NULL,
            )
        set_float_mode(mode)
    leave(&team)


def sgd_update(
    const float[::1] gradient, tuple constants, float[::1] params, float[::1] velocity,
    int64_t gate, bint leads,
):
    """Do a thread's part of a step of gradient descent: gradient, params and velocity (P,).

    ``constants`` is (learning_rate, momentum, nesterov, weight_decay).
    """
    cdef Update update = sgd_constants(constants[0], constants[1], constants[2], constants[3])
    with nogil:
        update_share(&update, gradient, params, velocity, velocity[:0], gate, leads)


def adam_update(
    const float[::1] gradient, tuple constants, float[::1] params, float[::1] m, float[::1] v,
    int64_t gate, bint leads,
):
    """Do a thread's part of a step of Adam: gradient, params, m and v (P,).

    ``constants`` is (learning_rate, beta1, beta2, eps, weight_decay, decoupled, step); ``step``
    counts from 1.
    """
    cdef Update update = adam_constants(
        constants[0], constants[1], constants[2], constants[3], constants[4], constants[5],
        constants[6],
    )
    with nogil:
        update_share(&update, gradient, params, m, v, gate, leads)
