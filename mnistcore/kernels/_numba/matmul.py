"""The matrix products of the first tier: what one thread of a team does."""

from functools import lru_cache

import numpy as np
from numba import njit

from .simd import (
    FAST_MATH,
    LANES,
    address,
    aligned_address,
    atomic_add,
    call,
    load_block,
    load_scalar,
    store_block,
    store_scalar,
    transpose,
)
from .tiles import SCRATCH, TILE_ROWS, copy_row, panel_width, single_run

NN, TN, NT = 0, 1, 2  # which operand of a product is transposed

GROUP = 1 << 17  # floats of B that are packed together: half of a small L2 cache
A_STEP = 16  # floats from one term of the sum to the next in a packed tile of A
SET_STRIDE = 1024  # floats: rows that lie a multiple of it apart share a set of the L1 cache


@lru_cache(maxsize=1024)
def division(kind: int, m: int, n: int, k: int, threads: int) -> tuple[int, int, int, bool, int]:
    """How a product is cut up.

    Returns
    -------
    width, group, blocks, pack_a, room
        Columns of a panel; panels that are packed together; blocks of rows that a group is cut
        into, two tasks for each thread but no more packing than that needs; whether tiles of A
        are packed, because their rows would evict each other or lie in too many pages; the
        floats of scratch that a thread needs.
    """
    width = panel_width(n)
    panels = -(-n // width)
    group = min(panels, max(1, GROUP // max(1, k * width)))
    groups = -(-panels // max(1, group))
    blocks = 1
    if threads > 1 and groups:
        blocks = min(-(-2 * threads // groups), -(-m // TILE_ROWS))
    pack_a = group > 1 and (kind == TN or k % SET_STRIDE == 0)
    return width, group, blocks, pack_a, k * A_STEP * 2 + group * k * width + SCRATCH


@njit(fastmath=FAST_MATH, nogil=True)
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


@njit(fastmath=FAST_MATH, nogil=True)
def _pack_a(kind, a, m, k, low, rows, target):
    """Rows of op(A) to ``target``: (the distance of two rows, of two terms of the sum)."""
    if kind == TN:
        for i in range(k):
            copy_row(a, i * m + low, rows, target, i * A_STEP, A_STEP)
        return 1, A_STEP
    leading = k + LANES
    for r in range(rows):
        for i in range(0, k, LANES):  # LANES divides k: it is a multiple of SET_STRIDE
            copy_row(a, (low + r) * k + i, LANES, target, r * leading + i, LANES)
    return leading, 1


@njit(fastmath=FAST_MATH, nogil=True, cache=True)
def product(
    multiply, thread, tasks, kind, a, b, out, k, workspace, width, group, blocks, pack_a, room,
):  # fmt: skip
    """Take (group of panels, block of rows) after (group, block) from a shared counter.

    A thread that wakes late takes fewer. For each it packs the panels of B, then goes down the
    rows tile by tile, so that a tile of A serves all panels and ``out`` is written row by row.
    ``tasks`` is the counter, and room for a run of terms behind it; ``workspace`` has ``room``
    floats a thread.
    """
    m, n = out.shape
    left, right, result = address(a), address(b), address(out)
    base = aligned_address(workspace)
    scratch, panels = thread * room, -(-n // width)
    tile_of_a, packed = base + 4 * (scratch + SCRATCH), scratch + SCRATCH + k * A_STEP * 2
    runs = address(tasks) + 8 * 8  # another cache line; every thread writes the same there
    n_runs = single_run(runs, k)
    while True:
        task = atomic_add(tasks, 0, 1)
        if task // blocks * group >= panels:
            break
        first, block = task // blocks * group, task % blocks
        last = min(first + group, panels)
        for panel in range(first, last):
            at = packed + (panel - first) * k * width
            _pack_panel(kind, right, n, k, panel * width, width, base, at)
        begin, stop = block * m // blocks, (block + 1) * m // blocks
        tiles, pairs = -(-(stop - begin) // TILE_ROWS), -(-(stop - begin) // 2)
        for i in range(tiles):  # of about as many rows, and those in pairs: see _tile_of
            low = begin + 2 * (i * pairs // tiles)
            rows = min(stop, begin + 2 * ((i + 1) * pairs // tiles)) - low
            a_row, a_step = (1, m) if kind == TN else (k, 1)
            start = left + 4 * low * a_row
            if pack_a:
                a_row, a_step = _pack_a(kind, left, m, k, low, rows, tile_of_a)
                start = tile_of_a
            for panel in range(first, last):
                columns = min(width, n - panel * width)
                to, row = result + 4 * (low * n + panel * width), n
                if columns < width:
                    to, row = base + 4 * scratch, width
                call(multiply, (
                    rows, width, start, 0, a_row, a_step, base,
                    packed + (panel - first) * k * width, width, runs, n_runs, to, row,
                ))  # fmt: skip
                if columns < width:
                    for r in range(rows):
                        position = (low + r) * n + panel * width
                        copy_row(base, scratch + r * width, columns, result, position, columns)
