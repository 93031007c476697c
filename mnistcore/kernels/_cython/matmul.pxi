# The matrix products of the public tier.

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)

from numpy import ndarray

cdef enum:
    GROUP = 1 << 17  # floats of B that are packed together: half of a small L2 cache
    SET_STRIDE = 1024  # floats: rows a multiple of this apart share a set of the L1 cache
    TAKEN_STRIDE = 8  # counters a cache line apart

cpdef enum:  # what was found of a product: a check might fail; it is done; it is valid
    UNKNOWN = 0
    DONE = 1
    LARGE = 2


cdef struct Multiplication:
    # out = op(a) op(b), cut into tasks.
    const float *a
    const float *b
    float *out
    int64_t M
    int64_t N
    int64_t K
    bint a_transposed
    bint b_transposed
    bint pack_a
    bint swapped  # computed as out^T = op(b)^T op(a)^T
    bint dots  # by dot products of rows of a
    bint stream  # by rows of b, without tiles where a panel is full
    int64_t width  # of a panel
    int64_t panels
    int64_t group  # panels in a task
    int64_t blocks  # of rows, one of which is in a task
    float *scratch  # for each thread, a tile of a and a group of panels
    int64_t scratch_size  # for one thread
    int64_t tile_size  # of the tile of a in the scratch
    int64_t taken[TAKEN_STRIDE * MAX_THREADS]  # how many of each thread's tasks were taken


def multiply(
    const float[:, ::1] a, const float[:, ::1] b, float[:, ::1] out,
    bint a_transposed, bint b_transposed, int64_t desk, int64_t threads,
):
    """Compute out = op(a) op(b) on ``threads`` threads: this one and those at the desk."""
    cdef Multiplication job
    job.a, job.b, job.out = address(a), address(b), out_address(out)
    job.M, job.N, job.K = out.shape[0], out.shape[1], a.shape[0 if a_transposed else 1]
    job.a_transposed, job.b_transposed = a_transposed, b_transposed
    carry_out(&job, desk, threads)


def multiply_small(a, b, out, bint a_transposed, bint b_transposed, int64_t limit):
    """Multiply at once if the arguments are valid and take fewer than ``limit`` multiply-adds.

    Return DONE, or with nothing done LARGE, or UNKNOWN where a check might fail. The smallest
    products take less time than the checks in Python.
    """
    cdef Py_buffer views[3]
    cdef int found = UNKNOWN
    if not view_matrix(a, False, &views[0]):
        return found
    if view_matrix(b, False, &views[1]):
        if view_matrix(out, True, &views[2]):
            found = multiply_views(views, a_transposed, b_transposed, limit)
            PyBuffer_Release(&views[2])
        PyBuffer_Release(&views[1])
    PyBuffer_Release(&views[0])
    return found


cdef bint view_matrix(object array, bint writable, Py_buffer *view):
    """Get a view of a C-contiguous float32 matrix; return False for anything else."""
    cdef int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS
    if type(array) is not ndarray:
        return False
    try:
        PyObject_GetBuffer(array, view, flags | PyBUF_WRITABLE if writable else flags)
    except (BufferError, ValueError):
        return False
    if (
        view.ndim == 2 and view.itemsize == 4 and view.format[0] == c"f"
        and <size_t> view.buf % sizeof(float) == 0
    ):
        return True
    PyBuffer_Release(view)
    return False


cdef int multiply_views(
    Py_buffer *views, bint a_transposed, bint b_transposed, int64_t limit
) except -1:
    """Compute the product if the shapes fit and ``out`` overlaps neither operand."""
    cdef Multiplication job
    cdef Py_ssize_t *a = views[0].shape
    cdef Py_ssize_t *b = views[1].shape
    cdef Py_ssize_t *out = views[2].shape
    job.a, job.b, job.out = <float *> views[0].buf, <float *> views[1].buf, <float *> views[2].buf
    job.M, job.K = a[1 if a_transposed else 0], a[0 if a_transposed else 1]
    job.N = b[0 if b_transposed else 1]
    job.a_transposed, job.b_transposed = a_transposed, b_transposed
    if not (
        b[1 if b_transposed else 0] == job.K
        and out[0] == job.M
        and out[1] == job.N
        and not overlap(&views[0], &views[2])
        and not overlap(&views[1], &views[2])
    ):
        return UNKNOWN
    if job.M * job.N * job.K >= limit:
        return LARGE
    carry_out(&job, 0, 1)
    return DONE


cdef inline bint overlap(Py_buffer *x, Py_buffer *y) noexcept:
    cdef size_t first = <size_t> x.buf, second = <size_t> y.buf
    return first < second + <size_t> y.len and second < first + <size_t> x.len


cdef int carry_out(Multiplication *job, int64_t desk, int64_t threads) except -1:
    """Divide the product into tasks, and lead the threads that compute them."""
    cdef int64_t thread
    job.swapped = False
    if job.a_transposed and job.N <= MR and job.N < job.M:
        swap(job)
    elif job.b_transposed and job.M <= FEW and job.M < job.N and job.K >= 2 * VL:
        swap(job)
    divide(job, threads)
    for thread in range(threads):
        job.taken[TAKEN_STRIDE * thread] = 0
    job.scratch = <float *> allocate(threads * job.scratch_size * sizeof(float))
    for thread in range(threads):
        set_guard(job.scratch + thread * job.scratch_size + job.tile_size)
        set_guard(job.scratch + (thread + 1) * job.scratch_size - GUARD_WORDS)
    with nogil:
        lead(desk, take_tasks, job, threads)
    for thread in range(threads):
        remove_guard(job.scratch + thread * job.scratch_size + job.tile_size)
        remove_guard(job.scratch + (thread + 1) * job.scratch_size - GUARD_WORDS)
    release(job.scratch)
    return 0


cdef void swap(Multiplication *job) noexcept nogil:
    """Compute out^T instead of out, for a ``b`` with few columns or an ``a`` with a row or two.

    In out^T = b^T a the few columns are rows of a tile and leave no lanes empty; one tile covers
    all of b, so each row of a is used only once and is read in place. In out^T = b a^T the rows of
    the large matrix are multiplied with one or two vectors.
    """
    job.a, job.b = job.b, job.a
    job.M, job.N = job.N, job.M
    job.swapped = True


cdef void divide(Multiplication *job, int64_t threads) noexcept nogil:
    """Cut a product into tasks (group of panels, block of rows), two or more for each thread.

    Each block packs all of B, and each group reads all of A again. Every number of blocks is
    tried, with as many groups as make tasks for all threads alike, and the cheapest is kept.
    """
    cdef int64_t blocks, groups, depth, spent, least = -1
    cdef int64_t most = 1 if threads == 1 else min(4 * threads, divide_up(job.M, MR))
    job.width = panel_width(job.N)
    job.panels = divide_up(job.N, job.width)
    # Rows of A that fall into one cache set would evict each other from the tile.
    job.pack_a = not job.a_transposed and job.K % SET_STRIDE == 0
    # A row of A^T is a column, unless it is the only one.
    job.dots = (not job.a_transposed or job.M == 1) and job.N <= FEW and job.K >= 2 * VL
    job.stream = not job.b_transposed and job.M <= FEW and job.N >= VL and job.K >= VL
    depth = FEW if job.stream else job.K
    for blocks in range(1, max(1, most) + 1):
        groups = divide_up(job.panels * depth * job.width, GROUP)
        if threads > 1:
            groups = max(groups, min(job.panels, divide_up(2 * threads, blocks)))
            if groups * blocks % threads:
                groups = min(job.panels, divide_up(groups, threads) * threads)
        spent = cost(job, blocks, max(1, groups), threads)
        if least < 0 or spent < least:
            job.blocks, least = blocks, spent
            job.group = max(1, divide_up(job.panels, max(1, groups)))
    job.tile_size = MR * leading_dimension(job.K)
    job.scratch_size = job.tile_size + (job.group * depth + job.K) * job.width + 2 * GUARD_WORDS


cdef int64_t cost(
    const Multiplication *job, int64_t blocks, int64_t groups, int64_t threads
) noexcept nogil:
    """Return the cost over all threads, in multiply-adds for each term of the sum.

    Packing a column of B takes as long as 6 multiply-adds; transposing a short one takes longer,
    200 at least, shared by the K terms. Loading a row of A takes as long as 20 where A is
    transposed, as the tile uses only part of many cache lines. Where two groups meet, each row of
    ``out`` has a cache line that moves between their threads: 1000 multiply-adds, shared by the K
    terms. At the end each thread but the last waits for some part of a task, or for a whole one
    where there is none left for it.
    """
    cdef int64_t k = max(<int64_t> 1, job.K), tasks = blocks * groups
    cdef int64_t pack = 6 + 200 // k if job.b_transposed else 6
    cdef int64_t row = (20 if job.a_transposed else 7 if job.pack_a else 2) + 1000 // k
    cdef int64_t total = job.M * job.N + pack * blocks * job.N + row * groups * job.M
    cdef int64_t idle = divide_up(tasks, threads) * threads - tasks
    return total + (4 * idle + threads - 1) * total // (4 * tasks)


cdef void take_tasks(void *arguments, int64_t thread, int64_t threads) noexcept nogil:
    """Take this thread's tasks one at a time, then those that are left of the other threads.

    A thread thus meets the same rows of ``out`` in the next call, if its arrays are the same.
    """
    cdef Multiplication *job = <Multiplication *> arguments
    cdef int64_t i, owner, task, tasks = divide_up(job.panels, job.group) * job.blocks
    cdef uint32_t mode = flush_denormals()
    for i in range(threads):
        owner = (thread + i) % threads
        while True:
            task = share(tasks, owner, threads)
            task += atomic_add(job.taken + TAKEN_STRIDE * owner, 1)
            if task >= share(tasks, owner + 1, threads):
                break
            do_task(
                job, task // job.blocks * job.group, task % job.blocks,
                job.scratch + thread * job.scratch_size,
            )
    set_float_mode(mode)


cdef void do_task(
    const Multiplication *job, int64_t first, int64_t block, float *scratch
) noexcept nogil:
    """Compute the columns of a group of panels, starting at ``first``, in one block of rows.

    Pack the panels of B, then go down the rows tile by tile, so that a tile of A serves all
    panels and ``out`` is written row by row.
    """
    cdef int64_t last = min(first + job.group, job.panels)
    cdef int64_t begin = block * job.M // job.blocks
    cdef int64_t rows = (block + 1) * job.M // job.blocks - begin
    cdef int64_t i, p, n, low, tiles = divide_up(rows, MR)
    cdef float *packed = scratch + job.tile_size + GUARD_WORDS
    cdef Product product
    if job.dots:
        dot_rows(job, begin, begin + rows, packed)
        return
    if job.stream:
        first = stream_panels(job, first, last, packed)
    pack_panels(job, first, last, packed)
    product.segment = product.K = job.K
    product.a_segment = 0
    for i in range(tiles):
        low = begin + i * rows // tiles
        n = begin + (i + 1) * rows // tiles - low
        set_a(job, low, n, scratch, &product)
        row_of_tiles(job, first, last, low, n, begin + rows, packed, &product)


cdef void dot_rows(
    const Multiplication *job, int64_t begin, int64_t stop, float *scratch
) noexcept nogil:
    """Compute the rows from begin to stop of a product with one or two columns."""
    cdef const float *b = job.b
    cdef int64_t i, c, low = begin
    cdef int64_t row = 1 if job.swapped else job.N, column = job.M if job.swapped else 1
    if not job.b_transposed and job.N > 1:
        b = scratch
        for i in range(job.K):
            for c in range(job.N):
                scratch[c * job.K + i] = job.b[i * job.N + c]
    while low < stop:
        for c in range(job.N):
            dot_products(
                job.a + low * job.K, job.K, min(<int64_t> ROWS, stop - low), b + c * job.K, job.K,
                job.out + low * row + c * column, row,
            )
        low += ROWS


cdef int64_t stream_panels(
    const Multiplication *job, int64_t first, int64_t last, float *sums
) noexcept nogil:
    """Compute the full ones of the panels first to last; return the number of the next."""
    cdef int64_t column = first * job.width, columns
    last = min(last, job.N // job.width)
    columns = (last - first) * job.width
    stream_rows(
        job.M, job.a, 1 if job.a_transposed else job.K, job.M if job.a_transposed else 1,
        job.b + column, job.N, job.K, columns, sums, columns,
    )
    copy_tile(job, sums, columns, 0, job.M, column, columns)
    return last


cdef inline void row_of_tiles(
    const Multiplication *job, int64_t first, int64_t last, int64_t low, int64_t n, int64_t stop,
    const float *packed, Product *product,
) noexcept nogil:
    """Compute n rows, starting at ``low``, of the panels first to last, stored at ``packed``."""
    cdef float scratch[TILE + GUARD_WORDS]
    cdef int64_t p, column, columns
    set_guard(scratch + TILE)
    for p in range(first, last):
        column = p * job.width
        columns = min(job.width, job.N - column)
        product.b, product.b_step = packed + (p - first) * job.K * job.width, job.width
        if read_in_place(job, p):
            product.b, product.b_step = job.b + column, job.N
        if write_in_place(job, columns, low + n, stop):
            product.out, product.out_row = job.out + low * job.N + column, job.N
            multiply_tile(n, job.width, product)
        else:
            product.out, product.out_row = scratch, job.width
            multiply_tile(n, job.width, product)
            copy_tile(job, scratch, job.width, low, n, column, columns)
    remove_guard(scratch + TILE)


cdef inline bint read_in_place(const Multiplication *job, int64_t p) noexcept nogil:
    """Return whether a panel is full and used only once, so that packing it gains nothing."""
    return (p + 1) * job.width <= job.N and not job.b_transposed and job.M <= MR


cdef inline bint write_in_place(
    const Multiplication *job, int64_t columns, int64_t low, int64_t stop
) noexcept nogil:
    """Return whether a tile whose rows end before row ``low`` is written to ``out`` as it is.

    If there is one panel, its padding is written over the rows that follow. They must belong to
    the same task, which writes them later.
    """
    if job.swapped or columns == job.width:
        return not job.swapped
    return job.width > job.N and (low - 1) * job.N + job.width <= stop * job.N


cdef void pack_panels(
    const Multiplication *job, int64_t first, int64_t last, float *packed
) noexcept nogil:
    """Pack the panels first to last of op(b), one after the other.

    A row of a panel is a cache line or two of b, and the next row is on another page. Where a
    stripe of rows is packed for all panels, the processor sees runs that it can fetch ahead.
    """
    cdef int64_t stripe, low, p, column, columns
    cdef int64_t K = job.K, N = job.N, width = job.width
    if job.b_transposed:
        for p in range(first, last):
            column, columns = p * width, min(width, N - p * width)
            pack_transposed(
                job.b + column * K, K, K, columns, width, packed + (p - first) * K * width
            )
        return
    for stripe in range(divide_up(K, STRIPE)):
        low = stripe * STRIPE
        for p in range(first, last):
            if not read_in_place(job, p):
                column, columns = p * width, min(width, N - p * width)
                pack_rows(
                    job.b + low * N + column, N, min(<int64_t> STRIPE, K - low), columns, width,
                    packed + ((p - first) * K + low) * width,
                )


cdef void set_a(
    const Multiplication *job, int64_t low, int64_t n, float *a_tile, Product *product
) noexcept nogil:
    """Point the product at n rows of op(a): in place, or packed if their stride is bad."""
    cdef int64_t r, ld = leading_dimension(job.K)
    cdef const float *a = job.a
    if not job.pack_a:
        product.a_row = 1 if job.a_transposed else job.K
        product.a_step = job.M if job.a_transposed else 1
        product.a = a + low * product.a_row
    else:
        for r in range(n):
            memcpy(a_tile + r * ld, a + (low + r) * job.K, job.K * sizeof(float))
        product.a, product.a_row, product.a_step = a_tile, ld, 1


cdef void copy_tile(
    const Multiplication *job, const float *tile, int64_t tile_row, int64_t low, int64_t n,
    int64_t column, int64_t columns,
) noexcept nogil:
    """Copy n rows and some columns of a tile from the scratch to their place in ``out``."""
    cdef float *out
    cdef int64_t row, i
    if job.swapped:
        out = job.out + column * job.M + low
        for i in range(columns):
            for row in range(n):
                out[i * job.M + row] = tile[row * tile_row + i]
    else:
        out = job.out + low * job.N + column
        for row in range(n):
            memcpy(out + row * job.N, tile + row * tile_row, columns * sizeof(float))
