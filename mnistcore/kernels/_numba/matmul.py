"""The stand-alone matrix products: how they are divided into tasks, and what a task does."""

from typing import NamedTuple

import numpy as np
from numba import types

from .blocks import load_block, load_block_first, store_block, transpose
from .functions import c_function, call, entry, entry_of, inner
from .machine import VL, atomic_add, flush_denormals, set_float_mode
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
from .team import lead
from .tile import MR, SCRATCH, Sum, copy_row, panel_width
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


# The int64 table of a job: a Multiplication, its Division, a Sum for the tiles, and on
# another cache line the number of the next task.
DIVISION = len(Multiplication._fields)
TERMS = DIVISION + len(Division._fields)
NEXT_TASK = 32
TABLE = 48  # its length in int64, twice that in float32


@inner
def cost(kind, m, n, threads, pack_a, blocks, groups):
    """Estimate the time of all threads together, in multiply-adds per term of the sum.

    Packing a column of B costs as much as 6 multiply-adds. Fetching a row of A costs 20 if A is
    transposed, because the tile uses only part of each cache line. At the end every thread but
    the last waits for part of a task.
    """
    row = 20 if kind == TN else 7 if pack_a else 2
    total = m * n + 6 * blocks * n + row * groups * m
    return total + (threads - 1) * total // (4 * blocks * groups)


@inner
def divide(kind, m, n, k, threads):
    """Divide a product into tasks: (group of panels, block of rows), two or more per thread.

    Each block packs all of B, and each group reads all of A again. Every number of blocks is
    tried, and the cheapest is kept.

    If b has few columns in a^T b, they would fill only part of a vector's lanes. The product is
    then computed as out^T = b^T a: as rows of a tile, the columns of b waste no lanes. One tile
    takes all of b, so each row of ``a`` is used once and is read in place.

    """
    swap = kind == TN and n <= MR and n < m
    if swap:
        m, n = n, m
    width = panel_width(n)
    panels, pack_a = -(-n // width), kind != TN and k % SET_STRIDE == 0
    fewest = max(1, -(-panels * k * width // GROUP))
    most = 1 if threads == 1 else min(4 * threads, -(-m // MR))
    best, best_blocks, best_groups = -1, 1, fewest
    for blocks in range(1, max(1, most) + 1):
        groups = fewest
        if threads > 1:
            groups = max(fewest, min(panels, -(-2 * threads // blocks)))
        price = cost(kind, m, n, threads, pack_a, blocks, groups)
        if best < 0 or price < best:
            best, best_blocks, best_groups = price, blocks, groups
    group = max(1, -(-panels // best_groups))
    capacity = SCRATCH + MR * (k + VL) + (group * k + VL) * width
    return Division(width, group, best_blocks, np.int64(pack_a), np.int64(swap), capacity)


@inner
def pack_panel(kind, b, n, k, column, width, target, offset):
    """Pack columns of B, (k, n) or (n, k) for NT, as a zero-padded panel (k, width)."""
    columns = min(width, n - column)
    if kind != NT:
        for i in range(k):
            copy_row(b, i * n + column, columns, target, offset + i * width, width)
        return
    # Rows beyond k are zeros, where the next panel or spare floats will be.
    for c in range(0, width, VL):
        for i in range(0, k, VL):
            at = (column + c) * k + i
            if c + VL <= columns and i + VL <= k:
                block = load_block(b, at, k)
            else:
                block = load_block_first(b, at, k, columns - c, k - i)
            store_block(transpose(block), target, offset + i * width + c, width)


@inner
def copy_tile(job, cut, tile, rows, columns, low, column):
    """Copy a tile from the scratch at ``tile`` to its place in ``out``."""
    if cut.swap:  # out is (n, m)
        for c in range(columns):
            for r in range(rows):
                value = load_scalar(tile, r * cut.width + c)
                store_scalar(job.out, (column + c) * job.m + low + r, value)
        return
    for r in range(rows):
        for c in range(0, columns, VL):
            row = load(tile, r * cut.width + c)
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
            copy_tile(job, cut, scratch, rows, columns, low, column)


@inner
def packed_at(job):
    """Return where packed panels begin in a thread's scratch: after a tile and packed rows of A."""
    return SCRATCH + MR * (job.k + VL)


@inner
def do_task(table, first, last, block, scratch):
    """Compute the columns of the panels [first, last) in one block of rows.

    It packs the panels of B, then goes down the rows tile by tile, so that all panels use a tile
    of A while it is in the cache, and ``out`` is written row by row.
    """
    job, cut = load_record(table, Multiplication), load_record(table + 8 * DIVISION, Division)
    m, k, width = job.m, job.k, cut.width
    for panel in range(first, last):
        if not read_in_place(job, cut, panel):
            at = packed_at(job) + (panel - first) * k * width
            pack_panel(job.kind, job.b, job.n, k, panel * width, width, scratch, at)
    begin, stop = block * m // cut.blocks, (block + 1) * m // cut.blocks
    tiles, pairs = -(-(stop - begin) // MR), -(-(stop - begin) // 2)
    for i in range(tiles):  # of about equal, even heights: see sized_tile
        low = begin + 2 * (i * pairs // tiles)
        rows = min(stop, begin + 2 * ((i + 1) * pairs // tiles)) - low
        a_row, a_step = (1, m) if job.kind == TN else (k, 1)
        a = job.a + 4 * low * a_row
        if cut.pack_a:
            a_row, a = k + VL, scratch + 4 * SCRATCH
            for r in range(rows):
                copy_row(job.a, (low + r) * k, k, scratch, SCRATCH + r * a_row, k)
        row_of_tiles(table, first, last, low, rows, stop, a, a_row, a_step, scratch)


@c_function(3)
def take_tasks(table, thread, threads):
    """Take tasks from the shared counter, one at a time, until none are left."""
    job, cut = load_record(table, Multiplication), load_record(table + 8 * DIVISION, Division)
    panels, scratch = -(-job.n // cut.width), job.base + 4 * thread * cut.capacity
    mode = flush_denormals()
    while True:
        task = atomic_add(table, NEXT_TASK, 1)
        first = task // cut.blocks * cut.group
        if first >= panels:
            break
        do_task(table, first, min(first + cut.group, panels), task % cut.blocks, scratch)
    set_float_mode(mode)


@inner
def make_job(workspace, multiply_tile, kind, a, b, out, k, cut):
    """Write the table of a job divided by ``cut``, and return its address."""
    table = aligned(address(workspace))
    m, n, first, second = out.shape[0], out.shape[1], address(a), address(b)
    if cut.swap:
        m, n, first, second = n, m, second, first
    base = table + 8 * TABLE
    store_record(
        table, Multiplication(multiply_tile, kind, first, second, address(out), m, n, k, base)
    )
    store_record(table + 8 * DIVISION, cut)
    store_record(table + 8 * TERMS, Sum(k, k, np.int64(0)))
    store_index(table, NEXT_TASK, 0)
    return table


@entry
def multiply(multiply_tile, tasks, kind, a, b, out, desk, threads):
    """Compute out = op(a) op(b), float32, with the help of the desk if ``threads`` is over 1.

    ``multiply_tile`` and ``tasks`` are the pointers of the tile and of :func:`take_tasks`.
    """
    k = a.shape[0] if kind == TN else a.shape[1]
    cut = divide(kind, out.shape[0], out.shape[1], k, threads)
    workspace = np.empty(2 * TABLE + threads * cut.capacity + LINE_FLOATS, np.float32)
    lead(desk, tasks, make_job(workspace, multiply_tile, kind, a, b, out, k, cut), threads)
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


_SIGNATURE = types.boolean(*[types.int64] * 4, *[_MATRIX] * 3, types.int64)


@entry_of(_SIGNATURE)
def multiply_small(tile, tasks, model, kind, a, b, out, limit):
    """Multiply at once if the arguments are valid and it takes under ``limit`` multiply-adds.

    Returns False, having done nothing, if a check might fail or a team might be worth calling.
    Raises TypeError if the arrays are not C-contiguous float32 matrices, like the array whose
    NumPy object is at the address ``model``.
    """
    if not (is_plain(a, model) and is_plain(b, model) and is_plain(out, model)):
        return False
    k, m = a.shape
    if kind != TN:
        m, k = k, m
    terms, n = b.shape
    if kind == NT:
        terms, n = n, terms
    if terms != k or out.shape[0] != m or out.shape[1] != n or m * n * k >= limit:
        return False
    if overlap(a, out) or overlap(b, out):
        return False
    multiply(tile, tasks, kind, a, b, out, 0, 1)
    return True
