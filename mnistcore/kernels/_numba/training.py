"""The training program: what a thread of a team does over many steps.

Every thread runs :func:`train` from the first step to the last. Between two meetings each thread
writes only its own data and reads only what was finished before. Work is divided into units (a
row of a panel) in panel-major order, and every thread takes an equal, contiguous share. A layer
with as many panels as threads is thus divided by columns, and each thread keeps its weights and
moments in its own cache; a narrow one is divided by rows. One step, with ``|`` for a meeting::

    forward 1 | ... | forward n | loss | input gradient n | ... | input gradient 2 |
    weight gradients and updates of all layers, gather of the next batch |

If little follows the first layer, the middle has no meetings, and if the first layer is narrow
there is only one meeting: see :mod:`.plan`. The optimizer runs on a tile of the gradient while it
is in the L1 cache, so gradients are never written to memory. Each thread gathers the batch for
itself, since reading memory is faster than reading another core's cache.
"""

import numpy as np
from numba import types

from ..layout import FAN_IN, FAN_OUT, SKIP_ALL
from ..threads import run_team
from .averaging import average_parameters
from .bits import WORD
from .clipping import clip_and_apply, gradient_place
from .functions import call, entry, inner
from .gradients import update_biases, update_layer
from .inputs import SPARSE, Source, make_marks
from .losses import count_losses
from .machine import VL, flush_denormals, set_float_mode
from .memory import (
    address_of,
    aligned,
    load_double,
    load_index,
    load_record,
    option,
    store_record,
)
from .narrow import Strips, make_strips, next_strips
from .norms import limit_norms
from .packing import copy_parameters, parts_of
from .plan import (
    CAPACITY,
    LAYER_FIELDS,
    SKIPS,
    Batch,
    Layer,
    Plan,
    Run,
    layer_at,
)
from .products import (
    Functions,
    Masks,
    Place,
    add_parts,
    clear_gradient,
    forward_layer,
    input_gradient,
    mark_inputs,
    normalize_layer,
)
from .selection import function_pointers, further_functions, sparse_widths
from .sparse import SparseProduct
from .team import alone, ends_early, enter, leave, make_team, meet, share, watch_waits
from .tile import SUM, TILE
from .updates import UPDATE, Pending, write_update

# What a thread keeps in its int64: a square of bits, and records.
SQUARE = 0
MASKS = WORD
SOURCE = MASKS + len(Masks._fields)
PRODUCT = SOURCE + len(Source._fields)
MEETINGS = PRODUCT + len(SparseProduct._fields)
SUMS = MEETINGS + 1
INTEGERS = SUMS + SUM + len(Pending._fields)
SPACE = 16  # after them, so that two threads never write the same cache line


@inner
def samples_of(run, step):
    """Return the address of the row numbers of a step's batch, and how many: 0 after the last."""
    size = option(run.options, "batch_size")
    start = min(step * size, run.n_order)
    return run.order + 8 * start, min(size, run.n_order - start)


@inner
def row_share(rows, thread, threads):
    """Return a thread's rows of a batch, in whole vectors of rows."""
    first, stop = share(-(-rows // VL), thread, threads)
    return first * VL, min(stop * VL, rows)


@inner
def place_of(run, plan, slot_size, thread, threads):
    """Return where a thread's data are, having written the thread's own records.

    ``slot_size`` is the distance from a parameter to its place in the first row of state.
    """
    own_copies = plan.parts > 1  # each thread works on its own copy, for itself
    copy = thread if own_copies else 0
    own = run.integers + 8 * run.integers_size * thread
    capacity = option(run.options, "batch_size")
    fan_in = load_record(run.net, Layer).fan_in
    store_record(own + 8 * SOURCE, Source(run.x, run.floats, fan_in, run.skip_zeros, run.scaling))
    scratch = plan.scratch + thread * plan.scratch_size
    return Place(
        run.workspace,
        run.net + 8 * LAYER_FIELDS * run.n_layers * copy,
        run.n_layers,
        plan.rows_alone,
        plan.inputs + thread * plan.input_size,
        plan.ld,
        own + 8 * SOURCE,
        load_index(run.marks, thread) if run.marks else 0,
        load_index(run.hidden, thread) if run.hidden else 0,
        own + 8 * PRODUCT,
        load_index(run.strips, thread) if run.strips else 0,
        plan.partial,
        slot_size,
        scratch,
        own + 8 * SUMS,
        own + 8 * MASKS,
        run.workspace + 4 * (scratch + plan.scratch_size - UPDATE),
        run.losses + 8 * capacity * copy,
        run.hits + 8 * capacity * copy,
        run.options,
    )


# ---------------------------------------------------------------------------------------------
# Steps
# ---------------------------------------------------------------------------------------------


@inner
def first_layer(functions, place, team, batch, step):
    """Run a narrow first layer: by parts of its inputs."""
    layer = load_record(place.net, Layer)
    size = layer.capacity * layer.width
    # Two steps take turns: one thread may write the next sums while another reads these.
    parts = load_record(place.strips, Strips).parts
    partial, (first, stop) = place.partial + step % 2 * parts * size, parts_of(place, team)
    for part in range(first, stop):
        call(
            functions.part_sums,
            (
                place.source, place.strips, place.net, place.base, part, batch.rows,
                partial + part * size,
            ),
        )  # fmt: skip
    meet(team)
    add_parts(functions, place, parts, partial, batch.rows)


@inner
def forward_layers(functions, place, team, batch, number):
    """Run the layers from ``number`` on.

    The first is divided by units, the others too or, if the place says so, by rows of the batch.
    The threads meet after what was divided by units.
    """
    while number < place.n_layers:
        units = load_record(layer_at(place.net, number), Layer).panels * batch.rows
        first, stop = share(units, team.thread, team.threads)
        low, high = np.int64(0), batch.rows
        if number and place.rows_alone:
            low, high, first, stop = batch.low, batch.high, np.int64(0), units
        marks = place.marks if batch.sparse else 0
        if number:
            marks = mark_inputs(functions, place, number, low, high)
        forward_layer(functions, place, number, marks, batch.rows, low, high, first, stop)
        if not (number and place.rows_alone):
            meet(team)
        if load_record(layer_at(place.net, number), Layer).normalized:
            normalize_layer(functions, place, team, number, batch.rows)
            meet(team)
        number += 1


@inner
def backward_layers(functions, place, team, batch):
    """Compute dz of every hidden layer, from the last to the first.

    Divided by units, the threads meet before each; or by rows, as :func:`forward_layers`.
    """
    for number in range(place.n_layers - 1, 0, -1):
        fan_in = load_record(layer_at(place.net, number), Layer).fan_in
        if place.rows_alone:
            input_gradient(functions, place, number, batch.low, batch.high, 0, fan_in)
        else:
            meet(team)
            vector, last_vector = share(-(-fan_in // VL), team.thread, team.threads)
            first, stop = vector * VL, min(last_vector * VL, fan_in)
            input_gradient(functions, place, number, 0, batch.rows, first, stop)
            before = layer_at(place.net, number - 1)
            if load_record(before, Layer).normalized:
                block = place.scratch + TILE
                call(
                    functions.differentiate_layer,
                    (place.base, before, first, stop, batch.rows, block),
                )


@inner
def forward_and_back(run, functions, place, team, batch, step):
    """Compute the losses and all dz; return whether to go on to the update."""
    masks = Masks(option(run.options, "seed"), option(run.options, "epoch"), batch.samples)
    store_record(place.masks, masks)
    if place.strips:
        first_layer(functions, place, team, batch, step)
    forward_layers(functions, place, team, batch, 1 if place.strips else 0)
    last, batch_at = layer_at(place.net, place.n_layers - 1), place.sums + 8 * SUM
    store_record(batch_at, batch)  # where a Pending will be
    if functions.soft_rows:
        call(
            functions.soft_rows,
            (
                place.base, last, batch_at, run.targets, run.soft_targets, run.sample_weight,
                place.losses, place.hits, run.options,
            ),
        )  # fmt: skip
    else:
        call(
            functions.loss_rows,
            (
                place.base, last, batch_at, run.targets, run.sample_weight, place.losses,
                place.hits,
            ),
        )  # fmt: skip
    backward_layers(functions, place, team, batch)
    if not place.strips:
        meet(team)
    if ends_early(team, step):
        return False
    return count_losses(run, place, team, batch)


@inner
def update_step(run, functions, place, team, batch, step):
    """Do the weight gradients and updates of this thread's share, or its parts and own copy.

    Gradients that are to be clipped are only written, as if to the first row of state.
    """
    rate = load_double(run.learning_rates, step)
    count = run.first_step + step + 1
    only_written = run.gradient_only or functions.sum_squares != 0
    write_update(run.options, only_written, rate, count, place.update)
    sharers = team
    if place.strips:
        first, stop = parts_of(place, team)
        for part in range(first, stop):
            call(
                functions.update_part,
                (
                    place.source, place.strips, place.net, place.base, part, batch.rows,
                    functions.update_vectors, place.update, place.slot_size, place.scratch,
                ),
            )  # fmt: skip
        sharers = alone(team)
    marks, square = place.marks if batch.sparse else 0, place.masks - 8 * (MASKS - SQUARE)
    for number in range(place.n_layers):
        if number:
            marks = mark_inputs(functions, place, number, 0, batch.rows)
            if marks:
                call(functions.mark_columns, (marks, batch.rows, square))
        if number or not place.strips:
            update_layer(functions, place, sharers, number, marks, batch.rows)
        update_biases(functions, place, sharers, number, batch.rows)
        at = layer_at(place.net, number)
        layer = load_record(at, Layer)
        if layer.normalized and not run.gradient_only:
            panel, last = share(layer.panels, team.thread, team.threads)
            call(
                functions.update_running,
                (
                    place.base, at, panel, last, batch.rows, run.options, run.buffers,
                    run.n_normalized,
                ),
            )  # fmt: skip


@inner
def next_batch(run, functions, plan, place, team, step):
    """Gather a batch, or a share of it, and note what is not zero."""
    samples, rows = samples_of(run, step)
    square, sparse = place.masks - 8 * (MASKS - SQUARE), np.int64(0)
    if place.strips:
        parts, upcoming = parts_of(place, team), samples_of(run, step + 1)
        next_strips(functions, place, parts, square, (samples, rows), upcoming)
        return Batch(samples, rows, np.int64(0), rows, sparse)
    if rows:
        first, stop = 0, rows
        if plan.input_size == 0:  # the threads share the inputs
            first, stop = share(rows, team.thread, team.threads)
        call(
            functions.gather,
            (
                place.source, samples, first, stop, place.marks, place.base, place.inputs,
                place.ld,
            ),
        )  # fmt: skip
        if place.marks:
            sparse = load_index(place.marks, SPARSE)
            if sparse:
                call(functions.mark_columns, (place.marks, rows, square))
    low, high = row_share(rows, team.thread, team.threads)
    return Batch(samples, rows, low, high, sparse)


@inner
def make_steps(run, plan, functions, place, team):
    """Make steps until a loss is not finite; return the number of steps done."""
    done, updated = 0, place
    if functions.sum_squares:
        distance = gradient_place(run, plan.slot_size)
        updated = place_of(run, plan, distance, team.thread, team.threads)
    batch = next_batch(run, functions, plan, place, team, 0)
    meet(team)
    for step in range(run.n_steps):
        watch_waits(team, step)
        if not forward_and_back(run, functions, place, team, batch, step):
            break
        update_step(run, functions, updated, team, batch, step)
        if functions.sum_squares:
            clip_and_apply(functions, run, place, team, step)
        if functions.limit_units:
            limit_norms(functions, place, team)
        if functions.move_average:
            average_parameters(functions, run, place, team, run.first_step + step + 1)
        done += 1
        if plan.input_size == 0:
            meet(team)
        batch = next_batch(run, functions, plan, place, team, step + 1)
        if plan.parts == 1:  # else a thread goes on with what it has updated itself
            meet(team)
    meet(team)
    return done


SIGNATURE = types.int64, types.int64, types.boolean  # of the one program that there is


@entry
def train(run_at, gate, leads):
    """Do one thread's part of ``train_steps``; return the number of steps done.

    ``run_at`` is the address of a :class:`Run`; ``gate`` and ``leads`` are those of
    ``threads.run_team``.
    """
    thread, threads = enter(gate, leads)
    if thread < 0:
        return 0
    mode = flush_denormals()
    run = load_record(run_at, Run)
    plan, functions = load_record(run.plan, Plan), load_record(run.functions, Functions)
    place = place_of(run, plan, plan.slot_size, thread, threads)
    team = make_team(gate, thread, threads, place.masks + 8 * (MEETINGS - MASKS))
    copy_parameters(functions.pack, functions.pack_strips, run, plan, place, team, 0)
    if thread == 0 or plan.parts > 1:
        for number in range(place.n_layers):
            clear_gradient(load_record(layer_at(place.net, number), Layer), place.base)
    done = make_steps(run, plan, functions, place, team)
    first_slot = 1 if run.gradient_only else 0
    copy_parameters(functions.unpack, functions.unpack_strips, run, plan, place, team, first_slot)
    set_float_mode(mode)
    leave(gate, thread, threads)
    return done


# ---------------------------------------------------------------------------------------------
# From Python
# ---------------------------------------------------------------------------------------------


class Training:
    """The program of ``train_steps``.

    Parameters
    ----------
    layers
        The layer table.
    net, plan, threads
        The result of :func:`.plan.make_plan` for this number of threads.
    skip
        Which zeros may be left out: SKIP_NOTHING, SKIP_HIDDEN or SKIP_ALL.
    gradient_only
        Whether to write the gradient to the first row of state, and change nothing else.
    """

    def __init__(
        self,
        layers: np.ndarray,
        net: np.ndarray,
        plan: Plan,
        threads: int,
        skip: int,
        gradient_only: bool,
    ) -> None:
        capacity, fan_in = int(net[0, 0, CAPACITY]), int(layers[0, FAN_IN])
        narrow = plan.parts > 1
        hidden = layers[1:, FAN_IN][net[0, 1:, SKIPS] > 0]
        self._strips = make_strips(fan_in, capacity, plan.parts, threads) if narrow else []
        self._marks = make_marks(fan_in, capacity, threads if net[0, 0, SKIPS] else 0)
        widest = int(hidden.max(initial=0))
        self._hidden = make_marks(widest, capacity, threads if widest else 0)
        self._narrow = (int(layers[0, FAN_OUT]), fan_in) if narrow else None
        integers = np.empty((threads, INTEGERS + SPACE), np.int64)
        results = np.empty((2, plan.copies, capacity))
        self._arrays = {
            "plan": np.array(plan, np.int64),
            "net": net,
            "strips": np.array([address_of(strips) for strips in self._strips], np.int64),
            "marks": np.array([address_of(marks) for marks in self._marks], np.int64),
            "hidden": np.array([address_of(marks) for marks in self._hidden], np.int64),
            "integers": integers,
            "squares": np.empty(sum(-(-int(units) // VL) for units in layers[:, FAN_OUT])),
            "losses": results[0],
            "hits": results[1],
        }
        self._numbers = {
            "n_layers": len(layers),
            "skip_zeros": int(skip == SKIP_ALL),
            "gradient_only": int(gradient_only),
            "integers_size": integers.shape[1],
        }
        self._threads, self._normalized = threads, plan.normalized

    def run(self, workspace: np.ndarray, first_step: int, **arrays: np.ndarray) -> int:
        """Make the steps; return how many were made.

        ``arrays`` are the arguments of ``train_steps`` of these names: x, targets,
        sample_weight, order, learning_rates, options, params, state, buffers and metrics.
        """
        options, floats = arrays["options"], arrays["x"].dtype == np.float32
        narrow = self._narrow and (self._narrow[0], bool(floats), self._narrow[1])
        targets = arrays["targets"]
        are_ids = targets.ndim == 1
        further = further_functions(options, self._normalized > 0, not are_ids)
        widths = sparse_widths(self._arrays["net"])
        arrays["functions"] = function_pointers(narrow, widths, *further)
        arrays["targets"] = targets if are_ids else targets[:0]
        arrays["soft_targets"] = targets[:0] if are_ids else targets
        scaling = np.array([options["scale"][0], options["shift"][0]], np.float32)
        arrays |= self._arrays | {"scaling": scaling}
        record = Run(
            **{name: address_of(array) if array.size else 0 for name, array in arrays.items()},
            **self._numbers,
            floats=int(floats),
            n_order=len(arrays["order"]),
            n_steps=len(arrays["learning_rates"]),
            first_step=first_step,
            n_params=len(arrays["params"]),
            slots=len(arrays["state"]),
            n_normalized=len(arrays["buffers"]) // 2,
            workspace=aligned(address_of(workspace)),
        )
        run = np.array(record, np.int64)
        at = address_of(run)

        def work(gate: int, leads: bool) -> int:
            return train(at, gate, leads)

        return run_team(self._threads, work)
