# The outputs of a layer, and dz of the one before: two of its three products, and what follows.

cdef enum:
    WEIGHTS_AT_ONCE = 1 << 13  # floats of a panel that are multiplied together: 32 KiB, an L1 cache

cdef struct Inputs:
    # What a layer multiplies: rows of a matrix, and where they are not zero.
    const float *a
    int64_t ld
    const Marks *marks  # of what is not zero, or NULL: multiply everything

cdef struct Masks:
    # The dropout of one layer in one step.
    int64_t seed
    int64_t epoch
    int64_t layer
    const int64_t *samples  # the id for each row; NULL: the row numbers
    uint32_t threshold  # 0: no dropout
    float keep  # 1 - rate
    float factor  # 1 / (1 - rate)


cdef inline void finish_rows(
    const int64_t activation, const Layer *layer, const Tiles *tiles, const Masks *masks,
    const float *sums, int64_t ld_sums, float *out, int64_t ld,
) noexcept nogil:
    """Compute out = activation(sums + bias) for a tile, and apply the dropout of ``masks``.

    Dropped units are written as -0.0 and kept ones never are, so that the backward pass can
    tell them apart without drawing the mask again.
    """
    cdef int64_t row, v, unit, used = used_width(layer, tiles.panel)
    cdef uint32_t key = 0
    cdef vec a
    for row in range(tiles.low, tiles.high):
        if masks.threshold:
            key = row_key(
                masks.seed, masks.epoch, row_id(masks.samples, row), masks.layer
            )
        for v in range(used // VL):
            unit = tiles.panel * layer.width + v * VL
            a = activate(activation, load(sums + v * VL) + load(layer.bias[0] + unit))
            if masks.threshold:
                a = select(
                    keep_mask(key, unit, masks.threshold),
                    a * splat(masks.factor) + splat(0.0),
                    splat(-0.0),
                )
            store(out + row * ld + unit, a)
        sums += ld_sums


cdef void finish_tile(
    const Layer *layer, const Tiles *tiles, const Masks *masks, const float *sums,
    int64_t ld_sums, float *out, int64_t ld,
) noexcept nogil:
    """Call finish_rows, specialised for the layer's activation."""
    if layer.activation == RELU:
        finish_rows(RELU, layer, tiles, masks, sums, ld_sums, out, ld)
    elif layer.activation == TANH:
        finish_rows(TANH, layer, tiles, masks, sums, ld_sums, out, ld)
    elif layer.activation == LOGISTIC:
        finish_rows(LOGISTIC, layer, tiles, masks, sums, ld_sums, out, ld)
    else:
        finish_rows(IDENTITY, layer, tiles, masks, sums, ld_sums, out, ld)


cdef inline void forward_tile(
    const Layer *layer, const Inputs *inputs, const Tiles *tiles, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """Compute the outputs of the current tile, or only the products if they are normalised."""
    cdef float scratch[TILE + GUARD_WORDS]
    cdef Product product
    product.a, product.a_row, product.a_step = inputs.a + tiles.low * inputs.ld, inputs.ld, 1
    product.K = product.segment = layer.fan_in
    product.a_segment = 0
    product.b = layer.weights[0] + tiles.panel * layer.fan_in * layer.width
    product.b_step = product.out_row = layer.width
    if layer.normalized:
        product.out = z_of(layer, tiles.panel, tiles.low)
        multiply_panel(tiles.high - tiles.low, used_width(layer, tiles.panel), &product)
        return
    product.out = scratch
    set_guard(scratch + TILE)
    multiply_panel(tiles.high - tiles.low, used_width(layer, tiles.panel), &product)
    remove_guard(scratch + TILE)
    finish_tile(layer, tiles, masks, scratch, layer.width, out, ld)


cdef inline void mark_inputs(
    const Layer *layer, int64_t first, int64_t last, const Marks *marks, Inputs *inputs
) noexcept nogil:
    """Mark what is not zero in rows first to last of a layer's inputs, if it may be little."""
    if layer.skips and mark_rows(inputs.a, inputs.ld, layer.fan_in, first, last, marks):
        inputs.marks = marks


cdef void forward_sparse(
    const Layer *layer, const Inputs *inputs, Tiles *tiles, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """Compute the outputs (rows, ld) of a layer whose inputs are mostly zero."""
    cdef int64_t word, words = divide_up(layer.fan_in, WORD)
    cdef int64_t most = WEIGHTS_AT_ONCE // (WORD * layer.width)
    cdef SparseProduct product
    product.marks_row, product.a_row, product.a_step = words, inputs.ld, 1
    product.out_row = ld if layer.z == NULL else layer.width
    while next_range(tiles):
        if layer.z != NULL:
            product.out = z_of(layer, tiles.panel, tiles.low)
        else:
            product.out = out + tiles.low * ld + tiles.panel * layer.width
        word = 0
        while word < words:
            product.marks = inputs.marks.rows + tiles.low * words + word
            product.words = min(most, words - word)
            product.a = inputs.a + tiles.low * inputs.ld + word * WORD
            product.b = (
                layer.weights[0] + (tiles.panel * layer.fan_in + word * WORD) * layer.width
            )
            product.add = word > 0
            multiply_sparse(tiles.high - tiles.low, layer.width, &product)
            word += most
        if not layer.normalized:
            finish_tile(layer, tiles, masks, product.out, product.out_row, out, ld)


cdef void forward_layer(
    const Layer *layer, const Inputs *inputs, Tiles *tiles, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """Compute the outputs (rows, ld) of a layer for this thread's share of (panel, row).

    Of a normalised layer it computes the products alone.
    """
    if inputs.marks != NULL:
        forward_sparse(layer, inputs, tiles, masks, out, ld)
        return
    while next_tile(tiles):
        forward_tile(layer, inputs, tiles, masks, out, ld)


cdef void forward_rows(
    const Layer *layer, const Inputs *inputs, int64_t first, int64_t last, int64_t rows,
    const Masks *masks,
) noexcept nogil:
    """Compute the outputs of rows first to last of a batch of ``rows``, in every panel."""
    cdef int64_t panel
    cdef Tiles tiles
    for panel in range(layer.panels):
        tiles = tiles_between(rows, 1, panel * rows + first, panel * rows + last)
        forward_layer(layer, inputs, &tiles, masks, layer.a, layer.lda)


cdef void forward_in_place(
    const Layer *layer, const Inputs *inputs, int64_t rows, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """Compute the outputs of a few rows from weights in the public layout, not packed.

    The weights are read once, in order. The sums stay in the cache and are the same FMA chains.
    """
    cdef int64_t k, row, v, vectors = layer.fan_out // VL, rest = layer.fan_out % VL
    cdef const float *weights
    cdef float *sums
    cdef vec element, last
    cdef Tiles tiles
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
    tiles.low, tiles.high = 0, rows
    for tiles.panel in range(layer.panels):
        finish_tile(layer, &tiles, masks, out + tiles.panel * layer.width, ld, out, ld)


cdef inline void derive_block(
    const int64_t activation, const Layer *layer, const Masks *masks, int64_t unit, int64_t units,
    int64_t row, int64_t rows, const float *da, float *dzt,
) noexcept nogil:
    """Compute dz in both layouts from VL units by VL rows of da^T; without dz^T if ``dzt`` is NULL.

    This takes two transpositions in registers: lanes are rows in da^T and dz^T, but units in
    the outputs and dz. The rows of da^T and dz^T are batch_width floats apart.
    """
    cdef vec x[VL]
    cdef vec a
    cdef ivec dropped
    cdef int64_t i
    cdef float *dz = dz_of(layer, unit, row)
    load_block(da, layer.batch_width, x)
    transpose(x)
    for i in range(VL):
        if i >= rows:
            x[i] = splat(0)
            continue
        a = load(layer.a + (row + i) * layer.lda + unit)
        if masks.threshold:
            # Dropped units hold -0.0; the factor is taken out of the other outputs.
            dropped = less_bits(
                as_unsigned(as_bits(a) ^ as_bits(splat(-0.0))), splat_bits(1)
            )
            x[i] = derive(activation, x[i] * splat(masks.factor), a * splat(masks.keep))
            x[i] = select(dropped, splat(0), x[i])
        else:
            x[i] = derive(activation, x[i], a)
        store(dz + i * layer.width, x[i])
    if dzt == NULL:
        return
    transpose(x)
    for i in range(min(units, <int64_t> VL)):
        store(dzt + i * layer.batch_width, x[i])


cdef inline void derive_blocks(
    const int64_t activation, const Layer *layer, const Masks *masks, int64_t unit, int64_t units,
    int64_t row, int64_t rows, const float *da,
) noexcept nogil:
    """Call derive_block on ``units`` units and ``rows`` rows, starting at ``unit`` and ``row``."""
    cdef int64_t u, r, width = layer.batch_width
    cdef float *dzt = NULL
    for u in range(divide_up(units, VL)):
        for r in range(divide_up(rows, VL)):
            if layer.dzt != NULL and not layer.normalized:  # whose dz is not final yet
                dzt = dzt_of(layer, unit, row) + u * VL * width + r * VL
            derive_block(
                activation, layer, masks, unit + u * VL, units - u * VL, row + r * VL,
                rows - r * VL, da + u * VL * width + r * VL, dzt,
            )


cdef void derive_tile(
    const Layer *layer, const Masks *masks, int64_t unit, int64_t units, int64_t row,
    int64_t rows, const float *da,
) noexcept nogil:
    """Compute dz of a tile from da^T: ``units`` units by ``rows`` rows, at most a batch panel."""
    require(rows <= layer.batch_width)
    if layer.activation == RELU:
        derive_blocks(RELU, layer, masks, unit, units, row, rows, da)
    elif layer.activation == TANH:
        derive_blocks(TANH, layer, masks, unit, units, row, rows, da)
    elif layer.activation == LOGISTIC:
        derive_blocks(LOGISTIC, layer, masks, unit, units, row, rows, da)
    else:
        derive_blocks(IDENTITY, layer, masks, unit, units, row, rows, da)


cdef void input_gradient(
    const Layer *layer, const Layer *before, const Masks *masks, int64_t unit, int64_t end,
    int64_t first, int64_t last,
) noexcept nogil:
    """Compute dz of the layer before, for units ``unit`` to ``end`` and rows first to last.

    The product is da^T = w dz^T, which takes both operands as they are stored. ``unit`` and
    ``first`` are multiples of VL.
    """
    cdef float scratch[SPARSE_FLOATS * NR + GUARD_WORDS]
    cdef Product product
    cdef int64_t n, row, width, i, low, high, batch_width = layer.batch_width
    set_guard(scratch + SPARSE_FLOATS * NR)
    product.a_row, product.a_step = layer.width, 1
    product.segment, product.a_segment = layer.width, (layer.fan_in - 1) * layer.width
    product.K = layer.fan_out
    product.b_step = batch_width
    product.out_row = batch_width
    while unit < end:
        # A tile ends at the end of a panel of the layer before, so it writes whole rows of dz.
        n = min(end, (unit // before.width + 1) * before.width) - unit
        row = first
        while row < last:
            width = batch_width
            if row % batch_width or last - row <= VL:
                width = VL
            product.b = dzt_of(layer, 0, row)
            low = 0
            while low < n:
                high = low + (n - low) // divide_up(n - low, MR)
                product.a = layer.weights[0] + (unit + low) * layer.width
                product.out = scratch + low * batch_width
                multiply_tile(high - low, width, &product)
                low = high
            for i in range(n * batch_width, divide_up(n, VL) * VL * batch_width):
                scratch[i] = 0
            derive_tile(before, masks, unit, n, row, min(last - row, width), scratch)
            row += width
        unit += n
    remove_guard(scratch + SPARSE_FLOATS * NR)
