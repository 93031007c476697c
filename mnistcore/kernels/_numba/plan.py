"""The layout of the workspace and the division of a step, which depend on shapes alone.

The workspace is one flat float32 array, cut up by offsets::

    [packed params | packed state rows | a, dz, dzt, z of the layers | a_0 of each thread
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
``z``    (n_panels, batch, width)        forward, and the normalisation
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
from .tile import SCRATCH, TILE, leading_dimension, panel_width

STATISTICS = 5  # of each unit of a normalised layer: see normalization
LIGHT = 1 << 14  # weights that every thread may read in a step: 64 KiB
MOST_LISTED = 4096  # rows of a batch: beyond, lists and copies would outgrow the caches

# Of a narrow first layer; see narrow.
STRIP = 8  # inputs that are multiplied or left out together
PAIR = 2 * STRIP  # inputs whose weights are updated together, in whole vectors
PART_PAIRS = WORD * STRIP // PAIR  # the most of a part: the bits of a row are one word
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
    normalized: int  # 1: over the batch
    norm_offset: int  # of its running means in the buffers
    skips: int  # 1: its inputs may be mostly zero, and zeros are then not multiplied
    width: int  # of its panels
    panels: int
    weights: int  # place of the packed weights
    bias: int  # place of the packed bias
    gain: int  # place of the packed gain, if normalised
    a: int  # place of its output, after activation and dropout
    lda: int  # leading dimension of a
    z: int  # place of panels where products are summed and normalised, or 0
    statistics: int  # place of (STATISTICS, panels * width), if normalised
    dz: int
    dzt: int  # or 0: the first layer needs no input gradient
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
    normalized: int  # layers that are normalised
    total: int  # floats in all, LINE_FLOATS included

    def meetings(self, n_layers: int) -> int:
        """Return how often the threads of a team meet in a step."""
        if self.parts > 1:
            return 1
        return 3 if self.rows_alone else 2 * n_layers + self.normalized

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
    targets: int  # of class ids, or 0
    soft_targets: int  # of rows of probabilities, or 0
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
    buffers: int
    n_normalized: int  # units of all normalised layers
    workspace: int  # of its first whole cache line
    marks: int  # of the address of each thread's Marks; 0: none
    hidden: int  # the same, for the layer at work, if it is not the first
    strips: int  # of the address of each thread's Strips, if the first layer is narrow
    skip_zeros: int  # 1: among the inputs
    scaling: int  # of two float32
    integers: int  # (threads, integers_size) int64 of scratch
    integers_size: int
    squares: int  # float64 of scratch, one for each vector of units of each layer
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
    layers: np.ndarray,
    batch_size: int,
    slots: int,
    threads: int,
    skip: int,
    training: bool = True,
    narrow: bool = True,
) -> tuple[np.ndarray, Plan]:
    """Return the layers and the plan for a network, a batch size, rows of state and threads.

    Parameters
    ----------
    layers
        The layer table (n_layers, LAYER_COLUMNS), int64.
    batch_size
        The most rows of a batch.
    slots
        Rows of state, and one for a gradient that is clipped.
    threads
        How many threads share the work.
    skip
        Which zeros may be left out: SKIP_NOTHING, SKIP_HIDDEN or SKIP_ALL.
    training
        Whether the plan is that of a training step; else that of a block of predictions.
    narrow
        Whether the inputs of a narrow first layer may be divided into parts, in training.

    Returns
    -------
    layers, plan
        Records of :class:`Layer` as a read-only array (copies, n_layers, LAYER_FIELDS), int64;
        the rest.
    """
    return _make_plan(
        layers.tobytes(), batch_size, slots, threads, skip, training, training and narrow
    )


@lru_cache(maxsize=64)
def _make_plan(
    layers: bytes,
    batch_size: int,
    slots: int,
    threads: int,
    skip: int,
    training: bool,
    narrow: bool,
) -> tuple[np.ndarray, Plan]:
    table = np.frombuffer(layers, np.int64).reshape(-1, layout.LAYER_COLUMNS).tolist()
    first = table[0]
    width = int(panel_width(first[layout.FAN_OUT]))
    normalized = sum(row[layout.KIND] == layout.NORMALIZED for row in table)
    light = sum(row[layout.FAN_IN] * row[layout.FAN_OUT] for row in table[1:]) <= LIGHT
    rows_alone = light and not normalized  # otherwise rows are not independent
    few = batch_size <= MOST_LISTED
    parts = 1
    if narrow and rows_alone and few and first[layout.FAN_OUT] <= width:
        parts = narrow_parts(first[layout.FAN_IN], first[layout.FAN_OUT])
    copies = threads if parts > 1 else 1
    nets, slot_size = place_weights(table, copies, skip, parts > 1, threads)
    if not few:
        for net in nets:
            net[0]["skips"] = 0
    inputs = place_outputs(nets, slot_size * (1 + slots), batch_size, training)
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
        normalized=normalized,
        total=total,
    )


def narrow_parts(fan_in: int, fan_out: int) -> int:
    """Return how many parts the inputs of a narrow layer have; 1 if it is not narrow."""
    if fan_out > MOST_NARROW or fan_in < LEAST_INPUTS:
        return 1
    pairs = -(-fan_in // PAIR)
    return LEAST_PARTS * -(-pairs // (LEAST_PARTS * PART_PAIRS))


def place_weights(
    table: list[list[int]], copies: int, skip: int, narrow: bool, threads: int
) -> tuple[list[list[dict[str, int]]], int]:
    """Return the layers of each copy, and the floats that the packed parameters take."""
    nets: list[list[dict[str, int]]] = []
    offset = 0
    for copy in range(copies):
        net, norm_offset = [], 0
        for number in range(len(table)):
            layer = _described(number, table, skip, narrow, 1 if number else threads)
            if copy and number == 0:
                layer["weights"] = nets[0][0]["weights"]
            else:
                layer["weights"] = offset
                offset += _packed_size(layer, narrow and number == 0)
            layer["bias"] = offset
            offset += layer["panels"] * layer["width"]
            if layer["normalized"]:
                layer["gain"], layer["norm_offset"] = offset, norm_offset
                offset += layer["panels"] * layer["width"]
                norm_offset += layer["fan_out"]
            net.append(layer)
        nets.append(net)
    return nets, offset


def _packed_size(layer: dict[str, int], strips: bool) -> int:
    """Return the floats that the packed weights of a layer take, in strips or else in panels."""
    if strips:
        return -(-layer["fan_in"] // PAIR) * PAIR * layer["fan_out"]
    return layer["fan_in"] * layer["panels"] * layer["width"]


def _described(
    number: int, table: list[list[int]], skip: int, narrow: bool, threads: int
) -> dict[str, int]:
    """Return the fields of a :class:`Layer` that follow from its row of the layer table."""
    row, layer = table[number], dict.fromkeys(Layer._fields, 0)
    for name in ("fan_in", "fan_out", "activation", "decay", "dropout"):
        layer[name] = row[getattr(layout, name.upper())]
    layer["weight_offset"] = row[layout.WEIGHT_OFFSET]
    layer["bias_offset"] = row[layout.BIAS_OFFSET]
    layer["normalized"] = int(row[layout.KIND] == layout.NORMALIZED)
    if number == 0:
        skips = bool(skip == layout.SKIP_ALL) and not narrow
    else:
        # Little is zero in several rows at once, which few units take together.
        before = table[number - 1][layout.ACTIVATION]
        active = skip != layout.SKIP_NOTHING and before == layout.RELU
        skips = active and layer["fan_out"] > 2 * VL
    fan_out = layer["fan_out"]
    width = sparse_width(fan_out, threads) if skips else panel_width(fan_out)
    panels = -(-layer["fan_out"] // width)
    return layer | {"number": number, "skips": int(skips), "width": width, "panels": panels}


def place_outputs(
    nets: list[list[dict[str, int]]], offset: int, batch_size: int, training: bool
) -> int:
    """Lay out the layers' other arrays from ``offset`` on; return where they end.

    In training, sparse products are summed in z, some words of the inputs at a time: threads that
    did so side by side in the rows of ``a`` would keep taking its cache lines from each other.
    """
    batch_width = int(panel_width(batch_size))
    for layer in (layer for net in nets for layer in net):
        layer["capacity"], layer["batch_width"] = batch_size, batch_width
        layer["lda"] = leading_dimension(layer["panels"] * layer["width"])
        layer["a"] = offset
        layer["dz"] = layer["a"] + batch_size * layer["lda"]
        units = layer["panels"] * layer["width"]
        offset = layer["dz"] + batch_size * units
        if layer["number"] or len(nets[0]) == 1:  # for the loss of the last layer writes it
            layer["dzt"] = offset
            offset += -(-batch_size // batch_width) * layer["fan_out"] * batch_width
        if layer["normalized"] or (training and layer["skips"]):
            layer["z"] = offset
            offset += batch_size * units
        if layer["normalized"]:
            layer["statistics"] = offset
            offset += STATISTICS * units
    return offset


@inner
def layer_at(net, number):
    """Return the address of a layer."""
    return net + 8 * LAYER_FIELDS * number


@inner
def used_width(layer, panel):
    """Return the columns of a panel that hold units, in whole vectors; the last has padding."""
    return min(layer.width, -((panel * layer.width - layer.fan_out) // VL) * VL)
