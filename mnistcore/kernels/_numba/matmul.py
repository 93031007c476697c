"""The stand-alone matrix products: how they are divided into tasks, and what a task does."""

from typing import NamedTuple

import numpy as np
from numba import types

from .blocks import pack_transposed
from .functions import c_function, call, entry, entry_of, inner
from .machine import VL, atomic_add, flush_denormals, set_float_mode
from .matvec import FEW, ROWS, dot_products, stream_rows
from .memory import (
    CLASS,
    DTYPE,
    FLAGS,
    LINE_FLOATS,
    PLAIN,
    address,
    aligned,
    array_object,
    load_index,
    load_int32,
    load_record,
    load_scalar,
    store_index,
    store_record,
    store_scalar,
)
from .team import lead, share
from .tile import MR, SCRATCH, STRIPE, Sum, copy_row, panel_width
from .vectors import load, store_first

NN, TN, NT = 0, 1, 2  # which operand of a product is transposed

GROUP = 1 << 17  # floats of B that are packed together: half of a small L2 cache
SET_STRIDE = 1024  # floats: rows a multiple of this apart share a set of the L1 cache


class Division(NamedTuple):
    """How a product is divided into tasks: (group of panels, block of rows)."""

    width: int  # columns of a panel
    group: int  # panels of a task
    blocks: int  # of rows
    pack_a: int  # 1: tiles of A are packed, because their rows would evict each other
    swap: int  # 1: out^T is computed
    dots: int  # 1: by dot products of rows of A
    stream: int  # 1: by rows of B, without tiles where a panel is full
    capacity: int  # floats of scratch that a thread needs


class Multiplication(NamedTuple):
    """A product as it is computed: op(A) (m, k) times op(B) (k, n)."""

    multiply_tile: int  # pointer
    kind: int
    a: int  # address
    b: int  # address
    out: int  # address
    m: int
    n: int
    k: int
    base: int  # address of the threads' scratch


# The int64 table of a job: a Multiplication, its Division, a Sum for the tiles, and for each
# thread, on a cache line of its own, how many of its tasks were taken.
DIVISION = len(Multiplication._fields)
TERMS = DIVISION + len(Division._fields)
TAKEN = 32
TAKEN_STRIDE = 8


@inner
def cost(kind, m, n, k, threads, pack_a, blocks, groups):
    """Estimate the time of all threads together, in multiply-adds per term of the sum.

    Packing a column of B costs as much as 6 multiply-adds; transposing a short one costs more, 200
    at least, shared by the k terms. Fetching a row of A costs 20 if A is
    transposed, because the tile uses only part of each cache line. Where two groups meet, each row
    of ``out`` has a cache line that moves between their threads: 1000 multiply-adds, shared by the
    k terms. At the end every thread but the last waits for part of a task, or for a whole one if
    there is none left for it.
    """
    row = (20 if kind == TN else 7 if pack_a else 2) + 1000 // max(1, k)
    pack = 6 + 200 // max(1, k) if kind == NT else 6
    total = m * n + pack * blocks * n + row * groups * m
    tasks = blocks * groups
    idle = -(-tasks // threads) * threads - tasks
    return total + (4 * idle + threads - 1) * total // (4 * tasks)


@inner
def divide(kind, m, n, k, threads):
    """Divide a product into tasks: (group of panels, block of rows), two or more per thread.

    Each block packs all of B, and each group reads all of A again. Every number of blocks is
    tried, with as many groups as make tasks for all threads alike, and the cheapest is kept.

    If b has few columns in a^T b, they would fill only part of a vector's lanes. The product is
    then computed as out^T = b^T a: as rows of a tile, the columns of b waste no lanes. One tile
    takes all of b, so each row of ``a`` is used once and is read in place.

    """
    swap = (kind == TN and n <= MR and n < m) or (kind == NT and m <= FEW and m < n and k >= 2 * VL)
    if swap:
        m, n = n, m
    # A row of A^T is a column, unless it is the only one.
    dots = (kind != TN or m == 1) and n <= FEW and k >= 2 * VL
    stream = kind != NT and m <= FEW and n >= VL and k >= VL
    width, depth = panel_width(n), FEW if stream else k
    panels, pack_a = -(-n // width), kind != TN and k % SET_STRIDE == 0
    fewest = max(1, -(-panels * depth * width // GROUP))
    most = 1 if threads == 1 else min(4 * threads, -(-m // MR))
    best, best_blocks, best_groups = -1, 1, fewest
    for blocks in range(1, max(1, most) + 1):
        groups = fewest
        if threads > 1:
            groups = max(fewest, min(panels, -(-2 * threads // blocks)))
            if groups * blocks % threads:
                groups = min(panels, -(-groups // threads) * threads)
        price = cost(kind, m, n, k, threads, pack_a, blocks, groups)
        if best < 0 or price < best:
            best, best_blocks, best_groups = price, blocks, groups
    group = max(1, -(-panels // best_groups))
    capacity = SCRATCH + MR * (k + VL) + (group * depth + k + VL) * width
    return Division(
        width, group, best_blocks, np.int64(pack_a), np.int64(swap), np.int64(dots),
        np.int64(stream), capacity,
    )  # fmt: skip


@inner
def pack_panels(job, cut, first, last, scratch):
    """Pack the panels [first, last) of op(B) as zero-padded panels (k, width), one after the other.

    A row of a panel is a cache line or two of B, and the next row is on another page. Where a
    stripe of rows is packed for all panels, the processor sees runs that it can fetch ahead.
    """
    n, k, width, packed = job.n, job.k, cut.width, packed_at(job)
    if job.kind == NT:
        for panel in range(first, last):
            at = packed + (panel - first) * k * width
            pack_transposed(job.b, n, k, panel * width, width, scratch, at)
        return
    for low in range(0, k, STRIPE):
        for panel in range(first, last):
            if not read_in_place(job, cut, panel):
                column, at = panel * width, packed + (panel - first) * k * width
                for i in range(low, min(low + STRIPE, k)):
                    source, columns = i * n + column, min(width, n - column)
                    copy_row(job.b, source, columns, scratch, at + i * width, width)


@inner
def copy_tile(job, cut, tile, tile_row, rows, columns, low, column):
    """Copy a tile from the scratch at ``tile`` to its place in ``out``."""
    if cut.swap:  # out is (n, m)
        for c in range(columns):
            for r in range(rows):
                value = load_scalar(tile, r * tile_row + c)
                store_scalar(job.out, (column + c) * job.m + low + r, value)
        return
    for r in range(rows):
        for c in range(0, columns, VL):
            row = load(tile, r * tile_row + c)
            store_first(job.out, (low + r) * job.n + column + c, row, columns - c)


@inner
def read_in_place(job, cut, panel):
    """Whether a panel is full and used only once, so that packing it gains nothing."""
    whole = (panel + 1) * cut.width <= job.n
    return whole and job.kind != NT and job.m <= MR


@inner
def write_in_place(job, cut, columns, low, stop):
    """Whether a tile whose rows end before row ``low`` is written to ``out`` as it is.

    If there is one panel, its padding is written over the rows that follow. They must belong to
    the same task, which writes them later.
    """
    if cut.swap or columns == cut.width:
        return not cut.swap
    return cut.width > job.n and (low - 1) * job.n + cut.width <= stop * job.n


@inner
def row_of_tiles(table, first, last, low, rows, stop, a, a_row, a_step, scratch):
    """Compute a row of tiles: ``rows`` rows of op(A) at address ``a`` by panels [first, last)."""
    job, cut = load_record(table, Multiplication), load_record(table + 8 * DIVISION, Division)
    width = cut.width
    for panel in range(first, last):
        column = panel * width
        columns, b_row = min(width, job.n - column), width
        b = scratch + 4 * (packed_at(job) + (panel - first) * job.k * width)
        if read_in_place(job, cut, panel):
            b, b_row = job.b + 4 * column, job.n
        straight = write_in_place(job, cut, columns, low + rows, stop)
        out, out_row = scratch, width
        if straight:
            out, out_row = job.out + 4 * (low * job.n + column), job.n
        call(
            job.multiply_tile,
            (rows, width, a, a_row, a_step, b, b_row, table + 8 * TERMS, out, out_row),
        )
        if not straight:
            copy_tile(job, cut, scratch, width, rows, columns, low, column)


@inner
def packed_at(job):
    """Return where packed panels begin in a thread's scratch: after a tile and packed rows of A."""
    return SCRATCH + MR * (job.k + VL)


@inner
def dot_rows(job, cut, begin, stop, scratch):
    """Compute rows [begin, stop) of a product with one or two columns."""
    b, k = job.b, job.k
    if job.kind != NT and job.n > 1:
        b = scratch + 4 * packed_at(job)
        for i in range(k):
            for c in range(job.n):
                store_scalar(b, c * k + i, load_scalar(job.b, i * job.n + c))
    row, column = (1, job.m) if cut.swap else (job.n, 1)
    for low in range(begin, stop, ROWS):
        rows, a = min(ROWS, stop - low), job.a + 4 * low * k
        for c in range(job.n):
            out = job.out + 4 * (low * row + c * column)
            dot_products(a, k, rows, b + 4 * c * k, k, out, row)


@inner
def stream_panels(job, cut, first, last, scratch):
    """Compute the full ones of the panels [first, last), and return the number of the next."""
    last = min(last, job.n // cut.width)
    column, columns = first * cut.width, (last - first) * cut.width
    a_row, a_step = (1, job.m) if job.kind == TN else (job.k, 1)
    sums, b = scratch + 4 * packed_at(job), job.b + 4 * column
    stream_rows(job.m, job.a, a_row, a_step, b, job.n, job.k, columns, sums, columns)
    copy_tile(job, cut, sums, columns, job.m, columns, 0, column)
    return last


@inner
def do_task(table, first, last, block, scratch):
    """Compute the columns of the panels [first, last) in one block of rows.

    It packs the panels of B, then goes down the rows tile by tile, so that all panels use a tile
    of A while it is in the cache, and ``out`` is written row by row.
    """
    job, cut = load_record(table, Multiplication), load_record(table + 8 * DIVISION, Division)
    m, k = job.m, job.k
    begin, stop = block * m // cut.blocks, (block + 1) * m // cut.blocks
    if cut.dots:
        dot_rows(job, cut, begin, stop, scratch)
        return
    if cut.stream:
        first = stream_panels(job, cut, first, last, scratch)
    pack_panels(job, cut, first, last, scratch)
    tiles, pairs = -(-(stop - begin) // MR), -(-(stop - begin) // 2)
    high, taller = begin, pairs % max(1, tiles)
    for i in range(tiles):  # of about equal, even heights: see sized_tile
        low, high = high, min(stop, high + 2 * (pairs // tiles + (i < taller)))
        rows = high - low
        a_row, a_step = (1, m) if job.kind == TN else (k, 1)
        a = job.a + 4 * low * a_row
        if cut.pack_a:
            a_row, a = k + VL, scratch + 4 * SCRATCH
            for r in range(rows):
                copy_row(job.a, (low + r) * k, k, scratch, SCRATCH + r * a_row, k)
        row_of_tiles(table, first, last, low, rows, stop, a, a_row, a_step, scratch)


@c_function(3)
def take_tasks(table, thread, threads):
    """Take this thread's tasks one at a time, then those that are left of the other threads.

    A thread thus meets the same rows of ``out`` in the next call, if its arrays are the same.
    """
    job, cut = load_record(table, Multiplication), load_record(table + 8 * DIVISION, Division)
    panels, scratch = -(-job.n // cut.width), job.base + 4 * thread * cut.capacity
    tasks = -(-panels // cut.group) * cut.blocks
    mode = flush_denormals()
    for i in range(threads):
        owner = (thread + i) % threads
        begin, stop = share(tasks, owner, threads)
        while True:
            task = begin + atomic_add(table, TAKEN + TAKEN_STRIDE * owner, 1)
            if task >= stop:
                break
            first = task // cut.blocks * cut.group
            do_task(table, first, min(first + cut.group, panels), task % cut.blocks, scratch)
    set_float_mode(mode)


@inner
def table_length(threads):
    """Return the length in int64 of the table of a job."""
    return TAKEN + TAKEN_STRIDE * threads


@inner
def make_job(workspace, multiply_tile, kind, a, b, out, k, cut, threads):
    """Write the table of a job divided by ``cut``, and return its address."""
    table = aligned(address(workspace))
    m, n, first, second = out.shape[0], out.shape[1], address(a), address(b)
    if cut.swap:
        m, n, first, second = n, m, second, first
    base = table + 8 * table_length(threads)
    store_record(
        table, Multiplication(multiply_tile, kind, first, second, address(out), m, n, k, base)
    )
    store_record(table + 8 * DIVISION, cut)
    store_record(table + 8 * TERMS, Sum(k, k, np.int64(0)))
    for thread in range(threads):
        store_index(table, TAKEN + TAKEN_STRIDE * thread, 0)
    return table


@entry
def multiply(multiply_tile, tasks, kind, a, b, out, desk, threads):
    """Compute out = op(a) op(b), float32, with the help of the desk if ``threads`` is over 1.

    ``multiply_tile`` and ``tasks`` are the pointers of the tile and of :func:`take_tasks`.
    """
    k = a.shape[0] if kind == TN else a.shape[1]
    cut = divide(kind, out.shape[0], out.shape[1], k, threads)
    workspace = np.empty(
        2 * table_length(threads) + threads * cut.capacity + LINE_FLOATS, np.float32
    )
    lead(desk, tasks, make_job(workspace, multiply_tile, kind, a, b, out, k, cut, threads), threads)
    # Numba frees an array after its last use, and knows nothing of addresses.
    workspace[0] = np.float32(0.0)


_MATRIX = types.float32[:, ::1]


@inner
def is_plain(array, model):
    """Whether an array's NumPy header matches the signature, and that of the plain array ``model``.

    Numba accepts masked arrays and matrices as arrays. It also caches one type per dtype for
    arrays that are strided, misaligned or byte-swapped: the first that it meets in a process
    stands for the rest.
    """
    record = array_object(array)
    alike = load_index(record, CLASS) == load_index(model, CLASS)
    alike = alike and load_index(record, DTYPE) == load_index(model, DTYPE)
    return alike and load_int32(record, FLAGS) & PLAIN == PLAIN


@inner
def overlap(x, y):
    first, second = address(x), address(y)
    return first < second + 4 * y.size and second < first + 4 * x.size


class SmallProducts(NamedTuple):
    """What all small products have in common, at the address that :func:`multiply_small` takes."""

    multiply_tile: int  # pointer
    tasks: int  # pointer
    model: int  # address of the NumPy object of a plain array
    limit: int  # multiply-adds from which on a team might be worth calling


UNKNOWN, DONE, LARGE = 0, 1, 2  # what was found of a product: a check might fail; it is done; valid

_SIGNATURE = types.int64(*[types.int64] * 2, *[_MATRIX] * 3)


@entry_of(_SIGNATURE)
def multiply_small(common, kind, a, b, out):
    """Multiply at once if the arguments are valid and take under ``limit`` multiply-adds.

    Returns ``DONE``, or having done nothing ``LARGE``, or ``UNKNOWN`` if a check might fail.
    Raises TypeError if the arrays are not C-contiguous float32 matrices.
    """
    small = load_record(common, SmallProducts)
    if not (is_plain(a, small.model) and is_plain(b, small.model) and is_plain(out, small.model)):
        return UNKNOWN
    k, m = a.shape
    if kind != TN:
        m, k = k, m
    terms, n = b.shape
    if kind == NT:
        terms, n = n, terms
    if terms != k or out.shape[0] != m or out.shape[1] != n:
        return UNKNOWN
    if overlap(a, out) or overlap(b, out):
        return UNKNOWN
    if m * n * k >= small.limit:
        return LARGE
    multiply(small.multiply_tile, small.tasks, kind, a, b, out, 0, 1)
    return DONE
