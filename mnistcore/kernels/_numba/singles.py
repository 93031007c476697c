"""The kernels that stand alone: the loops behind the first tier of the contract.

Each takes arrays that the public face has checked. A loop walks whole vectors; the last one
loads and stores only the lanes that are there.
"""

import numpy as np

from .elementwise import (
    activate,
    backpropagate,
    drop_row,
    exponentials,
    row_key,
    row_maximum,
    row_sum,
    softmax_loss,
    write_constants,
)
from .functions import entry
from .simd import LANES, address, call, load, load_first, splat, store, store_first
from .tile import copy_row


@entry
def address_of(array):
    """Where an array begins: five times as fast as asking NumPy."""
    return address(array)


@entry
def add_bias(z, b, out):
    """out = z + b, row by row."""
    z_base, b_base, out_base = address(z), address(b), address(out)
    rows, n = z.shape
    for r in range(rows):
        for i in range(0, n, LANES):
            row = load_first(z_base, r * n + i, n - i) + load_first(b_base, i, n - i)
            store_first(out_base, r * n + i, row, n - i)


@entry
def sum_rows(dz, out):
    """out = the sum of the rows of dz, in order."""
    base, out_base = address(dz), address(out)
    rows, n = dz.shape
    for i in range(0, n, LANES):
        column = splat(0.0)
        for r in range(rows):
            column = column + load_first(base, r * n + i, n - i)
        store_first(out_base, i, column, n - i)


@entry
def activation(code, z, a):
    """a = the activation of z."""
    z_base, a_base = address(z), address(a)
    n = z.size
    for i in range(0, n, LANES):
        store_first(a_base, i, activate(code, load_first(z_base, i, n - i)), n - i)


@entry
def activation_gradient(code, da, a, dz):
    """dz = da times the activation's derivative, from the output a."""
    da_base, a_base, dz_base = address(da), address(a), address(dz)
    n = a.size
    for i in range(0, n, LANES):
        gradient = load_first(da_base, i, n - i)
        gradient = backpropagate(code, gradient, load_first(a_base, i, n - i))
        store_first(dz_base, i, gradient, n - i)


@entry
def softmax(logits, probs, row):
    """probs = softmax of each row; ``row`` is scratch for one, in whole vectors."""
    base, out, scratch = address(logits), address(probs), address(row)
    rows, n = logits.shape
    for r in range(rows):
        copy_row(base, r * n, n, scratch, 0, len(row))
        exponentials(scratch, 0, n, row_maximum(scratch, 0, n))
        factor = splat(np.float32(1.0) / row_sum(scratch, 0, n))
        for i in range(0, n, LANES):
            store_first(out, r * n + i, load(scratch, i) * factor, n - i)


@entry
def softmax_cross_entropy(logits, labels, sample_weight, dlogits, row):
    """The loss, and dlogits; ``row`` is scratch for one row, in whole vectors."""
    base, out, scratch = address(logits), address(dlogits), address(row)
    rows, n = logits.shape
    weight_sum = np.float64(rows)
    if len(sample_weight):
        weight_sum = np.float64(0.0)
        for weight in sample_weight:
            weight_sum += np.float64(weight)
    loss_sum = 0.0
    for r in range(rows):
        weight = np.float64(sample_weight[r]) if len(sample_weight) else np.float64(1.0)
        inverse = np.float32(weight / weight_sum if weight_sum != 0.0 else 0.0)
        copy_row(base, r * n, n, scratch, 0, len(row))
        loss, _ = softmax_loss(scratch, 0, n, labels[r], inverse)
        copy_row(scratch, 0, n, out, r * n, n)
        loss_sum += loss * weight
    return loss_sum / weight_sum if weight_sum != 0.0 else 0.0


@entry
def dropout(a, samples, threshold, seed, epoch, layer, out):
    """Dropout of each row."""
    base, out_base = address(a), address(out)
    rows, n = a.shape
    for r in range(rows):
        key = row_key(seed, epoch, samples[r], layer)
        drop_row(base, r * n, n, 0, key, threshold, out_base, r * n)


@entry
def update(apply, options, learning_rate, step, nesterov, gradient, params, m, v, block):
    """One optimizer step on flat arrays, in vectors that pass through ``block``.

    ``block`` is scratch for four vectors (parameters, both rows of state, the gradient) and the
    step's constants; ``apply`` is ``update_vectors``.
    """
    base, slot = address(block), LANES if len(m) else 0
    constants = 4 * LANES
    write_constants(options[0], learning_rate, step, base, constants)
    rows = (address(params), address(m), address(v))
    lengths = (len(params), len(m), len(v))
    for i in range(0, len(params), LANES):
        n = len(params) - i
        store(base, 3 * LANES, load_first(address(gradient), i, n))
        for r in range(3):
            if lengths[r]:
                store(base, r * LANES, load_first(rows[r], i, n))
        call(apply, (
            options[0]["optimizer"], nesterov, constants, 1, base, 0, slot, 3 * LANES, LANES,
        ))  # fmt: skip
        for r in range(3):
            if lengths[r]:
                store_first(rows[r], i, load(base, r * LANES), n)
