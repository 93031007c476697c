"""The update of a step in rough numbers: clipping, optimizers, limits of norms, averages."""

import numpy as np

from mnistcore.kernels import layout

from .rough import Rough, exact, greatest_of, joined, rough, square_root


def updated(network, record, step, rate, start, gradient):
    """The parameters and the state after an update, the number ``step`` from 1.

    ``start`` are parameters (P,) and state (slots, P) before it.
    """
    params, state = start
    if record.clip_norm:
        norm = gradient[:, None].norms(max(network.layer_sizes[:-1]) + 2)[0] + 1e-6
        gradient = gradient * _shrunk(record.clip_norm, norm)
    decay = decay_mask(network) * record.weight_decay
    rule = descend if record.optimizer == layout.SGD else adapt
    params, rows = rule(record, step, rate, (exact(params), state), gradient, decay)
    if record.max_norm:
        params = _with_limited_norms(network, params, record.max_norm)
    if record.ema_decay:
        rows.append(_average(params, record.ema_decay, step, exact(state[-1])))
    return params, rows


def decay_mask(network):
    """1 for each weight, 0 for biases and gains."""
    mask = np.zeros(network.n_params)
    for w, _ in network.views(mask):
        w[...] = 1
    return mask


def descend(record, step, rate, start, gradient, decay):
    """Gradient descent; ``decay`` is that of each parameter."""
    params, state = start
    if record.weight_decay:
        gradient = gradient + rough(decay) * params
    if not record.momentum:
        return params - gradient * rate, []
    velocity = exact(state[0]) * record.momentum + gradient
    change = velocity * record.momentum + gradient if record.nesterov else velocity
    return params - change * rate, [velocity]


def adapt(record, step, rate, start, gradient, decay):
    """Adam and AdamW."""
    params, state = start
    if record.optimizer == layout.ADAMW:
        params = params * (1.0 - rate * decay)
    elif record.weight_decay:
        gradient = gradient + rough(decay) * params
    m = exact(state[0]) * record.beta1 + gradient * (1.0 - record.beta1)
    v = exact(state[1]) * record.beta2 + gradient * gradient * (1.0 - record.beta2)
    root = square_root(v * (1.0 / (1.0 - record.beta2**step))) + record.eps
    change = (m * (rate / (1.0 - record.beta1**step))).over(root, record.eps * (1 - 1e-6))
    return params - change, [m, v]


def _shrunk(limit, norm):
    """What a vector is multiplied by so as not to be longer than a limit."""
    return rough(limit).over(greatest_of(limit, norm), limit)


def _with_limited_norms(network, params, limit):
    value, error = params.value.copy(), params.error.copy()
    for w, e in zip(network.views(value), network.views(error), strict=True):
        weights = Rough(w[0], e[0])
        limited = weights * _shrunk(limit, weights.norms(len(w[0])))
        w[0][...], e[0][...] = limited.value, limited.error
    return Rough(value, error)


def _average(params, decay, step, average):
    if step % layout.AVERAGE_EVERY:
        return average
    kept = min(decay, (1.0 + step) / (10.0 + step)) ** layout.AVERAGE_EVERY
    return average + (params - average) * (1.0 - kept)


def moved_statistics(buffers, statistics, rows, momentum):
    """The running means and variances after a batch."""
    if rows < 2 or not statistics:
        return exact(buffers)
    means, variances = statistics
    middle = len(buffers) // 2
    unbiased = variances * (rows / (rows - 1))
    before = exact(buffers)
    halves = (before[:middle], means), (before[middle:], unbiased)
    return joined([part + (batch - part) * momentum for part, batch in halves])
