# What acts on one element at a time, or on one row: activations, softmax, dropout, optimizers.
# The inlined functions on vectors serve the programs too; the loops below are the public tier.

cdef enum:
    # The codes of ``layout``.
    IDENTITY = 0
    LOGISTIC = 1
    TANH = 2
    RELU = 3
    SGD = 0
    ADAM = 1
    ADAMW = 2


# ---------------------------------------------------------------------------------------------
# Activations
# ---------------------------------------------------------------------------------------------

cdef inline vec activate(const int64_t activation, vec z) noexcept nogil:
    if activation == RELU:
        return maximum(splat(0), z)
    if activation == TANH:
        return tanh(z)
    if activation == LOGISTIC:
        return logistic(z)
    return z


cdef inline vec derive(const int64_t activation, vec da, vec a) noexcept nogil:
    """dz from da and the activation's output a."""
    if activation == RELU:
        return select(less(splat(0), a), da, splat(0))
    if activation == TANH:
        return da * (splat(1) - a * a)
    if activation == LOGISTIC:
        return da * (a * (splat(1) - a))
    return da


cdef inline void activate_loop(
    const int64_t activation, const float *z, int64_t n, float *a
) noexcept nogil:
    cdef int64_t v, whole = n - n % VL
    for v in range(n // VL):
        store(a + v * VL, activate(activation, load(z + v * VL)))
    if whole < n:
        store_part(a + whole, activate(activation, load_part(z + whole, n - whole)), n - whole)


cdef inline void derive_loop(
    const int64_t activation, const float *da, const float *a, int64_t n, float *dz
) noexcept nogil:
    cdef int64_t v, whole = n - n % VL
    for v in range(n // VL):
        store(dz + v * VL, derive(activation, load(da + v * VL), load(a + v * VL)))
    if whole < n:
        store_part(
            dz + whole,
            derive(activation, load_part(da + whole, n - whole), load_part(a + whole, n - whole)),
            n - whole,
        )


def activation_forward(
    int64_t activation, const float[:, ::1] z, float[:, ::1] a  # IN, IN, OUT
):
    cdef int64_t n = z.shape[0] * z.shape[1]
    cdef uint32_t mode
    with nogil:
        mode = enter_float_mode()
        if activation == RELU:
            activate_loop(RELU, address(z), n, out_address(a))
        elif activation == TANH:
            activate_loop(TANH, address(z), n, out_address(a))
        else:
            activate_loop(LOGISTIC, address(z), n, out_address(a))
        set_float_mode(mode)


def activation_backward(
    int64_t activation, const float[:, ::1] da, const float[:, ::1] a, float[:, ::1] dz
):
    # IN, IN, IN, OUT
    cdef int64_t n = a.shape[0] * a.shape[1]
    cdef uint32_t mode
    with nogil:
        mode = enter_float_mode()
        if activation == RELU:
            derive_loop(RELU, address(da), address(a), n, out_address(dz))
        elif activation == TANH:
            derive_loop(TANH, address(da), address(a), n, out_address(dz))
        else:
            derive_loop(LOGISTIC, address(da), address(a), n, out_address(dz))
        set_float_mode(mode)


def add_bias(const float[:, ::1] z, const float[::1] b, float[:, ::1] out):  # IN, IN, OUT
    cdef int64_t row, i, n = z.shape[1]
    for row in range(z.shape[0]):
        for i in range(n):
            out[row, i] = z[row, i] + b[i]


def sum_rows(const float[:, ::1] dz, float[::1] out):  # IN, OUT
    """Row after row, so that a column's sum has one order."""
    cdef int64_t row, i, n = dz.shape[1]
    for i in range(n):
        out[i] = 0
    for row in range(dz.shape[0]):
        for i in range(n):
            out[i] += dz[row, i]


# ---------------------------------------------------------------------------------------------
# Softmax and its loss, on VL rows at once: lanes are rows, so nothing is summed across lanes
# ---------------------------------------------------------------------------------------------

cdef inline void exponentials(
    float *columns, int64_t width, int64_t classes, vec *largest, vec *best
) noexcept nogil:
    """columns[c] = exp(columns[c] - largest); the largest and the first that is so."""
    cdef int64_t c
    cdef ivec larger
    cdef vec z, top = load(columns), first = splat(0)
    for c in range(1, classes):
        z = load(columns + c * width)
        larger = less(top, z)
        top = select(larger, z, top)
        first = select(larger, splat(c), first)
    for c in range(classes):
        z = exp(load(columns + c * width) - top)
        store(columns + c * width, z)
    largest[0], best[0] = top, first


cdef inline vec sum_columns(const float *columns, int64_t width, int64_t classes) noexcept nogil:
    cdef int64_t c
    cdef vec total = splat(0)
    for c in range(classes):
        total = total + load(columns + c * width)
    return total


cdef inline void scale_columns(
    float *columns, int64_t width, int64_t classes, vec factor
) noexcept nogil:
    cdef int64_t c
    for c in range(classes):
        store(columns + c * width, load(columns + c * width) * factor)


cdef void loss_block(
    const float *logits, int64_t ld, int64_t rows, int64_t classes, const int32_t *labels,
    const float *shares, float *columns, int64_t width, double *losses, int32_t *hits,
) noexcept nogil:
    """The losses and hits of at most VL rows, whose gradients are left in ``columns``.

    ``columns`` (classes, width) holds the rows' logits transposed; ``shares`` is each row's
    part of all weights. A log-sum-exp with the true maximum: finite where the label's
    probability underflows.
    """
    cdef float own[VL]  # the exponentials of the labels' own logits
    cdef float top[VL]
    cdef float first[VL]
    cdef float sums[VL]
    cdef float factors[VL]
    cdef float others[VL]
    cdef vec largest, best, rest
    cdef int64_t r
    exponentials(columns, width, classes, &largest, &best)
    store(own, splat(0))
    for r in range(rows):
        own[r] = columns[labels[r] * width + r]
        columns[labels[r] * width + r] = 0
    rest = sum_columns(columns, width, classes)
    store(others, rest)
    store(sums, rest + load(own))
    store(top, largest)
    store(first, best)
    store(factors, load_part(shares, rows) / load(sums))
    scale_columns(columns, width, classes, load(factors))
    for r in range(rows):
        losses[r] = log(<double> sums[r]) - <double> (logits[r * ld + labels[r]] - top[r])
        hits[r] = first[r] == labels[r]
        # probs - 1, without the cancellation that loses its digits as probs nears 1.
        columns[labels[r] * width + r] = -others[r] * factors[r]


def softmax(const float[:, ::1] logits, float[:, ::1] probs):  # IN, OUT
    cdef int64_t n = logits.shape[1], r, rows
    cdef float *columns = <float *> allocate(n * VL * sizeof(float))
    cdef vec largest, best
    cdef uint32_t mode
    with nogil:
        mode = enter_float_mode()
        for r in range(divide_up(logits.shape[0], VL) if n else 0):
            rows = min(logits.shape[0] - r * VL, <int64_t> VL)
            pack_transposed(&logits[r * VL, 0], n, n, rows, VL, columns)
            exponentials(columns, VL, n, &largest, &best)
            scale_columns(columns, VL, n, splat(1) / sum_columns(columns, VL, n))
            unpack_transposed(columns, n, rows, &probs[r * VL, 0], n)
        set_float_mode(mode)
    free(columns)


def softmax_cross_entropy(
    const float[:, ::1] logits, const int32_t[::1] labels, const float[::1] sample_weight,
    float[:, ::1] dlogits,
):
    # IN, IN, IN (or length 0), OUT; the mean loss
    cdef int64_t n = logits.shape[1], r, i, rows
    cdef bint weighted = sample_weight.shape[0] != 0
    cdef double total = 0, loss = 0, inverse
    cdef double losses[VL]
    cdef float shares[VL]
    cdef int32_t hits[VL]
    cdef float *columns = <float *> allocate(n * VL * sizeof(float))
    cdef uint32_t mode
    with nogil:
        mode = enter_float_mode()
        for r in range(labels.shape[0]):
            total += sample_weight[r] if weighted else 1
        inverse = 1 / total if total else 0
        for r in range(0 if n == 0 else divide_up(labels.shape[0], VL)):
            rows = min(labels.shape[0] - r * VL, <int64_t> VL)
            for i in range(rows):
                shares[i] = <float> (inverse * (sample_weight[r * VL + i] if weighted else 1))
            pack_transposed(&logits[r * VL, 0], n, n, rows, VL, columns)
            loss_block(
                &logits[r * VL, 0], n, rows, n, &labels[r * VL], shares, columns, VL, losses, hits
            )
            unpack_transposed(columns, n, rows, &dlogits[r * VL, 0], n)
            for i in range(rows):
                loss += losses[i] * (sample_weight[r * VL + i] if weighted else 1)
        set_float_mode(mode)
    free(columns)
    return loss / total if total else 0.0


def dropout(
    const float[:, ::1] a, const int64_t[::1] samples, uint32_t threshold, int64_t seed,
    int64_t epoch, int64_t layer, float[:, ::1] out,
):
    # IN, IN, scalars, OUT
    cdef int64_t n = a.shape[1], row, v, i, size
    cdef vec factor = splat(<float> (1 / (1 - threshold / 4294967296.0)))
    cdef vec x
    cdef uint32_t key, mode
    with nogil:
        mode = enter_float_mode()
        for row in range(a.shape[0]):
            key = random_key(seed, epoch, samples[row], layer)
            for v in range(divide_up(n, VL)):
                i = v * VL
                size = min(n - i, <int64_t> VL)
                x = load_part(&a[row, i], size) * factor
                x = select(keep_mask(key, i, threshold), x, splat(0))
                store_part(&out[row, i], x, size)
        set_float_mode(mode)


# ---------------------------------------------------------------------------------------------
# Optimizers
# ---------------------------------------------------------------------------------------------

cdef enum:
    # How a gradient ends: a rule and what it needs. The programs know one more than the user.
    PLAIN = 0  # descent without momentum
    MOMENTUM = 1
    NESTEROV = 2
    MOMENTS = 3  # Adam and AdamW
    KEEP = 4  # write the gradient itself to the first row of state

cdef struct Update:
    # The constants of one optimizer step, as the float32 numbers that the loops use.
    int64_t rule
    float learning_rate
    float momentum
    float decay  # weight_decay where it adds to the gradient, else 0
    float shrink  # 1 - learning_rate * weight_decay where it acts on the weights, else 1
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
    """One vector of parameters at w, its rows of state at first and second; in place.

    ``rule`` is a constant where this is inlined. The formulas are the reference's, term by term.
    """
    cdef vec m, v, root
    cdef vec weight = load(w)
    if rule == KEEP:
        store(first, gradient)
        return
    if update.decay != 0:  # an infinite weight times no decay would be no number
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


cdef inline void update_loop(
    const int64_t rule, const Update *update, const float *gradient, int64_t n, float *w,
    float *first, float *second,
) noexcept nogil:
    """Update n parameters; the last few by way of a copy, in the same arithmetic."""
    cdef float rows[3][VL]
    cdef int64_t i, v, rest = n % VL
    for v in range(n // VL):
        i = v * VL
        update_vec(rule, update, load(gradient + i), w + i, first + i, second + i)
    if rest:
        i = n - rest
        store(rows[0], load_part(w + i, rest))
        if rule != PLAIN:
            store(rows[1], load_part(first + i, rest))
        if rule == MOMENTS:
            store(rows[2], load_part(second + i, rest))
        update_vec(rule, update, load_part(gradient + i, rest), rows[0], rows[1], rows[2])
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


def sgd_update(
    const float[::1] gradient, double learning_rate, double momentum, bint nesterov,
    double weight_decay, float[::1] params, float[::1] velocity,
):
    # IN, scalars, IN and OUT
    cdef Update update = sgd_constants(learning_rate, momentum, nesterov, weight_decay)
    cdef int64_t n = params.shape[0]
    cdef uint32_t mode
    if n:
        with nogil:
            mode = enter_float_mode()
            update_flat(
                &update, &gradient[0], n, &params[0], &velocity[0] if momentum else NULL, NULL
            )
            set_float_mode(mode)


def adam_update(
    const float[::1] gradient, double learning_rate, double beta1, double beta2, double eps,
    double weight_decay, bint decoupled, int64_t step, float[::1] params, float[::1] m,
    float[::1] v,
):
    # IN, scalars, IN and OUT
    cdef Update update = adam_constants(
        learning_rate, beta1, beta2, eps, weight_decay, decoupled, step
    )
    cdef int64_t n = params.shape[0]
    cdef uint32_t mode
    if n:
        with nogil:
            mode = enter_float_mode()
            update_flat(&update, &gradient[0], n, &params[0], &m[0], &v[0])
            set_float_mode(mode)
