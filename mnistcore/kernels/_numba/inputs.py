"""The gather: a batch of uint8 or float32 rows becomes scaled floats, zero columns left out.

Four fifths of MNIST's pixels are 0, and a third of the pixel columns are 0 in every image of a
batch. Such a column adds exactly nothing to the products of the first layer, so the gather lists
the other columns, the active ones, and stores them side by side. Data without zeros skips
nothing.
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

LINE = 64  # bytes of a cache line


@njit(fastmath=FAST_MATH, nogil=True)
def prefetch_rows(x, samples, fan_in):
    """Ask for the rows of samples that will be needed a step from now."""
    step = LINE // x.itemsize
    for sample in samples:
        for i in range(sample * fan_in, (sample + 1) * fan_in, step):
            prefetch_input(x, i)


@njit(fastmath=FAST_MATH, nogil=True)
def note_rows(x, samples, fan_in, skip, seen):
    """Mark in ``seen`` (fan_in,) uint8 the columns that are not zero in some of the samples."""
    seen[:] = np.uint8(0 if skip else 1)
    if skip:
        for sample in samples:
            row = x[sample * fan_in : (sample + 1) * fan_in]
            for i in range(fan_in):
                seen[i] |= np.uint8(row[i] != 0)


@njit(fastmath=FAST_MATH, nogil=True)
def find_active(seen, threads, active):
    """List the columns that any thread has seen, ascending, then the others; how many there are."""
    fan_in = len(active)
    n_active, n_idle = 0, 0
    for i in range(fan_in):
        marked = np.int64(0)
        for thread in range(threads):
            marked |= seen[thread, i]
        # Both places are written, one of them counts: no branch to mispredict.
        active[fan_in - 1 - n_idle] = i if not marked else active[fan_in - 1 - n_idle]
        active[n_active] = i if marked else active[n_active]
        n_active += marked
        n_idle += 1 - marked
    return n_active


@njit(fastmath=FAST_MATH, nogil=True)
def find_blocks(active, n_active, blocks):
    """Cut the active columns into blocks of at most LANES neighbours; how many there are.

    ``blocks`` (fan_in, 2): a block's first column, and its position among the active ones.
    """
    n = 0
    first = -1 - LANES
    start = 0
    for position in range(n_active):
        column = active[position]
        # A new block where the columns have a gap, or the vector is full.
        if column - first != position - start or position - start == LANES:
            blocks[n, 0], blocks[n, 1] = column, position
            first, start = column, position
            n += 1
    return n


@njit(fastmath=FAST_MATH, nogil=True)
def gather_rows(
    x, samples, fan_in, first, stop, blocks, n_blocks, scale, shift, base, target, leading
):
    """Write rows [first, stop) of a batch, active columns only, as ``x * scale + shift``.

    A block is converted as a whole vector; what it brings along from behind its columns is
    overwritten by the next block, or lies behind the row's last column.
    """
    scales, shifts = splat(scale), splat(shift)
    for b in range(first, stop):
        source, out = samples[b] * fan_in, target + b * leading
        for block in range(n_blocks):
            position = source + blocks[block, 0]
            if position + LANES <= len(x):
                values = load_input(x, position)
            else:
                values = load_input_first(x, position, len(x) - position)
            store(base, out + blocks[block, 1], fma(values, scales, shifts))
