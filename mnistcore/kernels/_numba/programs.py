"""The programs: what a thread of a team does over many training steps, and over a prediction.

Every thread runs :func:`train` from the first step to the last. Between two barriers each
thread writes what is its own and reads what was finished before: work is cut into units (a row
of a panel) in panel-major order, and every thread takes an equal, contiguous share. A layer with
as many panels as threads is so divided by columns, each thread keeping its weights and moments
in its own cache; a narrow one is divided by rows.

One step, a ``|`` for each barrier::

    forward 1 | ... | forward n | loss | input gradient n | ... | input gradient 2 |
    weight gradients and updates of all layers, gather of the next batch |

The optimizer runs on a tile of the gradient while that is in the L1 cache: no gradient is ever
written to memory.
"""

import math

import numpy as np
from numba import njit

from ..layout import (
    ACTIVATION,
    BIAS_OFFSET,
    DECAY,
    DROPOUT,
    FAN_IN,
    FAN_OUT,
    HIT_SUM,
    LOSS_SUM,
    SGD,
    WEIGHT_OFFSET,
    WEIGHT_SUM,
)
from .elementwise import (
    activate,
    backpropagate,
    drop_row,
    keep_factor,
    row_key,
    rule_constants,
    softmax_loss,
    update_vectors,
)
from .inputs import (
    IDLE,
    TILE_FIRST,
    TILE_ROWS_OF,
    cover,
    gather_rows,
    list_columns,
    prefetch_share,
)
from .plan import (
    BATCH_WIDTH,
    BIAS,
    DZ,
    DZT,
    INPUT_LEADING,
    INPUT_SIZE,
    INPUTS,
    LEADING,
    OUTPUT,
    PANELS,
    SCRATCH_SIZE,
    SCRATCHES,
    SLOT,
    WEIGHTS,
    WIDTH,
)
from .simd import (
    FAST_MATH,
    LANES,
    address,
    load,
    load_block,
    load_scalar,
    set_float_mode,
    splat,
    store,
    store_block,
    store_first,
    store_scalar,
    transpose,
)
from .team import flush_denormals, meet, share
from .tiles import TILE, copy_row, single_run, tile_height

# ---------------------------------------------------------------------------------------------
# Packing: between the public row-major layout and the panels
# ---------------------------------------------------------------------------------------------


@njit(fastmath=FAST_MATH, nogil=True)
def pack(layers, plan, flat, base, packed, thread, threads):
    """This thread's share of the flat vector at ``flat``, into panels at base + packed."""
    for layer in range(len(layers)):
        fan_in, fan_out = layers[layer, FAN_IN], layers[layer, FAN_OUT]
        width, panels = plan[layer, WIDTH], plan[layer, PANELS]
        first, stop = share((fan_in + 1) * panels, thread, threads)
        for unit in range(first, stop):
            panel, i = unit // (fan_in + 1), unit % (fan_in + 1)
            source = layers[layer, WEIGHT_OFFSET] + i * fan_out
            target = plan[layer, WEIGHTS] + (panel * fan_in + i) * width
            if i == fan_in:
                source = layers[layer, BIAS_OFFSET]
                target = plan[layer, BIAS] + panel * width
            n = min(width, fan_out - panel * width)
            copy_row(flat, source + panel * width, n, base, packed + target, width)


@njit(fastmath=FAST_MATH, nogil=True)
def unpack(layers, plan, base, packed, flat, thread, threads):
    """The way back: this thread's share of the panels into the flat vector."""
    for layer in range(len(layers)):
        fan_in, fan_out = layers[layer, FAN_IN], layers[layer, FAN_OUT]
        width, panels = plan[layer, WIDTH], plan[layer, PANELS]
        first, stop = share((fan_in + 1) * panels, thread, threads)
        for unit in range(first, stop):
            panel, i = unit // (fan_in + 1), unit % (fan_in + 1)
            source = plan[layer, WEIGHTS] + (panel * fan_in + i) * width
            target = layers[layer, WEIGHT_OFFSET] + i * fan_out
            if i == fan_in:
                source = plan[layer, BIAS] + panel * width
                target = layers[layer, BIAS_OFFSET]
            n = min(width, fan_out - panel * width)
            copy_row(base, packed + source, n, flat, target + panel * width, n)


@njit(fastmath=FAST_MATH, nogil=True)
def clear_padding(layers, plan, batch_size, base, thread, threads):
    """Zero dz of every layer: what no unit writes must add nothing to the padding of weights."""
    for layer in range(len(layers)):
        size = plan[layer, PANELS] * batch_size * plan[layer, WIDTH]
        first, stop = share(size // LANES, thread, threads)
        for i in range(first, stop):
            store(base, plan[layer, DZ] + i * LANES, splat(0.0))


# ---------------------------------------------------------------------------------------------
# The phases of a step
# ---------------------------------------------------------------------------------------------


@njit(fastmath=FAST_MATH, nogil=True)
def forward_layer(
    multiply, base, row, plan_row, inputs, leading, runs, n_runs, batch, dropped, key, samples,
    scratch, thread, threads,
):  # fmt: skip
    """This thread's share of a = dropout(activation(x w + b)) for a batch.

    The inputs (batch, leading) stand at base + inputs; the product is over the columns of
    ``runs``. ``key`` is (seed, epoch, layer) of the dropout.
    """
    fan_in, width, code = row[FAN_IN], plan_row[WIDTH], row[ACTIVATION]
    first, stop = share(plan_row[PANELS] * batch, thread, threads)
    while first < stop:
        panel = first // batch
        start = first - panel * batch
        end = min(batch, start + stop - first)
        weights = plan_row[WEIGHTS] + panel * fan_in * width
        bias = plan_row[BIAS] + panel * width
        height = tile_height(end - start)
        for top in range(start, end, height):
            rows = min(height, end - top)
            a = inputs + top * leading
            multiply(
                rows, width, base, a, leading, 1, base, weights, width, address(runs), n_runs,
                base + 4 * scratch,
            )  # fmt: skip
            for r in range(rows):
                out = plan_row[OUTPUT] + (top + r) * plan_row[LEADING] + panel * width
                for c in range(0, width, LANES):
                    z = load(base, scratch + r * width + c) + load(base, bias + c)
                    store(base, out + c, activate(code, z))
                if dropped:
                    unit_key = row_key(key[0], key[1], samples[top + r], key[2])
                    drop_row(base, out, width, panel * width, unit_key, row[DROPOUT], base, out)
        first += end - start


@njit(fastmath=FAST_MATH, nogil=True)
def loss_rows(
    base, row, plan_row, batch, capacity, batch_width, targets, sample_weight, weight_sum,
    samples, losses, hits, thread, threads,
):  # fmt: skip
    """This thread's rows of softmax-cross-entropy: losses, hits, and both layouts of dlogits."""
    classes, width = row[FAN_OUT], plan_row[WIDTH]
    first, stop = share(batch, thread, threads)
    for b in range(first, stop):
        logits = plan_row[OUTPUT] + b * plan_row[LEADING]
        weight = np.float64(1.0)
        if len(sample_weight):
            weight = np.float64(sample_weight[samples[b]])
        inverse = np.float32(weight / weight_sum if weight_sum != 0.0 else 0.0)
        loss, hit = softmax_loss(base, logits, classes, targets[samples[b]], inverse)
        losses[b] = loss * weight
        hits[b] = weight if hit else 0.0
        for panel in range(plan_row[PANELS]):
            out = plan_row[DZ] + (panel * capacity + b) * width
            n = min(width, classes - panel * width)
            copy_row(base, logits + panel * width, n, base, out, width)
        column = plan_row[DZT] + (b // batch_width) * classes * batch_width + b % batch_width
        for o in range(classes):
            store_scalar(base, column + o * batch_width, load_scalar(base, logits + o))


@njit(fastmath=FAST_MATH, nogil=True)
def input_gradient(
    multiply, base, row, plan_row, before, plan_before, batch, capacity, batch_width, runs,
    keep_transposed, key, samples, scratch, thread, threads,
):  # fmt: skip
    """This thread's share of dz of the layer before: (w dz^T), times the derivative.

    The tile holds input units of this layer by samples: the weights are the broadcast operand,
    read straight from their panels, a run for each; dzt is the vector operand.
    """
    fan_in, fan_out, width = row[FAN_IN], row[FAN_OUT], plan_row[WIDTH]
    for panel in range(plan_row[PANELS]):
        runs[3 * panel] = panel * fan_in * width
        runs[3 * panel + 1] = panel * width * batch_width
        runs[3 * panel + 2] = min(width, fan_out - panel * width)
    first, stop = share(fan_in, thread, threads)
    while first < stop:
        # Tiles end where a panel of the layer before does, so that dz is written in whole rows.
        end = min(stop, (first // plan_before[WIDTH] + 1) * plan_before[WIDTH])
        height = tile_height(end - first)
        for top in range(first, end, height):
            rows = min(height, end - top)
            for start in range(0, batch, batch_width):
                dzt = plan_row[DZT] + start * fan_out
                multiply(
                    rows, batch_width, base, plan_row[WEIGHTS] + top * width, width, 1, base, dzt,
                    batch_width, address(runs), plan_row[PANELS], base + 4 * scratch,
                )  # fmt: skip
                backpropagate_tile(
                    base, before, plan_before, top, rows, start, min(batch_width, batch - start),
                    capacity, batch_width, keep_transposed, key, samples, scratch,
                )  # fmt: skip
        first = end


@njit(fastmath=FAST_MATH, nogil=True)
def backpropagate_tile(
    base, before, plan_before, top, rows, start, n, capacity, batch_width, keep_transposed, key,
    samples, scratch,
):  # fmt: skip
    """Turn a tile of w dz^T, units [top, top + rows) by n samples from ``start``, into dz.

    Square blocks are transposed in registers, so that a sample's units lie side by side, as
    they do in a and dz; and back again where dzt is wanted too.
    """
    code, threshold, width = before[ACTIVATION], before[DROPOUT], plan_before[WIDTH]
    undo = splat(np.float32(1.0) / keep_factor(threshold))
    block = scratch + TILE
    for upper in range(0, rows, LANES):
        unit, units = top + upper, min(LANES, rows - upper)
        for left in range(0, n, LANES):
            tile = load_block(base, scratch + upper * batch_width + left, batch_width)
            store_block(transpose(tile), base, block, LANES)
            for c in range(min(LANES, n - left)):
                b = start + left + c
                a = load(base, plan_before[OUTPUT] + b * plan_before[LEADING] + unit)
                if threshold:
                    # The derivative wants the output before dropout; the mask is drawn again.
                    unit_key = row_key(key[0], key[1], samples[b], key[2])
                    at = block + c * LANES
                    drop_row(base, at, units, unit, unit_key, threshold, base, at)
                    a = a * undo
                gradient = backpropagate(code, load(base, block + c * LANES), a)
                store(base, block + c * LANES, gradient)
                out = (unit // width * capacity + b) * width + unit % width
                store_first(base, plan_before[DZ] + out, gradient, units)
            if keep_transposed:
                store_block(transpose(load_block(base, block, LANES)), base, block, LANES)
                out = plan_before[DZT] + start * before[FAN_OUT] + unit * batch_width + left
                for r in range(units):
                    store(base, out + r * batch_width, load(base, block + r * LANES))


@njit(fastmath=FAST_MATH, nogil=True)
def update_layer(
    multiply, base, row, plan_row, inputs, leading, lists, n_tiles, n_idle, batch, capacity,
    runs, slot, optimizer, nesterov, constants, scratch, thread, threads,
):  # fmt: skip
    """This thread's share of a layer's weight gradient (x^T dz), each tile updated at once.

    The tiles of ``lists`` cover the inputs that are not zero in the whole batch; the gradient of
    the idle ones' weights is zero.
    """
    fan_in, width, decayed = row[FAN_IN], plan_row[WIDTH], row[DECAY] != 0
    first, stop = share(plan_row[PANELS], thread, threads)
    for panel in range(first, stop):
        update_bias(
            base, plan_row[BIAS] + panel * width, plan_row[DZ] + panel * capacity * width, width,
            batch, slot, optimizer, nesterov, constants, scratch,
        )  # fmt: skip
    n_runs = single_run(runs, batch)
    first, stop = share(plan_row[PANELS] * n_tiles, thread, threads)
    for task in range(first, stop):
        panel, tile = task // n_tiles, task % n_tiles
        top, rows = lists[TILE_FIRST, tile], lists[TILE_ROWS_OF, tile]
        dz = plan_row[DZ] + panel * capacity * width
        multiply(
            rows, width, base, inputs + top, 1, leading, base, dz, width, address(runs), n_runs,
            base + 4 * scratch,
        )  # fmt: skip
        update_vectors(
            optimizer, nesterov, constants, decayed, base,
            plan_row[WEIGHTS] + (panel * fan_in + top) * width, slot, base, scratch, rows * width,
        )  # fmt: skip
    if optimizer == SGD and slot == 0 and (constants[2] == 0.0 or not decayed):
        return  # without decay and moments, a gradient of zero changes nothing
    for c in range(0, width, LANES):
        store(base, scratch + c, splat(0.0))
    first, stop = share(plan_row[PANELS] * n_idle, thread, threads)
    for task in range(first, stop):
        panel, i = task // n_idle, lists[IDLE, task % n_idle]
        update_vectors(
            optimizer, nesterov, constants, decayed, base,
            plan_row[WEIGHTS] + (panel * fan_in + i) * width, slot, base, scratch, width,
        )  # fmt: skip


@njit(fastmath=FAST_MATH, nogil=True)
def update_bias(base, bias, dz, width, batch, slot, optimizer, nesterov, constants, scratch):
    """The gradient of one panel of a bias, the sum of dz over the batch, and its update."""
    for c in range(0, width, LANES):
        gradient = splat(0.0)
        for b in range(batch):
            gradient = gradient + load(base, dz + b * width + c)
        store(base, scratch + c, gradient)
    update_vectors(optimizer, nesterov, constants, False, base, bias, slot, base, scratch, width)


# ---------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------


@njit(fastmath=FAST_MATH, nogil=True)
def backward(
    multiply, base, layers, plan, totals, batch, capacity, runs, seed, epoch, samples, scratch,
    barrier, meeting, thread, threads,
):  # fmt: skip
    """dz of every hidden layer, from the last to the first; a barrier after each."""
    for layer in range(len(layers) - 1, 0, -1):
        input_gradient(
            multiply, base, layers[layer], plan[layer], layers[layer - 1], plan[layer - 1], batch,
            capacity, totals[BATCH_WIDTH], runs, layer > 1, (seed, epoch, layer - 1), samples,
            scratch, thread, threads,
        )  # fmt: skip
        meeting = meet(barrier, threads, meeting)
    return meeting


@njit(fastmath=FAST_MATH, nogil=True)
def sum_of_weights(sample_weight, samples):
    """The sum of a batch's sample weights."""
    if not len(sample_weight):
        return np.float64(len(samples))
    weight_sum = np.float64(0.0)
    for b in range(len(samples)):
        weight_sum += np.float64(sample_weight[samples[b]])
    return weight_sum


@njit(fastmath=FAST_MATH, nogil=True, cache=True)
def train(
    multiply, thread, threads, barrier, x, targets, sample_weight, order, learning_rates, layers,
    options, optimizer, first_step, params, state, workspace, plan, totals, seen, lists,
    runs, losses, hits, skip, metrics,
):  # fmt: skip
    """What one thread does in ``train_steps``; the number of steps done.

    x is flat; ``optimizer`` is a code of ``layout`` or GRADIENT; ``seen`` (threads, fan_in) and
    ``lists`` (threads, 2, LISTS, largest fan_in) are for the columns of the inputs, ``runs``
    (threads, 2, n) for those of the products.
    """
    mode = flush_denormals()
    base, flat, moments = address(workspace), address(params), address(state)
    record = options[0]
    n_layers, batch_size = len(layers), record["batch_size"]
    fan_in, slot, slots = layers[0, FAN_IN], totals[SLOT], len(state)
    if slots == 0:
        slot = 0
    scratch = totals[SCRATCHES] + thread * totals[SCRATCH_SIZE]
    leading = totals[INPUT_LEADING]
    scale, shift = np.float32(record["scale"]), np.float32(record["shift"])

    pack(layers, plan, flat, base, 0, thread, threads)
    for s in range(slots):
        row_of_state = moments + 4 * s * len(params)
        pack(layers, plan, row_of_state, base, (s + 1) * totals[SLOT], thread, threads)
    clear_padding(layers, plan, batch_size, base, thread, threads)
    samples = order[:batch_size]
    first, stop = share(len(samples), thread, threads)
    gather_rows(
        x, samples, fan_in, first, stop, scale, shift, base, totals[INPUTS], leading, seen[thread]
    )
    meeting = meet(barrier, threads, 1)

    done = 0
    for step in range(len(learning_rates)):
        inputs = totals[INPUTS] + step % 2 * totals[INPUT_SIZE]
        batch = len(samples)
        coming = order[(step + 1) * batch_size : (step + 2) * batch_size]
        prefetch_share(x, order[(step + 2) * batch_size :], batch_size, fan_in, thread, threads)
        n_runs, n_tiles, n_idle = list_columns(
            lists[thread, 0], runs[thread, 0], seen, threads, skip, plan[0, WIDTH]
        )

        a, a_leading = inputs, leading
        for layer in range(n_layers):
            row, plan_row, which = layers[layer], plan[layer], min(layer, 1)
            if layer:
                n_runs = single_run(runs[thread, 1], row[FAN_IN])
            forward_layer(
                multiply, base, row, plan_row, a, a_leading, runs[thread, which], n_runs, batch,
                row[DROPOUT] != 0, (record["seed"], record["epoch"], layer), samples, scratch,
                thread, threads,
            )  # fmt: skip
            a, a_leading = plan_row[OUTPUT], plan_row[LEADING]
            # A last layer of one panel is divided by rows, and so is the loss: no need to wait.
            if layer < n_layers - 1 or plan_row[PANELS] > 1:
                meeting = meet(barrier, threads, meeting)

        weight_sum = sum_of_weights(sample_weight, samples)
        loss_rows(
            base, layers[n_layers - 1], plan[n_layers - 1], batch, batch_size,
            totals[BATCH_WIDTH], targets, sample_weight, weight_sum, samples, losses, hits, thread,
            threads,
        )  # fmt: skip
        meeting = meet(barrier, threads, meeting)
        loss_sum, hit_sum = 0.0, 0.0
        for b in range(batch):
            loss_sum += losses[b]
            hit_sum += hits[b]
        if not math.isfinite(loss_sum):
            break
        if thread == 0:
            metrics[LOSS_SUM] += loss_sum
            metrics[WEIGHT_SUM] += weight_sum
            metrics[HIT_SUM] += hit_sum

        meeting = backward(
            multiply, base, layers, plan, totals, batch, batch_size, runs[thread, 1],
            record["seed"], record["epoch"], samples, scratch, barrier, meeting, thread, threads,
        )  # fmt: skip
        constants = rule_constants(record, learning_rates[step], first_step + step + 1)
        for layer in range(n_layers):
            row, a, a_leading = layers[layer], inputs, leading
            if layer:
                a, a_leading = plan[layer - 1, OUTPUT], plan[layer - 1, LEADING]
                n_tiles, n_idle = cover(lists[thread, 1], 0, 0, row[FAN_IN]), 0
            update_layer(
                multiply, base, row, plan[layer], a, a_leading, lists[thread, min(layer, 1)],
                n_tiles, n_idle, batch, batch_size, runs[thread, 1], slot, optimizer,
                record["nesterov"] != 0, constants, scratch, thread, threads,
            )  # fmt: skip
        first, stop = share(len(coming), thread, threads)
        gather_rows(
            x, coming, fan_in, first, stop, scale, shift, base,
            totals[INPUTS] + (1 - step % 2) * totals[INPUT_SIZE], leading, seen[thread],
        )  # fmt: skip
        samples = coming
        meeting = meet(barrier, threads, meeting)
        done += 1

    unpack(layers, plan, base, 0, flat, thread, threads)
    for s in range(slots):
        row_of_state = moments + 4 * s * len(params)
        unpack(layers, plan, base, (s + 1) * totals[SLOT], row_of_state, thread, threads)
    set_float_mode(mode)
    return done


# ---------------------------------------------------------------------------------------------
# Prediction
# ---------------------------------------------------------------------------------------------


@njit(fastmath=FAST_MATH, nogil=True, cache=True)
def predict(
    multiply, thread, threads, barrier, x, n, layers, scale, shift, params, workspace, plan, totals,
    chunk, chunk_size, seen, lists, runs, skip, logits,
):  # fmt: skip
    """What one thread does in ``forward``: chunks of rows of its own, after a common packing.

    ``plan`` is made for a batch of ``chunk`` rows; a thread's own arrays begin
    ``thread * chunk_size`` floats later.
    """
    mode = flush_denormals()
    base, flat, out = address(workspace), address(params), address(logits)
    pack(layers, plan, flat, base, 0, thread, threads)
    meet(barrier, threads, 1)
    mine = plan.copy()
    mine[:, OUTPUT] += thread * chunk_size
    inputs = totals[INPUTS] + thread * chunk_size
    scratch = totals[SCRATCHES] + thread * chunk_size
    fan_in, classes = layers[0, FAN_IN], layers[-1, FAN_OUT]
    rows, stop = share(n, thread, threads)
    while rows < stop:
        batch = min(chunk, stop - rows)
        samples = np.arange(rows, rows + batch)
        gather_rows(
            x, samples, fan_in, 0, batch, np.float32(scale), np.float32(shift), base, inputs,
            totals[INPUT_LEADING], seen[thread],
        )  # fmt: skip
        n_runs, _, _ = list_columns(
            lists[thread, 0], runs[thread, 0], seen[thread : thread + 1], 1, skip, plan[0, WIDTH]
        )
        a, leading = inputs, totals[INPUT_LEADING]
        for layer in range(len(layers)):
            if layer:
                n_runs = single_run(runs[thread, 1], layers[layer, FAN_IN])
            forward_layer(
                multiply, base, layers[layer], mine[layer], a, leading,
                runs[thread, min(layer, 1)], n_runs, batch, False, (0, 0, layer), samples,
                scratch, 0, 1,
            )  # fmt: skip
            a, leading = mine[layer, OUTPUT], mine[layer, LEADING]
        for b in range(batch):
            copy_row(base, a + b * leading, classes, out, (rows + b) * classes, classes)
        rows += batch
    set_float_mode(mode)
