"""The input layer: a batch of uint8 or float32 rows becomes scaled floats; its zero columns.

Four fifths of MNIST's pixels are 0, and a third of the pixel columns are 0 in every image of a
batch. Such a column adds exactly nothing to the products of the first layer, so the gather marks
the other columns, the active ones: the forward product reads only them, and the weight gradient
is cut into tiles that cover them. Data without zeros skips nothing.
"""

import numpy as np
from numba import njit

from .simd import (
    FAST_MATH,
    LANES,
    fma,
    load_input,
    load_input_first,
    prefetch_input,
    splat,
    store,
)
from .team import share
from .tiles import single_run, tile_height

LINE = 64  # bytes of a cache line
GAP = 2  # zero columns that are cheaper to compute than to go around

# The rows of a thread's lists of columns.
ACTIVE = 0  # the columns that are not all zero, ascending
TILE_FIRST = 1  # the first column of each tile
TILE_ROWS_OF = 2  # its number of columns
IDLE = 3  # the columns outside the tiles
LISTS = 4


@njit(fastmath=FAST_MATH, nogil=True)
def prefetch_share(x, order, batch_size, fan_in, thread, threads):
    """Ask for this thread's rows of the batch that ``order`` begins with, needed a step later."""
    first, stop = share(min(batch_size, len(order)), thread, threads)
    step = LINE // x.itemsize
    for sample in order[first:stop]:
        for i in range(sample * fan_in, (sample + 1) * fan_in, step):
            prefetch_input(x, i)


@njit(fastmath=FAST_MATH, nogil=True)
def gather_rows(x, samples, fan_in, first, stop, scale, shift, base, target, leading, seen):
    """Write rows [first, stop) of a batch as ``x * scale + shift``.

    ``seen`` (fan_in,) uint8 is left nonzero where a column is not zero in all of these rows.
    """
    seen[:] = np.uint8(0)
    scales, shifts = splat(scale), splat(shift)
    for b in range(first, stop):
        source, out = samples[b] * fan_in, target + b * leading
        row = x[source : source + fan_in]
        for i in range(fan_in):
            seen[i] |= np.uint8(row[i] != 0)
        done = 0
        while done + LANES <= fan_in:
            store(base, out + done, fma(load_input(x, source + done), scales, shifts))
            done += LANES
        if done < fan_in:
            values = load_input_first(x, source + done, fan_in - done)
            store(base, out + done, fma(values, scales, shifts))


@njit(fastmath=FAST_MATH, nogil=True)
def cover(lists, n_tiles, first, n):
    """Append equal tiles of neighbouring columns [first, first + n); the number of tiles."""
    height = tile_height(n)
    for top in range(first, first + n, height):
        lists[TILE_FIRST, n_tiles] = top
        lists[TILE_ROWS_OF, n_tiles] = min(height, first + n - top)
        n_tiles += 1
    return n_tiles


@njit(fastmath=FAST_MATH, nogil=True)
def list_columns(lists, runs, seen, threads, skip, width):
    """List what the first layer reads: (runs, tiles, idle columns).

    ``runs`` receives the runs of columns that any thread has seen, for weights in panels of
    ``width`` columns; ``lists`` (LISTS, fan_in) the tiles that cover them and the columns outside.
    """
    fan_in = seen.shape[1]
    if not skip:
        return single_run(runs, fan_in), cover(lists, 0, 0, fan_in), 0
    n_active = 0
    for i in range(fan_in):
        marked = np.int64(0)
        for thread in range(threads):
            marked |= seen[thread, i]
        lists[ACTIVE, n_active] = i  # counts or is overwritten: no branch to mispredict
        n_active += marked
    n_runs, n_tiles, n_idle, end, i = 0, 0, 0, 0, 0
    while i < n_active:
        first = lists[ACTIVE, i]
        i += 1
        while i < n_active and lists[ACTIVE, i] - lists[ACTIVE, i - 1] <= GAP + 1:
            i += 1
        n_idle = list_idle(lists, n_idle, end, first)
        end = lists[ACTIVE, i - 1] + 1
        n_tiles = cover(lists, n_tiles, first, end - first)
        runs[3 * n_runs], runs[3 * n_runs + 1] = first, first * width
        runs[3 * n_runs + 2] = end - first
        n_runs += 1
    return n_runs, n_tiles, list_idle(lists, n_idle, end, fan_in)


@njit(fastmath=FAST_MATH, nogil=True)
def list_idle(lists, n_idle, first, stop):
    """Append the columns [first, stop), none of them in a tile; the number of idle columns."""
    for i in range(first, stop):
        lists[IDLE, n_idle] = i
        n_idle += 1
    return n_idle
