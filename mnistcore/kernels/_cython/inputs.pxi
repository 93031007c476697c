# The input layer: values as floats, and where they are not zero.
#
# Four in five of MNIST's pixels are zero. A pixel that is zero in all rows of a tile adds nothing
# to the tile's sums, so the products of the first layer skip it without changing the result.

cdef enum:
    WORD_BLOCKS = WORD // BLOCK  # blocks of columns in a word
    ROWS_AHEAD = 2  # rows to prefetch ahead: those of a shuffled batch lie anywhere in memory

cdef struct Source:
    # The rows that a program reads. Either ``bytes`` or ``floats`` is NULL.
    const uint8_t *bytes
    const float *floats
    int64_t rows
    int64_t columns
    float scale
    float shift
    bint skip_zeros  # list only what is not zero, else everything
    int64_t words  # words of columns; the last may be partly filled
    int64_t parts  # word w belongs to part w % parts; each part has its own lists
    int64_t part_words  # the most words that a part has

cdef struct Lists:
    # What is not zero in the rows of a batch. A block is BLOCK rows or BLOCK columns.
    int32_t *columns  # (parts, row blocks, capacity): columns not zero in some row of the block
    int32_t *n_columns  # (parts, row blocks): the number of these columns
    int32_t *rows  # (column blocks, row_capacity): rows not zero in some column of the block
    int32_t *n_rows  # (column blocks,): the number of these rows
    uint8_t *marks  # (parts, rows, words): bits for the blocks of columns that are not all zero
    uint64_t *any_row  # (words,): scratch for the bits of a block of rows
    int64_t row_blocks  # the most that a batch has
    int64_t row_capacity


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


cdef inline void set_columns(Source *source, int64_t columns, int64_t parts) noexcept nogil:
    """Set the number of columns of a source, which are divided into ``parts`` parts."""
    source.columns, source.words = columns, divide_up(columns, WORD)
    source.parts, source.part_words = parts, divide_up(source.words, parts)


cdef inline uint8_t *part_marks(
    const Source *source, const Lists *lists, int64_t part, int64_t row
) noexcept nogil:
    """Return the marks of a row in a part, one byte for each word."""
    return lists.marks + (part * lists.row_blocks * BLOCK + row) * source.part_words


cdef inline int64_t list_index(const Lists *lists, int64_t part, int64_t row) noexcept nogil:
    """Return the index of the list for a row's block in a part."""
    require(row < lists.row_blocks * BLOCK)
    return part * lists.row_blocks + row // BLOCK


cdef inline const int32_t *column_list(
    const Source *source, const Lists *lists, int64_t index
) noexcept nogil:
    """Return the list of columns with a given index."""
    return lists.columns + index * source.part_words * WORD


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


cdef inline uint64_t nonzero_values(const Source *source, int64_t at, int64_t n) noexcept nogil:
    """Return a bit for each of n <= 64 values: set if not zero, or always without skip_zeros."""
    cdef uint8_t marks[WORD]
    cdef int64_t i
    if not source.skip_zeros:
        return <uint64_t> -1 >> (WORD - n)
    if source.bytes != NULL and n == WORD:
        return nonzero_bits(source.bytes + at)
    memset(marks, 0, WORD)
    if source.bytes != NULL:
        memcpy(marks, source.bytes + at, n)
    else:
        for i in range(n):
            marks[i] = source.floats[at + i] != 0
    return nonzero_bits(marks)


cdef struct Parts:
    # A range of the parts of the inputs.
    int64_t first
    int64_t stop


cdef void gather(
    const Source *source, const int64_t *samples, int64_t first, int64_t last,
    const Parts *parts, const Lists *lists, float *out, int64_t ld,
) noexcept nogil:
    """Copy some parts of rows first to last of a batch, scaled; ``out`` is the batch's row 0.

    ``first`` begins a block. What is not zero is listed in ``lists``, unless that is NULL.
    """
    cdef uint64_t *any_row = lists.any_row if lists != NULL else NULL
    cdef int64_t row, at, ahead, group, w, end, part, words = source.words
    cdef uint64_t bits
    for row in range(first, last):
        at = row_start(source, samples, row)
        ahead = row_start(source, samples, min(row + ROWS_AHEAD, last - 1))
        for group in range(source.part_words):
            w = group * source.parts + parts.first
            end = min(group * source.parts + parts.stop, words)  # these words are adjacent
            if w < end:
                scale_values(
                    source, at + w * WORD, min(source.columns, end * WORD) - w * WORD,
                    out + row * ld + w * WORD,
                )
            for part in range(parts.first, parts.first + end - w):
                fetch_word(source, ahead + w * WORD)
                if lists != NULL:
                    bits = nonzero_values(
                        source, at + w * WORD, min(source.columns - w * WORD, <int64_t> WORD)
                    )
                    part_marks(source, lists, part, row)[group] = nonzero_bytes(bits)
                    any_row[w] = bits | (any_row[w] if row % BLOCK else 0)
                w += 1
        if lists != NULL and (row % BLOCK == BLOCK - 1 or row == last - 1):
            for part in range(parts.first, parts.stop):
                list_columns(source, lists, part, row)


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


cdef void list_columns(
    const Source *source, const Lists *lists, int64_t part, int64_t row
) noexcept nogil:
    """Make the list for a row's block in a part, from one bit for each column."""
    cdef int64_t index = list_index(lists, part, row)
    cdef int32_t *items = <int32_t *> column_list(source, lists, index)
    cdef int64_t w = part, n = 0
    while w < source.words:
        n = append_bits(items, n, lists.any_row[w], w * WORD)
        w += source.parts
    require(n <= source.part_words * WORD)
    lists.n_columns[index] = <int32_t> n


cdef void list_rows(
    const Source *source, const Lists *lists, int64_t part, int64_t rows
) noexcept nogil:
    """List, for each block of columns of a part, the rows in which it is not all zero."""
    cdef uint64_t square[WORD]
    cdef int64_t words = source.part_words, blocks = divide_up(source.columns, BLOCK)
    cdef int64_t w, group, first, r, j, block
    for w in range(0, words, 8):
        for group in range(divide_up(rows, WORD)):
            first = group * WORD
            memset(square, 0, sizeof(square))
            for r in range(min(rows - first, <int64_t> WORD)):
                copy_marks(
                    part_marks(source, lists, part, first + r) + w, words - w, &square[r]
                )
            transpose_bits(square)
            for j in range(WORD):
                block = (part + (w + j // 8) * source.parts) * 8 + j % 8
                if block >= blocks:
                    break
                lists.n_rows[block] = <int32_t> append_bits(
                    lists.rows + block * lists.row_capacity, lists.n_rows[block] if first else 0,
                    square[j], first,
                )
                require(lists.n_rows[block] <= lists.row_capacity)


cdef inline void copy_marks(const uint8_t *marks, int64_t n, uint64_t *bits) noexcept nogil:
    """Copy n bytes, at most 8, to a word."""
    if n >= 8:
        memcpy(bits, marks, 8)
    else:
        memcpy(bits, marks, n)


cdef Lists make_lists(const Source *source, int64_t rows) except *:
    """Allocate the lists for a batch of ``rows`` rows."""
    cdef Lists lists
    cdef int64_t n, blocks = divide_up(source.columns, BLOCK)
    memset(&lists, 0, sizeof(Lists))
    lists.row_blocks, lists.row_capacity = divide_up(rows, BLOCK), divide_up(rows, WORD) * WORD
    n = lists.row_blocks * source.parts
    lists.columns = <int32_t *> allocate(n * source.part_words * WORD * sizeof(int32_t))
    lists.n_columns = <int32_t *> allocate(n * sizeof(int32_t))
    lists.rows = <int32_t *> allocate(blocks * lists.row_capacity * sizeof(int32_t))
    lists.n_rows = <int32_t *> allocate(blocks * sizeof(int32_t))
    lists.marks = <uint8_t *> allocate(n * BLOCK * source.part_words)
    lists.any_row = <uint64_t *> allocate(source.words * sizeof(uint64_t))
    return lists


cdef void release_lists(Lists *lists) noexcept:
    release(lists.columns)
    release(lists.n_columns)
    release(lists.rows)
    release(lists.n_rows)
    release(lists.marks)
    release(lists.any_row)
