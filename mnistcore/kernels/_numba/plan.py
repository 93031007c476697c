"""Where everything lies in the workspace: one flat float32 array, cut up by offsets.

``[packed params | packed state rows | a_0 twice | per layer a, dz, dzt | scratch per thread]``

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
"""

import numpy as np
from numba import njit

from .._threads import MAX_THREADS
from ..layout import FAN_IN, FAN_OUT
from .simd import LANES
from .tiles import SCRATCH, panel_width

# The columns of the plan: a row per layer.
WIDTH = 0  # columns of a panel
PANELS = 1
WEIGHTS = 2  # offset of the packed weights
BIAS = 3  # offset of the packed bias
OUTPUT = 4  # offset of a, the layer's output
LEADING = 5  # its leading dimension
DZ = 6  # offset of dz
DZT = 7  # offset of dzt
COLUMNS = 8

# The entries of the totals.
SLOT = 0  # floats from a packed parameter to its first state, and on to the second
INPUTS = 1  # offset of the two input buffers
INPUT_LEADING = 2
INPUT_SIZE = 3  # floats of one input buffer
SCRATCHES = 4  # offset of the threads' scratch
SCRATCH_SIZE = 5  # floats of one thread's scratch
BATCH_WIDTH = 6  # columns of a panel over the samples
TOTAL = 7  # floats in all
TOTALS = 8


@njit(nogil=True, cache=True)
def leading_dimension(n):
    """At least n floats, an odd number of vectors: rows that do not share a set of the L1."""
    vectors = -(-n // LANES)
    return (vectors + 1 - vectors % 2) * LANES


@njit(nogil=True, cache=True)
def make_plan(layers, batch_size, slots):
    """The plan (n_layers, COLUMNS) and the totals (TOTALS,) for a network, int64."""
    plan = np.zeros((len(layers), COLUMNS), np.int64)
    totals = np.zeros(TOTALS, np.int64)
    offset = 0
    for layer in range(len(layers)):
        row = plan[layer]
        row[WIDTH] = panel_width(layers[layer, FAN_OUT])
        row[PANELS] = -(-layers[layer, FAN_OUT] // row[WIDTH])
        row[WEIGHTS] = offset
        row[BIAS] = offset + layers[layer, FAN_IN] * row[PANELS] * row[WIDTH]
        offset = row[BIAS] + row[PANELS] * row[WIDTH]
    totals[SLOT] = offset
    offset *= 1 + slots

    batch_width = panel_width(batch_size)
    batch_panels = -(-batch_size // batch_width)
    totals[BATCH_WIDTH] = batch_width
    totals[INPUTS] = offset
    # A gather writes whole vectors, one of them beyond the last column.
    totals[INPUT_LEADING] = leading_dimension(layers[0, FAN_IN] + LANES)
    totals[INPUT_SIZE] = batch_size * totals[INPUT_LEADING]
    offset += 2 * totals[INPUT_SIZE]
    for layer in range(len(layers)):
        row = plan[layer]
        row[OUTPUT] = offset
        row[LEADING] = leading_dimension(row[PANELS] * row[WIDTH])
        row[DZ] = row[OUTPUT] + batch_size * row[LEADING]
        row[DZT] = row[DZ] + row[PANELS] * batch_size * row[WIDTH]
        offset = row[DZT] + batch_panels * layers[layer, FAN_OUT] * batch_width
    totals[SCRATCHES] = offset
    # Two cache lines more, so that two threads never write the same line.
    totals[SCRATCH_SIZE] = SCRATCH + 32
    totals[TOTAL] = offset + MAX_THREADS * totals[SCRATCH_SIZE]
    return plan, totals
