"""Softmax and cross-entropy: a row at a time, in whole vectors; the losses of a batch."""

import math

import numpy as np

from ..layout import HIT_SUM, LOSS_SUM, WEIGHT_SUM
from .elementwise import exp
from .functions import c_function, entry, inner
from .machine import VL
from .memory import (
    address,
    load_double,
    load_index,
    load_int32,
    load_record,
    load_scalar,
    option,
    store_double,
    store_scalar,
)
from .plan import Batch, Layer
from .tile import copy_row
from .vectors import (
    fma,
    keep_lanes,
    largest,
    load,
    load_first,
    select_less,
    splat,
    store,
    store_first,
    total,
    where_lane,
)


@inner
def row_maximum(base, position, n):
    """Return the largest of n floats, reading up to VL - 1 floats past the last."""
    lowest = splat(-np.inf)
    best = lowest
    for i in range(0, n, VL):
        x = keep_lanes(load(base, position + i), n - i, lowest)
        best = select_less(best, x, x, best)
    return largest(best)


@inner
def exponentials(base, position, n, maximum):
    """Replace n floats by exp(x - maximum), and the rest of the last vector by 0."""
    shift = splat(maximum)
    for i in range(0, n, VL):
        e = exp(load(base, position + i) - shift)
        store(base, position + i, keep_lanes(e, n - i, splat(0.0)))


@inner
def row_sum(base, position, n):
    """Return the sum of n floats; the rest of the last vector must be zeros."""
    lanes = splat(0.0)
    for i in range(0, n, VL):
        lanes = lanes + load(base, position + i)
    return total(lanes)


@inner
def _softmax_loss_short(base, position, n, label, inverse):
    """Do :func:`softmax_loss` for a row of one vector, which stays in a register.

    Writing a lane and rereading the vector would wait for memory in every row.
    """
    lowest, zeros = splat(-np.inf), splat(0.0)
    x = keep_lanes(load(base, position), n, lowest)
    maximum, picked = largest(x), load_scalar(base, position + label)
    hit = picked == maximum and largest(keep_lanes(x, label, lowest)) != maximum
    e = keep_lanes(exp(x - splat(maximum)), n, zeros)
    own = total(where_lane(label, e, zeros))
    others = total(where_lane(label, zeros, e))
    factor = inverse / (others + own)
    # probs - 1 of the label, without the cancellation that loses its digits as probs nears 1.
    store(base, position, where_lane(label, splat(-others), e) * splat(factor))
    loss = math.log(np.float64(others + own)) - np.float64(picked - maximum)
    return loss, hit


@inner
def softmax_loss(base, position, n, label, inverse):
    """Do softmax-cross-entropy on one row in place; return its loss and whether it is a hit.

    The n logits become ``inverse * (probs - onehot)``; ``inverse`` is the sample's weight over
    the sum of the batch's weights. The row is read and written in whole vectors.
    """
    if n <= VL:
        return _softmax_loss_short(base, position, n, label, inverse)
    maximum = row_maximum(base, position, n)
    picked = load_scalar(base, position + label)
    hit = picked == maximum
    if hit:  # the first of equal logits is the prediction, as in argmax
        for i in range(label):
            hit = hit and load_scalar(base, position + i) != maximum
    exponentials(base, position, n, maximum)
    own = load_scalar(base, position + label)
    store_scalar(base, position + label, np.float32(0.0))
    others = row_sum(base, position, n)
    factor = inverse / (others + own)
    for i in range(0, n, VL):
        store(base, position + i, load(base, position + i) * splat(factor))
    # probs - 1 of the label, without the cancellation that loses its digits as probs nears 1.
    store_scalar(base, position + label, -others * factor)
    loss = math.log(np.float64(others + own)) - np.float64(picked - maximum)
    return loss, hit


@entry
def softmax(logits, probs, row):
    """Compute probs = softmax of each row; (B, C) float32.

    ``row`` is float32 scratch for one row, in whole vectors.
    """
    base, out, scratch = address(logits), address(probs), address(row)
    rows, n = logits.shape
    for r in range(rows):
        copy_row(base, r * n, n, scratch, 0, len(row))
        exponentials(scratch, 0, n, row_maximum(scratch, 0, n))
        factor = splat(np.float32(1.0) / row_sum(scratch, 0, n))
        for i in range(0, n, VL):
            store_first(out, r * n + i, load(scratch, i) * factor, n - i)


@inner
def loss_of_row(logits, at, n, label, inverse, out):
    """Do what :func:`softmax_loss` does from one array to another; touch nothing past the row.

    The last vector of a row overlaps the one before it, since a masked store is slow without
    AVX-512. Only a row shorter than a vector needs one.
    """
    lowest, zeros, whole = splat(-np.inf), splat(0.0), max(0, (n - 1) // VL * VL)
    start, count = max(0, n - VL), min(n, VL)  # of the last vector, which is kept in a register
    last = keep_lanes(load_first(logits, at + start, count), count, lowest)
    best = last
    for i in range(0, whole, VL):
        x = load(logits, at + i)
        best = select_less(best, x, x, best)
    maximum, picked = largest(best), load_scalar(logits, at + label)
    shift = splat(maximum)
    last = keep_lanes(exp(last - shift), count, zeros)
    others = keep_lanes(zeros, whole - start, where_lane(label - start, zeros, last))
    own = total(where_lane(label - start, last, zeros))
    for i in range(0, whole, VL):
        e = exp(load(logits, at + i) - shift)
        store(out, at + i, e)
        others = others + where_lane(label - i, zeros, e)
    if label < whole:
        own = load_scalar(out, at + label)
    rest = total(others)
    factor = inverse / (rest + own)
    for i in range(0, whole, VL):
        store(out, at + i, load(out, at + i) * splat(factor))
    store_first(out, at + start, last * splat(factor), count)
    # probs - 1 of the label, without the cancellation that loses its digits as probs nears 1.
    store_scalar(out, at + label, -rest * factor)
    return math.log(np.float64(rest + own)) - np.float64(picked - maximum)


@entry
def softmax_cross_entropy(logits, labels, sample_weight, dlogits):
    """Return the mean loss, and write its gradient to dlogits.

    logits and dlogits (B, C), labels (B,) int32, sample_weight (B,) or length 0 for weights of 1.
    """
    base, out = address(logits), address(dlogits)
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
        loss_sum += weight * loss_of_row(base, r * n, n, np.int64(labels[r]), inverse, out)
    return loss_sum / weight_sum if weight_sum != 0.0 else 0.0


# ---------------------------------------------------------------------------------------------
# The losses of a batch
# ---------------------------------------------------------------------------------------------


@inner
def weight_sum(sample_weight, samples, rows):
    """Return the sum of a batch's sample weights; ``sample_weight`` 0 means weights of 1."""
    if not sample_weight:
        return np.float64(rows)
    total = np.float64(0.0)
    for b in range(rows):
        total += np.float64(load_scalar(sample_weight, load_index(samples, b)))
    return total


@inner
def clipped(value, low, high):
    """Clip a value to bounds; NaN stays NaN."""
    return high if value > high else low if value < low else value


@inner
def loss_sum(run, place, batch):
    """Return the weighted sum of a batch's losses, with probabilities in [clip, 1 - clip]."""
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


@inner
def fraction(sample_weight, samples, row, total):
    """Return the weight of a row's sample, and its share of the ``total`` of the batch."""
    weight = np.float64(1.0)
    if sample_weight:
        weight = np.float64(load_scalar(sample_weight, load_index(samples, row)))
    return weight, np.float32(weight / total if total != 0.0 else 0.0)


@inner
def copy_gradient(base, layer, row):
    """Copy a row of dlogits, which is where the logits were, to both layouts of dz."""
    logits, classes, batch_width = layer.a + row * layer.lda, layer.fan_out, layer.batch_width
    for panel in range(layer.panels):
        column = panel * layer.width
        out = layer.dz + (panel * layer.capacity + row) * layer.width
        copy_row(base, logits + column, classes - column, base, out, layer.width)
    out = layer.dzt + row // batch_width * classes * batch_width + row % batch_width
    for o in range(classes):
        store_scalar(base, out + o * batch_width, load_scalar(base, logits + o))


@c_function(7)
def loss_rows(base, at, batch_at, targets, sample_weight, losses, hits):
    """Do softmax-cross-entropy on a thread's rows: losses, hits, both layouts of dlogits.

    ``at`` is the address of the last layer, ``batch_at`` that of a :class:`.plan.Batch`, and
    ``sample_weight`` is an address, or 0 for weights of 1.
    """
    layer, batch = load_record(at, Layer), load_record(batch_at, Batch)
    samples = batch.samples
    total = weight_sum(sample_weight, samples, batch.rows)
    for b in range(batch.low, batch.high):
        weight, inverse = fraction(sample_weight, samples, b, total)
        label = load_int32(targets, load_index(samples, b))
        loss, hit = softmax_loss(base, layer.a + b * layer.lda, layer.fan_out, label, inverse)
        store_double(losses, b, loss)
        store_double(hits, b, weight if hit else 0.0)
        copy_gradient(base, layer, b)


@inner
def first_largest(base, position, n):
    """Return the number of the first of the largest of n floats."""
    best = np.int64(0)
    for i in range(1, n):
        if load_scalar(base, position + i) > load_scalar(base, position + best):
            best = np.int64(i)
    return best


@inner
def given_targets(target, label, i, n, smoothing):
    """Return the targets of VL classes of a row from class ``i`` on, and 0 after the last of n.

    ``target`` is the address of a row of soft targets, or 0: then the target is the label.
    """
    zeros = splat(0.0)
    given = load_first(target, i, n - i) if target else where_lane(label - i, splat(1.0), zeros)
    kept, spread = np.float32(1.0 - smoothing), np.float32(smoothing / n)
    return keep_lanes(fma(given, splat(kept), splat(spread)), n - i, zeros)


@inner
def soft_loss(base, position, n, target, label, smoothing, inverse):
    """Do what :func:`softmax_loss` does for :func:`given_targets`, whose largest is the label's.

    All terms of the loss, ``sum(t) log(sum(exp(z - max))) + sum(t (max - z))``, are positive.
    """
    maximum = row_maximum(base, position, n)
    hit = first_largest(base, position, n) == label
    whole, gaps, zeros = splat(0.0), splat(0.0), splat(0.0)
    for i in range(0, n, VL):
        t = given_targets(target, label, i, n, smoothing)
        gap = keep_lanes(splat(maximum) - load(base, position + i), n - i, zeros)
        whole, gaps = whole + t, fma(t, gap, gaps)
    exponentials(base, position, n, maximum)
    in_all, sum_of_targets = row_sum(base, position, n), total(whole)
    factor = splat(sum_of_targets / in_all)
    for i in range(0, n, VL):
        t = given_targets(target, label, i, n, smoothing)
        gradient = (load(base, position + i) * factor - t) * splat(inverse)
        store(base, position + i, gradient)
    loss = np.float64(sum_of_targets) * math.log(np.float64(in_all)) + np.float64(total(gaps))
    return loss, hit


@c_function(9)
def soft_rows(base, at, batch_at, targets, soft_targets, sample_weight, losses, hits, options):
    """Do what :func:`loss_rows` does with soft targets, or with labels that are smoothed.

    ``soft_targets`` is an address, or 0: then ``targets`` is that of the labels.
    """
    layer, batch = load_record(at, Layer), load_record(batch_at, Batch)
    samples, smoothing, n = batch.samples, option(options, "label_smoothing"), layer.fan_out
    weights = weight_sum(sample_weight, samples, batch.rows)
    for b in range(batch.low, batch.high):
        weight, inverse = fraction(sample_weight, samples, b, weights)
        sample, target = load_index(samples, b), np.int64(0)
        if soft_targets:
            target = soft_targets + 4 * n * sample
            label = first_largest(target, 0, n)
        else:
            label = load_int32(targets, sample)
        loss, hit = soft_loss(base, layer.a + b * layer.lda, n, target, label, smoothing, inverse)
        store_double(losses, b, loss)
        store_double(hits, b, weight if hit else 0.0)
        copy_gradient(base, layer, b)


@inner
def add_to(metrics, entry, value):
    """Add to an entry of ``metrics``, running sums in float64 at an address."""
    store_double(metrics, entry, load_double(metrics, entry) + value)


@inner
def count_losses(run, place, team, batch):
    """Whether the loss is finite (the same in all threads); thread 0 also adds to the metrics."""
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
