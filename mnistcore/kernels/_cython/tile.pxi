# The register tile: the micro-kernel behind every product, and the division of work into tiles.

cdef enum:
    TILE = MR * SPARSE_FLOATS  # the most floats of a tile
    STRIPE = 8  # rows that are packed together for all panels, in runs of cache lines on both sides

cdef struct Product:
    # One tile of a product: out[r, c] = sum over i of a(r, i) b(i, c).
    const float *a  # a(r, i) is at a + r*a_row + i*a_step
    int64_t a_row
    int64_t a_step
    int64_t segment  # after every ``segment`` terms of the sum, a moves on by a_segment
    int64_t a_segment
    int64_t K  # terms of the sum
    const float *b  # b(i, c) is at b + i*b_step + c
    int64_t b_step
    float *out  # out[r, c] is at out + r*out_row + c
    int64_t out_row


cdef inline void add_products(
    const int rows, const int vectors, const Product *product, const float *a, const float *b,
    int64_t n, vec (*total)[2],
) noexcept nogil:
    """Add to ``total`` the next n terms of its sums, of which the first are at ``a`` and ``b``."""
    cdef vec left, right, element
    cdef const float *row
    cdef int r
    while n > 0:
        left = load(b)
        if vectors == 2:
            right = load(b + VL)
        row = a
        for r in range(rows):
            element = splat(row[0])
            total[r][0] = fma(element, left, total[r][0])
            if vectors == 2:
                total[r][1] = fma(element, right, total[r][1])
            row = opaque(row + product.a_row)
        a += product.a_step
        b += product.b_step
        n -= 1


cdef inline void store_tile(
    const int rows, const int vectors, const Product *product, vec (*total)[2]
) noexcept nogil:
    """Write the sums of a tile."""
    cdef int r
    for r in range(rows):
        store(product.out + r * product.out_row, total[r][0])
        if vectors == 2:
            store(product.out + r * product.out_row + VL, total[r][1])


cdef inline void tile_body(
    const int rows, const int vectors, const Product *product
) noexcept nogil:
    """Compute a tile of exactly ``rows`` x ``vectors`` vectors.

    ``rows`` and ``vectors`` are constants wherever this is inlined, so the compiler unrolls
    their loops and keeps ``total`` in registers. On AVX-512 a whole tile takes 28 of the 32
    registers for accumulators, 2 for the row of B and 1 for the broadcast element of A. An
    iteration over k loads 2 vectors and 14 scalars for 28 FMAs, so it is bound by the FMA units,
    not the loads. (AVX2 and SSE2 have 16 registers: 12 + 2 + 1.) Each element is one chain of
    FMAs over k in order, whichever tile it is in.
    """
    cdef vec total[MR][2]
    cdef const float *a = product.a
    cdef const float *b = product.b
    cdef int64_t left = product.K, n
    cdef int r
    for r in range(rows):
        total[r][0] = splat(0)
        if vectors == 2:
            total[r][1] = splat(0)
    while left > 0:
        n = min(left, product.segment)
        add_products(rows, vectors, product, a, b, n, total)
        a += n * product.a_step + product.a_segment
        b += n * product.b_step
        left -= n
    store_tile(rows, vectors, product, total)


cdef inline void sized_tile(
    const int vectors, int rows, const Product *product
) noexcept nogil:
    """Call the specialisation for the number of rows; cases above MR compile to nothing."""
    if rows == 1:
        tile_body(1, vectors, product)
    elif rows == 2:
        tile_body(2, vectors, product)
    elif rows == 3:
        tile_body(3, vectors, product)
    elif rows == 4:
        tile_body(4, vectors, product)
    elif rows == 5:
        tile_body(5, vectors, product)
    elif rows == 6:
        tile_body(6, vectors, product)
    elif MR >= 12 and rows == 7:
        tile_body(7, vectors, product)
    elif MR >= 12 and rows == 8:
        tile_body(8, vectors, product)
    elif MR >= 12 and rows == 9:
        tile_body(9, vectors, product)
    elif MR >= 12 and rows == 10:
        tile_body(10, vectors, product)
    elif MR >= 12 and rows == 11:
        tile_body(11, vectors, product)
    elif MR >= 12 and rows == 12:
        tile_body(12, vectors, product)
    elif MR >= 14 and rows == 13:
        tile_body(13, vectors, product)
    elif MR >= 14 and rows == 14:
        tile_body(14, vectors, product)


cdef void multiply_tile(int64_t rows, int64_t width, const Product *product) noexcept nogil:
    """Compute a tile of the product, with rows in [1, MR] and width VL or NR.

    Rows are stored one after the other: if ``out_row`` is smaller than ``width``, each overwrites
    the padding of the row before.
    """
    require(rows >= 1)
    require(rows <= MR)
    if width == NR:
        sized_tile(2, <int> rows, product)
    else:
        sized_tile(1, <int> rows, product)


cdef void multiply_panel(int64_t rows, int64_t used, Product *product) noexcept nogil:
    """Compute rows of a panel, its first ``used`` columns, at most NR columns at a time."""
    while used > 0:
        multiply_tile(rows, min(used, <int64_t> NR), product)
        product.b += NR
        product.out += NR
        used -= NR


cdef int64_t panel_width(int64_t n) noexcept nogil:
    """Return the width of the panels for n columns: NR, or VL where NR needs much padding."""
    if divide_up(n, NR) * NR * 10 > divide_up(n, VL) * VL * 11:
        return VL
    return NR


cdef inline int64_t leading_dimension(int64_t n) noexcept nogil:
    """Return a stride of n or more floats: odd in vectors, so that rows share no cache set."""
    return (divide_up(n, VL) | 1) * VL


cdef struct Tiles:
    # A share of all (panel, row) pairs, handed out in tiles of at most MR rows.
    int64_t rows  # in each panel
    int64_t grain  # rows that are handed out together
    int64_t unit  # the next grain to hand out, counted panel by panel
    int64_t stop
    int64_t end  # of the current run of rows in one panel
    int64_t panel  # the current tile is rows low to high of this panel
    int64_t low
    int64_t high


cdef inline Tiles tiles_of(
    const Team *team, int64_t panels, int64_t rows, int64_t grain
) noexcept nogil:
    """Return a thread's equal share in panel-major order: whole panels where they divide evenly."""
    cdef int64_t units = panels * divide_up(rows, grain)
    return tiles_between(
        rows, grain, share(units, team.thread, team.threads),
        share(units, team.thread + 1, team.threads),
    )


cdef inline Tiles tiles_between(
    int64_t rows, int64_t grain, int64_t unit, int64_t stop
) noexcept nogil:
    cdef Tiles tiles
    memset(&tiles, 0, sizeof(Tiles))
    tiles.rows, tiles.grain, tiles.unit, tiles.stop = rows, grain, unit, stop
    return tiles


cdef inline bint next_range(Tiles *tiles) noexcept nogil:
    """Advance to all that is left of a panel's rows; return False if there is nothing."""
    cdef int64_t units, n
    if tiles.unit >= tiles.stop:
        return False
    units = divide_up(tiles.rows, tiles.grain)
    tiles.panel = tiles.unit // units
    n = min(units - tiles.unit % units, tiles.stop - tiles.unit)
    tiles.low = tiles.unit % units * tiles.grain
    tiles.high = tiles.end = min(tiles.rows, tiles.low + n * tiles.grain)
    tiles.unit += n
    return True


cdef inline bint next_tile(Tiles *tiles) noexcept nogil:
    """Advance to the next tile; return False if there is none."""
    cdef int64_t n
    if tiles.high == tiles.end:
        if not next_range(tiles):
            return False
    else:
        tiles.low = tiles.high
    n = tiles.end - tiles.low
    if n > MR:  # cut into tiles of about equal height
        n = n // divide_up(n, MR)
    tiles.high = tiles.low + n
    require(n > 0)
    require(tiles.high <= tiles.rows)
    return True
