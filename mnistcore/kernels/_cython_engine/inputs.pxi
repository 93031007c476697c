# The input layer: values as floats, and which columns are not zero in the whole batch.

cdef enum:
    ROWS_AHEAD = 6  # rows of a shuffled batch lie anywhere in memory: ask for them early
    LINE = 64  # bytes in a cache line
    GAP = 2  # columns of zeros that are cheaper to compute than to go around

cdef struct Source:
    # The rows that a program reads: one of bytes and floats is NULL.
    const uint8_t *bytes
    const float *floats
    int64_t columns
    float scale
    float shift
    bint skip_zeros  # leave out the columns that are zero in every row of a batch

cdef struct Columns:
    # The inputs of a layer: those that the forward product reads, tiles that cover them for
    # the weight gradient, and those outside the tiles.
    int64_t n_active
    int64_t n_tiles
    int64_t n_idle
    int64_t *active
    int64_t *tile_first
    int64_t *tile_rows
    int64_t *idle


cdef inline int64_t row_id(const int64_t *samples, int64_t row) noexcept nogil:
    """The row of the source; ``samples`` NULL means the rows in order."""
    return row if samples == NULL else samples[row]


cdef inline void fetch_row(const Source *source, int64_t row) noexcept nogil:
    """Ask the memory for a row that is needed soon."""
    cdef int64_t size = source.columns * (1 if source.bytes != NULL else sizeof(float))
    cdef const char *start
    cdef int64_t line
    if source.bytes != NULL:
        start = <const char *> (source.bytes + row * source.columns)
    else:
        start = <const char *> (source.floats + row * source.columns)
    for line in range(divide_up(size, LINE)):
        __builtin_prefetch(start + line * LINE, 0, 2)


cdef inline void take_bytes(
    const Source *source, int64_t row, uint8_t *mask, float *out
) noexcept nogil:
    """One row of bytes: mark its nonzero columns, write it scaled."""
    cdef const uint8_t *pixels = source.bytes + row * source.columns
    cdef float scale = source.scale, shift = source.shift
    cdef int64_t c, n = source.columns
    for c in range(n):
        mask[c] |= pixels[c]
    for c in range(n):
        out[c] = <float> pixels[c] * scale + shift


cdef inline void take_floats(
    const Source *source, int64_t row, uint8_t *mask, float *out
) noexcept nogil:
    """One row of floats: mark its nonzero columns, write it scaled."""
    cdef const float *values = source.floats + row * source.columns
    cdef float scale = source.scale, shift = source.shift
    cdef int64_t c, n = source.columns
    for c in range(n):
        mask[c] |= values[c] != 0
    for c in range(n):
        out[c] = values[c] * scale + shift


cdef void gather(
    const Source *source, const int64_t *samples, int64_t first, int64_t last, uint8_t *mask,
    float *out, int64_t ld,
) noexcept nogil:
    """Rows first to last, scaled, to ``out``; mask[c] is nonzero where column c is in one."""
    cdef int64_t row
    memset(mask, 0, source.columns)
    for row in range(first, min(last, first + ROWS_AHEAD)):
        fetch_row(source, row_id(samples, row))
    for row in range(first, last):
        if row + ROWS_AHEAD < last:
            fetch_row(source, row_id(samples, row + ROWS_AHEAD))
        if source.bytes != NULL:
            take_bytes(source, row_id(samples, row), mask, out)
        else:
            take_floats(source, row_id(samples, row), mask, out)
        out += ld


cdef void cut_tiles(Columns *columns, int64_t first, int64_t n) noexcept nogil:
    """Cover n neighbouring columns with equal tiles of at most MR."""
    cdef int64_t i, tiles = divide_up(n, MR)
    for i in range(tiles):
        columns.tile_first[columns.n_tiles] = first + i * n // tiles
        columns.tile_rows[columns.n_tiles] = (i + 1) * n // tiles - i * n // tiles
        columns.n_tiles += 1


cdef void all_columns(Columns *columns, int64_t n) noexcept nogil:
    """Every column is active."""
    cdef int64_t c
    for c in range(n):
        columns.active[c] = c
    columns.n_active, columns.n_tiles, columns.n_idle = n, 0, 0
    cut_tiles(columns, 0, n)


cdef void list_columns(
    const Source *source, const uint8_t *masks, int64_t n_masks, Columns *columns
) noexcept nogil:
    """List the columns that one of the masks marks, and cover them with tiles.

    MNIST's margins are empty: of 784 columns a batch of 64 leaves about 300 at zero in every
    image. They add nothing to the first layer's product and their weights have no gradient.
    """
    cdef int64_t c, m, i = 0, n = 0, end = 0
    cdef uint8_t mark
    if not source.skip_zeros:
        all_columns(columns, source.columns)
        return
    for c in range(source.columns):
        mark = 0
        for m in range(n_masks):
            mark |= masks[m * source.columns + c]
        columns.active[n] = c  # counts or is overwritten: no branch to mispredict
        n += mark != 0
    columns.n_active, columns.n_tiles, columns.n_idle = n, 0, 0
    while i < n:
        c = columns.active[i]
        i += 1
        while i < n and columns.active[i] - columns.active[i - 1] <= GAP + 1:
            i += 1
        list_idle(columns, end, c)
        end = columns.active[i - 1] + 1
        cut_tiles(columns, c, end - c)
    list_idle(columns, end, source.columns)


cdef inline void list_idle(Columns *columns, int64_t first, int64_t last) noexcept nogil:
    cdef int64_t c
    for c in range(first, last):
        columns.idle[columns.n_idle] = c
        columns.n_idle += 1


cdef int64_t columns_size(int64_t n) noexcept nogil:
    """The int64 that the lists of ``n`` columns take."""
    return 4 * n


cdef int64_t *allocate_lists(int64_t n, int64_t count) except NULL:
    """Room for the lists of ``count`` sets of columns."""
    return <int64_t *> allocate(count * columns_size(n) * sizeof(int64_t))


cdef Columns place_columns(int64_t *lists, int64_t n) noexcept nogil:
    cdef Columns columns
    memset(&columns, 0, sizeof(Columns))
    columns.active, columns.idle = lists, lists + n
    columns.tile_first, columns.tile_rows = lists + 2 * n, lists + 3 * n
    return columns
