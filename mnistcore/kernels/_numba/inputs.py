"""The gather: a batch of uint8 or float32 rows becomes scaled floats, zero columns left out.

Four fifths of MNIST's pixels are 0, and a third of the pixel columns are 0 in every image of a
batch. Such a column adds exactly nothing to the products of the first layer, so the gather lists
the other columns, the active ones, and stores them side by side. Data without zeros skips
nothing.
"""

import numpy as np
from numba import njit

from .simd import FAST_MATH, LANES, fma, load_input, splat, store, store_scalar


@njit(fastmath=FAST_MATH, nogil=True)
def note_rows(x, samples, fan_in, skip, seen):
    """Mark in ``seen`` (fan_in,) uint8 the columns that are not zero in some of the samples.

    It runs early in the step before: reading the rows also brings them into the cache.
    """
    seen[:] = np.uint8(0 if skip else 1)
    if skip:
        for sample in samples:
            row = x[sample * fan_in : (sample + 1) * fan_in]
            for i in range(fan_in):
                seen[i] |= np.uint8(row[i] != 0)


@njit(fastmath=FAST_MATH, nogil=True)
def find_active(seen, threads, skip, active):
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
def gather_rows(
    x, samples, fan_in, first, stop, active, n_active, scale, shift, base, target, leading
):
    """Write rows [first, stop) of a batch, active columns only, as ``x * scale + shift``.

    Runs of consecutive columns are converted in whole vectors; what a vector brings along from
    behind its run is overwritten by the next run, or lies behind the row's last column.
    """
    scales, shifts = splat(scale), splat(shift)
    position = 0
    while position < n_active:
        column = active[position]
        length = 1
        while position + length < n_active and active[position + length] == column + length:
            length += 1
        for b in range(first, stop):
            source = samples[b] * fan_in + column
            out = target + b * leading + position
            for i in range(0, length, LANES):
                if source + i + LANES <= len(x):
                    store(base, out + i, fma(load_input(x, source + i), scales, shifts))
                else:
                    for j in range(i, length):
                        store_scalar(base, out + j, np.float32(x[source + j]) * scale + shift)
        position += length
