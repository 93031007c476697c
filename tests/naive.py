"""The oracle: loops over single numbers in float64. It imports nothing from the package."""

import math

import numpy as np


def matmul(a, b):
    """The product of two lists of rows, one multiplication at a time."""
    m, k, n = len(a), len(b), len(b[0]) if len(b) else 0
    out = np.zeros((m, n))
    for i in range(m):
        for j in range(n):
            out[i, j] = sum(float(a[i][p]) * float(b[p][j]) for p in range(k))
    return out


def softmax_cross_entropy(logits, labels, weights):
    """The weighted mean loss and its gradient."""
    total = sum(float(weight) for weight in weights)
    loss, gradient = 0.0, np.zeros(np.shape(logits))
    for r, row in enumerate(logits):
        top = max(float(z) for z in row)
        exponentials = [math.exp(float(z) - top) for z in row]
        row_sum = sum(exponentials)
        share = float(weights[r]) / total
        loss += share * (math.log(row_sum) + top - float(row[labels[r]]))
        for j, e in enumerate(exponentials):
            gradient[r, j] = share * (e / row_sum - (j == labels[r]))
    return loss, gradient


def activation(name, z):
    """(a, da/dz) of one number."""
    if name == "relu":
        return (z, 1.0) if z > 0 else (0.0, 0.0)
    if name == "tanh":
        return math.tanh(z), 1.0 - math.tanh(z) ** 2
    if name == "logistic":
        a = 1.0 / (1.0 + math.exp(-z))
        return a, a * (1.0 - a)
    return z, 1.0


def random_bits(seed, epoch, sample, layer, unit):
    """The 32 random bits of a unit, in Python's whole numbers."""
    mask = 2**32 - 1

    def mix(x):
        x ^= x >> 16
        x = x * 0x7FEB352D & mask
        x ^= x >> 15
        x = x * 0x846CA68B & mask
        return x ^ (x >> 16)

    key = mix(seed & mask)
    for part in (epoch, sample, layer):
        key = mix((key + part) & mask)
    return mix(key ^ (unit * 0x9E3779B9 & mask))


def sgd(w, g, learning_rate, momentum, nesterov, decay, velocity):
    """One parameter's step: (w, velocity)."""
    g = g + decay * w
    velocity = momentum * velocity + g
    return w - learning_rate * (g + momentum * velocity if nesterov else velocity), velocity


def adam(w, g, learning_rate, beta1, beta2, eps, decay, decoupled, step, m, v):
    """One parameter's step: (w, m, v)."""
    if decoupled:
        w = w - learning_rate * decay * w
    else:
        g = g + decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - learning_rate * m_hat / (math.sqrt(v_hat) + eps), m, v
