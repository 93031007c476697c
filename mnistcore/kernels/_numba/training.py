"""The training program: what a thread of a team does over many steps.

Every thread runs :func:`train` from the first step to the last. Between two meetings each thread
writes what is its own and reads what was finished before: work is cut into units (a row of a
panel) in panel-major order, and every thread takes an equal, contiguous share. A layer with as
many panels as threads is so divided by columns, each thread keeping its weights and moments in
its own cache; a narrow one is divided by rows. One step, a ``|`` for each meeting::

    forward 1 | ... | forward n | loss | input gradient n | ... | input gradient 2 |
    weight gradients and updates of all layers, gather of the next batch |

The middle is one piece where little follows the first layer, and there is but one meeting where
the first layer is narrow: see :mod:`.plan`. The optimizer runs on a tile of the gradient while
that is in the L1 cache: no gradient is ever written to memory. Each thread gathers the batch for
itself: reading it from memory is faster than reading it from another core's cache.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import types

from ..layout import HIT_SUM, LOSS_SUM, WEIGHT_SUM
from .bits import WORD
from .functions import c_function, call, entry, inner
from .inputs import Source, Upcoming
from .losses import softmax_loss
from .machine import VL, flush_denormals, set_float_mode
from .memory import (
    load_double,
    load_index,
    load_int32,
    load_record,
    load_scalar,
    option,
    store_double,
    store_record,
    store_scalar,
)
from .plan import LAYER_FIELDS, Layer, Plan, layer_at
from .products import (
    Functions,
    Masks,
    Place,
    add_parts,
    clear_gradient,
    forward_layer,
    forward_listed,
    input_gradient,
    partial_sums,
    update_biases,
    update_layer,
    update_listed_share,
    update_parts,
)
from .team import alone, enter, leave, make_team, meet, share
from .tile import copy_row
from .updates import UPDATE, write_update

# What a thread keeps in its int64: a square of bits, records, and behind them the runs.
SQUARE = 0
MASKS = WORD
SOURCE = MASKS + len(Masks._fields)
MEETINGS = SOURCE + len(Source._fields)
RUNS = MEETINGS + 1
SPACE = 16  # behind the runs: two threads never write the same cache line


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
    lists: int  # of the address of each thread's Lists; 0: multiply zeros like all else
    skip_zeros: int
    scaling: int  # of two float32
    integers: int  # (threads, integers_size) int64 of scratch
    integers_size: int
    losses: int  # (copies, batch_size) float64 of scratch
    hits: int  # the same
    metrics: int


class Batch(NamedTuple):
    """A thread's view of the mini-batch in hand."""

    samples: int  # address of the row numbers
    rows: int
    low: int  # this thread's rows, where a layer is divided by rows
    high: int


@inner
def upcoming_of(run, step):
    """The rows of a step's batch; behind the last there are none."""
    size = option(run.options, "batch_size")
    start = min(step * size, run.n_order)
    return Upcoming(run.order + 8 * start, min(size, run.n_order - start))


@inner
def row_share(rows, thread, threads):
    """A thread's rows of a batch: vectors of rows stay together."""
    first, stop = share(-(-rows // VL), thread, threads)
    return first * VL, min(stop * VL, rows)


@inner
def place_of(run, plan, thread, threads):
    """Where a thread's things are; it writes its own records."""
    alone = plan.parts > 1  # each thread works on its own copy, for itself
    copy = thread if alone else 0
    own = run.integers + 8 * run.integers_size * thread
    capacity = option(run.options, "batch_size")
    first_part, last_part = share(plan.parts, thread, threads) if alone else (0, 1)
    store_record(
        own + 8 * SOURCE,
        Source(
            run.x, run.floats, load_record(run.net, Layer).fan_in, plan.parts, first_part,
            last_part, run.skip_zeros, run.scaling,
        ),
    )  # fmt: skip
    scratch = plan.scratch + thread * plan.scratch_size
    return Place(
        run.workspace,
        run.net + 8 * LAYER_FIELDS * run.n_layers * copy,
        run.n_layers,
        plan.by_rows,
        plan.inputs + thread * plan.input_size,
        plan.ld,
        own + 8 * SOURCE,
        load_index(run.lists, thread) if run.lists else 0,
        plan.partial,
        plan.slot,
        scratch,
        own + 8 * RUNS,
        own + 8 * MASKS,
        run.workspace + 4 * (scratch + plan.scratch_size - UPDATE),
        run.losses + 8 * capacity * copy,
        run.hits + 8 * capacity * copy,
    )


# ---------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------


@inner
def weight_sum(sample_weight, samples, rows):
    """The sum of a batch's sample weights; ``sample_weight`` 0 is weights of 1."""
    if not sample_weight:
        return np.float64(rows)
    total = np.float64(0.0)
    for b in range(rows):
        total += np.float64(load_scalar(sample_weight, load_index(samples, b)))
    return total


@inner
def clipped(value, low, high):
    """The value within bounds; NaN stays NaN."""
    return high if value > high else low if value < low else value


@inner
def loss_sum(run, place, batch):
    """The weighted sum of a batch's losses, each that of a probability in [clip, 1 - clip]."""
    clip = option(run.options, "probs_clip")
    low, high = -math.log1p(-clip), -math.log(clip) if clip else math.inf
    total = 0.0
    for b in range(batch.rows):
        loss = clipped(load_double(place.losses, b), low, high)
        if run.sample_weight:
            sample = load_index(batch.samples, b)
            loss *= np.float64(load_scalar(run.sample_weight, sample))
        total += loss
    return total


@c_function(10)
def loss_rows(base, at, low, high, rows, targets, sample_weight, samples, losses, hits):
    """Rows [low, high) of softmax-cross-entropy: losses, hits, both layouts of dlogits.

    ``at`` is the address of the last layer, ``rows`` counts all rows of the batch, and
    ``sample_weight`` is an address, or 0 for weights of 1.
    """
    layer = load_record(at, Layer)
    total = weight_sum(sample_weight, samples, rows)
    classes, width, batch_width = layer.fan_out, layer.width, layer.batch_width
    for b in range(low, high):
        logits, weight = layer.a + b * layer.lda, np.float64(1.0)
        if sample_weight:
            weight = np.float64(load_scalar(sample_weight, load_index(samples, b)))
        inverse = np.float32(weight / total if total != 0.0 else 0.0)
        label = load_int32(targets, load_index(samples, b))
        loss, hit = softmax_loss(base, logits, classes, label, inverse)
        store_double(losses, b, loss)
        store_double(hits, b, weight if hit else 0.0)
        for panel in range(layer.panels):
            out, column = layer.dz + (panel * layer.capacity + b) * width, panel * width
            copy_row(base, logits + column, classes - column, base, out, width)
        out = layer.dzt + b // batch_width * classes * batch_width + b % batch_width
        for o in range(classes):
            store_scalar(base, out + o * batch_width, load_scalar(base, logits + o))


@inner
def add_to(metrics, entry, value):
    """Add to one of the running sums."""
    store_double(metrics, entry, load_double(metrics, entry) + value)


@inner
def count_losses(run, place, team, batch):
    """Whether to go on, alike in every thread: the loss is finite. The first adds up metrics."""
    loss = loss_sum(run, place, batch)
    if not math.isfinite(loss) and not run.gradient_only:
        return False
    if team.thread == 0:
        hits = 0.0
        for b in range(batch.rows):
            hits += load_double(place.hits, b)
        add_to(run.metrics, LOSS_SUM, loss)
        add_to(run.metrics, WEIGHT_SUM, weight_sum(run.sample_weight, batch.samples, batch.rows))
        add_to(run.metrics, HIT_SUM, hits)
    return True


# ---------------------------------------------------------------------------------------------
# Steps
# ---------------------------------------------------------------------------------------------


@inner
def first_layer(functions, place, team, batch, step):
    """The first layer where its inputs are listed: its parts, or a share of its units."""
    source = load_record(place.source, Source)
    if source.parts == 1:
        forward_listed(functions, place, team, batch.rows)
        meet(team)
        return
    layer = load_record(place.net, Layer)
    size = layer.capacity * layer.width
    # Two steps take turns: one thread may write the next sums while another reads these.
    partial = place.partial + step % 2 * source.parts * size
    for part in range(source.first_part, source.last_part):
        partial_sums(functions, place, part, batch.rows, partial + part * size)
    meet(team)
    add_parts(functions, place, partial, batch.rows)


@inner
def forward_layers(functions, place, team, batch, number):
    """The layers from one on.

    The first is divided by units, the others too or, if the place says so, by rows of the batch.
    The threads meet after what was divided by units.
    """
    while number < place.n_layers:
        units = load_record(layer_at(place.net, number), Layer).panels * batch.rows
        if number and place.by_rows:
            forward_layer(functions, place, number, batch.rows, batch.low, batch.high, 0, units)
        else:
            first, stop = share(units, team.thread, team.threads)
            forward_layer(functions, place, number, batch.rows, 0, batch.rows, first, stop)
            meet(team)
        number += 1


@inner
def backward_layers(functions, place, team, batch):
    """dz of every hidden layer, from the last to the first.

    Divided by units, the threads meet before each; or by rows, as :func:`forward_layers`.
    """
    for number in range(place.n_layers - 1, 0, -1):
        fan_in = load_record(layer_at(place.net, number), Layer).fan_in
        if place.by_rows:
            input_gradient(functions, place, number, batch.low, batch.high, 0, fan_in)
        else:
            meet(team)
            vector, last_vector = share(-(-fan_in // VL), team.thread, team.threads)
            first, stop = vector * VL, min(last_vector * VL, fan_in)
            input_gradient(functions, place, number, 0, batch.rows, first, stop)


@inner
def forward_and_back(run, functions, place, team, batch, step):
    """All gradients by the outputs, and the losses; whether to go on to the update."""
    masks = Masks(option(run.options, "seed"), option(run.options, "epoch"), batch.samples)
    store_record(place.masks, masks)
    if place.lists:
        first_layer(functions, place, team, batch, step)
    forward_layers(functions, place, team, batch, 1 if place.lists else 0)
    last = layer_at(place.net, place.n_layers - 1)
    call(
        functions.loss_rows,
        (
            place.base, last, batch.low, batch.high, batch.rows, run.targets, run.sample_weight,
            batch.samples, place.losses, place.hits,
        ),
    )  # fmt: skip
    backward_layers(functions, place, team, batch)
    if load_record(place.source, Source).parts == 1:
        meet(team)
    return count_losses(run, place, team, batch)


@inner
def update_all(run, functions, place, team, batch, upcoming, step):
    """The weight gradients and updates: this thread's share, or its parts and its own copy."""
    rate = load_double(run.learning_rates, step)
    count = run.first_step + step + 1
    write_update(run.options, run.gradient_only, rate, count, place.update)
    sharers = team
    if load_record(place.source, Source).parts > 1:
        update_parts(functions, place, upcoming)
        sharers = alone(team)
    elif place.lists:
        update_listed_share(functions, place, team)
    for number in range(place.n_layers):
        if number or not place.lists:
            update_layer(functions, place, sharers, number, batch.rows)
        update_biases(functions, place, sharers, number, batch.rows)


@inner
def next_batch(functions, plan, place, team, upcoming):
    """Gather a batch, or a share of it, and list what is not zero."""
    source, rows, samples = load_record(place.source, Source), upcoming.rows, upcoming.samples
    if rows:
        first, stop = 0, rows
        if plan.input_size == 0:  # the threads share the inputs
            first, stop = share(rows, team.thread, team.threads)
        call(
            functions.gather,
            (
                place.source, samples, first, stop, place.lists, place.base, place.inputs,
                place.ld,
            ),
        )  # fmt: skip
        if place.lists:
            square = place.masks - 8 * (MASKS - SQUARE)
            for part in range(source.first_part, source.last_part):
                call(functions.list_rows, (place.source, place.lists, rows, part, square))
    if source.parts > 1:
        return Batch(samples, rows, 0, rows)
    low, high = row_share(rows, team.thread, team.threads)
    return Batch(samples, rows, low, high)


@inner
def make_steps(run, plan, functions, place, team):
    """Step after step until a loss is not finite; the number of steps done."""
    done = 0
    batch = next_batch(functions, plan, place, team, upcoming_of(run, 0))
    meet(team)
    for step in range(run.n_steps):
        if not forward_and_back(run, functions, place, team, batch, step):
            break
        upcoming = upcoming_of(run, step + 1)
        update_all(run, functions, place, team, batch, upcoming, step)
        done += 1
        if plan.input_size == 0:
            meet(team)
        batch = next_batch(functions, plan, place, team, upcoming)
        if plan.parts == 1:  # else a thread goes on with what it has updated itself
            meet(team)
    meet(team)
    return done


@inner
def copy_parameters(copy, run, plan, place, team):
    """Pack, or unpack, the parameters and the rows of state: ``copy`` is one of the two."""
    alone = plan.parts > 1
    for row in range(run.slots + 1):
        flat = run.state + 4 * (row - 1) * run.n_params if row else run.params
        packed = row * plan.slot
        call(
            copy,
            (
                place.net, place.n_layers, flat, place.base, packed, team.thread, team.threads,
                alone,
            ),
        )  # fmt: skip


SIGNATURE = types.int64, types.int64, types.boolean  # of the one program that there is


@entry
def train(run_at, gate, leads):
    """What one thread does in ``train_steps``; the number of steps done.

    ``run_at`` is the address of a :class:`Run`; ``gate`` and ``leads`` are those of
    ``threads.run_team``.
    """
    thread, threads = enter(gate, leads)
    if thread < 0:
        return 0
    mode = flush_denormals()
    run = load_record(run_at, Run)
    plan, functions = load_record(run.plan, Plan), load_record(run.functions, Functions)
    place = place_of(run, plan, thread, threads)
    team = make_team(gate, thread, threads, place.masks + 8 * (MEETINGS - MASKS))
    copy_parameters(functions.pack, run, plan, place, team)
    if thread == 0 or plan.parts > 1:
        for number in range(place.n_layers):
            clear_gradient(load_record(layer_at(place.net, number), Layer), place.base)
    done = make_steps(run, plan, functions, place, team)
    copy_parameters(functions.unpack, run, plan, place, team)
    set_float_mode(mode)
    leave(gate, thread, threads)
    return done
