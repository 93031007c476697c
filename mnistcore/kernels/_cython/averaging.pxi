# The moving average of the parameters, which is the last row of the state.

cdef inline double average_share(double decay, int64_t step) noexcept nogil:
    """Return the share of the parameters in their average after a step, counted from 1."""
    return 1 - pow(min(decay, (1.0 + step) / (10.0 + step)), AVERAGE_EVERY)


cdef void move_average(
    const Team *team, const float *w, float *average, int64_t n, float part
) noexcept nogil:
    """Let this thread's share of n packed parameters enter their average, ``part`` each."""
    cdef int64_t v, vectors = divide_up(n, VL)
    cdef vec mean, weight = splat(part)
    for v in range(
        share(vectors, team.thread, team.threads), share(vectors, team.thread + 1, team.threads)
    ):
        mean = load(average + v * VL)
        store(average + v * VL, fma(load(w + v * VL) - mean, weight, mean))


cdef void average_parameters(
    const Run *run, Team *team, const Batch *batch, int64_t step
) noexcept nogil:
    """Let the parameters enter their average, every AVERAGE_EVERY steps.

    They have been updated by other threads: the threads meet before.
    """
    cdef const Layer *layer
    cdef Team owners = owners_of(run, team)
    cdef int64_t depth, units, row = run.slots - 1
    cdef float part = <float> average_share(run.options.ema_decay, step)
    if step % AVERAGE_EVERY:
        return
    meet(team)
    for depth in range(run.n_layers):
        layer = &batch.layers[depth]
        units = layer.panels * layer.width
        if depth or run.plan.parts == 1:
            move_average(
                &owners, layer.weights[0], layer.weights[row], layer.fan_in * units, part
            )
        else:
            move_average(team, layer.weights[0], layer.weights[row], strips_size(layer), part)
        move_average(&owners, layer.bias[0], layer.bias[row], units, part)
        if layer.normalized:
            move_average(&owners, layer.gain[0], layer.gain[row], units, part)
