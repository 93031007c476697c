"""The layout of the workspace and the division of a step, which depend on shapes alone.

The workspace is one flat float32 array, cut up by offsets::

    [packed params | packed state rows | a, dz, dzt of the layers | a_0 of each thread
     | partial sums | scratch of each thread]

Packed parameters are panels: layer by layer (n_panels, fan_in, width), then the bias padded to
whole panels. A state row has the same layout, so the optimizer finds a weight's moments at a
fixed distance from it.

=======  ==============================  ===========================================
array    layout                          who reads it, and how
=======  ==============================  ===========================================
``a``    (batch, lda)                    forward and weight gradient, broadcast
``dz``   (n_panels, batch, width)        weight gradient, as vectors
``dzt``  (batch panels, fan_out, width)  input gradient, as vectors over the samples
=======  ==============================  ===========================================

A step is divided by units (a row of a panel) layer by layer, unless

* little follows the first layer: then that is divided by rows of the batch, from the first
  activation to the first gradient, with no meeting in between (`Plan.rows_alone`);
* and the first layer is narrow: then the inputs are divided into parts, each owned by one
  thread, which sums over its parts separately, with weights in strips (see :mod:`.narrow`);
  everything else is so small that each thread does all of it on its own copy (`Plan.parts`).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .. import layout
from ..threads import MAX_THREADS
from .bits import WORD
from .functions import inner
from .machine import VL
from .memory import LINE_FLOATS
from .sparse import sparse_width
from .team import share
from .tile import SCRATCH, TILE, copy_row, leading_dimension, panel_width

STRIPE = 8  # rows of weights that are packed together, in runs of cache lines on both sides
LIGHT = 1 << 14  # weights that every thread may read in a step: 64 KiB
MOST_LISTED = 4096  # rows of a batch: beyond, lists and copies would outgrow the caches

# Of a narrow first layer; see narrow.
OCTET = 8  # inputs; each has a bit that is set if they are not all zero
STRIP = OCTET * (1 + VL // 16)  # inputs that are multiplied or left out together
PART_STRIPS = WORD * OCTET // STRIP  # the most of a part: the bits of a row are one word
MOST_NARROW = 16  # units of such a layer
LEAST_INPUTS = 64
LEAST_PARTS = 2


class Layer(NamedTuple):
    """A layer: its row of the layer table, and where its arrays are.

    Places are offsets in floats from the base of the workspace.
    """

    number: int
    fan_in: int
    fan_out: int
    activation: int
    weight_offset: int
    bias_offset: int
    decay: int
    dropout: int
    skips: int  # 1: its inputs may be mostly zero, and zeros are then not multiplied
    width: int  # of its panels
    panels: int
    weights: int  # place of the packed weights
    bias: int  # place of the packed bias
    a: int  # place of its output, after activation and dropout
    lda: int  # leading dimension of a
    dz: int
    dzt: int
    capacity: int  # rows of a batch that a, dz and dzt hold
    batch_width: int  # columns of a panel over the samples


LAYER_FIELDS = len(Layer._fields)
SKIPS = Layer._fields.index("skips")
WIDTH = Layer._fields.index("width")
CAPACITY = Layer._fields.index("capacity")


class Plan(NamedTuple):
    """Where the rest is, as offsets in floats from the base, and how a step is divided."""

    slot_size: int  # from a packed parameter to its first state, and on to the second
    inputs: int
    ld: int  # leading dimension of the inputs
    input_size: int  # from one thread's inputs to the next one's; 0: they share them
    partial: int  # place of the partial sums (2, parts, batch, width)
    scratch: int  # place of the threads' scratch
    scratch_size: int  # of one thread
    parts: int  # that the inputs are divided into
    rows_alone: int  # 1: what follows the first layer is divided by rows
    copies: int  # of all but the first layer's weights: one for each thread, or 1
    total: int  # floats in all, LINE_FLOATS included

    def meetings(self, n_layers: int) -> int:
        """Return how often the threads of a team meet in a step."""
        if self.parts > 1:
            return 1
        return 3 if self.rows_alone else 2 * n_layers

    def most_threads(self) -> int:
        """Return the most threads that can share a step."""
        return self.parts if self.parts > 1 else MAX_THREADS


class Run(NamedTuple):
    """What the threads share: addresses and numbers."""

    functions: int  # of Functions
    plan: int  # of the Plan
    net: int  # of the layers
    n_layers: int
    x: int  # of bytes, or of floats
    floats: int
    targets: int
    sample_weight: int  # or 0: all are 1
    order: int
    n_order: int
    learning_rates: int
    n_steps: int
    options: int  # of one record
    first_step: int
    gradient_only: int  # 1: write the gradient to the first row of state, change nothing else
    params: int
    n_params: int
    state: int
    slots: int
    workspace: int  # of its first whole cache line
    marks: int  # of the address of each thread's Marks; 0: none
    hidden: int  # the same, for the layer at work, if it is not the first
    strips: int  # of the address of each thread's Strips, if the first layer is narrow
    skip_zeros: int  # 1: among the inputs
    scaling: int  # of two float32
    integers: int  # (threads, integers_size) int64 of scratch
    integers_size: int
    losses: int  # (copies, batch_size) float64 of scratch
    hits: int  # the same
    metrics: int


class Batch(NamedTuple):
    """A thread's view of the current mini-batch."""

    samples: int  # address of the row numbers
    rows: int
    low: int  # this thread's rows, where a layer is divided by rows
    high: int
    sparse: int  # 1: the first layer skips the zeros that are marked


def make_plan(
    layers: np.ndarray, batch_size: int, slots: int, threads: int, skip: int, training: bool = True
) -> tuple[np.ndarray, Plan]:
    """Return the layers and the plan for a network, a batch size, rows of state and threads.

    Parameters
    ----------
    layers
        The layer table (n_layers, LAYER_COLUMNS), int64.
    batch_size
        The most rows of a batch.
    slots
        Rows of the optimizer's state: 0, 1 or 2.
    threads
        How many threads share the work.
    skip
        Which zeros may be left out: SKIP_NOTHING, SKIP_HIDDEN or SKIP_ALL.
    training
        Whether the plan is that of a training step; else that of a block of predictions.

    Returns
    -------
    layers, plan
        Records of :class:`Layer` as a read-only array (copies, n_layers, LAYER_FIELDS), int64;
        the rest.
    """
    return _make_plan(layers.tobytes(), batch_size, slots, threads, skip, training)


@lru_cache(maxsize=64)
def _make_plan(
    layers: bytes, batch_size: int, slots: int, threads: int, skip: int, training: bool
) -> tuple[np.ndarray, Plan]:
    table = np.frombuffer(layers, np.int64).reshape(-1, layout.LAYER_COLUMNS).tolist()
    first = table[0]
    width = int(panel_width(first[layout.FAN_OUT]))
    rows_alone = sum(row[layout.FAN_IN] * row[layout.FAN_OUT] for row in table[1:]) <= LIGHT
    few = batch_size <= MOST_LISTED
    parts = 1
    if training and rows_alone and few and first[layout.FAN_OUT] <= width:
        parts = narrow_parts(first[layout.FAN_IN], first[layout.FAN_OUT])
    copies = threads if parts > 1 else 1
    nets, slot_size = place_weights(table, copies, skip, parts > 1)
    if not few:
        for net in nets:
            net[0]["skips"] = 0
    inputs = place_outputs(nets, slot_size * (1 + slots), batch_size)
    # A gather writes whole vectors, the last one possibly past the last column.
    ld = leading_dimension(first[layout.FAN_IN] + VL)
    gathered = 0 if parts > 1 else threads if few else 1  # copies of the inputs
    partial = inputs + gathered * batch_size * ld
    scratch = partial + 2 * parts * batch_size * width
    scratch_size = SCRATCH + TILE + 2 * LINE_FLOATS  # no two threads write the same cache line
    total = scratch + threads * scratch_size + LINE_FLOATS
    rows = np.array([[list(layer.values()) for layer in net] for net in nets], np.int64)
    rows.setflags(write=False)
    return rows, Plan(
        slot_size=slot_size,
        inputs=inputs,
        ld=ld,
        input_size=batch_size * ld if few else 0,
        partial=partial,
        scratch=scratch,
        scratch_size=scratch_size,
        parts=parts,
        rows_alone=int(rows_alone),
        copies=copies,
        total=total,
    )


def narrow_parts(fan_in: int, fan_out: int) -> int:
    """Return how many parts the inputs of a narrow layer have; 1 if it is not narrow."""
    if fan_out > MOST_NARROW or fan_in < LEAST_INPUTS:
        return 1
    strips = -(-fan_in // STRIP)
    return LEAST_PARTS * -(-strips // (LEAST_PARTS * PART_STRIPS))


def place_weights(
    table: list[list[int]], copies: int, skip: int, narrow: bool
) -> tuple[list[list[dict[str, int]]], int]:
    """Return the layers of each copy, and the floats that the packed parameters take."""
    nets: list[list[dict[str, int]]] = []
    offset = 0
    for copy in range(copies):
        net = []
        for number in range(len(table)):
            layer = _described(number, table, skip, narrow)
            if copy and number == 0:
                layer["weights"] = nets[0][0]["weights"]
            else:
                layer["weights"] = offset
                offset += _packed_size(layer, narrow and number == 0)
            layer["bias"] = offset
            offset += layer["panels"] * layer["width"]
            net.append(layer)
        nets.append(net)
    return nets, offset


def _packed_size(layer: dict[str, int], strips: bool) -> int:
    """Return the floats that the packed weights of a layer take, in strips or else in panels."""
    if strips:
        return -(-layer["fan_in"] // STRIP) * STRIP * layer["fan_out"]
    return layer["fan_in"] * layer["panels"] * layer["width"]


def _described(number: int, table: list[list[int]], skip: int, narrow: bool) -> dict[str, int]:
    """Return the fields of a :class:`Layer` that follow from its row of the layer table."""
    row, layer = table[number], dict.fromkeys(Layer._fields, 0)
    for name in ("fan_in", "fan_out", "activation", "decay", "dropout"):
        layer[name] = row[getattr(layout, name.upper())]
    layer["weight_offset"] = row[layout.WEIGHT_OFFSET]
    layer["bias_offset"] = row[layout.BIAS_OFFSET]
    if number == 0:
        skips = bool(skip == layout.SKIP_ALL) and not narrow
    else:
        # Little is zero in several rows at once, which few units take together.
        before = table[number - 1][layout.ACTIVATION]
        active = skip != layout.SKIP_NOTHING and before == layout.RELU
        skips = active and layer["fan_out"] > 2 * VL
    width = (sparse_width if skips else panel_width)(layer["fan_out"])
    panels = -(-layer["fan_out"] // width)
    return layer | {"number": number, "skips": int(skips), "width": width, "panels": panels}


def place_outputs(nets: list[list[dict[str, int]]], offset: int, batch_size: int) -> int:
    """Lay out the layers' other arrays from ``offset`` on; return where they end."""
    batch_width = int(panel_width(batch_size))
    for layer in (layer for net in nets for layer in net):
        layer["capacity"], layer["batch_width"] = batch_size, batch_width
        layer["lda"] = leading_dimension(layer["panels"] * layer["width"])
        layer["a"] = offset
        layer["dz"] = layer["a"] + batch_size * layer["lda"]
        layer["dzt"] = layer["dz"] + layer["panels"] * batch_size * layer["width"]
        offset = layer["dzt"] + -(-batch_size // batch_width) * layer["fan_out"] * batch_width
    return offset


# ---------------------------------------------------------------------------------------------
# Packing: between the public row-major layout and the panels
# ---------------------------------------------------------------------------------------------


@inner
def layer_at(net, number):
    """Return the address of a layer."""
    return net + 8 * LAYER_FIELDS * number


@inner
def used_width(layer, panel):
    """Return the columns of a panel that hold units, in whole vectors; the last has padding."""
    return min(layer.width, -((panel * layer.width - layer.fan_out) // VL) * VL)


@inner
def pack_weights(layer, flat, base, packed, thread, threads):
    """Pack this thread's share of a layer's weights at ``flat`` into panels at base + packed."""
    first, last = share(layer.panels, thread, threads)
    for top in range(0, layer.fan_in, STRIPE):
        for panel in range(first, last):
            column, width = panel * layer.width, layer.width
            for i in range(top, min(top + STRIPE, layer.fan_in)):
                source = layer.weight_offset + i * layer.fan_out + column
                target = packed + layer.weights + (panel * layer.fan_in + i) * width
                copy_row(flat, source, layer.fan_out - column, base, target, width)


@inner
def unpack_weights(layer, base, packed, flat, thread, threads):
    """Unpack: the inverse of :func:`pack_weights`."""
    first, last = share(layer.panels, thread, threads)
    for top in range(0, layer.fan_in, STRIPE):
        for panel in range(first, last):
            column = panel * layer.width
            n = min(layer.width, layer.fan_out - column)
            for i in range(top, min(top + STRIPE, layer.fan_in)):
                source = packed + layer.weights + (panel * layer.fan_in + i) * layer.width
                target = layer.weight_offset + i * layer.fan_out + column
                copy_row(base, source, n, flat, target, n)


@inner
def pack_bias(layer, flat, base, packed):
    """Pack a layer's bias, zero-padded to whole panels."""
    width = layer.width * layer.panels
    copy_row(flat, layer.bias_offset, layer.fan_out, base, packed + layer.bias, width)


@inner
def unpack_bias(layer, base, packed, flat):
    """Unpack: the inverse of :func:`pack_bias`."""
    n = layer.fan_out
    copy_row(base, packed + layer.bias, n, flat, layer.bias_offset, n)
