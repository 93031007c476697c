"""How a matrix product of the first tier is cut into tasks."""

from .functions import inner
from .simd import LANES
from .tile import SCRATCH, TILE_ROWS, panel_width

NN, TN, NT = 0, 1, 2  # which operand of a product is transposed

GROUP = 1 << 17  # floats of B that are packed together: half of a small L2 cache
SET_STRIDE = 1024  # floats: rows that lie a multiple of it apart share a set of the L1 cache


@inner
def _cost(kind, m, n, threads, pack_a, blocks, groups):
    """What all threads spend, as multiply-adds for each term of the sum.

    Packing a column of B takes as long as 6 of them, and bringing a row of A near, much of it
    by lines of which the tile uses a part, 20 where A is transposed. At the end each thread but
    the last waits for some part of a task.
    """
    row = 20 if kind == TN else 7 if pack_a else 2
    total = m * n + 6 * blocks * n + row * groups * m
    return total + (threads - 1) * total // (4 * blocks * groups)


@inner
def division(kind, m, n, k, threads):
    """Cut a product into tasks: (group of panels, block of rows), two or more for each thread.

    Each block packs all of B, and each group reads all of A again. So numbers of blocks are
    tried one after another, and the one that costs least is kept.

    For a^T b with a b of few columns, these would fill a part of the lanes of a vector. So it is
    computed as out^T = b^T a: as rows of a tile they waste none, and the rows of ``a`` are read
    where they lie, for one tile takes all of b, so that each serves once.

    Returns
    -------
    width, group, blocks, pack_a, swap, room
        Columns of a panel; panels of a task; blocks of rows; whether tiles of A are packed,
        because their rows would evict each other from the cache; whether out^T is computed; the
        floats of scratch that a thread needs.
    """
    swap = kind == TN and n <= TILE_ROWS and n < m
    if swap:
        m, n = n, m
    width = panel_width(n)
    panels, pack_a = -(-n // width), kind != TN and k % SET_STRIDE == 0
    fewest = max(1, -(-panels * k * width // GROUP))
    most = 1 if threads == 1 else min(4 * threads, -(-m // TILE_ROWS))
    best, best_blocks, best_groups = -1, 1, fewest
    for blocks in range(1, max(1, most) + 1):
        groups = fewest
        if threads > 1:
            groups = max(fewest, min(panels, -(-2 * threads // blocks)))
        cost = _cost(kind, m, n, threads, pack_a, blocks, groups)
        if best < 0 or cost < best:
            best, best_blocks, best_groups = cost, blocks, groups
    group = max(1, -(-panels // best_groups))
    room = SCRATCH + TILE_ROWS * (k + LANES) + group * k * width
    return width, group, best_blocks, pack_a, swap, room
