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
    """Reserve ``rows`` copies of the layer's weights and bias, packed."""
    cdef int64_t row
    for row in range(rows):
        layer.weights[row] = base + take(used, layer.panels * layer.fan_in * layer.width)
        layer.bias[row] = base + take(used, layer.panels * layer.width)


cdef void pack_layer(
    const Member *member, const Layer *layer, int64_t row, const float *flat
) noexcept nogil:
    """Copy this member's panels of a flat vector (parameters or a row of state) to panels.

    Of a layer whose weights are read in place, only the bias.
    """
    cdef int64_t p, column, size = layer.fan_in * layer.width
    for p in range(
        member.index * layer.panels // member.count,
        (member.index + 1) * layer.panels // member.count,
    ):
        column = p * layer.width
        if layer.in_place == NULL:
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
