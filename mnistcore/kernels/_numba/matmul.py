"""The matrix products of the first tier, as jobs of tasks.

Their C function is compiled when this module is imported: at the first product, not before.
"""

import numpy as np
from numba import njit, types

from .division import NT, TN, division
from .functions import OPTIONS, c_function, entry, inner, pointer
from .simd import (
    ALIGNMENT,
    LANES,
    address,
    aligned_address,
    array_object,
    atomic_add,
    call,
    load_block,
    load_index,
    load_int32,
    load_scalar,
    set_float_mode,
    store_block,
    store_index,
    store_scalar,
    transpose,
)
from .team import flush_denormals, lead
from .tile import SCRATCH, TILE_ROWS, copy_row, single_run

# The table of a job, int64: addresses, sizes, how it is cut up, a run of terms for the tile, and
# on another cache line the counter that the threads share.
MULTIPLY, KIND, A, B, OUT, ROWS, COLUMNS, TERMS = range(8)
WIDTH, GROUP_PANELS, BLOCKS, PACK_A, SWAP, ROOM, BASE, RUNS = range(8, 16)
NEXT_TASK = 32
TABLE = 48  # its length; so many float32 take twice as many


@inner
def _pack_panel(kind, b, n, k, column, width, target, offset):
    """Columns of B, (k, n) or (n, k) for NT, as a panel (k, width), zeros behind the last."""
    columns = min(width, n - column)
    if kind != NT:
        for i in range(k):
            copy_row(b, i * n + column, columns, target, offset + i * width, width)
        return
    for c in range(0, width, LANES):
        whole = k // LANES * LANES if c + LANES <= columns else 0
        for i in range(0, whole, LANES):
            block = transpose(load_block(b, (column + c) * k + i, k))
            store_block(block, target, offset + i * width + c, width)
        for i in range(whole, k):
            for lane in range(c, c + LANES):
                value = np.float32(0.0)
                if lane < columns:
                    value = load_scalar(b, (column + lane) * k + i)
                store_scalar(target, offset + i * width + lane, value)


@inner
def _copy_tile(job, tile, rows, columns, low, column):
    """A tile from the scratch at ``tile`` to its place in ``out``."""
    out, width = load_index(job, OUT), load_index(job, WIDTH)
    m, n = load_index(job, ROWS), load_index(job, COLUMNS)
    if load_index(job, SWAP):  # out is (n, m)
        for c in range(columns):
            for r in range(rows):
                value = load_scalar(tile, r * width + c)
                store_scalar(out, (column + c) * m + low + r, value)
        return
    for r in range(rows):
        copy_row(tile, r * width, columns, out, (low + r) * n + column, columns)


@inner
def _read_in_place(job, panel):
    """Whether a panel is used once, and whole, so that packing it gains nothing."""
    whole = (panel + 1) * load_index(job, WIDTH) <= load_index(job, COLUMNS)
    return whole and load_index(job, SWAP) != 0


@inner
def _row_of_tiles(job, first, last, low, rows, a, a_row, a_step, scratch, packed):
    """``rows`` rows of the panels [first, last), from the rows of op(A) at the address ``a``."""
    k, width, n = load_index(job, TERMS), load_index(job, WIDTH), load_index(job, COLUMNS)
    for panel in range(first, last):
        column = panel * width
        columns, b, b0, b_row = min(width, n - column), scratch, packed, width
        b0 += (panel - first) * k * width
        if _read_in_place(job, panel):
            b, b0, b_row = load_index(job, B), column, n
        straight = columns == width and not load_index(job, SWAP)
        out, out_row = scratch, width
        if straight:
            out, out_row = load_index(job, OUT) + 4 * (low * n + column), n
        call(load_index(job, MULTIPLY), (
            rows, width, a, 0, a_row, a_step, b, b0, b_row, job + 8 * RUNS, 1, out, out_row,
        ))  # fmt: skip
        if not straight:
            _copy_tile(job, scratch, rows, columns, low, column)


@inner
def _do_task(job, first, last, block, scratch):
    """The columns of the panels [first, last) in one block of rows.

    It packs the panels of B, then goes down the rows tile by tile, so that a tile of A serves
    all panels and ``out`` is written row by row.
    """
    kind, k, width = load_index(job, KIND), load_index(job, TERMS), load_index(job, WIDTH)
    m, n, blocks = load_index(job, ROWS), load_index(job, COLUMNS), load_index(job, BLOCKS)
    left, packed = load_index(job, A), SCRATCH + TILE_ROWS * (k + LANES)
    for panel in range(first, last):
        if not _read_in_place(job, panel):
            at = packed + (panel - first) * k * width
            _pack_panel(kind, load_index(job, B), n, k, panel * width, width, scratch, at)
    begin, stop = block * m // blocks, (block + 1) * m // blocks
    tiles, pairs = -(-(stop - begin) // TILE_ROWS), -(-(stop - begin) // 2)
    for i in range(tiles):  # of about as many rows, and those in pairs: see _tile_of
        low = begin + 2 * (i * pairs // tiles)
        rows = min(stop, begin + 2 * ((i + 1) * pairs // tiles)) - low
        a_row, a_step = (1, m) if kind == TN else (k, 1)
        a = left + 4 * low * a_row
        if load_index(job, PACK_A):
            a_row, a = k + LANES, scratch + 4 * SCRATCH
            for r in range(rows):
                copy_row(left, (low + r) * k, k, scratch, SCRATCH + r * a_row, k)
        _row_of_tiles(job, first, last, low, rows, a, a_row, a_step, scratch, packed)


@c_function(3)
def take_tasks(job, thread, threads):
    """Take one task after another from the shared counter until there are none."""
    panels = -(-load_index(job, COLUMNS) // load_index(job, WIDTH))
    blocks, group = load_index(job, BLOCKS), load_index(job, GROUP_PANELS)
    scratch = load_index(job, BASE) + 4 * thread * load_index(job, ROOM)
    mode = flush_denormals()
    while True:
        task = atomic_add(job, NEXT_TASK, 1)
        first = task // blocks * group
        if first >= panels:
            break
        _do_task(job, first, min(first + group, panels), task % blocks, scratch)
    set_float_mode(mode)


@inner
def _workspace_of(cut, threads):
    """Room for the table, and for each thread's scratch."""
    return np.empty(2 * TABLE + threads * cut[5] + ALIGNMENT, np.float32)


@inner
def _write_table(workspace, tile, kind, a, b, out, k, cut):
    """The table of a job that is cut up so; its address."""
    job = aligned_address(workspace)
    width, group, blocks, pack_a, swap, room = cut
    m, n, first, second = out.shape[0], out.shape[1], address(a), address(b)
    if swap:
        m, n, first, second = n, m, second, first
    store_index(job, MULTIPLY, tile)
    store_index(job, KIND, kind)
    store_index(job, A, first)
    store_index(job, B, second)
    store_index(job, OUT, address(out))
    store_index(job, ROWS, m)
    store_index(job, COLUMNS, n)
    store_index(job, TERMS, k)
    store_index(job, WIDTH, width)
    store_index(job, GROUP_PANELS, group)
    store_index(job, BLOCKS, blocks)
    store_index(job, PACK_A, pack_a)
    store_index(job, SWAP, swap)
    store_index(job, ROOM, room)
    store_index(job, BASE, job + 8 * TABLE)
    single_run(job + 8 * RUNS, k)
    store_index(job, NEXT_TASK, 0)
    return job


TASKS = pointer(take_tasks)


@entry
def multiply(tile, tasks, kind, a, b, out, desk, threads):
    """out = op(a) op(b), with the members at the desk if ``threads`` are more than this one.

    ``tile`` and ``tasks`` are the pointers of the tile and of :func:`take_tasks`.
    """
    k = a.shape[0] if kind == TN else a.shape[1]
    cut = division(kind, out.shape[0], out.shape[1], k, threads)
    workspace = _workspace_of(cut, threads)
    lead(desk, tasks, _write_table(workspace, tile, kind, a, b, out, k, cut), threads)
    # Numba frees an array after its last use, and knows nothing of addresses.
    workspace[0] = np.float32(0.0)


_MATRIX = types.float32[:, ::1]

# Where an array of NumPy's keeps its class and its dtype, in int64, and its flags, in int32: the
# class ends the header of any Python object; data, number of dimensions, lengths, strides and
# base follow (``ndarraytypes.h``).
_CLASS = object.__basicsize__ // 8 - 1
_DTYPE = _CLASS + 6
_FLAGS = 2 * (_DTYPE + 1)
_PLAIN = 0x1 | 0x100  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED


@inner
def _is_plain(array, model):
    """Whether NumPy's own record says what the signature says; ``model`` is a plain array's.

    Numba takes masked arrays and matrices for arrays, and keeps one type for all of a dtype that
    are strided, misaligned or of the other byte order: the first of them that it meets in a
    process stands for the rest.
    """
    record = array_object(array)
    alike = load_index(record, _CLASS) == load_index(model, _CLASS)
    alike = alike and load_index(record, _DTYPE) == load_index(model, _DTYPE)
    return alike and load_int32(record, _FLAGS) & _PLAIN == _PLAIN


@inner
def _overlap(x, y):
    first, second = address(x), address(y)
    return first < second + 4 * y.size and second < first + 4 * x.size


@njit(
    types.boolean(
        types.int64, types.int64, types.int64, types.int64, _MATRIX, _MATRIX, _MATRIX, types.int64
    ),
    **OPTIONS,
    cache=True,
)
def multiply_small(tile, tasks, model, kind, a, b, out, limit):
    """Do it at once if all is well and it takes less than ``limit`` multiply-adds.

    False, and nothing done, where a check may have something to say, or a team something to do.
    TypeError where the arrays are not C-contiguous matrices of float32, as the array at the
    address ``model`` is.
    """
    if not (_is_plain(a, model) and _is_plain(b, model) and _is_plain(out, model)):
        return False
    k, m = a.shape
    if kind != TN:
        m, k = k, m
    terms, n = b.shape
    if kind == NT:
        terms, n = n, terms
    if terms != k or out.shape[0] != m or out.shape[1] != n or m * n * k >= limit:
        return False
    if _overlap(a, out) or _overlap(b, out):
        return False
    multiply(tile, tasks, kind, a, b, out, 0, 1)
    return True
