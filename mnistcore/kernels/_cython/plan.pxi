# The private layout of the programs: the layers, and how their parameters get into panels.

cdef enum:
    # The columns of the layer table, as in ``layout``.
    FAN_IN = 1
    FAN_OUT = 2
    ACTIVATION = 3
    WEIGHT_OFFSET = 4
    BIAS_OFFSET = 5
    DECAY = 6
    DROPOUT = 7
    # What plans go by.
    LIGHT = 1 << 14  # weights that every member may read in a step: 64 KiB
    PARTS = 4
    WORD = 64  # columns whose bits fill a word
    MOST_LISTED = 4096  # rows of a batch: beyond, the lists would outgrow the caches
    MOST_MEMBERS = 64  # threads.MAX_THREADS

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
    const float *in_place  # weights (fan_in, fan_out) to read where they lie, or NULL
    const float *end  # of the parameters there
    float *weights[3]  # panels (panels, fan_in, width): parameters, then the rows of state
    float *bias[3]  # (panels * width,) each
    float *a  # (batch, lda) outputs after activation and dropout
    int64_t lda
    float *dz  # panels (panels, batch, width): B of the weight gradient
    float *dzt  # panels (batch panels, fan_out, batch_width): B of the input gradient


cdef struct Plan:
    # How a training step is divided among the members of a team: by shapes alone.
    bint rows_alone  # what follows the first layer is divided by rows of the batch, not by units
    int64_t parts  # of the inputs, owned and summed apart, where the first layer is one panel
    bint shared_inputs  # gathered together, because copies for each member would be too large


cdef Plan plan_of(const Layer *layers, int64_t n_layers, int64_t batch_size) noexcept nogil:
    cdef Plan plan
    cdef int64_t depth, weights = 0
    for depth in range(1, n_layers):
        weights += layers[depth].fan_in * layers[depth].fan_out
    plan.rows_alone = weights <= LIGHT
    plan.shared_inputs = batch_size > MOST_LISTED
    plan.parts = 1
    if (
        plan.rows_alone and layers[0].panels == 1 and layers[0].fan_in >= PARTS * WORD
        and not plan.shared_inputs
    ):
        plan.parts = PARTS
    return plan


cdef inline int64_t leading_dimension(int64_t n) noexcept nogil:
    """Room for n floats in an odd number of vectors: rows do not fall into one cache set."""
    return (divide_up(n, VL) | 1) * VL


cdef inline int64_t take(int64_t *used, int64_t n) noexcept nogil:
    """Reserve n floats, on a cache line of their own; where they begin."""
    cdef int64_t start = used[0]
    used[0] = start + divide_up(n, 16) * 16
    return start


cdef inline float *panel_row(
    const Layer *layer, int64_t unit, int64_t row, int64_t batch
) noexcept nogil:
    """Where dz of a unit and a row of the batch is."""
    return layer.dz + (unit // layer.width * batch + row) * layer.width + unit % layer.width


cdef void read_table(const int64_t[:, ::1] table, Layer *layers) noexcept:
    cdef Layer *layer
    cdef int64_t depth
    for depth in range(table.shape[0]):
        layer = &layers[depth]
        layer.in_place = NULL
        layer.fan_in, layer.fan_out = table[depth, FAN_IN], table[depth, FAN_OUT]
        layer.activation, layer.decay = table[depth, ACTIVATION], table[depth, DECAY]
        layer.weight_offset = table[depth, WEIGHT_OFFSET]
        layer.bias_offset = table[depth, BIAS_OFFSET]
        layer.dropout = table[depth, DROPOUT]
        layer.width = panel_width(layer.fan_out)
        layer.panels = divide_up(layer.fan_out, layer.width)
        layer.lda = leading_dimension(layer.panels * layer.width)


cdef void place_weights(Layer *layer, int64_t rows, float *base, int64_t *used) noexcept nogil:
    """Reserve ``rows`` copies of the layer's weights, packed."""
    cdef int64_t row
    for row in range(rows):
        layer.weights[row] = base + take(used, layer.panels * layer.fan_in * layer.width)


cdef void place_bias(Layer *layer, int64_t rows, float *base, int64_t *used) noexcept nogil:
    """The same of the bias."""
    cdef int64_t row
    for row in range(rows):
        layer.bias[row] = base + take(used, layer.panels * layer.width)


cdef void pack_weights(
    const Member *member, const Layer *layer, int64_t row, const float *flat
) noexcept nogil:
    """Copy a share of the weights in a flat vector (parameters or a row of state) to panels."""
    cdef int64_t column
    cdef Share share = share_of(member, layer.panels, layer.fan_in, 1)
    while next_tile(&share):
        column = share.panel * layer.width
        pack_panel(
            flat + layer.weight_offset + share.low * layer.fan_out + column, layer.fan_out,
            share.high - share.low, layer.fan_out - column, layer.width,
            layer.weights[row] + (share.panel * layer.fan_in + share.low) * layer.width,
        )


cdef void pack_bias(
    const Member *member, const Layer *layer, int64_t row, const float *flat
) noexcept nogil:
    """The same of the bias."""
    cdef int64_t column
    cdef Share share = share_of(member, layer.panels, 1, 1)
    while next_tile(&share):
        column = share.panel * layer.width
        pack_panel(
            flat + layer.bias_offset + column, 0, 1, layer.fan_out - column, layer.width,
            layer.bias[row] + column,
        )


cdef void unpack_weights(
    const Member *member, const Layer *layer, int64_t row, float *flat
) noexcept nogil:
    """The inverse of pack_weights."""
    cdef int64_t k, column, columns
    cdef Share share = share_of(member, layer.panels, layer.fan_in, 1)
    while next_tile(&share):
        column = share.panel * layer.width
        columns = min(layer.fan_out - column, layer.width)
        for k in range(share.low, share.high):
            memcpy(
                flat + layer.weight_offset + k * layer.fan_out + column,
                layer.weights[row] + (share.panel * layer.fan_in + k) * layer.width,
                columns * sizeof(float),
            )


cdef void unpack_bias(
    const Member *member, const Layer *layer, int64_t row, float *flat
) noexcept nogil:
    """The inverse of pack_bias."""
    cdef int64_t column
    cdef Share share = share_of(member, layer.panels, 1, 1)
    while next_tile(&share):
        column = share.panel * layer.width
        memcpy(
            flat + layer.bias_offset + column, layer.bias[row] + column,
            min(layer.fan_out - column, layer.width) * sizeof(float),
        )
