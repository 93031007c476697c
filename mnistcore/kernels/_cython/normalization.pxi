# Batch normalisation of a layer, forward and back, and its running statistics.
#
# Source: Ioffe and Szegedy 2015, "Batch normalization", algorithm 1. A unit's sums over the batch
# are taken by one thread, row by row, so their bits do not depend on the number of threads.

cdef enum:  # the rows of a layer's statistics, (STATISTICS, panels * width)
    MEAN = 0
    VARIANCE = 1
    INVERSE = 2  # 1 / sqrt(variance + eps)
    BIAS_SUM = 3  # the gradient of the bias
    GAIN_SUM = 4  # the gradient of the gain
    STATISTICS = 5


cdef inline float *statistic(const Layer *layer, int64_t row, int64_t unit) noexcept nogil:
    """Return the address of a row of statistics for a unit."""
    require(unit < layer.panels * layer.width)
    return layer.statistics + row * layer.panels * layer.width + unit


cdef inline void normalize_units(
    const Layer *layer, int64_t unit, int64_t rows, float eps
) noexcept nogil:
    """Normalise a vector of units in place: z becomes (z - mean) / sqrt(variance + eps)."""
    cdef float *z = z_of(layer, unit // layer.width, 0) + unit % layer.width
    cdef vec x, mean, inverse, total = splat(0), squares = splat(0)
    cdef vec share_of_row = splat(<float> (1.0 / rows))
    cdef int64_t row
    for row in range(rows):
        total = total + load(z + row * layer.width)
    mean = total * share_of_row
    for row in range(rows):
        x = load(z + row * layer.width) - mean
        squares = fma(x, x, squares)
    squares = squares * share_of_row
    inverse = splat(1) / sqrt(squares + splat(eps))
    for row in range(rows):
        store(z + row * layer.width, (load(z + row * layer.width) - mean) * inverse)
    store(statistic(layer, MEAN, unit), mean)
    store(statistic(layer, VARIANCE, unit), squares)
    store(statistic(layer, INVERSE, unit), inverse)


cdef void normalize_layer(
    const Layer *layer, const Team *team, int64_t rows, double eps, const Masks *masks
) noexcept nogil:
    """Compute the outputs of this thread's panels of a layer from its products in z.

    They are dropout(activation(gain * normalised z + bias)).
    """
    cdef float scratch[TILE + GUARD_WORDS]
    cdef int64_t panel, row, v, unit, used, width = layer.width
    cdef Tiles tiles
    set_guard(scratch + TILE)
    for panel in range(
        share(layer.panels, team.thread, team.threads),
        share(layer.panels, team.thread + 1, team.threads),
    ):
        used = used_width(layer, panel)
        for v in range(used // VL):
            normalize_units(layer, panel * width + v * VL, rows, <float> eps)
        tiles = tiles_between(rows, 1, panel * rows, (panel + 1) * rows)
        while next_tile(&tiles):
            for row in range(tiles.low, tiles.high):
                for v in range(used // VL):
                    unit = panel * width + v * VL
                    store(
                        scratch + (row - tiles.low) * width + v * VL,
                        load(z_of(layer, panel, row) + v * VL) * load(layer.gain[0] + unit),
                    )
            finish_tile(layer, &tiles, masks, scratch, width, layer.a, layer.lda)
    remove_guard(scratch + TILE)


cdef inline void differentiate_units(
    const Layer *layer, int64_t unit, int64_t rows
) noexcept nogil:
    """Turn the gradient of a vector of units' normalised outputs in dz into that of z, in place."""
    cdef float *dz = dz_of(layer, unit, 0)
    cdef const float *z = z_of(layer, unit // layer.width, 0) + unit % layer.width
    cdef vec dy, bias_sum = splat(0), gain_sum = splat(0)
    cdef vec bias_mean, gain_mean, factor, share_of_row = splat(<float> (1.0 / rows))
    cdef int64_t row
    for row in range(rows):
        dy = load(dz + row * layer.width)
        bias_sum = bias_sum + dy
        gain_sum = fma(dy, load(z + row * layer.width), gain_sum)
    factor = load(layer.gain[0] + unit) * load(statistic(layer, INVERSE, unit))
    bias_mean, gain_mean = bias_sum * share_of_row, gain_sum * share_of_row
    for row in range(rows):
        dy = load(dz + row * layer.width) - fma(
            load(z + row * layer.width), gain_mean, bias_mean
        )
        store(dz + row * layer.width, factor * dy)
    store(statistic(layer, BIAS_SUM, unit), bias_sum)
    store(statistic(layer, GAIN_SUM, unit), gain_sum)


cdef inline void transpose_units(const Layer *layer, int64_t unit, int64_t rows) noexcept nogil:
    """Copy dz of a vector of units to dz^T."""
    cdef vec block[VL]
    cdef float *dzt
    cdef int64_t i, row = 0
    while row < rows:
        for i in range(VL):
            if row + i < rows:
                block[i] = load(dz_of(layer, unit, row + i))
            else:
                block[i] = splat(0)
        transpose(block)
        dzt = dzt_of(layer, unit, row)
        for i in range(min(layer.fan_out - unit, <int64_t> VL)):
            store(dzt + i * layer.batch_width, block[i])
        row += VL


cdef void differentiate_layer(
    const Layer *layer, int64_t unit, int64_t end, int64_t rows
) noexcept nogil:
    """Do the backward pass of normalisation for units ``unit`` to ``end``, on dz and dz^T.

    Their sums are the gradients of bias and gain. ``unit`` is a multiple of VL.
    """
    while unit < end:
        differentiate_units(layer, unit, rows)
        if layer.dzt != NULL:
            transpose_units(layer, unit, rows)
        unit += VL


cdef void update_running(
    const Run *run, const Layer *layer, const Team *team, int64_t rows
) noexcept nogil:
    """Let the statistics of this thread's panels enter the running ones.

    The running variances are unbiased, so a single row, which has none, enters nothing.
    """
    cdef int64_t unit, first, last
    cdef float *running = run.buffers + layer.norm_offset
    cdef float momentum = <float> run.options.norm_momentum, unbiased
    if rows < 2 or run.gradient_only:
        return
    unbiased = <float> (<double> rows / (rows - 1))
    first = share(layer.panels, team.thread, team.threads) * layer.width
    last = min(layer.fan_out, share(layer.panels, team.thread + 1, team.threads) * layer.width)
    for unit in range(first, last):
        running[unit] += momentum * (statistic(layer, MEAN, unit)[0] - running[unit])
    running += run.n_normalized
    for unit in range(first, last):
        running[unit] += momentum * (
            unbiased * statistic(layer, VARIANCE, unit)[0] - running[unit]
        )
