# The three products of a layer and what follows each: what a member does between two barriers.

cdef struct Inputs:
    # What a layer multiplies: rows of a matrix, and the columns that matter.
    const float *a
    int64_t ld
    const Columns *columns

cdef struct Masks:
    # The dropout of one layer in one step.
    int64_t seed
    int64_t epoch
    int64_t layer
    const int64_t *samples  # ids by row, or NULL: the row numbers
    uint32_t threshold  # 0: no dropout
    float keep  # 1 - rate
    float factor  # 1 / (1 - rate)


cdef inline void activate_rows(
    const int64_t activation, const Layer *layer, const Share *share, const Masks *masks,
    const float *sums, int64_t ld_sums, float *out, int64_t ld,
) noexcept nogil:
    """out = activation(sums + bias) for a tile, dropped where masks say so.

    A dropped unit is written as -0.0 and a kept one never is, so that the backward pass can
    tell them apart without drawing the mask again.
    """
    cdef int64_t row, v, unit
    cdef uint32_t key = 0
    cdef vec a
    for row in range(share.low, share.high):
        if masks.threshold:
            key = random_key(
                masks.seed, masks.epoch, row_id(masks.samples, row), masks.layer
            )
        for v in range(layer.width // VL):
            unit = share.panel * layer.width + v * VL
            a = activate(activation, load(sums + v * VL) + load(layer.bias[0] + unit))
            if masks.threshold:
                a = select(
                    keep_mask(key, unit, masks.threshold),
                    a * splat(masks.factor) + splat(0.0),
                    splat(-0.0),
                )
            store(out + row * ld + unit, a)
        sums += ld_sums


cdef void activate_tile(
    const Layer *layer, const Share *share, const Masks *masks, const float *sums,
    int64_t ld_sums, float *out, int64_t ld,
) noexcept nogil:
    if layer.activation == RELU:
        activate_rows(RELU, layer, share, masks, sums, ld_sums, out, ld)
    elif layer.activation == TANH:
        activate_rows(TANH, layer, share, masks, sums, ld_sums, out, ld)
    elif layer.activation == LOGISTIC:
        activate_rows(LOGISTIC, layer, share, masks, sums, ld_sums, out, ld)
    else:
        activate_rows(IDENTITY, layer, share, masks, sums, ld_sums, out, ld)


cdef void forward_share(
    const Layer *layer, const Inputs *inputs, Share *share, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """The outputs (rows, ld) of a layer for this member's share of (panel, row)."""
    cdef float scratch[14 * NR]
    cdef Product product
    product.a_row, product.a_step = inputs.ld, 1
    product.K = product.segment = inputs.columns.n_active
    product.a_segment = 0
    product.index, product.b_step = inputs.columns.active, layer.width
    product.out, product.out_row = scratch, layer.width
    while next_tile(share):
        product.a = inputs.a + share.low * inputs.ld
        product.b = layer.weights[0] + share.panel * layer.fan_in * layer.width
        tile(share.high - share.low, layer.width, &product)
        activate_tile(layer, share, masks, scratch, layer.width, out, ld)


cdef inline vec load_last(const float *p, int64_t n, const float *end) noexcept nogil:
    """n < VL floats at p, and whatever lies behind them but before ``end``."""
    return load(p) if p + VL <= end else load_part(p, n)


cdef void forward_in_place(
    const Layer *layer, const Inputs *inputs, int64_t rows, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """The same for few rows and weights as the user laid them out.

    Weights are read in order, once; the sums, in the cache, are the same chains of FMAs.
    """
    cdef int64_t k, row, v, vectors = layer.fan_out // VL, rest = layer.fan_out % VL
    cdef const float *weights
    cdef float *sums
    cdef vec element, last
    cdef Share share
    for row in range(rows):
        memset(out + row * ld, 0, layer.panels * layer.width * sizeof(float))
    for k in range(inputs.columns.n_active):
        weights = layer.in_place + inputs.columns.active[k] * layer.fan_out
        last = load_last(weights + vectors * VL, rest, layer.end)
        for row in range(rows):
            element = splat(inputs.a[row * inputs.ld + inputs.columns.active[k]])
            sums = out + row * ld
            for v in range(vectors):
                store(sums + v * VL, fma(element, load(weights + v * VL), load(sums + v * VL)))
            if rest:
                sums += vectors * VL
                store(sums, fma(element, last, load(sums)))
    share.low, share.high = 0, rows
    for share.panel in range(layer.panels):
        activate_tile(layer, &share, masks, out + share.panel * layer.width, ld, out, ld)


cdef inline void derive_block(
    const int64_t activation, const Layer *layer, const Masks *masks, int64_t unit, int64_t units,
    int64_t row, int64_t rows, int64_t batch, const float *da, int64_t width, float *dzt,
) noexcept nogil:
    """dz from VL units by VL rows of da^T (leading dimension ``width``), to both layouts.

    Two transpositions in registers: lanes are rows where da comes from and dz^T goes, but units
    where the outputs are and dz goes.
    """
    cdef vec x[VL]
    cdef vec a
    cdef ivec dropped
    cdef int64_t i
    cdef float *dz = panel_row(layer, unit, row, batch)
    for i in range(VL):
        x[i] = load(da + i * width)
    transpose_tile(x)
    for i in range(VL):
        if i >= rows:
            x[i] = splat(0)
            continue
        a = load(layer.a + (row + i) * layer.lda + unit)
        if masks.threshold:
            # A dropped unit is at -0.0; the others get back their plain output.
            dropped = less_bits(
                as_unsigned(bits(a) ^ bits(splat(-0.0))), splat_bits(1)
            )
            x[i] = derive(activation, x[i] * splat(masks.factor), a * splat(masks.keep))
            x[i] = select(dropped, splat(0), x[i])
        else:
            x[i] = derive(activation, x[i], a)
        store(dz + i * layer.width, x[i])
    transpose_tile(x)
    for i in range(min(units, <int64_t> VL)):
        store(dzt + i * width, x[i])


cdef inline void derive_blocks(
    const int64_t activation, const Layer *layer, const Masks *masks, int64_t unit, int64_t units,
    int64_t row, int64_t rows, int64_t batch, const float *da, int64_t width, float *dzt,
) noexcept nogil:
    """derive_block over ``units`` units and ``rows`` rows, from ``unit`` and ``row`` on."""
    cdef int64_t u, r
    for u in range(divide_up(units, VL)):
        for r in range(divide_up(min(rows, width), VL)):
            derive_block(
                activation, layer, masks, unit + u * VL, units - u * VL, row + r * VL,
                rows - r * VL, batch, da + u * VL * width + r * VL, width,
                dzt + u * VL * width + r * VL,
            )


cdef void input_gradient_share(
    const Layer *layer, const Layer *before, const Masks *masks, const Member *member,
    int64_t rows, int64_t batch, int64_t batch_width, const int64_t *identity,
) noexcept nogil:
    """dz of the layer before, for this member's share of its units and all rows.

    The product is da^T = w dz^T, so that both operands lie as they are. Shares are whole
    vectors of units, taken panel by panel of the layer before.
    """
    cdef float scratch[NR * NR]
    cdef Product product
    cdef int64_t vectors = divide_up(layer.fan_in, VL)
    cdef int64_t unit = member.index * vectors // member.count * VL
    cdef int64_t end = min(layer.fan_in, (member.index + 1) * vectors // member.count * VL)
    cdef int64_t n, q, i, tiles, low, high
    cdef float *dzt
    product.a_row, product.a_step = layer.width, 1
    product.segment, product.a_segment = layer.width, (layer.fan_in - 1) * layer.width
    product.K = layer.fan_out
    product.index, product.b_step = identity, batch_width
    product.out_row = batch_width
    while unit < end:
        n = min(end, (unit // before.width + 1) * before.width) - unit
        tiles = divide_up(n, MR)
        for q in range(divide_up(rows, batch_width)):
            product.b = layer.dzt + q * layer.fan_out * batch_width
            for i in range(tiles):
                low, high = i * n // tiles, (i + 1) * n // tiles
                product.a = layer.weights[0] + (unit + low) * layer.width
                product.out = scratch + low * batch_width
                tile(high - low, batch_width, &product)
            for i in range(n * batch_width, divide_up(n, VL) * VL * batch_width):
                scratch[i] = 0
            low, high = q * batch_width, rows - q * batch_width
            dzt = before.dzt + (q * before.fan_out + unit) * batch_width
            if before.activation == RELU:
                derive_blocks(RELU, before, masks, unit, n, low, high, batch, scratch,
                              batch_width, dzt)
            elif before.activation == TANH:
                derive_blocks(TANH, before, masks, unit, n, low, high, batch, scratch,
                              batch_width, dzt)
            elif before.activation == LOGISTIC:
                derive_blocks(LOGISTIC, before, masks, unit, n, low, high, batch, scratch,
                              batch_width, dzt)
            else:
                derive_blocks(IDENTITY, before, masks, unit, n, low, high, batch, scratch,
                              batch_width, dzt)
        unit += n


cdef inline void update_rows(
    const int64_t rule, const Update *update, const Layer *layer, int64_t at, int64_t n,
    const float *gradient,
) noexcept nogil:
    """Update n packed weights from ``at`` on; ``gradient`` NULL is a gradient of zeros."""
    cdef int64_t v
    for v in range(n // VL):
        update_vec(
            rule, update, splat(0) if gradient == NULL else load(gradient + v * VL),
            layer.weights[0] + at + v * VL, layer.weights[1] + at + v * VL,
            layer.weights[2] + at + v * VL,
        )


cdef void update_weights(
    const Update *update, const Layer *layer, int64_t at, int64_t n, const float *gradient
) noexcept nogil:
    if update.rule == PLAIN:
        update_rows(PLAIN, update, layer, at, n, gradient)
    elif update.rule == MOMENTUM:
        update_rows(MOMENTUM, update, layer, at, n, gradient)
    elif update.rule == NESTEROV:
        update_rows(NESTEROV, update, layer, at, n, gradient)
    elif update.rule == MOMENTS:
        update_rows(MOMENTS, update, layer, at, n, gradient)
    else:
        update_rows(KEEP, update, layer, at, n, gradient)


cdef inline void fetch_weights(
    const Update *update, const Layer *layer, int64_t at, int64_t n
) noexcept nogil:
    """Ask for the weights and state that an update will read when its product is done."""
    cdef int64_t line, row
    cdef int64_t rows = 1 if update.rule == PLAIN else 3 if update.rule == MOMENTS else 2
    for row in range(rows):
        for line in range(n // 16):
            __builtin_prefetch(layer.weights[row] + at + line * 16, 1, 3)


cdef void weight_gradient_share(
    const Layer *layer, const Inputs *inputs, const Update *update, const Member *member,
    int64_t rows, int64_t batch, const int64_t *identity,
) noexcept nogil:
    """The weight gradient for a share of (panel, tile of columns), and the step it makes."""
    cdef const Columns *columns = inputs.columns
    cdef float scratch[14 * NR]
    cdef Product product
    cdef int64_t task, n, at, tasks = layer.panels * columns.n_tiles
    product.a_row, product.a_step = 1, inputs.ld
    product.segment, product.a_segment, product.K = rows, 0, rows
    product.index, product.b_step = identity, layer.width
    product.out, product.out_row = scratch, layer.width
    for task in range(
        member.index * tasks // member.count, (member.index + 1) * tasks // member.count
    ):
        n = columns.tile_rows[task % columns.n_tiles]
        at = columns.tile_first[task % columns.n_tiles]
        product.a = inputs.a + at
        product.b = layer.dz + task // columns.n_tiles * batch * layer.width
        at = (task // columns.n_tiles * layer.fan_in + at) * layer.width
        fetch_weights(update, layer, at, n * layer.width)
        tile(n, layer.width, &product)
        update_weights(update, layer, at, n * layer.width, scratch)


cdef void zero_gradient_share(
    const Layer *layer, const Columns *columns, const Update *update, const Member *member
) noexcept nogil:
    """The step of the weights whose inputs were all zero: moments decay, the gradient is 0."""
    cdef int64_t task, tasks = layer.panels * columns.n_idle
    if update.rule == PLAIN and update.decay == 0:
        return
    for task in range(
        member.index * tasks // member.count, (member.index + 1) * tasks // member.count
    ):
        update_weights(
            update, layer,
            (task // columns.n_idle * layer.fan_in + columns.idle[task % columns.n_idle])
            * layer.width,
            layer.width, NULL,
        )


cdef void bias_share(
    const Member *member, const Layer *layer, const Update *update, int64_t rows, int64_t batch
) noexcept nogil:
    """The bias gradients of this member's panels, summed row after row, and the step."""
    cdef Update plain = update[0]
    cdef float gradient[NR]
    cdef int64_t p, v, row, at
    cdef vec total
    plain.decay, plain.shrink = 0, 1
    for p in range(
        member.index * layer.panels // member.count,
        (member.index + 1) * layer.panels // member.count,
    ):
        for v in range(layer.width // VL):
            total = splat(0)
            for row in range(rows):
                total = total + load(layer.dz + (p * batch + row) * layer.width + v * VL)
            store(gradient + v * VL, total)
        at = p * layer.width
        if plain.rule == KEEP:
            memcpy(layer.bias[1] + at, gradient, layer.width * sizeof(float))
        else:
            update_flat(
                &plain, gradient, layer.width, layer.bias[0] + at, layer.bias[1] + at,
                layer.bias[2] + at,
            )
