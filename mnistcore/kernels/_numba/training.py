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

from functools import cache

import numpy as np
from numba import types

from ..layout import FAN_IN, SKIP_ALL
from ..threads import run_team
from .bits import WORD
from .functions import c_function, call, entry, inner, pointer
from .gradients import update_biases, update_layer, update_parts
from .inputs import (
    SPARSE,
    Source,
    Upcoming,
    gather,
    list_rows,
    make_lists,
    make_marks,
    mark_columns,
    mark_rows,
)
from .losses import count_losses, loss_rows
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
from .plan import (
    CAPACITY,
    FAN_IN_FIELD,
    LAYER_FIELDS,
    SKIPS,
    WIDTH,
    Batch,
    Layer,
    Plan,
    Run,
    layer_at,
    pack_bias,
    pack_weights,
    unpack_bias,
    unpack_weights,
)
from .products import (
    Functions,
    Masks,
    Place,
    add_parts,
    clear_gradient,
    derive_tile,
    finish_tile,
    forward_layer,
    input_gradient,
    mark_inputs,
    partial_sums,
)
from .sparse import MULTIPLY, UPDATE_MARKED, SparseProduct, sparse_pointers
from .team import alone, enter, leave, make_team, meet, share
from .tile import SUM, multiply_listed, multiply_tile
from .updates import UPDATE, Pending, multiply_and_update, update_vectors, write_update

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
def upcoming_of(run, step):
    """Return the rows of a step's batch; none after the last step."""
    size = option(run.options, "batch_size")
    start = min(step * size, run.n_order)
    return Upcoming(run.order + 8 * start, min(size, run.n_order - start))


@inner
def row_share(rows, thread, threads):
    """Return a thread's rows of a batch, in whole vectors of rows."""
    first, stop = share(-(-rows // VL), thread, threads)
    return first * VL, min(stop * VL, rows)


@inner
def place_of(run, plan, thread, threads):
    """Return where a thread's data are, having written the thread's own records."""
    own_copies = plan.parts > 1  # each thread works on its own copy, for itself
    copy = thread if own_copies else 0
    own = run.integers + 8 * run.integers_size * thread
    capacity = option(run.options, "batch_size")
    first_part, last_part = share(plan.parts, thread, threads) if own_copies else (0, 1)
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
        plan.rows_alone,
        plan.inputs + thread * plan.input_size,
        plan.ld,
        own + 8 * SOURCE,
        load_index(run.lists, thread) if run.lists else 0,
        load_index(run.marks, thread) if run.marks else 0,
        load_index(run.hidden, thread) if run.hidden else 0,
        own + 8 * PRODUCT,
        plan.partial,
        plan.slot_size,
        scratch,
        own + 8 * SUMS,
        own + 8 * MASKS,
        run.workspace + 4 * (scratch + plan.scratch_size - UPDATE),
        run.losses + 8 * capacity * copy,
        run.hits + 8 * capacity * copy,
    )


# ---------------------------------------------------------------------------------------------
# Steps
# ---------------------------------------------------------------------------------------------


@inner
def first_layer(functions, place, team, batch, step):
    """Run the first layer where its inputs have parts."""
    source, layer = load_record(place.source, Source), load_record(place.net, Layer)
    size = layer.capacity * layer.width
    # Two steps take turns: one thread may write the next sums while another reads these.
    partial = place.partial + step % 2 * source.parts * size
    for part in range(source.first_part, source.last_part):
        partial_sums(functions, place, part, batch.rows, partial + part * size)
    meet(team)
    add_parts(functions, place, partial, batch.rows)


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


@inner
def forward_and_back(run, functions, place, team, batch, step):
    """Compute the losses and all dz; return whether to go on to the update."""
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
def update_step(run, functions, place, team, batch, upcoming, step):
    """Do the weight gradients and updates of this thread's share, or its parts and own copy."""
    rate = load_double(run.learning_rates, step)
    count = run.first_step + step + 1
    write_update(run.options, run.gradient_only, rate, count, place.update)
    sharers = team
    if load_record(place.source, Source).parts > 1:
        update_parts(functions, place, upcoming)
        sharers = alone(team)
    marks, square = place.marks if batch.sparse else 0, place.masks - 8 * (MASKS - SQUARE)
    for number in range(place.n_layers):
        if number:
            marks = mark_inputs(functions, place, number, 0, batch.rows)
            if marks:
                call(functions.mark_columns, (marks, batch.rows, square))
        if number or not place.lists:
            update_layer(functions, place, sharers, number, marks, batch.rows)
        update_biases(functions, place, sharers, number, batch.rows)


@inner
def next_batch(functions, plan, place, team, upcoming):
    """Gather a batch, or a share of it, and note what is not zero."""
    source, rows, samples = load_record(place.source, Source), upcoming.rows, upcoming.samples
    sparse = 0
    if rows:
        first, stop = 0, rows
        if plan.input_size == 0:  # the threads share the inputs
            first, stop = share(rows, team.thread, team.threads)
        call(
            functions.gather,
            (
                place.source, samples, first, stop, place.lists, place.marks, place.base,
                place.inputs, place.ld,
            ),
        )  # fmt: skip
        square = place.masks - 8 * (MASKS - SQUARE)
        if place.marks:
            sparse = load_index(place.marks, SPARSE)
            if sparse:
                call(functions.mark_columns, (place.marks, rows, square))
        if place.lists:
            for part in range(source.first_part, source.last_part):
                call(functions.list_rows, (place.source, place.lists, rows, part, square))
    if source.parts > 1:
        return Batch(samples, rows, 0, rows, sparse)
    low, high = row_share(rows, team.thread, team.threads)
    return Batch(samples, rows, low, high, sparse)


@inner
def make_steps(run, plan, functions, place, team):
    """Make steps until a loss is not finite; return the number of steps done."""
    done = 0
    batch = next_batch(functions, plan, place, team, upcoming_of(run, 0))
    meet(team)
    for step in range(run.n_steps):
        if not forward_and_back(run, functions, place, team, batch, step):
            break
        upcoming = upcoming_of(run, step + 1)
        update_step(run, functions, place, team, batch, upcoming, step)
        done += 1
        if plan.input_size == 0:
            meet(team)
        batch = next_batch(functions, plan, place, team, upcoming)
        if plan.parts == 1:  # else a thread goes on with what it has updated itself
            meet(team)
    meet(team)
    return done


@c_function(8)
def pack(net, n_layers, flat, base, packed, thread, threads, own_copies):
    """Pack a flat vector (parameters or a row of state); ``own_copies``, its copies as well."""
    own_thread, own_threads = (0, 1) if own_copies else (thread, threads)
    for number in range(n_layers):
        layer = load_record(layer_at(net, number), Layer)
        if number == 0:
            pack_weights(layer, flat, base, packed, thread, threads)
        else:
            pack_weights(layer, flat, base, packed, own_thread, own_threads)
        if own_thread == 0:
            pack_bias(layer, flat, base, packed)


@c_function(8)
def unpack(net, n_layers, flat, base, packed, thread, threads, own_copies):
    """Unpack: the inverse of :func:`pack`; of equal copies, the first thread's is used."""
    for number in range(n_layers):
        layer = load_record(layer_at(net, number), Layer)
        if number == 0 or not own_copies:
            unpack_weights(layer, base, packed, flat, thread, threads)
        elif thread == 0:
            unpack_weights(layer, base, packed, flat, 0, 1)
        if thread == 0:
            unpack_bias(layer, base, packed, flat)


@inner
def copy_parameters(copy, run, plan, place, team, first_slot):
    """Pack, or unpack: ``copy`` is one of the two.

    Slot 0 is the parameters, 1 + i is row i of the state; those from ``first_slot`` on.
    """
    own_copies = plan.parts > 1
    for slot in range(first_slot, run.slots + 1):
        flat = run.state + 4 * (slot - 1) * run.n_params if slot else run.params
        packed = slot * plan.slot_size
        call(
            copy,
            (
                place.net, place.n_layers, flat, place.base, packed, team.thread, team.threads,
                own_copies,
            ),
        )  # fmt: skip


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
    place = place_of(run, plan, thread, threads)
    team = make_team(gate, thread, threads, place.masks + 8 * (MEETINGS - MASKS))
    copy_parameters(functions.pack, run, plan, place, team, 0)
    if thread == 0 or plan.parts > 1:
        for number in range(place.n_layers):
            clear_gradient(load_record(layer_at(place.net, number), Layer), place.base)
    done = make_steps(run, plan, functions, place, team)
    copy_parameters(functions.unpack, run, plan, place, team, 1 if run.gradient_only else 0)
    set_float_mode(mode)
    leave(gate, thread, threads)
    return done


# ---------------------------------------------------------------------------------------------
# From Python
# ---------------------------------------------------------------------------------------------

# The C functions of every training program; further ones are for some networks and data.
FUNCTIONS = {
    "multiply_tile": multiply_tile,
    "gather": gather,
    "finish_tile": finish_tile,
    "pack": pack,
    "unpack": unpack,
    "loss_rows": loss_rows,
    "derive_tile": derive_tile,
    "update_vectors": update_vectors,
    "multiply_and_update": multiply_and_update,
}


@cache
def function_pointers(listed: bool, widths: tuple[int, ...]) -> np.ndarray:
    """Compile the C functions that a program needs and return the record of their pointers.

    ``listed`` is whether zeros are listed; ``widths`` are those of the panels of layers whose
    inputs may be mostly zero.
    """
    functions = dict(FUNCTIONS)
    if listed:
        functions |= {"multiply_listed": multiply_listed, "list_rows": list_rows}
    if widths:
        functions |= {"mark_rows": mark_rows, "mark_columns": mark_columns}
    pointers = {name: pointer(function) for name, function in functions.items()}
    sparse = sparse_pointers(widths, (*MULTIPLY, *UPDATE_MARKED))
    return np.array(Functions(**pointers, sparse=address_of(sparse)), np.int64)


def sparse_widths(net: np.ndarray) -> tuple[int, ...]:
    """Return the widths of the panels of those layers whose inputs may be mostly zero."""
    return tuple(sorted({int(layer[WIDTH]) for layer in net[0] if layer[SKIPS]}))


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
        listed = plan.parts > 1
        hidden = [int(layer[FAN_IN_FIELD]) for layer in net[0, 1:] if layer[SKIPS]]
        self._lists = make_lists(fan_in, capacity, plan.parts, threads) if listed else []
        self._marks = make_marks(fan_in, capacity, threads if net[0, 0, SKIPS] else 0)
        self._hidden = make_marks(max(hidden, default=0), capacity, threads if hidden else 0)
        integers = np.empty((threads, INTEGERS + SPACE), np.int64)
        results = np.empty((2, plan.copies, capacity))
        self._arrays = {
            "functions": function_pointers(listed, sparse_widths(net)),
            "plan": np.array(plan, np.int64),
            "net": net,
            "lists": np.array([address_of(lists) for lists in self._lists], np.int64),
            "marks": np.array([address_of(marks) for marks in self._marks], np.int64),
            "hidden": np.array([address_of(marks) for marks in self._hidden], np.int64),
            "integers": integers,
            "losses": results[0],
            "hits": results[1],
        }
        self._numbers = {
            "n_layers": len(layers),
            "skip_zeros": int(skip == SKIP_ALL),
            "gradient_only": int(gradient_only),
            "integers_size": integers.shape[1],
        }
        self._threads = threads

    def run(self, workspace: np.ndarray, first_step: int, **arrays: np.ndarray) -> int:
        """Make the steps; return how many were made.

        ``arrays`` are the arguments of ``train_steps`` of these names: x, targets,
        sample_weight, order, learning_rates, options, params, state and metrics.
        """
        options = arrays["options"]
        scaling = np.array([options["scale"][0], options["shift"][0]], np.float32)
        arrays |= self._arrays | {"scaling": scaling}
        record = Run(
            **{name: address_of(array) if array.size else 0 for name, array in arrays.items()},
            **self._numbers,
            floats=int(arrays["x"].dtype == np.float32),
            n_order=len(arrays["order"]),
            n_steps=len(arrays["learning_rates"]),
            first_step=first_step,
            n_params=len(arrays["params"]),
            slots=len(arrays["state"]),
            workspace=aligned(address_of(workspace)),
        )
        run = np.array(record, np.int64)
        at = address_of(run)

        def work(gate: int, leads: bool) -> int:
            return train(at, gate, leads)

        return run_team(self._threads, work)
