# The private layout of the programs, and a layer's part in them: what every member of a team
# does between two barriers.

cdef enum:
    # The columns of the layer table, as in ``layout``.
    FAN_IN = 1
    FAN_OUT = 2
    ACTIVATION = 3
    WEIGHT_OFFSET = 4
    BIAS_OFFSET = 5
    DECAY = 6
    DROPOUT = 7

cdef struct Layer:
    int64_t fan_in
    int64_t fan_out
    int64_t activation
    int64_t weight_offset
    int64_t bias_offset
    int64_t decay
    int64_t dropout
    int64_t width  # of the panels that fan_out is cut into
    int64_t panels
    float *weights[3]  # panels (panels, fan_in, width): parameters, then the rows of state
    float *bias[3]  # (panels * width,) each
    float *a  # (batch, lda) outputs after activation and dropout
    int64_t lda
    float *dz  # panels (panels, batch, width): B of the weight gradient
    float *dzt  # panels (batch panels, fan_out, batch_width): B of the input gradient

cdef struct Inputs:
    # What a layer multiplies: column c of ``a`` belongs to the input unit ``units[c]``.
    const float *a
    int64_t ld
    int64_t n
    const int64_t *units

cdef struct Member:
    # One thread of a team.
    int64_t index
    int64_t count
    int64_t *arrivals  # at the barrier, by the whole team since the start
    int64_t expected

cdef struct Share:
    # A member's share of all (panel, row) pairs, handed out in tiles of at most MR rows.
    int64_t rows  # in each panel
    int64_t unit  # the first pair of the run of rows in hand
    int64_t stop
    int64_t first
    int64_t n
    int64_t tile
    int64_t tiles
    int64_t panel  # the tile in hand: rows low to high of the panel
    int64_t low
    int64_t high


cdef inline void meet(Member *member) noexcept nogil:
    """Wait until every member of the team has come here."""
    cdef int spins = 0
    if member.count == 1:
        return
    member.expected += member.count
    __atomic_add_fetch(member.arrivals, 1, __ATOMIC_ACQ_REL)
    while __atomic_load_n(member.arrivals, __ATOMIC_ACQUIRE) < member.expected:
        pause_cpu()
        spins += 1
        if spins > 2000:  # the machine has fewer free cores than the team has members
            sched_yield()


cdef inline Share share_of(const Member *member, int64_t panels, int64_t rows) noexcept nogil:
    """Equal shares in panel-major order; as many panels as members: each owns its columns."""
    cdef Share share
    memset(&share, 0, sizeof(Share))
    share.rows = rows
    share.unit = member.index * panels * rows // member.count
    share.stop = (member.index + 1) * panels * rows // member.count
    return share


cdef inline bint next_tile(Share *share) noexcept nogil:
    if share.tile == share.tiles:
        share.unit += share.n
        if share.unit >= share.stop:
            return False
        share.panel = share.unit // share.rows
        share.first = share.unit % share.rows
        share.n = min(share.rows - share.first, share.stop - share.unit)
        share.tile = 0
        share.tiles = divide_up(share.n, MR)
    share.low = share.first + share.tile * share.n // share.tiles
    share.tile += 1
    share.high = share.first + share.tile * share.n // share.tiles
    return True


# ---------------------------------------------------------------------------------------------
# Layout
# ---------------------------------------------------------------------------------------------

cdef inline int64_t leading_dimension(int64_t n) noexcept nogil:
    """Room for n floats in an odd number of vectors: rows do not fall into one cache set."""
    return (divide_up(n, VL) | 1) * VL


cdef inline int64_t take(int64_t *used, int64_t n) noexcept nogil:
    """Reserve n floats, on a cache line of their own; where they begin."""
    cdef int64_t start = used[0]
    used[0] = start + divide_up(n, 16) * 16
    return start


cdef void read_table(const int64_t[:, ::1] table, Layer *layers) noexcept:
    cdef Layer *layer
    cdef int64_t l
    for l in range(table.shape[0]):
        layer = &layers[l]
        layer.fan_in, layer.fan_out = table[l, FAN_IN], table[l, FAN_OUT]
        layer.activation, layer.decay = table[l, ACTIVATION], table[l, DECAY]
        layer.weight_offset, layer.bias_offset = table[l, WEIGHT_OFFSET], table[l, BIAS_OFFSET]
        layer.dropout = table[l, DROPOUT]
        layer.width = panel_width(layer.fan_out)
        layer.panels = divide_up(layer.fan_out, layer.width)
        layer.lda = leading_dimension(layer.panels * layer.width)


cdef void place_weights(Layer *layer, int64_t rows, float *base, int64_t *used) noexcept nogil:
    """Reserve ``rows`` copies of the layer's weights and bias, packed."""
    cdef int64_t row
    for row in range(rows):
        layer.weights[row] = base + take(used, layer.panels * layer.fan_in * layer.width)
        layer.bias[row] = base + take(used, layer.panels * layer.width)


cdef void pack_layer(
    const Member *member, const Layer *layer, int64_t row, const float *flat
) noexcept nogil:
    """Copy this member's panels of a flat vector (parameters or a row of state) to panels."""
    cdef int64_t p, column, size = layer.fan_in * layer.width
    for p in range(
        member.index * layer.panels // member.count,
        (member.index + 1) * layer.panels // member.count,
    ):
        column = p * layer.width
        pack_panel(
            flat + layer.weight_offset + column, layer.fan_out, layer.fan_in,
            layer.fan_out - column, layer.width, layer.weights[row] + p * size,
        )
        pack_panel(
            flat + layer.bias_offset + column, 0, 1, layer.fan_out - column, layer.width,
            layer.bias[row] + column,
        )


cdef void unpack_layer(
    const Member *member, const Layer *layer, int64_t row, float *flat
) noexcept nogil:
    """The inverse of pack_layer."""
    cdef int64_t p, k, column, columns
    for p in range(
        member.index * layer.panels // member.count,
        (member.index + 1) * layer.panels // member.count,
    ):
        column = p * layer.width
        columns = min(layer.fan_out - column, layer.width)
        for k in range(layer.fan_in):
            memcpy(
                flat + layer.weight_offset + k * layer.fan_out + column,
                layer.weights[row] + (p * layer.fan_in + k) * layer.width,
                columns * sizeof(float),
            )
        memcpy(
            flat + layer.bias_offset + column, layer.bias[row] + column, columns * sizeof(float)
        )


# ---------------------------------------------------------------------------------------------
# The input layer: which columns are not zero everywhere, and their values as floats
# ---------------------------------------------------------------------------------------------

cdef struct Source:
    # The rows that a program reads: one of bytes and floats is NULL.
    const uint8_t *bytes
    const float *floats
    int64_t columns
    float scale
    float shift
    bint skip_zeros  # leave out the columns that are zero in every row of a batch

cdef struct Columns:
    # A batch's columns, ascending: those that the products read, and those left out.
    int64_t n_active
    int64_t n_idle
    int64_t *active
    int64_t *idle


cdef inline int64_t row_id(const int64_t *samples, int64_t row) noexcept nogil:
    """The row of the source; ``samples`` NULL means the rows in order."""
    return row if samples == NULL else samples[row]


cdef void mark_columns(
    const Source *source, const int64_t *samples, int64_t first, int64_t last, uint8_t *mask
) noexcept nogil:
    """mask[c] becomes nonzero where column c is nonzero in one of the rows first to last."""
    cdef int64_t row, c
    cdef const uint8_t *pixels
    cdef const float *values
    memset(mask, 0, source.columns)
    for row in range(first, last):
        if source.bytes != NULL:
            pixels = source.bytes + row_id(samples, row) * source.columns
            for c in range(source.columns):
                mask[c] |= pixels[c]
        else:
            values = source.floats + row_id(samples, row) * source.columns
            for c in range(source.columns):
                mask[c] |= values[c] != 0


cdef void list_columns(
    const Source *source, const uint8_t *masks, int64_t n_masks, Columns *columns
) noexcept nogil:
    """Sort the columns by whether one of the masks is nonzero."""
    cdef int64_t c, m, n_active = 0, n_idle = 0
    cdef uint8_t mark
    for c in range(source.columns):
        mark = not source.skip_zeros
        for m in range(n_masks):
            mark |= masks[m * source.columns + c]
        # Both are written and one counts: no branch to mispredict.
        columns.active[n_active] = c
        columns.idle[n_idle] = c
        n_active += mark != 0
        n_idle += mark == 0
    columns.n_active, columns.n_idle = n_active, n_idle


cdef inline void convert(
    const Source *source, int64_t start, int64_t n, float *out
) noexcept nogil:
    """out = scale * value + shift for n values from element ``start`` of the source.

    Whole vectors where they stay within the row that n belongs to: the caller says so by n.
    """
    cdef int64_t i
    cdef vec x
    for i in range(n // VL):
        if source.bytes != NULL:
            x = from_bytes(source.bytes + start + i * VL)
        else:
            x = load(source.floats + start + i * VL)
        store(out + i * VL, x * splat(source.scale) + splat(source.shift))
    for i in range(n - n % VL, n):
        if source.bytes != NULL:
            out[i] = <float> source.bytes[start + i] * source.scale + source.shift
        else:
            out[i] = source.floats[start + i] * source.scale + source.shift


cdef void gather(
    const Source *source, const int64_t *samples, int64_t first, int64_t last,
    const Columns *columns, float *out, int64_t ld,
) noexcept nogil:
    """Write the active columns of rows first to last to the same rows of ``out``, side by side.

    Runs of neighbours are copied in whole vectors where the row is long enough; the next run
    overwrites what a run wrote too much, so a row needs a vector of slack.
    """
    cdef int64_t position = 0, run, column, n, row
    while position < columns.n_active:
        column = columns.active[position]
        run = 1
        while (position + run < columns.n_active
                and columns.active[position + run] == column + run):
            run += 1
        n = min(divide_up(run, VL) * VL, source.columns - column)
        for row in range(first, last):
            convert(
                source, row_id(samples, row) * source.columns + column, n,
                out + row * ld + position,
            )
        position += run


# ---------------------------------------------------------------------------------------------
# The three products and what follows each
# ---------------------------------------------------------------------------------------------

cdef struct Masks:
    # The dropout of one layer in one step.
    int64_t seed
    int64_t epoch
    int64_t layer
    const int64_t *samples  # ids by row, or NULL: the row numbers
    uint32_t threshold  # 0: no dropout
    float keep  # 1 - rate
    float factor  # 1 / (1 - rate)


cdef inline void activate_tile(
    const int64_t activation, const Share *share, const float *scratch, int64_t width,
    const float *bias, const Masks *masks, float *out, int64_t ld,
) noexcept nogil:
    """out = activation(scratch + bias) for a tile, dropped where masks say so.

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
        for v in range(width // VL):
            unit = share.panel * width + v * VL
            a = activate(activation, load(scratch + v * VL) + load(bias + unit))
            if masks.threshold:
                a = select(
                    keep_mask(key, unit, masks.threshold),
                    a * splat(masks.factor) + splat(0.0),
                    splat(-0.0),
                )
            store(out + row * ld + unit, a)
        scratch += width


cdef void forward_share(
    const Layer *layer, const Inputs *inputs, Share *share, const Masks *masks, float *out,
    int64_t ld,
) noexcept nogil:
    """The outputs (rows, ld) of a layer for this member's share of (panel, row)."""
    cdef float scratch[14 * NR]
    cdef Product product
    product.a_row, product.a_step = inputs.ld, 1
    product.segment, product.a_segment, product.K = inputs.n, 0, inputs.n
    product.b_rows, product.b_step = inputs.units, layer.width
    while next_tile(share):
        product.a = inputs.a + share.low * inputs.ld
        product.b = layer.weights[0] + share.panel * layer.fan_in * layer.width
        tile(<int> (share.high - share.low), <int> (layer.width // VL), &product, scratch)
        if layer.activation == RELU:
            activate_tile(RELU, share, scratch, layer.width, layer.bias[0], masks, out, ld)
        elif layer.activation == TANH:
            activate_tile(TANH, share, scratch, layer.width, layer.bias[0], masks, out, ld)
        elif layer.activation == LOGISTIC:
            activate_tile(LOGISTIC, share, scratch, layer.width, layer.bias[0], masks, out, ld)
        else:
            activate_tile(IDENTITY, share, scratch, layer.width, layer.bias[0], masks, out, ld)


cdef inline void derive_tile(
    const int64_t activation, const Layer *layer, const Masks *masks, const Share *share,
    int64_t rows, int64_t batch, const float *da, int64_t width, float *dzt, int64_t row,
) noexcept nogil:
    """dz from a tile of da^T, (units, width rows of the batch from ``row`` on), to both layouts."""
    cdef int64_t unit, s
    cdef float d, a
    cdef float *dz
    for unit in range(share.low, share.high):
        dz = layer.dz + (unit // layer.width * batch + row) * layer.width + unit % layer.width
        for s in range(min(width, rows - row)):
            a = layer.a[(row + s) * layer.lda + unit]
            d = da[s]
            if masks.threshold:
                # A dropped unit is the only kind at -0.0; others get back their plain output.
                d = 0 if a == 0 and signbit(a) else d * masks.factor
                a *= masks.keep
            if activation == RELU:
                d = d if a > 0 else 0
            elif activation == TANH:
                d = d * (1 - a * a)
            elif activation == LOGISTIC:
                d = d * (a * (1 - a))
            dz[s * layer.width] = d
            dzt[unit * width + s] = d
        da += width


cdef void input_gradient_share(
    const Layer *layer, const Layer *before, const Masks *masks, Share *share, int64_t rows,
    int64_t batch, int64_t batch_width, const int64_t *identity,
) noexcept nogil:
    """dz of the layer before, for this member's share of its units and all rows.

    The product is da^T = w dz^T, so that both operands lie as they are.
    """
    cdef float scratch[14 * NR]
    cdef Product product
    cdef int64_t q
    cdef float *dzt
    product.a_row, product.a_step = layer.width, 1
    product.segment, product.a_segment = layer.width, layer.fan_in * layer.width
    product.K = layer.fan_out
    product.b_rows, product.b_step = identity, batch_width
    while next_tile(share):
        product.a = layer.weights[0] + share.low * layer.width
        for q in range(divide_up(rows, batch_width)):
            product.b = layer.dzt + q * layer.fan_out * batch_width
            tile(
                <int> (share.high - share.low), <int> (batch_width // VL), &product, scratch
            )
            dzt = before.dzt + q * before.fan_out * batch_width
            if before.activation == RELU:
                derive_tile(RELU, before, masks, share, rows, batch, scratch, batch_width, dzt,
                            q * batch_width)
            elif before.activation == TANH:
                derive_tile(TANH, before, masks, share, rows, batch, scratch, batch_width, dzt,
                            q * batch_width)
            elif before.activation == LOGISTIC:
                derive_tile(LOGISTIC, before, masks, share, rows, batch, scratch, batch_width,
                            dzt, q * batch_width)
            else:
                derive_tile(IDENTITY, before, masks, share, rows, batch, scratch, batch_width,
                            dzt, q * batch_width)


cdef inline void update_rows(
    const int64_t rule, const Update *update, const Layer *layer, const Share *share,
    const int64_t *units, const float *gradient,
) noexcept nogil:
    """Update the rows units[low:high] of a panel; ``gradient`` NULL is a gradient of zeros."""
    cdef int64_t position, v, at
    cdef vec g = splat(0)
    for position in range(share.low, share.high):
        for v in range(layer.width // VL):
            at = (share.panel * layer.fan_in + units[position]) * layer.width + v * VL
            if gradient != NULL:
                g = load(gradient)
                gradient += VL
            update_vec(
                rule, update, g, layer.weights[0] + at, layer.weights[1] + at,
                layer.weights[2] + at,
            )


cdef void update_tile(
    const Update *update, const Layer *layer, const Share *share, const int64_t *units,
    const float *gradient,
) noexcept nogil:
    if update.rule == PLAIN:
        update_rows(PLAIN, update, layer, share, units, gradient)
    elif update.rule == MOMENTUM:
        update_rows(MOMENTUM, update, layer, share, units, gradient)
    elif update.rule == NESTEROV:
        update_rows(NESTEROV, update, layer, share, units, gradient)
    elif update.rule == MOMENTS:
        update_rows(MOMENTS, update, layer, share, units, gradient)
    else:
        update_rows(KEEP, update, layer, share, units, gradient)


cdef void weight_gradient_share(
    const Layer *layer, const Inputs *inputs, const Update *update, Share *share, int64_t rows,
    int64_t batch, const int64_t *identity,
) noexcept nogil:
    """The weight gradient for a share of (panel, column of inputs), and the step it makes."""
    cdef float scratch[14 * NR]
    cdef Product product
    product.a_row, product.a_step = 1, inputs.ld
    product.segment, product.a_segment, product.K = rows, 0, rows
    product.b_rows, product.b_step = identity, layer.width
    while next_tile(share):
        product.a = inputs.a + share.low
        product.b = layer.dz + share.panel * batch * layer.width
        tile(<int> (share.high - share.low), <int> (layer.width // VL), &product, scratch)
        update_tile(update, layer, share, inputs.units, scratch)


cdef void zero_gradient_share(
    const Layer *layer, const Update *update, Share *share, const int64_t *units
) noexcept nogil:
    """The step of the weights whose inputs were all zero: moments decay, the gradient is 0."""
    if update.rule == PLAIN and update.decay == 0:
        return
    while next_tile(share):
        update_tile(update, layer, share, units, NULL)


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
