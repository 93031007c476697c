# Softmax and its loss, VL rows at a time: each lane is a row, so nothing is summed across lanes.

cdef inline void first_largest(
    const float *columns, int64_t width, int64_t classes, vec *largest, vec *best
) noexcept nogil:
    """Give the maximum of the columns, and its first class."""
    cdef int64_t c
    cdef ivec larger
    cdef vec z, top = load(columns), first = splat(0)
    for c in range(1, classes):
        z = load(columns + c * width)
        larger = less(top, z)
        top = select(larger, z, top)
        first = select(larger, splat(c), first)
    largest[0], best[0] = top, first


cdef inline void exponentials(
    float *columns, int64_t width, int64_t classes, vec *largest, vec *best
) noexcept nogil:
    """Set columns[c] to exp(columns[c] - largest); give the maximum and its first class."""
    cdef int64_t c
    first_largest(columns, width, classes, largest, best)
    for c in range(classes):
        store(columns + c * width, exp(load(columns + c * width) - largest[0]))


cdef inline vec sum_columns(const float *columns, int64_t width, int64_t classes) noexcept nogil:
    """Return the sum over the classes."""
    cdef int64_t c
    cdef vec total = splat(0)
    for c in range(classes):
        total = total + load(columns + c * width)
    return total


cdef inline void scale_columns(
    float *columns, int64_t width, int64_t classes, vec factor
) noexcept nogil:
    """Multiply each column by ``factor``."""
    cdef int64_t c
    for c in range(classes):
        store(columns + c * width, load(columns + c * width) * factor)


cdef void loss_block(
    const float *logits, int64_t ld, int64_t rows, int64_t classes, const int32_t *labels,
    const float *fractions, float *columns, int64_t width, double *losses, int32_t *hits,
) noexcept nogil:
    """Compute the losses and hits of at most VL rows, and leave their gradients in ``columns``.

    ``columns`` (classes, width) holds the transposed logits of the rows; ``fractions`` has the
    weight of each row, divided by the sum of all weights. The loss is a log-sum-exp with the true
    maximum subtracted, so it is finite even where the label's probability underflows.
    """
    cdef float own[VL]  # the exponentials of the labels' logits
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
        require(labels[r] >= 0)
        require(labels[r] < classes)
        own[r] = columns[labels[r] * width + r]
        columns[labels[r] * width + r] = 0
    rest = sum_columns(columns, width, classes)
    store(others, rest)
    store(sums, rest + load(own))
    store(top, largest)
    store(first, best)
    store(factors, load_first(fractions, rows) / load(sums))
    scale_columns(columns, width, classes, load(factors))
    for r in range(rows):
        losses[r] = log(<double> sums[r]) - <double> (logits[r * ld + labels[r]] - top[r])
        hits[r] = first[r] == labels[r]
        # probs - 1, without the cancellation that would lose digits as probs nears 1.
        columns[labels[r] * width + r] = -others[r] * factors[r]


def softmax(const float[:, ::1] logits, float[:, ::1] probs):
    """Compute the softmax of each row of logits; both (B, C)."""
    cdef int64_t n = logits.shape[1], r, rows
    cdef float *columns = <float *> allocate(n * VL * sizeof(float))
    cdef vec largest, best
    cdef uint32_t mode
    with nogil:
        mode = flush_denormals()
        for r in range(divide_up(logits.shape[0], VL) if n else 0):
            rows = min(logits.shape[0] - r * VL, <int64_t> VL)
            pack_transposed(&logits[r * VL, 0], n, n, rows, VL, columns)
            exponentials(columns, VL, n, &largest, &best)
            scale_columns(columns, VL, n, splat(1) / sum_columns(columns, VL, n))
            unpack_transposed(columns, n, rows, &probs[r * VL, 0], n)
        set_float_mode(mode)
    release(columns)


cdef enum:
    FEW_CLASSES = 64  # so many rows' columns stay in half of the L1 cache


cdef double loss_of_row(
    const float *logits, int64_t n, int32_t label, float fraction, float *out
) noexcept nogil:
    """Return the loss of a row of at least VL classes, and write its gradient to ``out``.

    The last vector overlaps the one before it, and is kept in a register.
    """
    cdef int64_t i, v, start = n - VL, whole = (n - 1) // VL
    cdef vec numbers = lane_numbers(), last = load(logits + start), best = last, others, shift, e
    cdef float top, own, rest, picked = logits[label]
    require(label >= 0)
    require(label < n)
    for v in range(whole):
        best = maximum(load(logits + v * VL), best)
    top = largest(best)
    shift = splat(top)
    last = exp(last - shift)
    others = select(less(numbers, splat(whole * VL - start)), splat(0), last)
    others = select(equal(numbers, splat(label - start)), splat(0), others)
    for v in range(whole):
        i = v * VL
        e = exp(load(logits + i) - shift)
        store(out + i, e)
        others = others + select(equal(numbers, splat(label - i)), splat(0), e)
    store(out + start, last)
    own, rest = out[label], total(others)
    for v in range(whole):
        store(out + v * VL, load(out + v * VL) * splat(fraction / (rest + own)))
    store(out + start, last * splat(fraction / (rest + own)))
    # probs - 1, without the cancellation that would lose digits as probs nears 1.
    out[label] = -rest * (fraction / (rest + own))
    return log(<double> (rest + own)) - <double> (picked - top)


cdef void loss_of_rows(
    const float *logits, int64_t rows, int64_t n, const int32_t *labels, const float *fractions,
    float *columns, double *losses, float *dlogits,
) noexcept nogil:
    """Compute the losses of at most VL rows, and write their gradients."""
    cdef int32_t hits[VL]
    cdef int64_t r
    if n <= FEW_CLASSES:
        pack_transposed(logits, n, n, rows, VL, columns)
        loss_block(logits, n, rows, n, labels, fractions, columns, VL, losses, hits)
        unpack_transposed(columns, n, rows, dlogits, n)
        return
    for r in range(rows):
        losses[r] = loss_of_row(logits + r * n, n, labels[r], fractions[r], dlogits + r * n)


def softmax_cross_entropy(
    const float[:, ::1] logits, const int32_t[::1] labels, const float[::1] sample_weight,
    float[:, ::1] dlogits,
):
    """Return the mean loss; write its gradient: logits and dlogits (B, C), labels (B,).

    sample_weight (B,), or of length 0 for weights of 1.
    """
    cdef int64_t n = logits.shape[1], r, i, rows
    cdef bint weighted = sample_weight.shape[0] != 0
    cdef double total = 0, loss = 0, inverse
    cdef double losses[VL]
    cdef float fractions[VL]
    cdef float *columns = <float *> allocate(n * VL * sizeof(float))
    cdef uint32_t mode
    with nogil:
        mode = flush_denormals()
        for r in range(labels.shape[0]):
            total += sample_weight[r] if weighted else 1
        inverse = 1 / total if total else 0
        for r in range(0 if n == 0 else divide_up(labels.shape[0], VL)):
            rows = min(labels.shape[0] - r * VL, <int64_t> VL)
            for i in range(rows):
                fractions[i] = <float> (inverse * (sample_weight[r * VL + i] if weighted else 1))
            loss_of_rows(
                &logits[r * VL, 0], rows, n, &labels[r * VL], fractions, columns, losses,
                &dlogits[r * VL, 0],
            )
            for i in range(rows):
                loss += losses[i] * (sample_weight[r * VL + i] if weighted else 1)
        set_float_mode(mode)
    release(columns)
    return loss / total if total else 0.0


# ---------------------------------------------------------------------------------------------
# In a program: the rows of a batch
# ---------------------------------------------------------------------------------------------

cdef inline double weight_of(const Run *run, const Batch *batch, int64_t row) noexcept nogil:
    """Return the weight of a row's sample."""
    if run.sample_weight == NULL:
        return 1
    return run.sample_weight[row_id(batch.samples, row)]


cdef double weight_sum(const Run *run, const Batch *batch) noexcept nogil:
    """Return the sum of the weights in the batch."""
    cdef double total = 0
    cdef int64_t row
    if run.sample_weight == NULL:
        return <double> batch.rows
    for row in range(batch.rows):
        total += weight_of(run, batch, row)
    return total


cdef void loss_rows(Run *run, const Batch *batch, int64_t row, int64_t last) noexcept nogil:
    """Compute the losses of rows ``row`` to ``last``, and dz of the last layer in both layouts."""
    cdef Layer *layer = &batch.layers[run.n_layers - 1]
    cdef double total = weight_sum(run, batch)
    cdef double inverse = 1 / total if total else 0
    cdef int32_t labels[VL]
    cdef float fractions[VL]
    cdef int64_t rows, r
    cdef float *dzt
    cdef bint soft = run.soft_targets != NULL or run.options.label_smoothing != 0
    while row < last:
        rows = min(last - row, <int64_t> VL)
        for r in range(rows):
            if not soft:
                labels[r] = run.targets[row_id(batch.samples, row + r)]
            fractions[r] = <float> (weight_of(run, batch, row + r) * inverse)
        dzt = dzt_of(layer, 0, row)
        transpose_logits(layer, row, rows, dzt)
        if soft:
            soft_block(run, batch, row, rows, fractions, dzt)
        else:
            loss_block(
                layer.a + row * layer.lda, layer.lda, rows, layer.fan_out, labels, fractions, dzt,
                layer.batch_width, batch.losses + row, batch.hits + row,
            )
        transpose_gradient(layer, row, rows, dzt)
        row += VL


cdef inline vec given_targets(
    const Run *run, const Batch *batch, int64_t row, int64_t rows, int64_t unit
) noexcept nogil:
    """Return the targets of a class, a unit of the last layer, for VL rows; 0 after the last."""
    cdef float lanes[VL]
    cdef int64_t r, sample, classes = batch.layers[run.n_layers - 1].fan_out
    store(lanes, splat(0))
    for r in range(rows):
        sample = row_id(batch.samples, row + r)
        if run.soft_targets != NULL:
            lanes[r] = run.soft_targets[sample * classes + unit]
        else:
            lanes[r] = run.targets[sample] == unit
    return load(lanes)


cdef void soft_block(
    const Run *run, const Batch *batch, int64_t row, int64_t rows, const float *fractions,
    float *columns,
) noexcept nogil:
    """Do what loss_block does for soft targets, and for labels that are smoothed.

    All terms of the loss, ``sum(t) log(sum(exp(z - max))) + sum(t (max - z))``, are positive.
    """
    cdef const Layer *layer = &batch.layers[run.n_layers - 1]
    cdef int64_t r, c, width = layer.batch_width, classes = layer.fan_out
    cdef double smoothing = run.options.label_smoothing
    cdef vec kept = splat(1 - smoothing), spread = splat(smoothing / classes)
    cdef vec given, target, largest, best, most = splat(-1), label = splat(0)
    cdef vec whole = splat(0), gaps = splat(0), in_all, factor, share_of_loss
    cdef ivec larger
    cdef float lanes[4][VL]
    first_largest(columns, width, classes, &largest, &best)
    for c in range(classes):
        given = given_targets(run, batch, row, rows, c)
        larger = less(most, given)
        most, label = select(larger, given, most), select(larger, splat(c), label)
        target = fma(given, kept, spread)
        whole, gaps = whole + target, fma(target, largest - load(columns + c * width), gaps)
    exponentials(columns, width, classes, &largest, &best)
    in_all, share_of_loss = sum_columns(columns, width, classes), load_first(fractions, rows)
    factor = whole / in_all
    for c in range(classes):
        target = fma(given_targets(run, batch, row, rows, c), kept, spread)
        given = (load(columns + c * width) * factor - target) * share_of_loss
        store(columns + c * width, given)
    store(lanes[0], whole)
    store(lanes[1], in_all)
    store(lanes[2], gaps)
    store(lanes[3], best - label)
    for r in range(rows):
        batch.losses[row + r] = lanes[0][r] * log(<double> lanes[1][r]) + lanes[2][r]
        batch.hits[row + r] = lanes[3][r] == 0


cdef inline void transpose_logits(
    const Layer *layer, int64_t row, int64_t rows, float *dzt
) noexcept nogil:
    """Transpose VL rows of logits to ``dzt`` (classes, batch_width), where lanes are rows."""
    cdef vec block[VL]
    cdef int64_t at, unit, i
    for at in range(divide_up(layer.fan_out, VL)):
        unit = at * VL
        for i in range(VL):
            block[i] = load(layer.a + (row + i) * layer.lda + unit) if i < rows else splat(0)
        transpose(block)
        for i in range(min(layer.fan_out - unit, <int64_t> VL)):
            store(dzt + (unit + i) * layer.batch_width, block[i])


cdef inline void transpose_gradient(
    const Layer *layer, int64_t row, int64_t rows, const float *dzt
) noexcept nogil:
    """Transpose VL rows of dz from ``dzt`` (classes, batch_width)."""
    cdef vec block[VL]
    cdef int64_t at, unit, i
    for at in range(divide_up(layer.fan_out, VL)):
        unit = at * VL
        for i in range(VL):
            if unit + i < layer.fan_out:
                block[i] = load(dzt + (unit + i) * layer.batch_width)
            else:
                block[i] = splat(0)
        transpose(block)
        for i in range(rows):
            store(dz_of(layer, unit, row + i), block[i])


cdef inline double clipped(double value, double low, double high) noexcept nogil:
    """Return the value clipped to [low, high]; NaN stays NaN."""
    return high if value > high else low if value < low else value


cdef bint count_losses(Run *run, const Team *team, const Batch *batch) noexcept nogil:
    """Return whether to go on, alike in every thread: not after a loss that is not finite."""
    cdef double loss = 0, hits = 0, clip = run.options.probs_clip
    cdef double low = -log1p(-clip), high = -log(clip)  # 0 and infinity if nothing is clipped
    cdef int64_t row
    for row in range(batch.rows):
        loss += weight_of(run, batch, row) * clipped(batch.losses[row], low, high)
    if not isfinite(loss) and not run.gradient_only:
        return False
    if team.thread == 0:  # adds up the metrics for all
        for row in range(batch.rows):
            if batch.hits[row]:
                hits += weight_of(run, batch, row)
        run.metrics[LOSS_SUM] += loss
        run.metrics[WEIGHT_SUM] += weight_sum(run, batch)
        run.metrics[HIT_SUM] += hits
    return True
