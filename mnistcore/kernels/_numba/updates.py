"""The optimizers' rules: how a gradient changes parameters, a vector at a time.

The constants of one optimizer step are in memory as an *update*, UPDATE float32, which
:func:`write_update` writes from the options. Its rule is an int64 in place of the first two.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from .. import layout
from .functions import c_function, call, entry, inner
from .machine import VL, flush_denormals, set_float_mode
from .memory import (
    LINE_FLOATS,
    address,
    load_index,
    load_record,
    load_scalar,
    option,
    prefetch,
    store_index,
    store_scalar,
)
from .team import enter, leave, share
from .tile import MR, NR, ONE, TWO, add_outer, row_length, store_tile, zero_tile
from .vectors import (
    fma,
    load,
    load_first,
    select_less,
    splat,
    sqrt,
    store,
    store_first,
)

# What is done with a gradient. The last rule is internal to the programs.
PLAIN = 0  # descent without momentum
MOMENTUM = 1
NESTEROV = 2
MOMENTS = 3  # Adam and AdamW
GRADIENT = 4  # write the gradient itself to the first row of state

# The places of an update, counted in float32.
RULE = 0
LEARNING_RATE = 2
MOMENTUM_FACTOR = 3
DECAY = 4  # weight_decay where it adds to the gradient, else 0
SHRINK = 5  # 1 - learning_rate * weight_decay where it acts on the weights, else 1
BETA1 = 6
BETA1_REST = 7  # 1 - beta1
BETA2 = 8
BETA2_REST = 9
M_SCALE = 10  # learning_rate / (1 - beta1**step)
V_SCALE = 11  # 1 / sqrt(1 - beta2**step)
EPS = 12
FACTOR = 13  # of a clipped gradient
UPDATE = 16  # floats to keep free for one


@inner
def rule_of(options, gradient_only):
    """Return the rule for the options at an address."""
    if gradient_only:
        return GRADIENT
    if option(options, "optimizer") != layout.SGD:
        return MOMENTS
    if option(options, "momentum") == 0.0:
        return PLAIN
    return NESTEROV if option(options, "nesterov") else MOMENTUM


@inner
def write_update(options, gradient_only, learning_rate, step, update):
    """Write the update of a step, counted from 1, for the options at an address."""
    decay = option(options, "weight_decay")
    decoupled = option(options, "optimizer") == layout.ADAMW
    beta1, beta2 = option(options, "beta1"), option(options, "beta2")
    m_scale = learning_rate / (1.0 - beta1**step)
    v_scale = 1.0 / math.sqrt(1.0 - beta2**step)
    store_index(update, RULE, rule_of(options, gradient_only))
    store_scalar(update, LEARNING_RATE, np.float32(learning_rate))
    store_scalar(update, MOMENTUM_FACTOR, np.float32(option(options, "momentum")))
    store_scalar(update, DECAY, np.float32(0.0 if decoupled else decay))
    store_scalar(update, SHRINK, np.float32(1.0 - learning_rate * decay if decoupled else 1.0))
    store_scalar(update, BETA1, np.float32(beta1))
    store_scalar(update, BETA1_REST, np.float32(1.0 - beta1))
    store_scalar(update, BETA2, np.float32(beta2))
    store_scalar(update, BETA2_REST, np.float32(1.0 - beta2))
    store_scalar(update, M_SCALE, np.float32(m_scale))
    store_scalar(update, V_SCALE, np.float32(v_scale))
    store_scalar(update, EPS, np.float32(option(options, "eps")))


@inner
def _with_decay(weights, decay, gradient):
    """Return gradient + decay * weights; an infinite weight times a decay of 0 is 0, not NaN."""
    return fma(select_less(splat(0.0), decay, weights, splat(0.0)), decay, gradient)


class Constants(NamedTuple):
    """The rule and the constants of an update, these as vectors."""

    rule: int
    step: Any  # the learning rate, negative
    momentum: Any
    decay: Any
    shrink: Any
    beta1: Any
    beta1_rest: Any
    beta2: Any
    beta2_rest: Any
    m_scale: Any
    v_scale: Any
    eps: Any


@inner
def constants_of(update, decayed):
    """Load the constants of an update, for parameters with weight decay or without."""
    return Constants(
        load_index(update, RULE),
        splat(-load_scalar(update, LEARNING_RATE)),
        splat(load_scalar(update, MOMENTUM_FACTOR)),
        splat(load_scalar(update, DECAY) if decayed else np.float32(0.0)),
        splat(load_scalar(update, SHRINK) if decayed else np.float32(1.0)),
        splat(load_scalar(update, BETA1)),
        splat(load_scalar(update, BETA1_REST)),
        splat(load_scalar(update, BETA2)),
        splat(load_scalar(update, BETA2_REST)),
        splat(load_scalar(update, M_SCALE)),
        splat(load_scalar(update, V_SCALE)),
        splat(load_scalar(update, EPS)),
    )


@inner
def _descend(constants, gradient, base, w, first):
    """Apply SGD: without momentum, with it, or with Nesterov's look-ahead."""
    weights = load(base, w)
    gradient = _with_decay(weights, constants.decay, gradient)
    if constants.rule != PLAIN:
        velocity = fma(load(base, first), constants.momentum, gradient)
        store(base, first, velocity)
        nesterov = constants.rule == NESTEROV
        gradient = fma(velocity, constants.momentum, gradient) if nesterov else velocity
    store(base, w, fma(gradient, constants.step, weights))


@inner
def _adam(constants, gradient, base, w, first, second):
    weights = load(base, w)
    gradient = _with_decay(weights, constants.decay, gradient)
    m = fma(gradient, constants.beta1_rest, load(base, first) * constants.beta1)
    v = fma(gradient * gradient, constants.beta2_rest, load(base, second) * constants.beta2)
    store(base, first, m)
    store(base, second, v)
    root = fma(sqrt(v), constants.v_scale, constants.eps)
    store(base, w, weights * constants.shrink - m * constants.m_scale / root)


@inner(forceinline=True)
def _update_at(constants, gradient, base, w, first, second):
    """Apply a rule to the parameters at base + w, with their state at base + first and second."""
    if constants.rule == MOMENTS:
        _adam(constants, gradient, base, w, first, second)
    elif constants.rule == GRADIENT:
        store(base, first, gradient)
    else:
        _descend(constants, gradient, base, w, first)


@inner(forceinline=True)
def update_vector(constants, gradient, base, w, slot_size):
    """Apply the rule of an update to the vector of parameters at base + w."""
    _update_at(constants, gradient, base, w, w + slot_size, w + 2 * slot_size)


@c_function(7)
def update_vectors(update, decayed, base, w, slot_size, g, n):
    """Apply the rule of an update to n parameters (whole vectors) at base + w.

    Their gradients are at base + g, the rows of the optimizer's state at base + w + slot_size
    and base + w + 2 * slot_size. ``update`` is an address; weight decay acts where ``decayed`` is
    not 0.
    """
    constants = constants_of(update, decayed)
    for i in range(0, n, VL):
        update_vector(constants, load(base, g + i), base, w + i, slot_size)


# ---------------------------------------------------------------------------------------------
# A tile of a gradient, computed while the weights of the tile before it are updated
# ---------------------------------------------------------------------------------------------

FUSED = MR > 6  # whether there are registers for both: with 16, one after the other is faster
UPDATED = MR - 2  # rows of such a tile


class Pending(NamedTuple):
    """A tile of a gradient at g, and the weights at w that it is still to change."""

    update: int
    decayed: int
    base: int
    w: int
    slot_size: int
    g: int
    rows: int  # 0: nothing is pending
    stride: int  # from row to row of the weights; those of the gradient are close together


@inner
def fetch_weights(update, base, w, slot_size):
    """Prefetch a vector of weights and their state, which will be updated."""
    rule, line = load_index(update, RULE), 4 * w
    prefetch(base, line)
    if rule != PLAIN:
        prefetch(base, line + 4 * slot_size)
    if rule == MOMENTS:
        prefetch(base, line + 8 * slot_size)


@inner
def updating_body(tile, a, a_step, b, b_step, k, out, pending_at):
    """Compute a tile of UPDATED rows; a vector is updated every few terms of its sums.

    Divisions, square roots and loads from afar then take place beside the FMAs.
    """
    pending, width = load_record(pending_at, Pending), row_length(tile)
    each, position, row_of_b = k * VL // (UPDATED * width) * b_step, 0, 0
    for g in range(0, pending.rows * width, VL):
        while row_of_b < each * (g // VL + 1):  # LLVM does not unroll it, and need not
            tile = add_outer(tile, a, position, 1, b, row_of_b)
            position += a_step
            row_of_b += b_step
        i = g // width * pending.stride + g % width
        update_vector(
            constants_of(pending.update, pending.decayed), load(pending.base, pending.g + g),
            pending.base, pending.w + i, pending.slot_size,
        )  # fmt: skip
        ahead = pending.w + UPDATED * pending.stride + i
        fetch_weights(pending.update, pending.base, ahead, pending.slot_size)
    while row_of_b < k * b_step:
        tile = add_outer(tile, a, position, 1, b, row_of_b)
        position += a_step
        row_of_b += b_step
    store_tile(tile, out, 0, width)


@c_function(8)
def multiply_and_update(width, a, a_step, b, b_step, k, out, pending_at):
    """Compute a tile, UPDATED x ``width``, as :func:`.tile.multiply_tile`; update what is pending.

    A is transposed, and the rows of ``out`` are ``width`` floats long; ``pending_at`` is the
    address of a :class:`Pending` of as many columns.
    """
    if width == NR:
        updating_body(zero_tile(UPDATED, TWO), a, a_step, b, b_step, k, out, pending_at)
    else:
        updating_body(zero_tile(UPDATED, ONE), a, a_step, b, b_step, k, out, pending_at)


BLOCK_VECTORS = 4  # of the kernel's scratch: parameters, both rows of state, the gradient
SCRATCH = BLOCK_VECTORS * VL + UPDATE  # floats for each thread, with the update at their end


@c_function(6)
def update_apart(update, base, first, second, g, n):
    """Apply the rule of an update to n parameters (whole vectors) from ``base`` on.

    Their state is at base + first and base + second, which are other arrays, their gradient at
    base + g.
    """
    constants = constants_of(update, 1)
    for i in range(0, n, VL):
        _update_at(constants, load(base, g + i), base, i, first + i, second + i)


@inner
def _update_rest(apply, update, arrays, lengths, i, n):
    """Update the last n < VL parameters in a copy, with the same arithmetic."""
    copies = update - 4 * BLOCK_VECTORS * VL
    for r in range(BLOCK_VECTORS):
        if lengths[r]:
            store(copies, r * VL, load_first(arrays[r], i, n))
    call(apply, (update, copies, VL, 2 * VL, 3 * VL, VL))
    for r in range(BLOCK_VECTORS - 1):
        if lengths[r]:
            store_first(arrays[r], i, load(copies, r * VL), n)


@entry
def update_flat(apply, options, rates, arrays, scratch, gate, leads):
    """Do a thread's part of one optimizer step on flat arrays.

    Each cache line belongs to one thread. ``rates`` is (learning rate, step), ``arrays`` (params,
    m, v, gradient), of which m and v may have length 0. ``scratch`` has SCRATCH floats for each
    thread, ``apply`` is the pointer of :func:`update_apart`, ``options`` an array of one record.
    """
    params, m, v, gradient = arrays
    places = (address(params), address(m), address(v), address(gradient))
    lengths = (len(params), len(m), len(v), len(gradient))
    thread, threads = enter(gate, leads)
    if thread >= 0:
        mode = flush_denormals()
        update = address(scratch) + 4 * (thread * SCRATCH + BLOCK_VECTORS * VL)
        write_update(address(options), 0, rates[0], rates[1], update)
        low, high = share(-(-len(params) // LINE_FLOATS), thread, threads)
        low, high = low * LINE_FLOATS, min(len(params), high * LINE_FLOATS)
        whole = (high - low) // VL * VL
        base = places[0] + 4 * low
        first, second = (places[1] - places[0]) // 4, (places[2] - places[0]) // 4
        call(apply, (update, base, first, second, (places[3] - places[0]) // 4, whole))
        if low + whole < high:
            _update_rest(apply, update, places, lengths, low + whole, high - low - whole)
        set_float_mode(mode)
    leave(gate, thread, threads)
