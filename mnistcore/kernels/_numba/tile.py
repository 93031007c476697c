"""The matrix products: panels, and a tile of accumulators that lives in registers.

Why a tile. A product of (M, K) by (K, N) makes 2 M N K flops out of M K + K N numbers, but a loop
that multiplies one number by one vector loads as much as it computes. A tile of R rows and V
vectors keeps R * V sums in registers; for each k it loads R single numbers (broadcast by the
load itself) and V vectors, and does R * V multiply-adds with them. AVX-512 has 32 registers:
14 x 2 accumulators, 2 vectors of B and one spare, so 28 FMAs for 16 loads. AVX2 has 16 registers:
6 x 2 accumulators, 12 FMAs for 8 loads. Either way the FMA units, not the loads, are the limit,
and there are more independent sums than the 8 that hide an FMA's latency.

Why panels. B is read V vectors at a time, all k in turn. Stored as *panels* (K, width), that is
one stream of consecutive cache lines; stored as rows of a wide matrix, each k would touch
another page, and with a power of two as the width the same few sets of the L1 cache.

A is read in place, row-major or transposed alike: only the broadcast loads know the difference.
"""

from numba.extending import register_jitable

from .functions import c_function, inner
from .simd import (
    LANES,
    add_outer,
    load_first,
    load_index,
    load_int32,
    row_length,
    store_first,
    store_index,
    store_tile,
    zero_tile,
)

TILE_ROWS = 14 if LANES == 16 else 6
PANEL = 2 * LANES  # columns of a wide panel
# Floats that a tile takes, in whole square blocks, and behind it one such block.
TILE = -(-TILE_ROWS // LANES) * LANES * PANEL
SCRATCH = TILE + LANES * LANES

# The one or two vectors of a panel, as tuples whose length the compiler knows.
_ONE, _TWO = (0,), (0, 0)


@register_jitable
def panel_width(n: int) -> int:
    """Columns of the panels of a matrix with n columns: two vectors, or one that pads less."""
    wide = -(-n // PANEL) * PANEL
    narrow = -(-n // LANES) * LANES
    return LANES if 10 * wide > 11 * narrow else PANEL


@inner
def _accumulate(tile, a, a0, a_row, a_step, b, b0, b_step, runs, n_runs, out, ld, done):
    """The micro-kernel: one chain of multiply-adds for every sum of the tile, run after run."""
    for run in range(n_runs):
        position = a0 + load_index(runs, 3 * run)
        row_of_b = b0 + load_index(runs, 3 * run + 1)
        for _ in range(load_index(runs, 3 * run + 2)):
            tile = add_outer(tile, a, position, a_row, b, row_of_b)
            position += a_step
            row_of_b += b_step
    store_tile(tile, out, done * ld, ld)


@inner
def _low_tile(rows, columns, a, a0, ar, at, b, b0, bt, runs, n, out, ld):
    if rows == 6:
        _accumulate(zero_tile(6, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, 0)
    elif rows == 4:
        _accumulate(zero_tile(4, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, 0)
    elif rows == 2:
        _accumulate(zero_tile(2, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, 0)


@inner
def _high_tile(rows, columns, a, a0, ar, at, b, b0, bt, runs, n, out, ld):
    if rows <= 6:
        _low_tile(rows, columns, a, a0, ar, at, b, b0, bt, runs, n, out, ld)
    elif rows == 14:
        _accumulate(zero_tile(14, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, 0)
    elif rows == 12:
        _accumulate(zero_tile(12, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, 0)
    elif rows == 10:
        _accumulate(zero_tile(10, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, 0)
    else:
        _accumulate(zero_tile(8, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, 0)


_even_tile = _high_tile if TILE_ROWS == 14 else _low_tile


@inner
def _tile_of(rows, columns, a, a0, ar, at, b, b0, bt, runs, n, out, ld):
    """The number of rows must be known to the compiler: even heights, and one row for the rest."""
    even = rows - rows % 2
    _even_tile(even, columns, a, a0, ar, at, b, b0, bt, runs, n, out, ld)
    if rows % 2:
        a0 += even * ar
        _accumulate(zero_tile(1, columns), a, a0, ar, at, b, b0, bt, runs, n, out, ld, even)


@c_function(13)
def multiply(rows, width, a, a0, a_row, a_step, b, b0, b_step, runs, n_runs, out, ld):
    """One tile: out[r, c] = sum over i of A[r, i] B[i, c], ``rows`` x ``width`` floats.

    The rows of ``out`` are ``ld`` floats apart. A[r, i] stands at
    ``a + a0 + r * a_row + i * a_step`` (row-major: a_row = leading dimension, a_step = 1;
    transposed: the other way round), row i of B, one panel row, at ``b + b0 + i * b_step``. The
    sum is cut into runs of consecutive i, each three int64 at the address ``runs``: what to add
    to a0, what to add to b0, how many i. So A can be read from packed panels. ``rows`` is at
    most TILE_ROWS, ``width`` is LANES or PANEL. Each sum is one chain over i, so its bits depend
    on nothing but its own row and column.
    """
    if width == PANEL:
        _tile_of(rows, _TWO, a, a0, a_row, a_step, b, b0, b_step, runs, n_runs, out, ld)
    else:
        _tile_of(rows, _ONE, a, a0, a_row, a_step, b, b0, b_step, runs, n_runs, out, ld)


BLOCK = 8  # rows of a tile whose terms are listed


@inner
def _accumulate_listed(tile, a, a0, a_row, a_step, b, b0, b_step, terms, out, done):
    # A loop whose length LLVM cannot foresee is not unrolled: unrolled, the tile would not fit
    # the registers any more.
    k, term = 0, load_int32(terms, 0)
    while term >= 0:
        tile = add_outer(tile, a, a0 + term * a_step, a_row, b, b0 + term * b_step)
        k += 1
        term = load_int32(terms, k)
    store_tile(tile, out, done * row_length(tile), row_length(tile))


@inner
def _listed_tiles(rows, columns, a, a0, ar, at, b, b0, bt, terms, out):
    """Tiles of 8, 4 and 1 rows: low ones are rare, and each height costs compile time."""
    r = 0
    while rows - r >= BLOCK and TILE_ROWS >= BLOCK:
        _accumulate_listed(zero_tile(8, columns), a, a0 + r * ar, ar, at, b, b0, bt, terms, out, r)
        r += 8
    while rows - r >= 4:
        _accumulate_listed(zero_tile(4, columns), a, a0 + r * ar, ar, at, b, b0, bt, terms, out, r)
        r += 4
    while r < rows:
        _accumulate_listed(zero_tile(1, columns), a, a0 + r * ar, ar, at, b, b0, bt, terms, out, r)
        r += 1


@c_function(11)
def multiply_listed(rows, width, a, a0, a_row, a_step, b, b0, b_step, terms, out):
    """The same over listed terms: i is each int32 at the address ``terms``, up to a negative one.

    Where A is zero in all rows of a tile, its terms add nothing and are left out. The lower the
    tile, the more terms are: eight rows are enough independent sums for the FMA units.
    """
    if width == PANEL:
        _listed_tiles(rows, _TWO, a, a0, a_row, a_step, b, b0, b_step, terms, out)
    else:
        _listed_tiles(rows, _ONE, a, a0, a_row, a_step, b, b0, b_step, terms, out)


@inner
def single_run(runs, n):
    """Write one run of n terms to the address ``runs``; the number of runs, 1."""
    store_index(runs, 0, 0)
    store_index(runs, 1, 0)
    store_index(runs, 2, n)
    return 1


@inner
def tile_height(n):
    """Rows of the tiles that n rows are cut into: an even number, as equal as can be."""
    tiles = -(-n // TILE_ROWS)
    return 2 * -(-n // (2 * tiles)) if tiles > 0 else 2


@inner
def copy_row(source, position, n, target, target_position, width):
    """Copy n floats into a row of ``width`` floats, zeros behind them; nothing else is touched."""
    for i in range(0, width, LANES):
        row = load_first(source, position + i, n - i)
        store_first(target, target_position + i, row, width - i)
