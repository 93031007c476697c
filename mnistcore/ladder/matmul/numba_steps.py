"""The ladder in Numba: from a triple loop to the kernel that training runs on.

Every step is a function ``step(a, b, out)`` that computes ``out = a @ b`` and adds one idea to
the step above it. The figures in the docstrings count instructions for one vector of ``VL``
floats. In each cycle, a modern core starts two loads, one or two multiply-adds (FMA) and one
store of a vector, and the result of an FMA is ready after 4 cycles.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ...kernels import numba_kernels
from ...kernels._numba.cache import cache_here
from ...kernels._numba.machine import VL
from ...kernels._numba.team import enter, leave
from ...kernels.threads import ALONE, WAKING, run_team, team_size
from ..step import Step
from .arguments import checked
from .problem import LESSONS

__all__ = [
    "STEPS",
    "blocking",
    "loop_order",
    "naive",
    "packing",
    "register_tile",
    "threads",
    "vectors",
]


def compiled(function):
    """Compile to run without the interpreter's lock; cache the result on disk with the kernels.

    "contract" only lets LLVM turn a multiplication and an addition into one FMA.
    """
    with cache_here():
        return njit(nogil=True, cache=True, fastmath={"contract"})(function)


@checked
@compiled
def naive(a, b, out):
    """Apply the definition: each element of ``out`` is a row of a times a column of b.

    Two things limit its speed. The sum is one chain: each FMA waits 4 cycles for the one before
    it, and as the order of summation affects the result, the compiler may not split the chain
    over the lanes of a vector. Second, b is read down a column: every element is in a different
    cache line, of which only 4 bytes of 64 are used. Where N is a power of two, the lines of a
    column map to the same few cache sets and evict each other.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@checked
@compiled
def loop_order(a, b, out):
    """Exchange the loops over k and j, so that a row of ``out`` grows term by term.

    The inner loop now runs along rows of b and ``out``. Its elements do not depend on each
    other, so the compiler takes VL of them at a time, and every cache line is used in full.
    Expect tens of times the speed. For each FMA it loads two vectors and stores one. The store,
    one per cycle, and the path to the cache that holds b are the limit; the FMA units idle.
    """
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
    """Use loop order on one block of rows of b at a time, which stays in the L2 cache.

    The step above reads all of b for each row of a: M times K N floats from wherever b is
    stored. This step reads b from there once. That pays if b is larger than the caches, or if
    several cores share the memory beyond them. Where the loads and stores of the inner loop are
    the limit, as with a b of a few MiB, it gains nothing: first find out what limits a loop.
    """
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
    """Add a tile of four rows and four columns of a, kept in registers, to blocking.

    Each vector loaded from b serves four rows, and each vector of ``out`` takes four terms
    before it is stored: 8 loads and 4 stores for 16 FMAs instead of 32 and 16. The FMA units
    could be almost fully busy, but the memory layout holds them up. Four rows of b and four of
    ``out`` are N floats apart, and where N is a power of two they compete for the same sets of
    the L1 cache. Rows and terms after the last whole tile are computed as in the step above.
    """
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


PANEL_COLUMNS = 128  # of a packed panel: 512 bytes of each row of b


@compiled
def _pack_panel(b, j, width, panel):
    """Copy columns j to j + width of b to a panel, with zeros after the last column and row."""
    panel[:] = 0
    for k in range(b.shape[0]):
        row, packed = b[k, j : j + width], panel[k]
        for c in range(len(row)):
            packed[c] = row[c]


@compiled
def _pack_rows(a, i, rows):
    """Copy rows of a, starting at row i, with zeros after the last row and the last term."""
    rows[:] = 0
    for r in range(min(len(rows), len(a) - i)):
        for k in range(a.shape[1]):
            rows[r, k] = a[i + r, k]


@compiled
def _unpack(tile, out, i, j):
    """Copy the part of a tile that fits to ``out`` at row i and column j."""
    for r in range(min(len(tile), len(out) - i)):
        row = out[i + r, j : j + tile.shape[1]]
        for c in range(len(row)):
            row[c] = tile[r, c]


@compiled
def _multiply_rows(rows, i, panel, totals):
    """Set totals (4, PANEL_COLUMNS) to rows i to i + 4 times the panel."""
    totals[:] = 0
    for k in range(0, len(panel), 4):
        f0, f1 = _four(rows, i, k), _four(rows, i + 1, k)
        f2, f3 = _four(rows, i + 2, k), _four(rows, i + 3, k)
        for j in range(PANEL_COLUMNS):
            terms = panel[k, j], panel[k + 1, j], panel[k + 2, j], panel[k + 3, j]
            totals[0, j] = _add_four(totals[0, j], f0, terms)
            totals[1, j] = _add_four(totals[1, j], f1, terms)
            totals[2, j] = _add_four(totals[2, j], f2, terms)
            totals[3, j] = _add_four(totals[3, j], f3, terms)


@checked
@compiled
def packing(a, b, out):
    """Run the register tile on operands that are first copied into a better layout.

    Columns of b are packed into a panel, (K, 128) without gaps: a stream of consecutive cache
    lines that no power of two disturbs. The four rows of totals stay in 2 KiB of the L1 cache
    until the whole sum over k is done. Zeros pad the last panel and tile, so that the inner loop
    has no edge cases. Packing copies K N numbers once, for 2 M K N operations: at M = 128 it
    costs a few percent. The L1 cache delivers the remaining loads and stores of the loop in the
    time that its FMAs take.
    """
    n_terms = -(-a.shape[1] // 4) * 4
    rows = np.empty((-(-len(a) // 4) * 4, n_terms), np.float32)
    panel = np.empty((n_terms, PANEL_COLUMNS), np.float32)
    totals = np.empty((4, PANEL_COLUMNS), np.float32)
    _pack_rows(a, 0, rows)
    for j in range(0, out.shape[1], PANEL_COLUMNS):
        _pack_panel(b, j, PANEL_COLUMNS, panel)
        for i in range(0, len(rows), 4):
            _multiply_rows(rows, i, panel, totals)
            _unpack(totals, out, i, j)


# The tile's accumulators take 8 x 2 of 32 registers, or 4 x 2 where there are only 16.
MR = 8 if VL == 16 else 4
NR = 2 * VL

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, VL)


@intrinsic
def multiply_tile(typingctx, a, a_start, a_row, panel, n_terms, out, out_start, out_row):
    """Compute a tile of ``out``, MR x NR, in LLVM instructions.

    Row r of the tile of a begins at element a_start + r a_row of the array a, and row r of the
    tile of ``out`` at out_start + r out_row; the panel is (n_terms, NR). The code below runs
    once, while the caller is compiled. Its loops over rows and vectors emit instructions one by
    one; only the loop over k becomes a loop in the machine code.
    """

    def generate(context, builder, signature, args):
        data = [context.make_array(signature.args[n])(context, builder, args[n]).data
                for n in (0, 3, 5)]  # fmt: skip
        a, panel, out = data
        _, a_start, a_row, _, n_terms, _, out_start, out_row = args

        def vectors(array, start):
            """Return pointers to the two vectors that begin at an element of an array."""
            return [_vector_pointer(builder, array, start, v * VL) for v in range(2)]

        zero = ir.Constant(_VECTOR, None)
        totals = [[cgutils.alloca_once_value(builder, zero) for _ in range(2)]
                  for _ in range(MR)]  # fmt: skip
        with cgutils.for_range(builder, n_terms) as loop:
            k = loop.index
            start = builder.mul(k, k.type(NR))
            row_of_b = [builder.load(p, align=4) for p in vectors(panel, start)]
            for r in range(MR):
                position = _row_start(builder, builder.add(a_start, k), a_row, r)
                factor = _broadcast(builder, builder.load(builder.gep(a, [position])))
                for total, column in zip(totals[r], row_of_b, strict=True):
                    grown = _fma(builder, factor, column, builder.load(total))
                    builder.store(grown, total)
        for r in range(MR):
            places = vectors(out, _row_start(builder, out_start, out_row, r))
            for total, place in zip(totals[r], places, strict=True):
                builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    position = types.int64
    arguments = (a, position, position, panel, position, out, position, position)
    return types.void(*arguments), generate


def _vector_pointer(builder, array, start, offset):
    """Return a pointer to the vector that begins at element start + offset of an array."""
    place = builder.gep(array, [builder.add(start, start.type(offset))])
    return builder.bitcast(place, _VECTOR.as_pointer())


def _row_start(builder, start, stride, r):
    return builder.add(start, builder.mul(stride, stride.type(r)))


def _broadcast(builder, number):
    """Return a vector with a number in every lane, which AVX-512 makes while it loads."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), VL), None)
    return builder.shuffle_vector(first, first, lanes)


def _fma(builder, a, b, c):
    """Return a b + c, in one instruction if the machine has it."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    name = f"llvm.fmuladd.v{VL}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


@compiled
def _multiply_panels(a, b, out, gate, leads):
    """Compute the columns of ``out`` for a thread's panels: every n-th of b for n threads."""
    n_rows, n_terms = a.shape
    n_columns = out.shape[1]
    panel = np.empty((n_terms, NR), np.float32)
    rows = np.empty((MR, n_terms), np.float32)
    tile = np.empty((MR, NR), np.float32)
    index, count = enter(gate, leads)
    first = index * NR if index >= 0 else n_columns
    for j in range(first, n_columns, max(1, count) * NR):
        _pack_panel(b, j, NR, panel)
        for i in range(0, n_rows, MR):
            if i + MR <= n_rows and j + NR <= n_columns:
                start = i * n_columns + j
                multiply_tile(a, i * n_terms, n_terms, panel, n_terms, out, start, n_columns)
            else:  # an edge: compute a whole tile, and copy the part that fits
                _pack_rows(a, i, rows)
                multiply_tile(rows, 0, n_terms, panel, n_terms, tile, 0, NR)
                _unpack(tile, out, i, j)
    leave(gate, index, count)


@checked
def vectors(a, b, out):
    """Keep a tile of ``out`` in registers, which no plain loop gets the compiler to do.

    The totals stay in registers for the whole sum over k. For each k the tile loads two vectors
    of b and eight numbers of a for 16 FMAs, and stores nothing. Each total is one chain of FMAs,
    but there are 16 of them (8 where there are 16 registers), and 8 are enough to keep two FMA
    units busy for the 4 cycles that each FMA waits for the one before. The FMA units are the
    limit, as they should be; packing and edges account for the distance from the peak.
    """
    _multiply_panels(a, b, out, ALONE, True)


@checked
def threads(a, b, out):
    """Deal out the panels to Python threads that run compiled code.

    ``nogil`` code runs in parallel with other threads. Each panel belongs to one thread, so no
    thread waits for another between start and end, and the bits do not depend on their number.
    Expect the speed of one core times that number, less about 100 us to wake the threads, and
    less where panels do not divide evenly: 10 columns are one panel, which one thread computes.
    """
    count = team_size(out.size * a.shape[1], WAKING)
    run_team(count, lambda gate, leads: _multiply_panels(a, b, out, gate, leads))


STEPS = [
    Step(LESSONS["naive loops"], naive, (naive,)),
    Step(LESSONS["loop order"], loop_order, (loop_order,)),
    Step(LESSONS["cache blocking"], blocking, (blocking, _block_terms)),
    Step(LESSONS["register tile"], register_tile, (register_tile, _add_tile, _add_four, _four)),
    Step(
        LESSONS["packing"],
        packing,
        (packing, _multiply_rows, _pack_panel, _pack_rows, _unpack, _add_four, _four),
    ),
    Step(LESSONS["vectors"], vectors, (vectors, _multiply_panels, multiply_tile, _fma)),
    Step(LESSONS["threads"], threads, (threads, _multiply_panels)),
    Step(LESSONS["production"], numba_kernels.matmul, (numba_kernels.matmul,)),
]
