"""The ladder in Numba, from a triple loop to the kernel that training runs on.

Every step is a function ``step(a, b, out)`` that computes ``out = a @ b``. What each one teaches
stands in ``problem.py``.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...kernels import numba_kernels
from ...kernels._numba.machine import VL, atomic_add
from ...kernels._numba.memory import address
from ...kernels._numba.team import enter, leave
from ...kernels.threads import WAKING, run_team, team_size
from ..compiling import compiled
from ..step import Step
from .arguments import blocks_of_rows, checked
from .problem import LESSONS


@checked
@compiled
def naive(a, b, out):
    """Apply the definition: each element of ``out`` is a row of a times a column of b."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@checked
@compiled
def loop_order(a, b, out):
    """Let a row of ``out`` grow term by term: the loops over k and j have changed places."""
    for i in range(out.shape[0]):
        out[i] = 0
        for k in range(a.shape[1]):
            factor = a[i, k]
            for j in range(out.shape[1]):
                out[i, j] += factor * b[k, j]


BLOCK = 1 << 16  # floats of a block of b: 256 KiB, which half of an L2 cache holds


@compiled
def _block_terms(n_columns):
    """Return how many rows of b make a block, a multiple of 4."""
    return max(4, BLOCK // n_columns // 4 * 4)


@checked
@compiled
def blocking(a, b, out):
    """Use one block of rows of b for all rows of a, while it is in the L2 cache."""
    terms = _block_terms(out.shape[1])
    out[:] = 0
    for k0 in range(0, a.shape[1], terms):
        for i in range(out.shape[0]):
            for k in range(k0, min(k0 + terms, a.shape[1])):
                factor = a[i, k]
                for j in range(out.shape[1]):
                    out[i, j] += factor * b[k, j]


@compiled
def _four(a, i, k):
    """Return four numbers of a row of a, which are broadcast once and stay in registers."""
    return a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]


@compiled
def _add_four(total, factors, terms):
    """Return total + the sum of four products, one FMA each."""
    total += factors[0] * terms[0]
    total += factors[1] * terms[1]
    total += factors[2] * terms[2]
    return total + factors[3] * terms[3]


@compiled
def _add_tile(a, i, k, b, out):
    """Add the 4 x 4 tile of a at (i, k) times rows k to k + 4 of b to rows i to i + 4 of out."""
    f0, f1, f2, f3 = _four(a, i, k), _four(a, i + 1, k), _four(a, i + 2, k), _four(a, i + 3, k)
    for j in range(out.shape[1]):
        terms = b[k, j], b[k + 1, j], b[k + 2, j], b[k + 3, j]
        out[i, j] = _add_four(out[i, j], f0, terms)
        out[i + 1, j] = _add_four(out[i + 1, j], f1, terms)
        out[i + 2, j] = _add_four(out[i + 2, j], f2, terms)
        out[i + 3, j] = _add_four(out[i + 3, j], f3, terms)


@checked
@compiled
def register_tile(a, b, out):
    """Go through a in tiles of 4 x 4; what whole tiles leave over is done as in blocking."""
    n_rows, n_terms = a.shape
    whole_rows, whole_terms = n_rows - n_rows % 4, n_terms - n_terms % 4
    terms = _block_terms(out.shape[1])
    out[:] = 0
    for k0 in range(0, whole_terms, terms):
        for i in range(0, whole_rows, 4):
            for k in range(k0, min(k0 + terms, whole_terms), 4):
                _add_tile(a, i, k, b, out)
    for i in range(n_rows):
        for k in range(whole_terms if i < whole_rows else 0, n_terms):
            for j in range(out.shape[1]):
                out[i, j] += a[i, k] * b[k, j]


# The totals of a tile take 8 x 2 of 32 registers, or 6 x 2 where there are only 16.
MR = 8 if VL == 16 else 6
NR = 2 * VL

_VECTOR = ir.VectorType(ir.FloatType(), VL)


@intrinsic
def multiply_tile(typingctx, a, at, a_row, b, bt, b_row, n_terms, out, ot, out_row):
    """Compute a tile of ``out``, MR x NR, in LLVM instructions.

    Row r of the tile of a begins at element at + r a_row of the array a, row k of that of b at
    bt + k b_row, and row r of the tile of ``out`` at ot + r out_row.
    """

    def generate(context, builder, signature, args):
        _write_tile(builder, MR, 2, _places(context, builder, signature.args, args))
        return context.get_dummy_value()

    n = types.int64
    return types.void(a, n, n, b, n, n, n, out, n, n), generate


def _write_tile(builder, rows, vectors, places):
    """Write the instructions of a tile. This runs once, while its caller is compiled.

    The loops over rows and vectors write instructions one after the other; only the loop over k
    becomes a loop in the machine code.
    """
    a, at, a_row, b, bt, b_row, n_terms, out, ot, out_row = places
    totals = [[cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, None))
               for _ in range(vectors)] for _ in range(rows)]  # fmt: skip
    with cgutils.for_range(builder, n_terms) as loop:
        k = loop.index
        start = builder.add(bt, builder.mul(k, b_row))
        row_of_b = [builder.load(_vector_at(builder, b, start, v), align=4)
                    for v in range(vectors)]  # fmt: skip
        for r in range(rows):
            position = _row_start(builder, builder.add(at, k), a_row, r)
            factor = _broadcast(builder, builder.load(builder.gep(a, [position])))
            for total, column in zip(totals[r], row_of_b, strict=True):
                builder.store(_fma(builder, factor, column, builder.load(total)), total)
    for r in range(rows):
        start = _row_start(builder, ot, out_row, r)
        for v, total in enumerate(totals[r]):
            builder.store(builder.load(total), _vector_at(builder, out, start, v), align=4)


def _places(context, builder, kinds, args):
    """Return the arguments of a tile, with pointers to its numbers in place of arrays."""
    return [context.make_array(kind)(context, builder, value).data
            if isinstance(kind, types.Array) else value
            for kind, value in zip(kinds, args, strict=True)]  # fmt: skip


def _row_start(builder, start, stride, r):
    return builder.add(start, builder.mul(stride, stride.type(r)))


def _vector_at(builder, array, start, v):
    """Return a pointer to the v-th vector after element ``start`` of an array."""
    place = builder.gep(array, [builder.add(start, start.type(v * VL))])
    return builder.bitcast(place, _VECTOR.as_pointer())


def _broadcast(builder, number):
    """Return a vector with a number in every lane, which the load itself may make."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), VL), None)
    return builder.shuffle_vector(first, first, lanes)


def _fma(builder, a, b, c):
    """Return a b + c, in one instruction if the machine has it."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    name = f"llvm.fmuladd.v{VL}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


@compiled
def _compute_rest(a, b, out, row, column):
    """Compute rows from ``row`` on, and columns from ``column`` on, as in loop order."""
    for i in range(len(out)):
        rest = out[i, column if i < row else 0 :]
        rest[:] = 0
        for k in range(a.shape[1]):
            factor, terms = a[i, k], b[k, out.shape[1] - len(rest) :]
            for j in range(len(rest)):
                rest[j] += factor * terms[j]


@checked
@compiled
def vectors(a, b, out):
    """Keep a tile of ``out`` in registers for the whole sum over k."""
    (n_rows, n_terms), n = a.shape, out.shape[1]
    row, column = n_rows - n_rows % MR, n - n % NR  # after whole tiles
    for j in range(0, column, NR):
        for i in range(0, row, MR):
            multiply_tile(a, i * n_terms, n_terms, b, j, n, n_terms, out, i * n + j, n)
    _compute_rest(a, b, out, row, column)


@compiled
def _pack_panel(b, j, panel):
    """Copy columns of b, from j on, to a panel without gaps, with zeros after the last column."""
    columns = min(panel.shape[1], b.shape[1] - j)
    for k in range(len(b)):
        row, packed = b[k, j : j + columns], panel[k]
        for c in range(columns):
            packed[c] = row[c]
        packed[columns:] = 0


@checked
@compiled
def packing(a, b, out):
    """Copy a panel of b together before all rows of a are multiplied with it."""
    (n_rows, n_terms), n = a.shape, out.shape[1]
    row, column = n_rows - n_rows % MR, n - n % NR
    panel = np.empty((n_terms, NR), np.float32)
    for j in range(0, column, NR):
        _pack_panel(b, j, panel)
        for i in range(0, row, MR):
            multiply_tile(a, i * n_terms, n_terms, panel, 0, NR, n_terms, out, i * n + j, n)
    _compute_rest(a, b, out, row, column)


@intrinsic
def multiply_any_tile(
    typingctx, height, width, a, at, a_row, b, bt, b_row, n_terms, out, ot, out_row
):
    """Compute a tile of 1 to MR rows and VL or NR columns: one of twice MR versions."""

    def generate(context, builder, signature, args):
        height, width, *places = _places(context, builder, signature.args, args)
        for rows in range(1, MR + 1):
            with builder.if_then(builder.icmp_signed("==", height, height.type(rows))):
                narrow = builder.icmp_signed("==", width, width.type(VL))
                with builder.if_else(narrow) as (one_vector, two_vectors):
                    with one_vector:
                        _write_tile(builder, rows, 1, places)
                    with two_vectors:
                        _write_tile(builder, rows, 2, places)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, a, n, n, b, n, n, n, out, n, n), generate


@compiled
def _packed(b, j, space):
    """Return columns of b, from j on, as a panel: of one vector if no more columns are left."""
    width = VL if b.shape[1] - j <= VL else NR
    panel = space[: len(b) * width].reshape(len(b), width)
    _pack_panel(b, j, panel)
    return panel


@compiled
def _multiply_panel(a, begin, stop, panel, out, j, tile):
    """Compute rows begin to stop of a panel's columns, in tiles of about equal height."""
    n, (n_terms, width) = out.shape[1], panel.shape
    fits = j + width <= n
    tiles = -(-(stop - begin) // MR)
    for t in range(tiles):
        i = begin + t * (stop - begin) // tiles
        height = begin + (t + 1) * (stop - begin) // tiles - i
        place, start, row = (out, i * n + j, n) if fits else (tile, 0, NR)
        multiply_any_tile(
            height, width, a, i * n_terms, n_terms, panel, 0, width, n_terms, place, start, row
        )
        if not fits:
            for r in range(height):
                for c in range(n - j):
                    out[i + r, j + c] = tile[r, c]


@compiled
def _multiply_panels(a, b, out, first, step):
    """Compute the columns of every step-th panel, from the first one on."""
    space, tile = np.empty(len(b) * NR, np.float32), np.empty((MR, NR), np.float32)
    for j in range(first * NR, out.shape[1], step * NR):
        _multiply_panel(a, 0, len(a), _packed(b, j, space), out, j, tile)


@checked
@compiled
def edges(a, b, out):
    """Make tiles as low and panels as narrow as what is left at the edges."""
    _multiply_panels(a, b, out, 0, 1)


@compiled
def _multiply_share(a, b, out, gate, leads):
    """Compute the panels of one of n threads, every n-th: between ``enter`` and ``leave``."""
    index, count = enter(gate, leads)
    if index >= 0:
        _multiply_panels(a, b, out, index, count)
    leave(gate, index, count)


@checked
def threads(a, b, out):
    """Deal out the panels to Python threads that run compiled code."""
    count = team_size(out.size * a.shape[1], WAKING)
    run_team(count, lambda gate, leads: _multiply_share(a, b, out, gate, leads))


@compiled
def _take_tasks(a, b, out, blocks, taken, gate, leads):
    """Compute tasks until none is left; ``taken`` counts those that any thread has taken."""
    space, tile = np.empty(len(b) * NR, np.float32), np.empty((MR, NR), np.float32)
    panels = -(-out.shape[1] // NR)
    panel, packed = space.reshape(len(b), NR), -1
    index, count = enter(gate, leads)
    while index >= 0:
        task = atomic_add(address(taken), 0, 1)
        if task >= panels * blocks:
            break
        j, block = task // blocks * NR, task % blocks
        if j != packed:
            panel, packed = _packed(b, j, space), j
        begin, stop = block * len(a) // blocks, (block + 1) * len(a) // blocks
        _multiply_panel(a, begin, stop, panel, out, j, tile)
    leave(gate, index, count)


@checked
def tasks(a, b, out):
    """Divide the rows as well, and let each thread take the next (panel, block of rows)."""
    count = team_size(out.size * a.shape[1], WAKING)
    blocks = blocks_of_rows(out, MR, NR, count)
    taken = np.zeros(1, np.int64)
    run_team(count, lambda gate, leads: _take_tasks(a, b, out, blocks, taken, gate, leads))


_TILE = (_write_tile, _vector_at, _row_start, _broadcast, _fma)

STEPS = [
    Step(LESSONS["naive loops"], naive, (naive,)),
    Step(LESSONS["loop order"], loop_order, (loop_order,)),
    Step(LESSONS["cache blocking"], blocking, (blocking, _block_terms)),
    Step(LESSONS["register tile"], register_tile, (register_tile, _add_tile, _add_four, _four)),
    Step(LESSONS["vectors"], vectors, (vectors, multiply_tile, *_TILE, _compute_rest)),
    Step(LESSONS["packing"], packing, (packing, _pack_panel)),
    Step(
        LESSONS["edges"],
        edges,
        (edges, _multiply_panels, _packed, _multiply_panel, multiply_any_tile),
    ),
    Step(LESSONS["threads"], threads, (threads, _multiply_share)),
    Step(LESSONS["tasks"], tasks, (tasks, _take_tasks, blocks_of_rows)),
    Step(LESSONS["production"], numba_kernels.matmul, (numba_kernels.matmul,)),
]
