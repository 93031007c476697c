# The input layer: values as floats, and where they are not zero.
#
# Zeros add nothing to a sum, so products skip them without changing the result. Marks are bits for
# what is not zero: see sparse.pxi. A narrow first layer reads the source itself: see narrow.pxi.

cdef enum:
    ROWS_AHEAD = 4  # rows to prefetch ahead: those of a shuffled batch lie anywhere in memory

cdef struct Source:
    # The rows that a program reads. Either ``bytes`` or ``floats`` is NULL.
    const uint8_t *bytes
    const float *floats
    int64_t rows
    int64_t columns
    float scale
    float shift
    bint skip_zeros  # by a narrow layer

cdef struct Marks:
    # Where a matrix of inputs is not zero.
    uint64_t *rows  # (rows, words): a bit for each column of a row
    uint64_t *columns  # (words * WORD, row_words): a bit for each row of a column
    int64_t row_words


cdef int set_rows(Source *source, x) except -1:
    """Set the rows to those of x, a uint8 or float32 matrix (N, I) that the caller keeps alive."""
    cdef const uint8_t[:, ::1] x_bytes
    cdef const float[:, ::1] x_floats
    source.bytes, source.floats = NULL, NULL
    if x.itemsize == 1:
        x_bytes = x
        source.bytes, source.rows = &x_bytes[0, 0], x_bytes.shape[0]
    else:
        x_floats = x
        source.floats, source.rows = &x_floats[0, 0], x_floats.shape[0]
    return 0


cdef inline void skip_rows(Source *source, int64_t n) noexcept nogil:
    """Advance the start of the source by n rows."""
    source.rows -= n
    if source.bytes != NULL:
        source.bytes += n * source.columns
    else:
        source.floats += n * source.columns


cdef inline int64_t row_id(const int64_t *samples, int64_t row) noexcept nogil:
    """Return the row of the source; ``samples`` is NULL for the rows in order."""
    return row if samples == NULL else samples[row]


cdef inline int64_t row_start(
    const Source *source, const int64_t *samples, int64_t row
) noexcept nogil:
    """Return where the values of a row of the batch begin in the source."""
    cdef int64_t identity = row_id(samples, row)
    require(identity >= 0)
    require(identity < source.rows)
    return identity * source.columns


cdef inline void fetch_word(const Source *source, int64_t at) noexcept nogil:
    """Prefetch a word of columns that is needed soon."""
    cdef int64_t line
    if source.bytes != NULL:
        __builtin_prefetch(source.bytes + at, 0, 2)
        return
    for line in range(4):
        __builtin_prefetch(source.floats + at + line * 16, 0, 2)


cdef inline void scale_values(
    const Source *source, int64_t at, int64_t n, float *out
) noexcept nogil:
    """Write n values to ``out``, scaled as the network sees them."""
    cdef float scale = source.scale, shift = source.shift
    cdef const uint8_t *bytes = source.bytes + at
    cdef const float *floats = source.floats + at
    cdef int64_t i
    if source.bytes != NULL:
        for i in range(n):
            out[i] = <float> bytes[i] * scale + shift
    else:
        for i in range(n):
            out[i] = floats[i] * scale + shift


cdef inline uint64_t mark_word(const float *a, int64_t n) noexcept nogil:
    """Return a bit for each of n <= 64 floats, which is set if the float is not zero."""
    cdef uint8_t marks[WORD]
    cdef int64_t i
    if n < WORD:
        memset(marks, 0, WORD)
    for i in range(n):
        marks[i] = a[i] != 0
    return nonzero_bits(marks)


cdef inline uint64_t nonzero_values(const Source *source, int64_t at, int64_t n) noexcept nogil:
    """Return a bit for each of n <= 64 values: set if not zero, or always without skip_zeros."""
    cdef uint8_t marks[WORD]
    if not source.skip_zeros:
        return <uint64_t> -1 >> (WORD - n)
    if source.bytes == NULL:
        return mark_word(source.floats + at, n)
    if n == WORD:
        return nonzero_bits(source.bytes + at)
    memset(marks, 0, WORD)
    memcpy(marks, source.bytes + at, n)
    return nonzero_bits(marks)


cdef struct Parts:
    # A range of the parts of the inputs.
    int64_t first
    int64_t stop


cdef inline int64_t mark_values(const Source *source, int64_t at, uint64_t *bits) noexcept nogil:
    """Mark what is not zero in a row that begins at ``at``; return how much that is."""
    cdef int64_t w, marked = 0, whole = source.columns // WORD, rest = source.columns - whole * WORD
    for w in range(whole):
        bits[w] = nonzero_values(source, at + w * WORD, WORD)
        marked += count_bits(bits[w])
    if rest:
        bits[whole] = nonzero_values(source, at + whole * WORD, rest)
        marked += count_bits(bits[whole])
    return marked


cdef bint is_little(int64_t marked, int64_t values) noexcept nogil:
    """Return whether so little is marked that skipping the rest pays."""
    return marked * 4 < values * 3


cdef bint gather(
    const Source *source, const int64_t *samples, int64_t first, int64_t last, float *out,
    int64_t ld, const Marks *marks,
) noexcept nogil:
    """Copy rows first to last of a batch, scaled; ``out`` is the batch's row 0.

    Mark what is not zero, unless ``marks`` is NULL, and return whether that is little.
    """
    cdef int64_t row, start, ahead, column, marked = 0, words = divide_up(source.columns, WORD)
    for row in range(first, last):
        ahead = row_start(source, samples, min(row + ROWS_AHEAD, last - 1))
        start = row_start(source, samples, row)
        column = 0
        while column < source.columns:
            fetch_word(source, ahead + column)
            column += WORD
        scale_values(source, start, source.columns, out + row * ld)
        if marks != NULL:
            marked += mark_values(source, start, marks.rows + row * words)
    return marks != NULL and is_little(marked, (last - first) * source.columns)


cdef struct Upcoming:
    # A thread's columns of the next batch, prefetched line by line while it works on this one.
    const int64_t *samples
    int64_t row  # the next line to prefetch is in this row ...
    int64_t column
    int64_t lines  # how many are left
    int64_t first  # of the columns
    int64_t stop
    int64_t due  # the fraction of a line that is due, in units of 1 / occasions
    int64_t pace  # what is due more on each occasion
    int64_t occasions


cdef inline int64_t line_columns(const Source *source) noexcept nogil:
    """Return how many values a cache line holds."""
    return LINE if source.bytes != NULL else LINE_FLOATS


cdef inline void fetch_lines(const Source *source, Upcoming *upcoming) noexcept nogil:
    """Prefetch the lines that are due on one more occasion."""
    cdef int64_t at
    upcoming.due += upcoming.pace
    while upcoming.due >= upcoming.occasions and upcoming.lines > 0:
        upcoming.due -= upcoming.occasions
        upcoming.lines -= 1
        at = row_start(source, upcoming.samples, upcoming.row) + min(
            upcoming.column, upcoming.stop - 1
        )
        if source.bytes != NULL:
            __builtin_prefetch(source.bytes + at, 0, 2)
        else:
            __builtin_prefetch(source.floats + at, 0, 2)
        if upcoming.column >= upcoming.stop:
            upcoming.row, upcoming.column = upcoming.row + 1, upcoming.first
        else:
            upcoming.column += line_columns(source)


cdef bint mark_rows(
    const float *a, int64_t ld, int64_t columns, int64_t first, int64_t last, const Marks *marks
) noexcept nogil:
    """Mark what is not zero in rows first to last of a matrix; return whether that is little."""
    cdef int64_t row, w, marked = 0, whole = columns // WORD, words = divide_up(columns, WORD)
    cdef uint64_t *bits
    for row in range(first, last):
        bits = marks.rows + row * words
        for w in range(whole):
            bits[w] = mark_word(a + row * ld + w * WORD, WORD)
            marked += count_bits(bits[w])
        if whole < words:
            bits[whole] = mark_word(a + row * ld + whole * WORD, columns - whole * WORD)
            marked += count_bits(bits[whole])
    return is_little(marked, (last - first) * columns)


cdef void mark_columns(int64_t columns, int64_t rows, const Marks *marks) noexcept nogil:
    """Transpose the marks of the first rows."""
    cdef uint64_t square[WORD]
    cdef int64_t w, group, first, i, words = divide_up(columns, WORD)
    for w in range(words):
        for group in range(marks.row_words):
            first = group * WORD
            for i in range(WORD):
                square[i] = marks.rows[(first + i) * words + w] if first + i < rows else 0
            transpose_bits(square)
            for i in range(WORD):
                marks.columns[(w * WORD + i) * marks.row_words + group] = square[i]


cdef Marks make_marks(int64_t rows, int64_t columns) except *:
    """Allocate the marks for matrices of at most ``rows`` x ``columns``."""
    cdef Marks marks
    cdef int64_t words = divide_up(columns, WORD)
    marks.row_words = divide_up(rows, WORD)
    marks.rows = <uint64_t *> allocate(rows * words * sizeof(uint64_t))
    marks.columns = <uint64_t *> allocate(words * WORD * marks.row_words * sizeof(uint64_t))
    return marks


cdef void release_marks(Marks *marks) noexcept:
    release(marks.rows)
    release(marks.columns)


def gather_rows(
    x, const int64_t[::1] order, float scale, float[:, ::1] out, uint8_t[:, ::1] row_marks,
    int64_t gate, bint leads,
):
    """Gather and mark a thread's share of a batch (B, I), for callers outside a program.

    ``row_marks`` (B, 8 * words) is a bit for each column of a row. Some column and row must exist.
    """
    cdef Source source
    cdef Marks marks
    cdef Team team
    cdef int64_t first, last, columns = out.shape[1]
    set_rows(&source, x)
    source.columns, source.scale, source.shift, source.skip_zeros = columns, scale, 0, True
    marks.rows = <uint64_t *> &row_marks[0, 0]
    with nogil:
        team = enter(gate, leads)
        if team.thread >= 0:
            first = share(order.shape[0], team.thread, team.threads)
            last = share(order.shape[0], team.thread + 1, team.threads)
            gather(&source, &order[0], first, last, &out[0, 0], columns, &marks)
        leave(&team)
