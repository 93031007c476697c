"""Where everything lies in the workspace, and how a step is divided: by shapes alone.

The workspace is one flat float32 array, cut up by offsets::

    [packed params | packed state rows | a, dz, dzt of the layers | a_0 of each thread
     | partial sums | scratch of each thread]

Packed parameters are panels: layer by layer (n_panels, fan_in, width), then the bias padded to
whole panels. A state row has the same layout, so the optimizer finds a weight's moments at a
fixed distance from it.

=======  ==============================  ===========================================
array    layout                          who reads it, and how
=======  ==============================  ===========================================
``a``    (batch, leading)                forward and weight gradient, broadcast
``dz``   (n_panels, batch, width)        weight gradient, as vectors
``dzt``  (batch panels, fan_out, width)  input gradient, as vectors over the samples
=======  ==============================  ===========================================

A step is divided by units (a row of a panel) layer by layer, unless

* little follows the first layer: then that is divided by rows of the batch, from the first
  activation to the first gradient, with no meeting in between (`ROWS_ALONE`);
* and the first layer is one panel: then the inputs are divided into parts, each owned by one
  thread, which sums over them apart; everything else is so small that each thread does it all,
  on a copy of its own (`PARTS`).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..layout import FAN_IN, FAN_OUT, LAYER_COLUMNS
from ..threads import MAX_THREADS
from .simd import ALIGNMENT, LANES, WORD
from .tile import BLOCK, SCRATCH, panel_width

# The columns of the net: a row per layer, the columns of the layer table and then these.
WIDTH = LAYER_COLUMNS  # columns of a panel
PANELS = LAYER_COLUMNS + 1
WEIGHTS = LAYER_COLUMNS + 2  # offset of the packed weights
BIAS = LAYER_COLUMNS + 3  # offset of the packed bias
OUTPUT = LAYER_COLUMNS + 4  # offset of a, the layer's output
LEADING = LAYER_COLUMNS + 5  # its leading dimension
DZ = LAYER_COLUMNS + 6  # offset of dz
DZT = LAYER_COLUMNS + 7  # offset of dzt
NET_COLUMNS = LAYER_COLUMNS + 8

# The entries of the totals.
SLOT = 0  # floats from a packed parameter to its first state, and on to the second
INPUTS = 1  # offset of the gathered inputs
INPUT_LEADING = 2
INPUT_SIZE = 3  # floats from one thread's inputs to the next one's; 0: they share them
SCRATCHES = 4  # offset of the threads' scratch
SCRATCH_SIZE = 5  # floats of one thread's scratch
BATCH_WIDTH = 6  # columns of a panel over the samples
PARTIAL = 7  # offset of the partial sums (2, parts, batch, width)
PARTS = 8  # that the inputs are divided into
ROWS_ALONE = 9  # 1: what follows the first layer is divided by rows
COPIES = 10  # of all but the first layer's weights: one for each thread, or 1
TOTAL = 11  # floats in all
TOTALS = 12

LIGHT = 1 << 14  # weights that every thread may read in a step: 64 KiB
MOST_PARTS = 4
MOST_LISTED = 4096  # rows of a batch: beyond, lists and copies would outgrow the caches


class Plan(NamedTuple):
    """The net (copies, n_layers, NET_COLUMNS) and the totals (TOTALS,), int64."""

    net: np.ndarray
    totals: np.ndarray

    def meetings(self) -> int:
        """How often the threads of a team meet in a step."""
        if self.totals[PARTS] > 1:
            return 1
        return 3 if self.totals[ROWS_ALONE] else 2 * self.net.shape[1]

    def most_threads(self) -> int:
        """The most threads that can share a step."""
        return int(self.totals[PARTS]) if self.totals[PARTS] > 1 else MAX_THREADS


def make_plan(layers: np.ndarray, batch_size: int, slots: int, threads: int) -> Plan:
    """The plan for a network, a batch size, rows of state and a number of threads."""
    return _make_plan(layers.tobytes(), batch_size, slots, threads)


def leading_dimension(n: int) -> int:
    """At least n floats, an odd number of vectors: rows that do not share a set of the L1."""
    vectors = -(-n // LANES)
    return (vectors + 1 - vectors % 2) * LANES


@lru_cache(maxsize=64)
def _make_plan(layers: bytes, batch_size: int, slots: int, threads: int) -> Plan:
    table = np.frombuffer(layers, np.int64).reshape(-1, LAYER_COLUMNS).tolist()
    widths = [int(panel_width(row[FAN_OUT])) for row in table]
    panels = [-(-row[FAN_OUT] // width) for row, width in zip(table, widths, strict=True)]
    totals = [0] * TOTALS
    totals[ROWS_ALONE] = int(sum(row[FAN_IN] * row[FAN_OUT] for row in table[1:]) <= LIGHT)
    narrow = panels[0] == 1 and table[0][FAN_IN] >= MOST_PARTS * WORD
    few = batch_size <= MOST_LISTED
    totals[PARTS] = MOST_PARTS if totals[ROWS_ALONE] and narrow and few else 1
    totals[COPIES] = threads if totals[PARTS] > 1 else 1
    nets, offset = _place_weights(table, widths, panels, totals[COPIES])
    totals[SLOT] = offset
    offset *= 1 + slots
    totals[BATCH_WIDTH] = int(panel_width(batch_size))
    offset = _place_outputs(nets, offset, batch_size, totals[BATCH_WIDTH])
    totals[INPUTS] = offset
    # A gather writes whole vectors, one of them beyond the last column.
    totals[INPUT_LEADING] = leading_dimension(table[0][FAN_IN] + LANES)
    size = batch_size * totals[INPUT_LEADING]
    totals[INPUT_SIZE] = size if few else 0
    totals[PARTIAL] = offset + (threads if few else 1) * size
    totals[SCRATCHES] = totals[PARTIAL] + 2 * totals[PARTS] * batch_size * widths[0]
    # Two cache lines more, so that two threads never write the same line.
    totals[SCRATCH_SIZE] = SCRATCH + 32
    totals[TOTAL] = totals[SCRATCHES] + threads * totals[SCRATCH_SIZE] + ALIGNMENT
    plan = Plan(np.array(nets, np.int64), np.array(totals, np.int64))
    for array in plan:
        array.setflags(write=False)
    return plan


def _place_weights(
    table: list[list[int]], widths: list[int], panels: list[int], copies: int
) -> tuple[list[list[list[int]]], int]:
    """A net for each copy, and the floats that the packed parameters take."""
    nets: list[list[list[int]]] = []
    offset = 0
    for copy in range(copies):
        net = []
        for layer, row in enumerate(table):
            net.append([*row, widths[layer], panels[layer], *[0] * (NET_COLUMNS - PANELS - 1)])
            if copy and layer == 0:
                net[0][WEIGHTS] = nets[0][0][WEIGHTS]
            else:
                net[layer][WEIGHTS] = offset
                offset += row[FAN_IN] * panels[layer] * widths[layer]
            net[layer][BIAS] = offset
            offset += panels[layer] * widths[layer]
        nets.append(net)
    return nets, offset


def _place_outputs(
    nets: list[list[list[int]]], offset: int, batch_size: int, batch_width: int
) -> int:
    for row in (row for net in nets for row in net):
        row[OUTPUT] = offset
        row[LEADING] = leading_dimension(row[PANELS] * row[WIDTH])
        row[DZ] = row[OUTPUT] + batch_size * row[LEADING]
        row[DZT] = row[DZ] + row[PANELS] * batch_size * row[WIDTH]
        offset = row[DZT] + -(-batch_size // batch_width) * row[FAN_OUT] * batch_width
    return offset


def lists_of(fan_in: int, batch_size: int, parts: int, threads: int) -> list[np.ndarray]:
    """For each thread a table of lists as :mod:`.inputs` describes it, and behind it the lists."""
    row_blocks, blocks = -(-batch_size // BLOCK), -(-fan_in // BLOCK)
    words = -(-fan_in // WORD)
    mark_words = -(-words // (8 * parts))
    # Lists are written sixteen items at a time, and end with a mark.
    room = -(-words // parts) * WORD + 16
    row_room = -(-batch_size // WORD) * WORD + 16
    # In int64: the table, then columns, rows, their numbers, marks, any_row.
    sizes = [
        parts * row_blocks * room // 2,
        blocks * row_room // 2,
        blocks // 2 + 1,
        parts * row_blocks * BLOCK * mark_words,
        words,
    ]
    tables = []
    for _ in range(threads):
        table = np.empty(16 + sum(size + 8 for size in sizes), np.int64)
        at = table.ctypes.data + 8 * 16
        for entry, size in enumerate(sizes):
            table[entry] = at
            at += 8 * (size + 8)
        table[len(sizes) : len(sizes) + 4] = row_blocks, room, row_room, mark_words
        tables.append(table)
    return tables
