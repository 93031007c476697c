# The packing of parameters and state: between the public row-major layout and the panels.

cdef void pack_weights(
    const Team *team, const Layer *layer, int64_t slot, const float *flat
) noexcept nogil:
    """Copy a share of the weights from a flat vector to panels; slot 0 is the parameters."""
    cdef int64_t stripe, low, n, panel, column
    for stripe in range(divide_up(layer.fan_in, STRIPE)):
        low = stripe * STRIPE
        n = min(layer.fan_in - low, <int64_t> STRIPE)
        for panel in range(
            share(layer.panels, team.thread, team.threads),
            share(layer.panels, team.thread + 1, team.threads),
        ):
            column = panel * layer.width
            pack_rows(
                flat + layer.weight_offset + low * layer.fan_out + column, layer.fan_out, n,
                layer.fan_out - column, layer.width,
                layer.weights[slot] + (panel * layer.fan_in + low) * layer.width,
            )


cdef void pack_bias(
    const Team *team, const Layer *layer, int64_t slot, const float *flat
) noexcept nogil:
    """Copy a share of the bias, and the gain, from a flat vector to panels, as pack_weights."""
    cdef int64_t column
    cdef const float *gain = flat + layer.bias_offset + layer.fan_out
    cdef Tiles tiles = tiles_of(team, layer.panels, 1, 1)
    while next_tile(&tiles):
        column = tiles.panel * layer.width
        pack_rows(
            flat + layer.bias_offset + column, 0, 1, layer.fan_out - column, layer.width,
            layer.bias[slot] + column,
        )
        if layer.normalized:
            pack_rows(
                gain + column, 0, 1, layer.fan_out - column, layer.width,
                layer.gain[slot] + column,
            )


cdef void unpack_weights(
    const Team *team, const Layer *layer, int64_t slot, float *flat
) noexcept nogil:
    """Copy a share of the weights from panels to a flat vector: the inverse of pack_weights."""
    cdef int64_t stripe, low, k, panel, column
    for stripe in range(divide_up(layer.fan_in, STRIPE)):
        low = stripe * STRIPE
        for panel in range(
            share(layer.panels, team.thread, team.threads),
            share(layer.panels, team.thread + 1, team.threads),
        ):
            column = panel * layer.width
            for k in range(low, min(layer.fan_in, low + STRIPE)):
                memcpy(
                    flat + layer.weight_offset + k * layer.fan_out + column,
                    layer.weights[slot] + (panel * layer.fan_in + k) * layer.width,
                    min(layer.width, layer.fan_out - column) * sizeof(float),
                )


cdef void unpack_bias(
    const Team *team, const Layer *layer, int64_t slot, float *flat
) noexcept nogil:
    """Copy a share of the bias, and the gain, to a flat vector: the inverse of pack_bias."""
    cdef int64_t column, size
    cdef float *gain = flat + layer.bias_offset + layer.fan_out
    cdef Tiles tiles = tiles_of(team, layer.panels, 1, 1)
    while next_tile(&tiles):
        column = tiles.panel * layer.width
        size = min(layer.fan_out - column, layer.width) * sizeof(float)
        memcpy(flat + layer.bias_offset + column, layer.bias[slot] + column, size)
        if layer.normalized:
            memcpy(gain + column, layer.gain[slot] + column, size)


cdef inline Parts parts_of(const Run *run, const Team *team) noexcept nogil:
    """Return the parts of the inputs that a thread owns; all threads share a single part."""
    cdef Parts parts
    parts.first, parts.stop = 0, 1
    if run.plan.parts > 1:
        parts.first = share(run.plan.parts, team.thread, team.threads)
        parts.stop = share(run.plan.parts, team.thread + 1, team.threads)
    return parts


cdef Team owners_of(const Run *run, const Team *team) noexcept nogil:
    """Return the team that divides the layers after the first: a team of one if copied."""
    return alone() if run.plan.parts > 1 else team[0]


cdef inline float *flat_of(const Run *run, int64_t slot) noexcept nogil:
    """Return a flat vector: the parameters for slot 0, else a row of state."""
    return run.params if slot == 0 else run.state + (slot - 1) * run.n_params


cdef void pack(Run *run, const Team *team, const Batch *batch) noexcept nogil:
    """Pack the parameters and the state, and clear the padding."""
    cdef Layer *layer
    cdef Team owners = owners_of(run, team)
    cdef Parts parts = parts_of(run, team)
    cdef int64_t depth, slot, part
    for depth in range(run.n_layers):
        layer = &batch.layers[depth]
        for slot in range(1 if run.gradient_only else run.slots):
            if depth == 0 and run.plan.parts > 1:
                for part in range(parts.first, parts.stop):
                    pack_strips(&batch.strips, layer, part, slot, flat_of(run, slot))
            else:
                pack_weights(&owners, layer, slot, flat_of(run, slot))
            pack_bias(&owners, layer, slot, flat_of(run, slot))
        if owners.thread == owners.threads - 1:
            memset(layer.dz, 0, gradient_size(layer) * sizeof(float))
            if layer.dzt != NULL:
                memset(layer.dzt, 0, transposed_size(layer) * sizeof(float))


cdef void unpack(Run *run, const Team *team, const Batch *batch) noexcept nogil:
    """Unpack what changed. If each thread has copies, all are equal and thread 0's are used."""
    cdef Layer *layer
    cdef Team owners = owners_of(run, team)
    cdef Parts parts = parts_of(run, team)
    cdef bint mine = team.thread == 0 or run.plan.parts == 1
    cdef int64_t depth, slot, part
    for depth in range(run.n_layers):
        layer = &batch.layers[depth]
        for slot in range(1 if run.gradient_only else 0, run.slots):
            if depth == 0 and run.plan.parts > 1:
                for part in range(parts.first, parts.stop):
                    unpack_strips(&batch.strips, layer, part, slot, flat_of(run, slot))
            elif mine:
                unpack_weights(&owners, layer, slot, flat_of(run, slot))
            if mine:
                unpack_bias(&owners, layer, slot, flat_of(run, slot))
