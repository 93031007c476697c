# The three products of a layer and what follows each: what a member does between two barriers.

cdef struct Inputs:
    # What a layer multiplies: rows of a matrix, and where they are not zero.
    const float *a
    int64_t ld
    const int32_t *identity  # 0, 1, 2 ...: the list of everything
    const Source *source
    const Listed *listed  # or NULL: multiply everything
    const RowLists *lists  # the same by columns

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


cdef inline void forward_tile(
    const Layer *layer, const Inputs *inputs, const Share *share, const Masks *masks,
    const int32_t *terms, int64_t n_terms, float *out, int64_t ld,
) noexcept nogil:
    """The outputs of the tile in hand, summed over ``terms``: columns of the inputs."""
    cdef float scratch[14 * NR]
    cdef Product product
    product.a, product.a_row, product.a_step = inputs.a + share.low * inputs.ld, inputs.ld, 1
    product.K = product.segment = n_terms
    product.a_segment, product.index = 0, terms
    product.b = layer.weights[0] + share.panel * layer.fan_in * layer.width
    product.b_step = product.out_row = layer.width
    product.out = scratch
    tile(share.high - share.low, layer.width, &product)
    activate_tile(layer, share, masks, scratch, layer.width, out, ld)


cdef void forward_share(
    const Layer *layer, const Inputs *inputs, Share *share, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """The outputs (rows, ld) of a layer for this member's share of (panel, row)."""
    cdef int64_t index
    while next_tile(share):
        if inputs.listed == NULL:
            forward_tile(layer, inputs, share, masks, inputs.identity, layer.fan_in, out, ld)
        else:
            index = list_index(inputs.listed, 0, share.low)
            forward_tile(
                layer, inputs, share, masks, column_list(inputs.source, inputs.listed, index),
                inputs.listed.n_columns[index], out, ld,
            )


cdef void forward_rows(
    const Layer *layer, const Inputs *inputs, int64_t first, int64_t last, int64_t rows,
    const Masks *masks,
) noexcept nogil:
    """The outputs of the rows first to last of a batch of ``rows``, in every panel."""
    cdef int64_t panel
    cdef Share share
    for panel in range(layer.panels):
        share = share_between(rows, 1, panel * rows + first, panel * rows + last)
        forward_share(layer, inputs, &share, masks, layer.a, layer.lda)


cdef void partial_sums(
    const Layer *layer, const Inputs *inputs, int64_t part, int64_t rows, float *out
) noexcept nogil:
    """The products of one part of the inputs with their weights, summed, to ``out`` (rows, width).

    A layer of one panel cannot be divided by units. Divided by parts of its inputs, a member
    reads no weights but those that it updates, which stay in its own cache.
    """
    cdef int64_t index
    cdef Product product
    cdef Share share = share_between(rows, BLOCK, 0, divide_up(rows, BLOCK))
    product.a_row, product.a_step, product.a_segment = inputs.ld, 1, 0
    product.b, product.b_step, product.out_row = layer.weights[0], layer.width, layer.width
    while next_tile(&share):
        index = list_index(inputs.listed, part, share.low)
        product.a = inputs.a + share.low * inputs.ld
        product.index = column_list(inputs.source, inputs.listed, index)
        product.K = product.segment = inputs.listed.n_columns[index]
        product.out = out + share.low * layer.width
        tile(share.high - share.low, layer.width, &product)


cdef void add_parts(
    const Layer *layer, const float *partial, int64_t parts, int64_t batch, int64_t first,
    int64_t last, const Masks *masks,
) noexcept nogil:
    """The outputs of the rows first to last from ``partial`` (parts, batch, width)."""
    cdef float scratch[MR * NR]
    cdef int64_t i, part, n
    cdef const float *sums
    cdef vec total
    cdef Share share = share_between(last, 1, first, last)
    while next_tile(&share):
        sums = partial + share.low * layer.width
        n = (share.high - share.low) * layer.width
        for i in range(n // VL):
            total = load(sums + i * VL)
            for part in range(1, parts):
                total = total + load(sums + part * batch * layer.width + i * VL)
            store(scratch + i * VL, total)
        activate_tile(layer, &share, masks, scratch, layer.width, layer.a, layer.lda)


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
    for k in range(layer.fan_in):
        weights = layer.in_place + k * layer.fan_out
        last = load_last(weights + vectors * VL, rest, layer.end)
        for row in range(rows):
            element = splat(inputs.a[row * inputs.ld + k])
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


cdef void derive_tiles(
    const Layer *layer, const Masks *masks, int64_t unit, int64_t units, int64_t row,
    int64_t rows, int64_t batch, const float *da, int64_t width, float *dzt,
) noexcept nogil:
    if layer.activation == RELU:
        derive_blocks(RELU, layer, masks, unit, units, row, rows, batch, da, width, dzt)
    elif layer.activation == TANH:
        derive_blocks(TANH, layer, masks, unit, units, row, rows, batch, da, width, dzt)
    elif layer.activation == LOGISTIC:
        derive_blocks(LOGISTIC, layer, masks, unit, units, row, rows, batch, da, width, dzt)
    else:
        derive_blocks(IDENTITY, layer, masks, unit, units, row, rows, batch, da, width, dzt)


cdef void input_gradient(
    const Layer *layer, const Layer *before, const Masks *masks, int64_t unit, int64_t end,
    int64_t first, int64_t last, int64_t batch, int64_t batch_width, const int32_t *identity,
) noexcept nogil:
    """dz of the layer before, of the units ``unit`` to ``end`` and the rows first to last.

    The product is da^T = w dz^T, so that both operands lie as they are. ``unit`` and ``first``
    are whole vectors.
    """
    cdef float scratch[NR * NR]
    cdef Product product
    cdef int64_t n, row, width, i, low, high
    product.a_row, product.a_step = layer.width, 1
    product.segment, product.a_segment = layer.width, (layer.fan_in - 1) * layer.width
    product.K = layer.fan_out
    product.index, product.b_step = identity, batch_width
    product.out_row = batch_width
    while unit < end:
        n = min(end, (unit // before.width + 1) * before.width) - unit
        row = first
        while row < last:
            width = batch_width
            if row % batch_width or last - row <= VL:
                width = VL
            product.b = panel_start(layer, row, 0, batch_width)
            low = 0
            while low < n:
                high = low + (n - low) // divide_up(n - low, MR)
                product.a = layer.weights[0] + (unit + low) * layer.width
                product.out = scratch + low * batch_width
                tile(high - low, width, &product)
                low = high
            for i in range(n * batch_width, divide_up(n, VL) * VL * batch_width):
                scratch[i] = 0
            derive_tiles(
                before, masks, unit, n, row, min(last - row, width), batch, scratch,
                batch_width, panel_start(before, row, unit, batch_width),
            )
            row += width
        unit += n


cdef inline float *panel_start(
    const Layer *layer, int64_t row, int64_t unit, int64_t width
) noexcept nogil:
    """Where dz^T of a row of the batch and a unit is."""
    return layer.dzt + (row // width * layer.fan_out + unit) * width + row % width


cdef void input_gradient_share(
    const Layer *layer, const Layer *before, const Masks *masks, const Member *member,
    int64_t rows, int64_t batch, int64_t batch_width, const int32_t *identity,
) noexcept nogil:
    """dz of the layer before, for this member's share of its units and all rows.

    Shares are whole vectors of units, taken panel by panel of the layer before.
    """
    cdef int64_t vectors = divide_up(layer.fan_in, VL)
    input_gradient(
        layer, before, masks, member.index * vectors // member.count * VL,
        min(layer.fan_in, (member.index + 1) * vectors // member.count * VL), 0, rows, batch,
        batch_width, identity,
    )


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


cdef inline void weight_gradient_tile(
    const Layer *layer, const Inputs *inputs, const Update *update, int64_t panel, int64_t first,
    int64_t n, const int32_t *terms, int64_t n_terms, int64_t batch,
) noexcept nogil:
    """The gradient of n rows of a panel, summed over ``terms``, and the step it makes."""
    cdef float scratch[14 * NR]
    cdef int64_t at = (panel * layer.fan_in + first) * layer.width
    cdef Product product
    if n_terms == 0:
        # No input, no gradient: nothing to do for descent without memory or decay.
        if update.rule != PLAIN or update.decay != 0:
            update_weights(update, layer, at, n * layer.width, NULL)
        return
    product.a, product.a_row, product.a_step = inputs.a + first, 1, inputs.ld
    product.K = product.segment = n_terms
    product.a_segment, product.index = 0, terms
    product.b = layer.dz + panel * batch * layer.width
    product.b_step = product.out_row = layer.width
    product.out = scratch
    fetch_weights(update, layer, at, n * layer.width)
    tile(n, layer.width, &product)
    update_weights(update, layer, at, n * layer.width, scratch)


cdef void weight_gradient_share(
    const Layer *layer, const Inputs *inputs, const Update *update, const Member *member,
    int64_t rows, int64_t batch,
) noexcept nogil:
    """The weight gradient for a share of (panel, row of weights), and the step it makes."""
    cdef int64_t block
    cdef Share share
    if inputs.listed == NULL:
        share = share_of(member, layer.panels, layer.fan_in, 1)
    else:
        share = share_of(member, layer.panels, layer.fan_in, BLOCK)
    while next_tile(&share):
        if inputs.listed == NULL:
            weight_gradient_tile(
                layer, inputs, update, share.panel, share.low, share.high - share.low,
                inputs.identity, rows, batch,
            )
        else:
            block = share.low // BLOCK
            weight_gradient_tile(
                layer, inputs, update, share.panel, share.low, share.high - share.low,
                inputs.lists.rows + block * inputs.lists.room, inputs.lists.n_rows[block], batch,
            )


cdef void part_gradient(
    const Layer *layer, const Inputs *inputs, const Update *update, const Parts *parts,
    int64_t part, Upcoming *upcoming, int64_t batch,
) noexcept nogil:
    """The weight gradient of one part of the inputs to a layer of one panel, and the step.

    Meanwhile the memory brings ``parts`` of the upcoming rows.
    """
    cdef const Source *source = inputs.source
    cdef int64_t blocks = divide_up(layer.fan_in, BLOCK), word = part, block, low, n
    while word < source.words:
        for block in range(word * 8, min(blocks, word * 8 + 8)):
            fetch_share(source, parts, upcoming)
            low = block * BLOCK
            while low < min(layer.fan_in, (block + 1) * BLOCK):
                n = min(layer.fan_in - low, <int64_t> BLOCK - low % BLOCK)
                n = n // divide_up(n, MR)
                weight_gradient_tile(
                    layer, inputs, update, 0, low, n,
                    inputs.lists.rows + block * inputs.lists.room,
                    inputs.lists.n_rows[block], batch,
                )
                low += n
        word += source.parts


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
