"""The ladder in Numba: from loops over whole arrays to the kernel that training runs on.

Every step is a function ``step(logits, labels, dlogits)`` that returns the mean loss and writes
its gradient.
"""

import math

import numpy as np

from ...kernels import numba_kernels
from ..compiling import compiled
from ..step import Step
from .arguments import EQUAL_WEIGHTS, checked
from .problem import LESSONS


@compiled
def _maxima(logits):
    """Return the largest logit of each row."""
    found = np.empty(len(logits), np.float32)
    for r in range(len(logits)):
        largest = logits[r, 0]
        for c in range(1, logits.shape[1]):
            largest = max(largest, logits[r, c])
        found[r] = largest
    return found


@compiled
def _mean_loss(logits, labels, maxima, sums):
    """Return the mean of log(sum) + maximum - the logit of the label."""
    loss = 0.0
    for r in range(len(logits)):
        loss += math.log(sums[r]) + (maxima[r] - logits[r, labels[r]])
    return loss / max(1, len(logits))


@checked
@compiled
def naive(logits, labels, dlogits):
    """Compute the loss, then its gradient, each from its formula: two exponentials a logit."""
    maxima, sums = _maxima(logits), np.zeros(len(logits), np.float32)
    for r in range(len(logits)):
        for c in range(logits.shape[1]):
            sums[r] += math.exp(logits[r, c] - maxima[r])
    loss = _mean_loss(logits, labels, maxima, sums)
    for r in range(len(logits)):
        for c in range(logits.shape[1]):
            prob = math.exp(logits[r, c] - maxima[r]) / sums[r]
            dlogits[r, c] = (prob - (c == labels[r])) / len(logits)
    return loss


@compiled
def _scale(labels, sums, dlogits):
    """Turn exponentials into the gradient: a multiplication each, and the label's own term."""
    share = np.float32(1 / max(1, len(labels)))
    for r in range(len(labels)):
        factor = share / sums[r]
        for c in range(dlogits.shape[1]):
            dlogits[r, c] *= factor
        dlogits[r, labels[r]] -= share


@checked
@compiled
def fused(logits, labels, dlogits):
    """Keep the exponentials where the gradient will be."""
    maxima, sums = _maxima(logits), np.zeros(len(logits), np.float32)
    for r in range(len(logits)):
        for c in range(logits.shape[1]):
            power = math.exp(logits[r, c] - maxima[r])
            dlogits[r, c] = power
            sums[r] += power
    _scale(labels, sums, dlogits)
    return _mean_loss(logits, labels, maxima, sums)


LOG2_E = np.float32(math.log2(math.e))
LN2_HIGH = np.float32(0.693359375)  # ln 2 in two parts: n times the first one is exact
LN2_LOW = np.float32(math.log(2) - 0.693359375)
ROUND = np.float32(1.5 * 2**23)  # adding it leaves no bits for a fraction
COEFFICIENTS = tuple(
    np.float32(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
              5.0000001201e-1)
)  # fmt: skip


@compiled
def _exp(x):
    """Return e**x for x <= 0: 2**n times a polynomial in r, where x = n ln 2 + r."""
    x = max(x, np.float32(-87))
    shifted = x * LOG2_E + ROUND  # n is in its lowest bits
    n = shifted - ROUND
    r = x - n * LN2_HIGH
    r = r - n * LN2_LOW
    p = COEFFICIENTS[0] * r + COEFFICIENTS[1]
    p = p * r + COEFFICIENTS[2]
    p = p * r + COEFFICIENTS[3]
    p = p * r + COEFFICIENTS[4]
    p = p * r + COEFFICIENTS[5]
    p = p * (r * r) + (r + np.float32(1))
    bits = np.float32(p).view(np.int32) + (np.float32(shifted).view(np.int32) << 23)
    return np.int32(bits).view(np.float32)  # n was added to the exponent of p


@compiled
def _exponentials(logits, maxima, dlogits):
    """Set dlogits to the exponentials of the logits less their row's maximum."""
    for r in range(len(logits)):
        for c in range(logits.shape[1]):
            dlogits[r, c] = logits[r, c] - maxima[r]
    flat = dlogits.reshape(dlogits.size)
    for i in range(len(flat)):
        flat[i] = _exp(flat[i])


@checked
@compiled
def vector_exp(logits, labels, dlogits):
    """Use an exponential without branches or calls, which the compiler turns into vectors."""
    maxima, sums = _maxima(logits), np.zeros(len(logits), np.float32)
    _exponentials(logits, maxima, dlogits)
    for r in range(len(logits)):
        for c in range(logits.shape[1]):
            sums[r] += dlogits[r, c]
    _scale(labels, sums, dlogits)
    return _mean_loss(logits, labels, maxima, sums)


LANES = 16


@compiled
def _maximum_in_lanes(row, lanes):
    """Return the largest number of a row; lane l takes every number c with c % LANES == l."""
    lanes[:] = row[0]
    for c in range(0, len(row) - LANES + 1, LANES):
        for lane in range(LANES):
            lanes[lane] = max(lanes[lane], row[c + lane])
    for c in range(len(row) // LANES * LANES, len(row)):
        lanes[0] = max(lanes[0], row[c])
    largest = lanes[0]
    for lane in range(1, LANES):
        largest = max(largest, lanes[lane])
    return largest


@compiled
def _sum_in_lanes(row, lanes):
    """Return the sum of a row, in the same lanes."""
    lanes[:] = 0
    for c in range(0, len(row) - LANES + 1, LANES):
        for lane in range(LANES):
            lanes[lane] += row[c + lane]
    total = np.float32(0)
    for c in range(len(row) // LANES * LANES, len(row)):
        total += row[c]
    for lane in range(LANES):
        total += lanes[lane]
    return total


@checked
@compiled
def lanes(logits, labels, dlogits):
    """Take each maximum and each sum in sixteen lanes."""
    own = np.empty(LANES, np.float32)
    maxima, sums = np.empty(len(logits), np.float32), np.empty(len(logits), np.float32)
    for r in range(len(logits)):
        maxima[r] = _maximum_in_lanes(logits[r], own)
    _exponentials(logits, maxima, dlogits)
    for r in range(len(logits)):
        sums[r] = _sum_in_lanes(dlogits[r], own)
    _scale(labels, sums, dlogits)
    return _mean_loss(logits, labels, maxima, sums)


def production(logits, labels, dlogits):
    """Call the kernel of training, with equal weights for all samples."""
    return numba_kernels.softmax_cross_entropy(logits, labels, EQUAL_WEIGHTS, dlogits)


STEPS = [
    Step(LESSONS["naive loops"], naive, (naive, _maxima, _mean_loss)),
    Step(LESSONS["fused gradient"], fused, (fused, _scale)),
    Step(LESSONS["vector exp"], vector_exp, (vector_exp, _exponentials, _exp)),
    Step(LESSONS["lanes"], lanes, (lanes, _maximum_in_lanes, _sum_in_lanes)),
    Step(LESSONS["production"], production, (numba_kernels.softmax_cross_entropy,)),
]
