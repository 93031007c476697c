"""Products with one or two vectors, which would fill one row or one lane of a tile."""

import numpy as np

from .functions import inner
from .machine import VL
from .memory import store_scalar
from .tile import ONE, add_outer, load_tile, store_tile, zero_tile
from .vectors import fma, load, load_first, splat, total

FEW = 2  # vectors for which a tile does not pay
ROWS = 4  # of A that are read side by side
TERMS = 8  # of the sums that are added at a time
STRETCH = 1024  # columns whose sums stay in the L1 cache


@inner
def dot_products(a, a_row, rows, b, k, out, out_row):
    """Compute the dot products of b and rows of A, at most 4 of them, of k terms each.

    The lanes of a vector are partial sums, each of every VL-th term. In place of missing rows the
    last one is computed again.
    """
    second, third, fourth = min(1, rows - 1), min(2, rows - 1), min(3, rows - 1)
    sum0 = sum1 = sum2 = sum3 = splat(np.float32(0))
    for i in range(0, k - VL + 1, VL):
        terms = load(b, i)
        sum0 = fma(load(a, i), terms, sum0)
        sum1 = fma(load(a, second * a_row + i), terms, sum1)
        sum2 = fma(load(a, third * a_row + i), terms, sum2)
        sum3 = fma(load(a, fourth * a_row + i), terms, sum3)
    left = k % VL
    if left:
        i = k - left
        terms = load_first(b, i, left)
        sum0 = fma(load_first(a, i, left), terms, sum0)
        sum1 = fma(load_first(a, second * a_row + i, left), terms, sum1)
        sum2 = fma(load_first(a, third * a_row + i, left), terms, sum2)
        sum3 = fma(load_first(a, fourth * a_row + i, left), terms, sum3)
    store_scalar(out, 0, total(sum0))
    store_scalar(out, second * out_row, total(sum1))
    store_scalar(out, third * out_row, total(sum2))
    store_scalar(out, fourth * out_row, total(sum3))


@inner(forceinline=True)
def add_rows(tile, a, a_row, a_step, b, b_row, terms, columns, sums, sums_row):
    """Add the products of some columns of A and rows of B to the sums of as many rows as a tile."""
    for column in range(0, columns, VL):
        part = load_tile(tile, sums, column, sums_row)
        for i in range(terms):
            part = add_outer(part, a, i * a_step, a_row, b, i * b_row + column)
        store_tile(part, sums, column, sums_row)


@inner
def stream(tile, a, a_row, a_step, b, b_row, k, columns, sums, sums_row):
    """Compute a few rows of a product, reading rows of B side by side."""
    for start in range(0, columns, STRETCH):
        n = min(STRETCH, columns - start)
        at = sums + 4 * start
        for column in range(0, n, VL):
            store_tile(tile, at, column, sums_row)
        first, row, column = 0, b + 4 * start, a
        while first + TERMS <= k:
            add_rows(tile, column, a_row, a_step, row, b_row, TERMS, n, at, sums_row)
            first += TERMS
            row += 4 * TERMS * b_row
            column += 4 * TERMS * a_step
        add_rows(tile, column, a_row, a_step, row, b_row, k - first, n, at, sums_row)


@inner
def stream_rows(rows, a, a_row, a_step, b, b_row, k, columns, sums, sums_row):
    """Compute sums[r, c] = sum over i of A[r, i] B[i, c], for whole vectors of columns."""
    if rows == 1:
        stream(zero_tile(1, ONE), a, a_row, a_step, b, b_row, k, columns, sums, sums_row)
    else:
        stream(zero_tile(2, ONE), a, a_row, a_step, b, b_row, k, columns, sums, sums_row)
