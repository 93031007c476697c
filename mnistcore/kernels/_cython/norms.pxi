# The norms of weights: those of each unit, which have a limit if the options give one.

cdef void limit_units(
    const Layer *layer, float max_norm, int64_t first, int64_t stop
) noexcept nogil:
    """Shrink the weights of vectors of units, from ``first`` to ``stop``, to the largest norm."""
    cdef vec x, squares, norm, limit = splat(max_norm)
    cdef int64_t vector, row, width = layer.width
    cdef float *w
    for vector in range(first, stop):
        w = layer.weights[0] + vector * VL // width * layer.fan_in * width + vector * VL % width
        squares = splat(0)
        for row in range(layer.fan_in):
            x = load(w + row * width)
            squares = fma(x, x, squares)
        norm = sqrt(squares)
        if total(select(less(limit, norm), splat(1), splat(0))) > 0:
            norm = select(less(limit, norm), limit / norm, splat(1))
            for row in range(layer.fan_in):
                store(w + row * width, load(w + row * width) * norm)


cdef void limit_norms(const Run *run, Team *team) noexcept nogil:
    """Shrink the weights of each unit to the largest norm that the options allow.

    A thread owns whole units here, but not in the update before: the threads meet in between.
    Source: Srivastava et al. 2014, "Dropout", section 5.1.
    """
    cdef int64_t depth, vectors
    cdef float limit = <float> run.options.max_norm
    meet(team)
    for depth in range(run.n_layers):
        vectors = divide_up(run.layers[depth].fan_out, VL)
        limit_units(
            &run.layers[depth], limit, share(vectors, team.thread, team.threads),
            share(vectors, team.thread + 1, team.threads),
        )
