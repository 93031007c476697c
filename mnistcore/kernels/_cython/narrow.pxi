# A first layer of few units: lanes are inputs, not units.
#
# A vector holds one unit's weights of neighbouring inputs, which multiply the inputs as they lie in
# the source: nothing is gathered. Inputs are multiplied in strips of eight, and a strip that is
# zero in a row is left out, as 60 % of MNIST's are: see strips.pxi. The inputs are divided into
# parts, each owned by one thread, which reads no weights but those that it updates.

cdef struct Layer  # see plan.pxi

cdef enum:
    STRIP = 8  # inputs that are multiplied or left out together
    PAIR = 2 * STRIP  # inputs whose weights are updated together, in whole vectors
    PART_PAIRS = WORD * STRIP // PAIR  # the most of a part: the bits of a row are one word
    MOST_NARROW = 16  # units of such a layer
    LEAST_INPUTS = 64
    LEAST_PARTS = 2

cdef struct Strips:
    # A thread's view of the batch. The weights of a strip are (fan_out, STRIP).
    int64_t n  # even
    int64_t parts
    int64_t batch_size
    int64_t row_words
    int64_t *starts  # (batch_size,): where the rows begin in the source
    uint64_t *marks  # (parts, batch_size): the bits of the strips that are not zero in a row
    uint64_t *rows  # (n, row_words): the bits of the rows in which a strip is not zero
    float *last  # (batch_size, STRIP): the last strip if columns end in it, scaled, zeros added


cdef inline int64_t narrow_parts(int64_t fan_in, int64_t fan_out) noexcept nogil:
    """Return how many parts the inputs of a narrow layer have; 1 if it is not narrow."""
    if fan_out > MOST_NARROW or fan_in < LEAST_INPUTS:
        return 1
    return LEAST_PARTS * divide_up(divide_up(fan_in, PAIR), LEAST_PARTS * PART_PAIRS)


cdef Strips make_strips(int64_t columns, int64_t parts, int64_t batch_size) except *:
    """Allocate the strips of batches with up to ``batch_size`` rows."""
    cdef Strips strips
    memset(&strips, 0, sizeof(Strips))
    strips.n, strips.parts = 2 * divide_up(columns, PAIR), parts
    strips.batch_size, strips.row_words = batch_size, divide_up(batch_size, WORD)
    strips.starts = <int64_t *> allocate(batch_size * sizeof(int64_t))
    strips.marks = <uint64_t *> allocate(parts * batch_size * sizeof(uint64_t))
    strips.rows = <uint64_t *> allocate(strips.n * strips.row_words * sizeof(uint64_t))
    strips.last = <float *> allocate(batch_size * STRIP * sizeof(float))
    return strips


cdef void release_strips(Strips *strips) noexcept:
    release(strips.starts)
    release(strips.marks)
    release(strips.rows)
    release(strips.last)


cdef inline int64_t first_strip(const Strips *strips, int64_t part) noexcept nogil:
    """Return where a part begins, which is where the one before it ends."""
    return 2 * share(strips.n // 2, part, strips.parts)


cdef Upcoming upcoming_columns(
    const Source *source, const Strips *strips, const Parts *parts, const int64_t *samples,
    int64_t rows, int64_t next_rows,
) noexcept nogil:
    """Return what to prefetch of the next batch while ``rows`` rows are summed and the weights
    updated.
    """
    cdef Upcoming upcoming
    upcoming.samples, upcoming.row, upcoming.due = samples, 0, 0
    upcoming.first = first_strip(strips, parts.first) * STRIP
    upcoming.stop = min(source.columns, first_strip(strips, parts.stop) * STRIP)
    upcoming.column = upcoming.first
    upcoming.lines = next_rows * (
        1 + divide_up(upcoming.stop - upcoming.first, line_columns(source))
    )
    upcoming.pace = upcoming.lines
    upcoming.occasions = (parts.stop - parts.first) * rows + (
        first_strip(strips, parts.stop) - first_strip(strips, parts.first)
    )
    return upcoming


# ---------------------------------------------------------------------------------------------
# What is not zero
# ---------------------------------------------------------------------------------------------

cdef inline uint64_t marks_of(
    const Source *source, int64_t at, int64_t column, int64_t end
) noexcept nogil:
    """Return a bit for each strip of up to 64 values before ``end``, set if it is not all zero."""
    cdef int64_t start = min(column, end - WORD)  # there are as many
    cdef uint64_t marks = 255
    if source.skip_zeros:
        if source.bytes != NULL:
            marks = nonzero_octets(source.bytes + at + start)
        else:
            marks = nonzero_bytes(mark_word(source.floats + at + start, WORD))
    return marks >> (column - start) // STRIP


cdef void mark_strips(
    const Source *source, const int64_t *samples, int64_t rows, int64_t part, Strips *strips
) noexcept nogil:
    """Note where the rows of a batch begin, and which strips of a part are not zero."""
    cdef int64_t whole = source.columns // STRIP * STRIP
    cdef int64_t first = first_strip(strips, part) * STRIP
    cdef int64_t stop = min(whole, first_strip(strips, part + 1) * STRIP)
    cdef int64_t row, at, column
    cdef uint64_t marks, mask = <uint64_t> -1 >> (WORD - (stop - first) // STRIP)
    cdef float *last
    for row in range(rows):
        at = strips.starts[row] = row_start(source, samples, row)
        marks, column = 0, first
        while column < stop:
            marks |= marks_of(source, at, column, whole) << (column - first) // STRIP
            column += WORD
        strips.marks[part * strips.batch_size + row] = marks & mask
        if ragged_strip(source, strips, part) >= 0:
            last = strips.last + row * STRIP
            memset(last, 0, STRIP * sizeof(float))
            scale_values(source, at + whole, source.columns - whole, last)
    mark_strip_rows(source, part, rows, strips)


cdef inline int64_t ragged_strip(
    const Source *source, const Strips *strips, int64_t part
) noexcept nogil:
    """Return the strip of a part that the columns end in, which is read apart; -1 if none."""
    if part == strips.parts - 1 and source.columns % STRIP != 0:
        return source.columns // STRIP
    return -1


cdef void mark_strip_rows(
    const Source *source, int64_t part, int64_t rows, Strips *strips
) noexcept nogil:
    """Transpose the bits of a part: for each strip, the rows in which it is not zero."""
    cdef int64_t first = first_strip(strips, part), stop = first_strip(strips, part + 1)
    cdef int64_t group, strip, n, last = ragged_strip(source, strips, part)
    cdef uint64_t square[WORD]
    for group in range(divide_up(rows, WORD)):
        n = min(rows - group * WORD, <int64_t> WORD)
        memset(square, 0, sizeof(square))
        memcpy(
            square, strips.marks + part * strips.batch_size + group * WORD, n * sizeof(uint64_t)
        )
        transpose_bits(square)
        for strip in range(first, stop):
            strips.rows[strip * strips.row_words + group] = square[strip - first]
        if last >= 0:
            strips.rows[last * strips.row_words + group] = <uint64_t> -1 >> (WORD - n)


# ---------------------------------------------------------------------------------------------
# Forward
# ---------------------------------------------------------------------------------------------

cdef enum:
    # Where the values of a strip are.
    IN_BYTES = 0
    IN_FLOATS = 1
    IN_LAST = 2


cdef inline strip_vec strip_values(
    const int place, const Source *source, const Strips *strips, int64_t row, int64_t column
) noexcept nogil:
    """Return LANES values of a row of the batch, scaled."""
    cdef strip_vec x
    if place == IN_LAST:
        return load_strip(strips.last + row * STRIP + column % STRIP)
    if place == IN_BYTES:
        x = widen_strip(source.bytes + strips.starts[row] + column)
    else:
        x = load_strip(source.floats + strips.starts[row] + column)
    return fma_strip(x, splat_strip(source.scale), splat_strip(source.shift))


cdef inline void add_strip(
    const int place, const int units, const Source *source, const Strips *strips, int64_t row,
    int64_t column, const float *weights, strip_vec *total,
) noexcept nogil:
    """Add the products of one strip and its weights to the lanes of each unit's total."""
    cdef int64_t v, unit
    cdef strip_vec x
    for v in range(STRIP // LANES):
        x = strip_values(place, source, strips, row, column + v * LANES)
        for unit in range(units):
            total[unit] = fma_strip(
                x, load_strip(weights + unit * STRIP + v * LANES), total[unit]
            )


cdef inline void unit_sums(
    const int place, const int units, const Layer *layer, const Source *source,
    const Strips *strips, int64_t part, int64_t rows, float *out, Upcoming *upcoming,
) noexcept nogil:
    """Do the work of part_sums for a layer of ``units`` units, a constant."""
    cdef strip_vec total[MOST_NARROW]
    cdef uint64_t marks
    cdef int64_t row, at, unit, first = first_strip(strips, part) * STRIP
    cdef int64_t whole = source.columns // STRIP * STRIP
    cdef const float *weights = layer.weights[0]
    cdef bint ragged = ragged_strip(source, strips, part) >= 0
    for row in range(rows):
        for unit in range(units):
            total[unit] = splat_strip(0)
        marks = strips.marks[part * strips.batch_size + row]
        fetch_lines(source, upcoming)
        while marks:
            at = first + lowest_bit(marks) * STRIP
            marks &= marks - 1
            add_strip(place, units, source, strips, row, at, weights + at * units, total)
        if ragged:
            add_strip(
                IN_LAST, units, source, strips, row, whole, weights + whole * units, total
            )
        at = row * layer.width
        store_strip(out + at, sum_lanes(min(units, <int> LANES), total))
        if divide_up(units, VL) * VL > LANES:
            store_strip(out + at + LANES, sum_lanes(units - LANES, total + LANES))


cdef void add_parts(
    const Layer *layer, const float *partial, int64_t parts, int64_t first, int64_t last,
    const Masks *masks,
) noexcept nogil:
    """Compute the outputs of rows first to last from ``partial`` (parts, batch_size, width)."""
    cdef float scratch[TILE + GUARD_WORDS]
    cdef int64_t i, part, n
    cdef const float *sums
    cdef vec total
    cdef Tiles tiles = tiles_between(last, 1, first, last)
    while next_tile(&tiles):
        sums = partial + tiles.low * layer.width
        n = (tiles.high - tiles.low) * layer.width
        for i in range(n // VL):
            total = load(sums + i * VL)
            for part in range(1, parts):
                total = total + load(sums + part * layer.batch_size * layer.width + i * VL)
            store(scratch + i * VL, total)
        finish_tile(layer, &tiles, masks, scratch, layer.width, layer.a, layer.lda)


# ---------------------------------------------------------------------------------------------
# Backward
# ---------------------------------------------------------------------------------------------

cdef inline void strip_gradient(
    const int place, const int units, const Layer *layer, const Source *source,
    const Strips *strips, int64_t strip, int64_t rows, float *gradient,
) noexcept nogil:
    """Compute the gradient (units, STRIP) of the weights of a strip."""
    cdef strip_vec total[MOST_NARROW]
    cdef strip_vec x
    cdef uint64_t bits
    cdef int64_t v, group, row, unit
    cdef const float *dz
    for v in range(STRIP // LANES):
        for unit in range(units):
            total[unit] = splat_strip(0)
        for group in range(divide_up(rows, WORD)):
            bits = strips.rows[strip * strips.row_words + group]
            while bits:
                row = group * WORD + lowest_bit(bits)
                bits &= bits - 1
                x = strip_values(place, source, strips, row, strip * STRIP + v * LANES)
                dz = layer.dz + row * layer.width
                for unit in range(units):
                    total[unit] = fma_strip(x, splat_strip(dz[unit]), total[unit])
        for unit in range(units):
            store_strip(gradient + unit * STRIP + v * LANES, total[unit])


cdef inline bint is_zero(const Strips *strips, int64_t strip, int64_t rows) noexcept nogil:
    """Return whether a strip is left out in all rows of the batch."""
    cdef int64_t group
    for group in range(divide_up(rows, WORD)):
        if strips.rows[strip * strips.row_words + group]:
            return False
    return True


cdef inline void unit_gradients(
    const int place, const int units, const Layer *layer, const Source *source,
    const Strips *strips, int64_t part, int64_t rows, const Update *update, Upcoming *upcoming,
) noexcept nogil:
    """Do the work of update_part for a layer of ``units`` units, a constant."""
    cdef float gradient[MOST_NARROW * PAIR + GUARD_WORDS]
    cdef float *out
    cdef int64_t pair, strip, size = units * STRIP
    cdef int64_t last = ragged_strip(source, strips, part)
    set_guard(gradient + MOST_NARROW * PAIR)
    for pair in range(first_strip(strips, part), first_strip(strips, part + 1), 2):
        fetch_lines(source, upcoming)
        if is_zero(strips, pair, rows) and is_zero(strips, pair + 1, rows):
            # No input means no gradient, and without momentum or decay nothing changes.
            if update.rule != PLAIN or update.decay != 0:
                update_weights(update, layer, pair * size, 2 * size, NULL)
            continue
        for strip in range(pair, pair + 2):
            out = gradient + (strip - pair) * size
            if strip == last:
                strip_gradient(IN_LAST, units, layer, source, strips, strip, rows, out)
            else:
                strip_gradient(place, units, layer, source, strips, strip, rows, out)
        update_weights(update, layer, pair * size, 2 * size, gradient)
    remove_guard(gradient + MOST_NARROW * PAIR)


# ---------------------------------------------------------------------------------------------
# A part, for any number of units
# ---------------------------------------------------------------------------------------------

cdef struct PartWork:
    # A product of a part, either the sums or the update.
    const Layer *layer
    const Source *source
    const Strips *strips
    int64_t part
    int64_t rows
    float *out  # of the sums; NULL: update
    const Update *update
    Upcoming *upcoming


cdef inline void do_units(const int place, const int units, const PartWork *work) noexcept nogil:
    if work.out != NULL:
        unit_sums(
            place, units, work.layer, work.source, work.strips, work.part, work.rows, work.out,
            work.upcoming,
        )
    else:
        unit_gradients(
            place, units, work.layer, work.source, work.strips, work.part, work.rows,
            work.update, work.upcoming,
        )


cdef inline void do_place(const int place, const PartWork *work) noexcept nogil:
    """Call the specialisation for the number of units."""
    cdef int64_t units = work.layer.fan_out
    if units == 1:
        do_units(place, 1, work)
    elif units == 2:
        do_units(place, 2, work)
    elif units == 3:
        do_units(place, 3, work)
    elif units == 4:
        do_units(place, 4, work)
    elif units == 5:
        do_units(place, 5, work)
    elif units == 6:
        do_units(place, 6, work)
    elif units == 7:
        do_units(place, 7, work)
    elif units == 8:
        do_units(place, 8, work)
    elif VL >= 8 and units == 9:
        do_units(place, 9, work)
    elif VL >= 8 and units == 10:
        do_units(place, 10, work)
    elif VL >= 8 and units == 11:
        do_units(place, 11, work)
    elif VL >= 8 and units == 12:
        do_units(place, 12, work)
    elif VL >= 8 and units == 13:
        do_units(place, 13, work)
    elif VL >= 8 and units == 14:
        do_units(place, 14, work)
    elif VL >= 8 and units == 15:
        do_units(place, 15, work)
    elif VL >= 8 and units == 16:
        do_units(place, 16, work)


cdef void do_part(const PartWork *work) noexcept nogil:
    """Do the product of a part."""
    if work.source.bytes != NULL:
        do_place(IN_BYTES, work)
    else:
        do_place(IN_FLOATS, work)


cdef void part_sums(
    const Layer *layer, const Source *source, const Strips *strips, int64_t part, int64_t rows,
    Upcoming *upcoming, float *out,
) noexcept nogil:
    """Multiply one part of the inputs by its weights, giving partial sums ``out`` (rows, width)."""
    cdef PartWork work
    memset(&work, 0, sizeof(PartWork))
    work.layer, work.source, work.strips, work.part = layer, source, strips, part
    work.rows, work.upcoming, work.out = rows, upcoming, out
    do_part(&work)


cdef void update_part(
    const Layer *layer, const Source *source, const Strips *strips, int64_t part, int64_t rows,
    const Update *update, Upcoming *upcoming,
) noexcept nogil:
    """Compute the weight gradient of a part and apply it, strip by strip.

    Meanwhile, prefetch the part of the upcoming rows.
    """
    cdef PartWork work
    memset(&work, 0, sizeof(PartWork))
    work.layer, work.source, work.strips, work.part = layer, source, strips, part
    work.rows, work.update, work.upcoming = rows, update, upcoming
    do_part(&work)


# ---------------------------------------------------------------------------------------------
# Packing
# ---------------------------------------------------------------------------------------------

cdef inline int64_t strips_size(const Layer *layer) noexcept nogil:
    """Return the floats that the packed weights take."""
    return divide_up(layer.fan_in, PAIR) * PAIR * layer.fan_out


cdef void place_strips(Layer *layer, int64_t slots, Space *space) noexcept nogil:
    """Take places for the packed weights and their rows of state."""
    cdef int64_t slot
    for slot in range(slots):
        layer.weights[slot] = take(space, strips_size(layer))


cdef void pack_strips(
    const Strips *strips, const Layer *layer, int64_t part, int64_t slot, const float *flat
) noexcept nogil:
    """Copy a part of the weights from a flat vector to strips; slot 0 is the parameters."""
    cdef int64_t column, unit, units = layer.fan_out
    cdef float *out
    for column in range(
        first_strip(strips, part) * STRIP, first_strip(strips, part + 1) * STRIP
    ):
        out = layer.weights[slot] + column // STRIP * STRIP * units + column % STRIP
        for unit in range(units):
            out[unit * STRIP] = (
                flat[layer.weight_offset + column * units + unit] if column < layer.fan_in else 0
            )


cdef void unpack_strips(
    const Strips *strips, const Layer *layer, int64_t part, int64_t slot, float *flat
) noexcept nogil:
    """Copy a part of the weights from strips to a flat vector: the inverse of pack_strips."""
    cdef int64_t column, unit, units = layer.fan_out
    cdef const float *packed
    for column in range(
        first_strip(strips, part) * STRIP,
        min(layer.fan_in, first_strip(strips, part + 1) * STRIP),
    ):
        packed = layer.weights[slot] + column // STRIP * STRIP * units + column % STRIP
        for unit in range(units):
            flat[layer.weight_offset + column * units + unit] = packed[unit * STRIP]
