"""Everything that is not a product: exp and tanh, losses, dropout, the optimizers' rules.

Vectors in, vectors out; the loops that walk arrays with them are in ``programs`` and in the
public face.
"""

import math

import numpy as np

from .. import layout
from .functions import c_function, inner
from .simd import (
    HAS_ESTIMATES,
    LANES,
    estimate_reciprocal,
    estimate_rsqrt,
    fma,
    keep_lanes,
    largest,
    load,
    load_scalar,
    raise_exponent,
    select_less,
    splat,
    sqrt,
    store,
    store_scalar,
    total,
    where_lane,
)

GRADIENT = -1  # the "optimizer" that writes the gradient into the first row of its state

# Adding 1.5 * 2**23 leaves no bits for a fraction: the sum is rounded to a whole number, which
# also stands in the low bits of the mantissa.
_ROUND = np.float32(1.5 * 2**23)
_LOG2_E = np.float32(math.log2(math.e))
# ln 2 in two parts, the first with so few bits that its multiples are exact.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
_EXP_MIN = np.float32(-87.33)  # below, exp is no normal number: 0
_EXP_MAX = np.float32(88.72)


@inner
def exp(x):
    """e**x, lane by lane, to about 1 ulp; 0 below -87.33, inf above 88.72, NaN for NaN.

    x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e**r, 2**n by its exponent (the method
    of Cephes's expf).
    """
    lowest, highest = splat(_EXP_MIN), splat(_EXP_MAX)
    inside = select_less(x, lowest, lowest, x)
    inside = select_less(highest, inside, highest, inside)
    n = fma(inside, splat(_LOG2_E), splat(_ROUND))
    whole = n - splat(_ROUND)
    r = fma(whole, splat(-_LN2_HIGH), inside)
    r = fma(whole, splat(-_LN2_LOW), r)
    p = fma(r, splat(1.9875691500e-4), splat(1.3981999507e-3))
    p = fma(p, r, splat(8.3334519073e-3))
    p = fma(p, r, splat(4.1665795894e-2))
    p = fma(p, r, splat(1.6666665459e-1))
    p = fma(p, r, splat(5.0000001201e-1))
    p = fma(p, r * r, r + splat(1.0))
    # n is 128 only where p < 1, and -126 only where p >= 1: the result is always a normal number.
    y = raise_exponent(p, n)
    y = select_less(x, lowest, splat(0.0), y)
    y = select_less(highest, x, splat(np.inf), y)
    return fma(inside, splat(0.0), y)  # NaN * 0 carries a NaN over


@inner
def tanh(x):
    """tanh x, lane by lane: an odd polynomial near 0, else 1 - 2 / (e**2|x| + 1) (Cephes)."""
    zero = splat(0.0)
    size = select_less(x, zero, zero - x, x)
    square = x * x
    p = fma(square, splat(-5.70498872745e-3), splat(2.06390887954e-2))
    p = fma(p, square, splat(-5.37397155531e-2))
    p = fma(p, square, splat(1.33314422036e-1))
    p = fma(p, square, splat(-3.33332819422e-1))
    near = fma(p * square, x, x)
    far = splat(1.0) - splat(2.0) / (exp(size + size) + splat(1.0))
    far = select_less(x, zero, zero - far, far)
    return select_less(size, splat(0.625), near, far)


@inner
def logistic(x):
    """1 / (1 + e**-x), lane by lane."""
    return splat(1.0) / (splat(1.0) + exp(splat(0.0) - x))


@inner
def relu(x):
    """max(x, 0), lane by lane; NaN stays NaN."""
    return select_less(x, splat(0.0), splat(0.0), x)


@inner
def activate(code, z):
    """The activation of a code of ``layout`` on a vector."""
    if code == layout.RELU:
        return relu(z)
    if code == layout.TANH:
        return tanh(z)
    if code == layout.LOGISTIC:
        return logistic(z)
    return z


@inner
def backpropagate(code, gradient, a):
    """``gradient`` times the derivative of an activation by its input, from its output a."""
    one = splat(1.0)
    if code == layout.RELU:
        return select_less(splat(0.0), a, gradient, splat(0.0))
    if code == layout.TANH:
        return gradient * (one - a * a)
    if code == layout.LOGISTIC:
        return gradient * (a * (one - a))
    return gradient


# ---------------------------------------------------------------------------------------------
# Random numbers and dropout: the recipe of layout.random_bits
# ---------------------------------------------------------------------------------------------


@inner
def mix32(bits):
    """:func:`layout.mix32` on one number."""
    bits = np.uint32(bits)
    bits = np.uint32(bits ^ (bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits = np.uint32(bits ^ (bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ (bits >> np.uint32(16)))


@inner
def row_key(seed, epoch, sample, layer):
    """The key from which the numbers of one sample in one layer are drawn."""
    mask = np.int64(0xFFFFFFFF)
    key = mix32(np.uint32(seed & mask))
    key = mix32(np.uint32(key + np.uint32(epoch & mask)))
    key = mix32(np.uint32(key + np.uint32(sample & mask)))
    return mix32(np.uint32(key + np.uint32(layer & mask)))


@inner
def is_kept(key, unit, threshold):
    """Whether dropout keeps a unit."""
    product = np.uint32(np.uint32(unit) * np.uint32(0x9E3779B9))
    return mix32(np.uint32(key ^ product)) >= np.uint32(threshold)


@inner
def keep_factor(threshold):
    """What kept units are multiplied by: 1 / (1 - rate)."""
    return np.float32(1.0 / (1.0 - threshold / 4294967296.0))


@inner
def drop_row(base, position, n, first_unit, key, threshold, target, target_position):
    """Dropout of n units of one sample, from base + position to target + target_position."""
    factor = keep_factor(threshold)
    for i in range(n):
        value = load_scalar(base, position + i) * factor
        if not is_kept(key, first_unit + i, threshold):
            value = np.float32(0.0)
        store_scalar(target, target_position + i, value)


# ---------------------------------------------------------------------------------------------
# Softmax and the loss
# ---------------------------------------------------------------------------------------------


@inner
def row_maximum(base, position, n):
    """The largest of n floats, read in whole vectors: LANES - 1 floats may stand behind them."""
    lowest = splat(-np.inf)
    best = lowest
    for i in range(0, n, LANES):
        x = keep_lanes(load(base, position + i), n - i, lowest)
        best = select_less(best, x, x, best)
    return largest(best)


@inner
def exponentials(base, position, n, maximum):
    """Replace n floats by exp(x - maximum), and what stands behind in the last vector by 0."""
    shift = splat(maximum)
    for i in range(0, n, LANES):
        e = exp(load(base, position + i) - shift)
        store(base, position + i, keep_lanes(e, n - i, splat(0.0)))


@inner
def row_sum(base, position, n):
    """The sum of n floats, zeros standing behind them in the last vector."""
    lanes = splat(0.0)
    for i in range(0, n, LANES):
        lanes = lanes + load(base, position + i)
    return total(lanes)


@inner
def _softmax_loss_short(base, position, n, label, inverse):
    """:func:`softmax_loss` for a row of one vector, which stays in a register.

    To write a lane and read the vector again would wait for the memory, row after row.
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
    loss = math.log(np.float64(others + own)) - (np.float64(picked) - np.float64(maximum))
    return loss, hit


@inner
def softmax_loss(base, position, n, label, inverse):
    """One row of softmax-cross-entropy, in place of the logits: its loss and whether it is a hit.

    The n logits become ``inverse * (probs - onehot)``; ``inverse`` is the sample's weight over
    the sum of the batch's weights. The row is read and written in whole vectors.
    """
    if n <= LANES:
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
    for i in range(0, n, LANES):
        store(base, position + i, load(base, position + i) * splat(factor))
    # probs - 1 of the label, without the cancellation that loses its digits as probs nears 1.
    store_scalar(base, position + label, -others * factor)
    loss = math.log(np.float64(others + own)) - (np.float64(picked) - np.float64(maximum))
    return loss, hit


# ---------------------------------------------------------------------------------------------
# Optimizers
# ---------------------------------------------------------------------------------------------


# The numbers of one optimizer step, float32, in the order of their places in memory.
LEARNING_RATE = 0
MOMENTUM = 1
L2 = 2
SHRINKAGE = 3
BETA1 = 4
REST1 = 5  # 1 - beta1
BETA2 = 6
REST2 = 7
FIRST = 8  # learning rate / (1 - beta1**step)
SECOND = 9  # 1 / sqrt(1 - beta2**step)
EPS = 10
SCALE = 11  # an input value enters as value * scale + shift
SHIFT = 12
CONSTANTS = 16  # floats to keep free for them


@inner
def write_constants(record, learning_rate, step, base, constants):
    """Write the numbers of a step to base + constants."""
    decay = record["weight_decay"]
    decoupled = record["optimizer"] == layout.ADAMW
    first = learning_rate / (1.0 - record["beta1"] ** step)
    second = 1.0 / math.sqrt(1.0 - record["beta2"] ** step)
    store_scalar(base, constants + LEARNING_RATE, np.float32(learning_rate))
    store_scalar(base, constants + MOMENTUM, np.float32(record["momentum"]))
    store_scalar(base, constants + L2, np.float32(0.0 if decoupled else decay))
    shrinkage = np.float32(1.0 - learning_rate * decay if decoupled else 1.0)
    store_scalar(base, constants + SHRINKAGE, shrinkage)
    store_scalar(base, constants + BETA1, np.float32(record["beta1"]))
    store_scalar(base, constants + REST1, np.float32(1.0 - record["beta1"]))
    store_scalar(base, constants + BETA2, np.float32(record["beta2"]))
    store_scalar(base, constants + REST2, np.float32(1.0 - record["beta2"]))
    store_scalar(base, constants + FIRST, np.float32(first))
    store_scalar(base, constants + SECOND, np.float32(second))
    store_scalar(base, constants + EPS, np.float32(record["eps"]))
    store_scalar(base, constants + SCALE, np.float32(record["scale"]))
    store_scalar(base, constants + SHIFT, np.float32(record["shift"]))


@inner
def _with_decay(weights, l2, gradient):
    """gradient + l2 * weights; an infinite weight times no decay is nothing, not NaN."""
    return fma(select_less(splat(0.0), l2, weights, splat(0.0)), l2, gradient)


@inner
def _sgd(nesterov, constants, decayed, base, w, slot, g, n):
    momentum = splat(load_scalar(base, constants + MOMENTUM))
    step = splat(-load_scalar(base, constants + LEARNING_RATE))
    l2 = splat(load_scalar(base, constants + L2) if decayed else np.float32(0.0))
    for i in range(0, n, LANES):
        weights = load(base, w + i)
        gradient = _with_decay(weights, l2, load(base, g + i))
        if slot:
            velocity = fma(load(base, w + slot + i), momentum, gradient)
            store(base, w + slot + i, velocity)
            gradient = fma(velocity, momentum, gradient) if nesterov else velocity
        store(base, w + i, fma(gradient, step, weights))


@inner
def _divided_exactly(m, v, second, eps):
    """m / (sqrt(v) * second + eps)."""
    return m / fma(sqrt(v), second, eps)


_LARGEST = np.finfo(np.float32).max


@inner
def _divided_by_estimates(m, v, second, eps):
    """The same from estimates of 14 bits, each doubled by a Newton step: within 2 ulp.

    A division and a square root keep the unit busy for some twenty cycles, the twelve
    instructions here for about ten.
    """
    tiny = splat(1.1754944e-38)  # the smallest normal number, whose root is no infinity's inverse
    inverse = estimate_rsqrt(select_less(v, tiny, tiny, v))
    root = v * inverse
    root = fma(inverse * splat(0.5), fma(splat(0.0) - root, root, v), root)
    size = fma(root, second, eps)
    inverse = estimate_reciprocal(size)
    inverse = fma(inverse, fma(splat(0.0) - size, inverse, splat(1.0)), inverse)
    # The estimates of infinity are no numbers; what is divided by it is 0.
    return m * select_less(splat(_LARGEST), v, splat(0.0), inverse)


_divided = _divided_by_estimates if HAS_ESTIMATES else _divided_exactly


@inner
def _adam(constants, decayed, base, w, slot, g, n):
    l2 = splat(load_scalar(base, constants + L2) if decayed else np.float32(0.0))
    shrinkage = splat(load_scalar(base, constants + SHRINKAGE) if decayed else np.float32(1.0))
    beta1 = splat(load_scalar(base, constants + BETA1))
    rest1 = splat(load_scalar(base, constants + REST1))
    beta2 = splat(load_scalar(base, constants + BETA2))
    rest2 = splat(load_scalar(base, constants + REST2))
    first = splat(load_scalar(base, constants + FIRST))
    second = splat(load_scalar(base, constants + SECOND))
    eps = splat(load_scalar(base, constants + EPS))
    for i in range(0, n, LANES):
        weights = load(base, w + i) * shrinkage
        gradient = _with_decay(weights, l2, load(base, g + i))
        m = fma(gradient, rest1, load(base, w + slot + i) * beta1)
        v = load(base, w + 2 * slot + i) * beta2
        v = fma(gradient * gradient, rest2, v)
        store(base, w + slot + i, m)
        store(base, w + 2 * slot + i, v)
        store(base, w + i, weights - _divided(m * first, v, second, eps))


@c_function(9)
def update_vectors(optimizer, nesterov, constants, decayed, base, w, slot, g, n):
    """Apply an optimizer's rule to n parameters (whole vectors) at base + w.

    Their gradients stand at base + g, the rows of the optimizer's state at base + w + slot and
    base + w + 2 * slot; ``slot`` is 0 for plain gradient descent. The numbers of the step stand
    at base + constants.
    """
    if optimizer == layout.SGD:
        _sgd(nesterov, constants, decayed, base, w, slot, g, n)
    elif optimizer == GRADIENT:
        for i in range(0, n, LANES):
            store(base, w + slot + i, load(base, g + i))
    else:
        _adam(constants, decayed, base, w, slot, g, n)
