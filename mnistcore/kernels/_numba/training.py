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

from ..layout import DROPOUT, FAN_IN, FAN_OUT, HIT_SUM, LOSS_SUM, WEIGHT_SUM
from .elementwise import CONSTANTS, GRADIENT, softmax_loss, write_constants
from .functions import c_function, entry, inner
from .inputs import Upcoming
from .plan import (
    BATCH_WIDTH,
    DZ,
    DZT,
    INPUT_LEADING,
    INPUT_SIZE,
    INPUTS,
    LEADING,
    NET_COLUMNS,
    OUTPUT,
    PANELS,
    PARTIAL,
    PARTS,
    ROWS_ALONE,
    SCRATCH_SIZE,
    SCRATCHES,
    SLOT,
    WIDTH,
)
from .products import (
    add_parts,
    clear_gradient,
    forward_layer,
    forward_listed,
    input_gradient,
    pack_bias,
    pack_weights,
    partial_sums,
    unpack_bias,
    unpack_weights,
    update_biases,
    update_layer,
    update_listed_share,
    update_parts,
)
from .simd import (
    LANES,
    WORD,
    address,
    aligned_address,
    call,
    load_double,
    load_index,
    load_int32,
    load_scalar,
    set_float_mode,
    store_double,
    store_scalar,
)
from .team import enter, flush_denormals, leave, meet, share
from .tile import copy_row

RUNS = WORD  # where the runs begin in a thread's integers, behind a square of bits


@inner
def row_of(net, layer):
    """The address of a layer's row."""
    return net + 8 * NET_COLUMNS * layer


@inner
def row_share(batch, thread, threads):
    """A thread's rows of a batch: vectors of rows stay together."""
    first, stop = share(-(-batch // LANES), thread, threads)
    return first * LANES, min(stop * LANES, batch)


@c_function(8)
def pack(net, n_layers, flat, base, packed, thread, threads, alone):
    """Pack a flat vector (parameters or a row of state); ``alone``, its copies as well."""
    mine, ours = (0, 1) if alone else (thread, threads)
    for layer in range(n_layers):
        row = row_of(net, layer)
        if layer == 0:
            pack_weights(row, flat, base, packed, thread, threads)
        else:
            pack_weights(row, flat, base, packed, mine, ours)
        if mine == 0:
            pack_bias(row, flat, base, packed)


@c_function(8)
def unpack(net, n_layers, flat, base, packed, thread, threads, alone):
    """The way back; of copies, the first thread's are as good as any."""
    for layer in range(n_layers):
        row = row_of(net, layer)
        if layer == 0 or not alone:
            unpack_weights(row, base, packed, flat, thread, threads)
        elif thread == 0:
            unpack_weights(row, base, packed, flat, 0, 1)
        if thread == 0:
            unpack_bias(row, base, packed, flat)


@inner
def sum_of_weights(sample_weight, samples, batch):
    """The sum of a batch's sample weights; ``sample_weight`` 0 is weights of 1."""
    if not sample_weight:
        return np.float64(batch)
    weight_sum = np.float64(0.0)
    for b in range(batch):
        weight_sum += np.float64(load_scalar(sample_weight, load_index(samples, b)))
    return weight_sum


@inner
def sum_of_doubles(numbers, n):
    """The sum of n float64 from an address on."""
    total = 0.0
    for i in range(n):
        total += load_double(numbers, i)
    return total


@inner
def sum_of_losses(losses, sample_weight, samples, batch, clip):
    """The weighted sum of a batch's losses, each that of a probability in [clip, 1 - clip]."""
    low, high = -math.log1p(-clip), -math.log(clip) if clip else math.inf
    total = 0.0
    for b in range(batch):
        loss = load_double(losses, b)
        loss = high if loss > high else low if loss < low else loss  # NaN stays NaN
        if sample_weight:
            loss *= np.float64(load_scalar(sample_weight, load_index(samples, b)))
        total += loss
    return total


@c_function(12)
def loss_rows(
    base, row, first, stop, batch, capacity, batch_width, targets, sample_weight, samples,
    losses, hits,
):  # fmt: skip
    """Rows [first, stop) of softmax-cross-entropy: losses, hits, both layouts of dlogits.

    ``sample_weight`` is an address, or 0 for weights of 1.
    """
    weight_sum = sum_of_weights(sample_weight, samples, batch)
    classes, width = load_index(row, FAN_OUT), load_index(row, WIDTH)
    for b in range(first, stop):
        logits = load_index(row, OUTPUT) + b * load_index(row, LEADING)
        weight = np.float64(1.0)
        if sample_weight:
            weight = np.float64(load_scalar(sample_weight, load_index(samples, b)))
        inverse = np.float32(weight / weight_sum if weight_sum != 0.0 else 0.0)
        label = load_int32(targets, load_index(samples, b))
        loss, hit = softmax_loss(base, logits, classes, label, inverse)
        store_double(losses, b, loss)
        store_double(hits, b, weight if hit else 0.0)
        for panel in range(load_index(row, PANELS)):
            out = load_index(row, DZ) + (panel * capacity + b) * width
            copy_row(base, logits + panel * width, classes - panel * width, base, out, width)
        column = load_index(row, DZT) + b // batch_width * classes * batch_width + b % batch_width
        for o in range(classes):
            store_scalar(base, column + o * batch_width, load_scalar(base, logits + o))


@inner
def forward_layers(
    multiply, finish, base, net, layer, n_layers, inputs, leading, batch, by_rows, first, stop,
    seed, epoch, samples, runs, scratch, gate, meeting, thread, threads,
):  # fmt: skip
    """The layers from ``layer`` on; the number of the next meeting.

    The first layer is divided by units, the others too or, ``by_rows``, by rows of the batch:
    this thread's are [first, stop). The threads meet after what was divided by units.
    """
    while layer < n_layers:
        row = row_of(net, layer)
        if layer:
            before = row_of(net, layer - 1)
            inputs, leading = load_index(before, OUTPUT), load_index(before, LEADING)
        units = load_index(row, PANELS) * batch
        low, high, first_unit, last_unit = first, stop, 0, units
        if layer == 0 or not by_rows:
            low, high = 0, batch
            first_unit, last_unit = share(units, thread, threads)
        forward_layer(
            multiply, finish, base, row, inputs, leading, batch, low, high, first_unit, last_unit,
            load_index(row, DROPOUT) != 0, (seed, epoch, layer), samples, runs, scratch,
        )  # fmt: skip
        if layer == 0 or not by_rows:
            meeting = meet(gate, threads, meeting)
        layer += 1
    return meeting


@inner
def backward_layers(
    multiply, derive, base, net, n_layers, batch, by_rows, first, stop, capacity, batch_width,
    seed, epoch, samples, runs, scratch, gate, meeting, thread, threads,
):  # fmt: skip
    """dz of every hidden layer, from the last to the first; the number of the next meeting.

    Divided by units, the threads meet before each; or by rows, as :func:`forward_layers`.
    """
    for layer in range(n_layers - 1, 0, -1):
        row = row_of(net, layer)
        fan_in = load_index(row, FAN_IN)
        low, high, first_unit, last_unit = first, stop, 0, fan_in
        if not by_rows:
            meeting = meet(gate, threads, meeting)
            vector, last_vector = share(-(-fan_in // LANES), thread, threads)
            first_unit, last_unit = vector * LANES, min(last_vector * LANES, fan_in)
            low, high = 0, batch
        input_gradient(
            multiply, derive, base, row, row_of(net, layer - 1), first_unit, last_unit, low, high,
            capacity, batch_width, layer > 1, (seed, epoch, layer - 1), samples, runs, scratch,
        )  # fmt: skip
    return meeting


@inner
def update_net(
    multiply, update, base, net, n_layers, from_layer, inputs, leading, batch, capacity, slot,
    optimizer, nesterov, constants, runs, scratch, thread, threads,
):  # fmt: skip
    """The weight gradients and updates of the layers from one on, and the biases of all."""
    for layer in range(n_layers):
        row, a, a_leading = row_of(net, layer), inputs, leading
        if layer:
            before = row_of(net, layer - 1)
            a, a_leading = load_index(before, OUTPUT), load_index(before, LEADING)
        if layer >= from_layer:
            update_layer(
                multiply, update, base, row, a, a_leading, batch, capacity, slot, optimizer,
                nesterov, constants, runs, scratch, thread, threads,
            )  # fmt: skip
        update_biases(
            update, base, row, batch, capacity, slot, optimizer, nesterov, constants, scratch,
            thread, threads,
        )  # fmt: skip


class Place(NamedTuple):
    """Where a thread's things are: addresses, or floats from ``base`` on; and its parts."""

    base: int
    net: int  # of its copy
    n_layers: int
    batch_size: int
    batch_width: int
    parts: int
    first_part: int
    last_part: int
    partial: int  # sums of the parts
    inputs: int
    leading: int  # dimension of the inputs
    listed: int  # table of lists, or 0
    slot: int  # from the parameters to the first row of state
    scratch: int
    constants: int
    runs: int


@inner
def place_of(base, net, n_layers, batch_size, slots, totals, listed, runs, thread, threads):
    parts, first_part, last_part = totals[PARTS], 0, 1
    if parts > 1:
        first_part, last_part = share(parts, thread, threads)
    scratch = totals[SCRATCHES] + thread * totals[SCRATCH_SIZE]
    return Place(
        base, net, n_layers, batch_size, totals[BATCH_WIDTH], parts, first_part, last_part,
        totals[PARTIAL], totals[INPUTS] + thread * totals[INPUT_SIZE], totals[INPUT_LEADING],
        listed, totals[SLOT] if slots else 0, scratch,
        scratch + totals[SCRATCH_SIZE] - CONSTANTS, runs,
    )  # fmt: skip


@inner
def first_layer(
    multiply_listed, finish, place, step, batch, seed, epoch, samples, gate, meeting, thread,
    threads,
):  # fmt: skip
    """The first layer where its inputs are listed: its parts, or a share of its units."""
    net, dropped, key = place.net, load_index(place.net, DROPOUT) != 0, (seed, epoch, 0)
    if place.parts == 1:
        forward_listed(
            multiply_listed, finish, place.base, net, place.inputs, place.leading, place.listed,
            batch, dropped, key, samples, place.scratch, thread, threads,
        )  # fmt: skip
        return meet(gate, threads, meeting)
    size = place.batch_size * load_index(net, WIDTH)
    # Two steps take turns: one thread may write the next sums while another reads these.
    partial = place.partial + step % 2 * place.parts * size
    for part in range(place.first_part, place.last_part):
        partial_sums(
            multiply_listed, place.base, net, place.inputs, place.leading, place.listed, part,
            batch, partial + part * size,
        )  # fmt: skip
    meeting = meet(gate, threads, meeting)
    add_parts(
        finish, place.base, net, partial, place.parts, place.batch_size, batch, dropped, key,
        samples, place.scratch,
    )  # fmt: skip
    return meeting


@inner
def update_all(
    multiply, multiply_listed, update, place, upcoming, batch, optimizer, nesterov, thread,
    threads,
):  # fmt: skip
    """The weight gradients and updates: this thread's share, or its parts and its own copy."""
    base, net, scratch, alone = place.base, place.net, place.scratch, place.parts > 1
    if alone:
        update_parts(
            multiply_listed, update, base, net, place.inputs, place.leading, place.listed,
            place.parts, place.first_part, place.last_part, upcoming, place.batch_size,
            place.slot, optimizer, nesterov, place.constants, scratch,
        )  # fmt: skip
    elif place.listed:
        update_listed_share(
            multiply_listed, update, base, net, place.inputs, place.leading, place.listed,
            place.batch_size, place.slot, optimizer, nesterov, place.constants, scratch, thread,
            threads,
        )  # fmt: skip
    update_net(
        multiply, update, base, net, place.n_layers, 1 if place.listed else 0, place.inputs,
        place.leading, batch, place.batch_size, place.slot, optimizer, nesterov, place.constants,
        place.runs, scratch, 0 if alone else thread, 1 if alone else threads,
    )  # fmt: skip


@inner
def next_batch(
    fetch, index, place, x, floats, samples, batch, skip, shared, square, thread, threads
):
    """Gather a batch, or a share of it where ``shared``, and list what is not zero."""
    fan_in = load_index(place.net, FAN_IN)
    first, stop = share(batch, thread, threads) if shared else (0, batch)
    call(fetch, (
        x, floats, samples, fan_in, first, stop, place.parts, place.first_part, place.last_part,
        skip, place.listed, place.base, place.constants, place.inputs, place.leading,
    ))  # fmt: skip
    if place.listed:
        for part in range(place.first_part, place.last_part):
            call(index, (place.listed, fan_in, batch, place.parts, part, square))


@inner
def copy_parameters(copy, place, params, state, thread, threads):
    """Pack, or unpack, the parameters and the rows of state: ``copy`` is one of the two."""
    alone = place.parts > 1
    for row in range(len(state) + 1):
        flat = address(state) + 4 * (row - 1) * len(params) if row else address(params)
        call(copy, (
            place.net, place.n_layers, flat, place.base, row * place.slot, thread, threads, alone,
        ))  # fmt: skip


@entry
def train(
    multiply, multiply_listed, pack_all, unpack_all, fetch, index, finish, losses_of, derive,
    update, gate, leads, x, floats, targets, sample_weight, order, learning_rates, options,
    optimizer, first_step, params, state, workspace, nets, totals, lists, integers, losses, hits,
    skip, metrics,
):  # fmt: skip
    """What one thread does in ``train_steps``; the number of steps done.

    The functions come first; ``gate`` and ``leads`` are those of ``threads.run_team``. ``x`` is
    the address of bytes, or of ``floats``; ``optimizer`` is a code of ``layout`` or GRADIENT;
    ``nets`` and ``totals`` are the plan's; ``lists`` holds the address of each thread's table of
    lists, or nothing to multiply zeros like all else; ``integers`` (threads, n) and ``losses`` and
    ``hits`` (copies, batch size) are scratch.
    """
    thread, threads = enter(gate, leads)
    if thread < 0:
        return 0
    mode, record = flush_denormals(), options[0]
    listed = lists[thread] if len(lists) else 0
    seed, epoch, nesterov = record["seed"], record["epoch"], record["nesterov"] != 0
    n_layers, batch_size, by_rows = nets.shape[1], record["batch_size"], totals[ROWS_ALONE] != 0
    shared, alone = totals[INPUT_SIZE] == 0, totals[PARTS] > 1
    copy = thread if alone else 0  # each thread may work on its own copy, for itself
    net = address(nets) + 8 * NET_COLUMNS * n_layers * copy
    square = address(integers) + 8 * integers.shape[1] * thread
    place = place_of(
        aligned_address(workspace), net, n_layers, batch_size, len(state), totals, listed,
        square + 8 * RUNS, thread, threads,
    )  # fmt: skip
    losses_at = address(losses) + 8 * losses.shape[1] * copy
    hits_at = address(hits) + 8 * hits.shape[1] * copy
    weights = address(sample_weight) if len(sample_weight) else 0

    copy_parameters(pack_all, place, params, state, thread, threads)
    if thread == 0 or alone:
        for layer in range(n_layers):
            clear_gradient(row_of(net, layer), batch_size, place.base)
    write_constants(record, 0.0, 1, place.base, place.constants)
    meeting, done, batch, samples = 1, 0, 0, address(order)
    for step in range(-1, len(learning_rates)):
        start = (step + 1) * batch_size
        upcoming = Upcoming(
            x, 4 if floats else 1, address(order) + 8 * start,
            max(0, min(batch_size, len(order) - start)),
        )  # fmt: skip
        if step >= 0:
            first, stop = (0, batch) if alone else row_share(batch, thread, threads)
            if listed:
                meeting = first_layer(
                    multiply_listed, finish, place, step, batch, seed, epoch, samples, gate,
                    meeting, thread, threads,
                )  # fmt: skip
            meeting = forward_layers(
                multiply, finish, place.base, net, 1 if listed else 0, n_layers, place.inputs,
                place.leading, batch, by_rows, first, stop, seed, epoch, samples, place.runs,
                place.scratch, gate, meeting, thread, threads,
            )  # fmt: skip
            weight_sum = sum_of_weights(weights, samples, batch)
            call(losses_of, (
                place.base, row_of(net, n_layers - 1), first, stop, batch, batch_size,
                place.batch_width, address(targets), weights, samples, losses_at, hits_at,
            ))  # fmt: skip
            meeting = backward_layers(
                multiply, derive, place.base, net, n_layers, batch, by_rows, first, stop,
                batch_size, place.batch_width, seed, epoch, samples, place.runs, place.scratch,
                gate, meeting, thread, threads,
            )  # fmt: skip
            if not alone:
                meeting = meet(gate, threads, meeting)
            loss_sum = sum_of_losses(losses_at, weights, samples, batch, record["probs_clip"])
            if not math.isfinite(loss_sum) and optimizer != GRADIENT:
                break
            if thread == 0:
                metrics[LOSS_SUM] += loss_sum
                metrics[WEIGHT_SUM] += weight_sum
                metrics[HIT_SUM] += sum_of_doubles(hits_at, batch)
            rate, count = learning_rates[step], first_step + step + 1
            write_constants(record, rate, count, place.base, place.constants)
            update_all(
                multiply, multiply_listed, update, place, upcoming, batch, optimizer, nesterov,
                thread, threads,
            )  # fmt: skip
            done += 1
            if shared:
                meeting = meet(gate, threads, meeting)
        batch, samples = upcoming.rows, upcoming.samples
        if batch:
            next_batch(
                fetch, index, place, x, floats, samples, batch, skip, shared, square, thread,
                threads,
            )  # fmt: skip
        if step < 0 or not alone:  # else a thread goes on with what it has updated itself
            meeting = meet(gate, threads, meeting)
    meeting = meet(gate, threads, meeting)
    copy_parameters(unpack_all, place, params, state, thread, threads)
    set_float_mode(mode)
    leave(gate, thread, threads)
    return done
