"""The matrix products of the first tier: how one is cut into tasks, and what a task does."""

from typing import NamedTuple

import numpy as np
from numba import types

from .blocks import load_block, store_block, transpose
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
from .tile import MR, SCRATCH, copy_row, panel_width, single_run

NN, TN, NT = 0, 1, 2  # which operand of a product is transposed

GROUP = 1 << 17  # floats of B that are packed together: half of a small L2 cache
SET_STRIDE = 1024  # floats: rows that lie a multiple of it apart share a set of the L1 cache


class Division(NamedTuple):
    """How a product is cut into tasks: (group of panels, block of rows)."""

    width: int  # columns of a panel
    group: int  # panels of a task
    blocks: int  # of rows
    pack_a: int  # 1: tiles of A are packed, because their rows would evict each other
    swap: int  # 1: out^T is computed
    capacity: int  # floats of scratch that a thread needs


class Multiplication(NamedTuple):
    """A product as it is carried out: op(A) (m, k) times op(B) (k, n)."""

    multiply_tile: int  # pointer
    kind: int
    a: int  # address
    b: int  # address
    out: int  # address
    m: int
    n: int
    k: int
    base: int  # address of the threads' scratch


# The table of a job, int64: a Multiplication, its Division, a run of terms for the tile, and on
# another cache line the number of the next task.
DIVISION = len(Multiplication._fields)
RUNS = DIVISION + len(Division._fields)
NEXT_TASK = 32
TABLE = 48  # its length; so many float32 take twice as many


@inner
def cost(kind, m, n, threads, pack_a, blocks, groups):
    """What all threads spend, as multiply-adds for each term of the sum.

    Packing a column of B takes as long as 6 of them, and bringing a row of A near, much of it
    by lines of which the tile uses a part, 20 where A is transposed. At the end each thread but
    the last waits for some part of a task.
    """
    row = 20 if kind == TN else 7 if pack_a else 2
    total = m * n + 6 * blocks * n + row * groups * m
    return total + (threads - 1) * total // (4 * blocks * groups)


@inner
def divide(kind, m, n, k, threads):
    """Cut a product into tasks: (group of panels, block of rows), two or more for each thread.

    Each block packs all of B, and each group reads all of A again. So numbers of blocks are
    tried one after another, and the one that costs least is kept.

    For a^T b with a b of few columns, these would fill a part of the lanes of a vector. So it is
    computed as out^T = b^T a: as rows of a tile they waste none, and the rows of ``a`` are read
    where they lie, for one tile takes all of b, so that each serves once.

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
    capacity = SCRATCH + MR * (k + VL) + group * k * width
    return Division(width, group, best_blocks, np.int64(pack_a), np.int64(swap), capacity)


@inner
def pack_panel(kind, b, n, k, column, width, target, offset):
    """Columns of B, (k, n) or (n, k) for NT, as a panel (k, width), zeros behind the last."""
    columns = min(width, n - column)
    if kind != NT:
        for i in range(k):
            copy_row(b, i * n + column, columns, target, offset + i * width, width)
        return
    for c in range(0, width, VL):
        whole = k // VL * VL if c + VL <= columns else 0
        for i in range(0, whole, VL):
            block = transpose(load_block(b, (column + c) * k + i, k))
            store_block(block, target, offset + i * width + c, width)
        for i in range(whole, k):
            for lane in range(c, c + VL):
                value = np.float32(0.0)
                if lane < columns:
                    value = load_scalar(b, (column + lane) * k + i)
                store_scalar(target, offset + i * width + lane, value)


@inner
def copy_tile(job, cut, tile, rows, columns, low, column):
    """A tile from the scratch at ``tile`` to its place in ``out``."""
    if cut.swap:  # out is (n, m)
        for c in range(columns):
            for r in range(rows):
                value = load_scalar(tile, r * cut.width + c)
                store_scalar(job.out, (column + c) * job.m + low + r, value)
        return
    for r in range(rows):
        copy_row(tile, r * cut.width, columns, job.out, (low + r) * job.n + column, columns)


@inner
def read_in_place(job, cut, panel):
    """Whether a panel is used once, and whole, so that packing it gains nothing."""
    whole = (panel + 1) * cut.width <= job.n
    return whole and cut.swap != 0


@inner
def row_of_tiles(table, first, last, low, rows, a, a_row, a_step, scratch):
    """``rows`` rows of the panels [first, last), from the rows of op(A) at the address ``a``."""
    job, cut = load_record(table, Multiplication), load_record(table + 8 * DIVISION, Division)
    width = cut.width
    for panel in range(first, last):
        column = panel * width
        columns, b_row = min(width, job.n - column), width
        b = scratch + 4 * (packed_at(job) + (panel - first) * job.k * width)
        if read_in_place(job, cut, panel):
            b, b_row = job.b + 4 * column, job.n
        straight = columns == width and not cut.swap
        out, out_row = scratch, width
        if straight:
            out, out_row = job.out + 4 * (low * job.n + column), job.n
        call(
            job.multiply_tile,
            (rows, width, a, a_row, a_step, b, b_row, table + 8 * RUNS, out, out_row),
        )
        if not straight:
            copy_tile(job, cut, scratch, rows, columns, low, column)


@inner
def packed_at(job):
    """Where the packed panels begin in a thread's scratch, behind a tile and packed rows of A."""
    return SCRATCH + MR * (job.k + VL)


@inner
def do_task(table, first, last, block, scratch):
    """The columns of the panels [first, last) in one block of rows.

    It packs the panels of B, then goes down the rows tile by tile, so that a tile of A serves
    all panels and ``out`` is written row by row.
    """
    job, cut = load_record(table, Multiplication), load_record(table + 8 * DIVISION, Division)
    m, k, width = job.m, job.k, cut.width
    for panel in range(first, last):
        if not read_in_place(job, cut, panel):
            at = packed_at(job) + (panel - first) * k * width
            pack_panel(job.kind, job.b, job.n, k, panel * width, width, scratch, at)
    begin, stop = block * m // cut.blocks, (block + 1) * m // cut.blocks
    tiles, pairs = -(-(stop - begin) // MR), -(-(stop - begin) // 2)
    for i in range(tiles):  # of about as many rows, and those in pairs: see sized_tile
        low = begin + 2 * (i * pairs // tiles)
        rows = min(stop, begin + 2 * ((i + 1) * pairs // tiles)) - low
        a_row, a_step = (1, m) if job.kind == TN else (k, 1)
        a = job.a + 4 * low * a_row
        if cut.pack_a:
            a_row, a = k + VL, scratch + 4 * SCRATCH
            for r in range(rows):
                copy_row(job.a, (low + r) * k, k, scratch, SCRATCH + r * a_row, k)
        row_of_tiles(table, first, last, low, rows, a, a_row, a_step, scratch)


@c_function(3)
def take_tasks(table, thread, threads):
    """Take one task after another from the shared counter until there are none."""
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
    """The table of a job that is cut up so; its address."""
    table = aligned(address(workspace))
    m, n, first, second = out.shape[0], out.shape[1], address(a), address(b)
    if cut.swap:
        m, n, first, second = n, m, second, first
    base = table + 8 * TABLE
    store_record(
        table, Multiplication(multiply_tile, kind, first, second, address(out), m, n, k, base)
    )
    store_record(table + 8 * DIVISION, cut)
    single_run(table + 8 * RUNS, k)
    store_index(table, NEXT_TASK, 0)
    return table


@entry
def multiply(multiply_tile, tasks, kind, a, b, out, desk, threads):
    """out = op(a) op(b), float32; threads at the desk help if ``threads`` are more than this one.

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
    """Whether NumPy's own record says what the signature says; ``model`` is a plain array's.

    Numba takes masked arrays and matrices for arrays, and keeps one type for all of a dtype that
    are strided, misaligned or of the other byte order: the first of them that it meets in a
    process stands for the rest.
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
    """Do it at once if all is well and it takes less than ``limit`` multiply-adds.

    False, and nothing done, where a check may have something to say, or a team something to do.
    TypeError where the arrays are not C-contiguous matrices of float32, as the array at the
    address ``model`` is.
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
