"""The passes forward and back in rough numbers: their results, and how far off float32 may be."""

from typing import NamedTuple

import numpy as np
from tolerances import ULPS, UNIT_ROUNDOFF

from mnistcore.kernels import layout

from .rough import (
    CONFIDENCE,
    Rough,
    activate,
    exact,
    exponential,
    joined,
    root_sum,
    rough,
    square_root,
)


class Batch(NamedTuple):
    """The samples of one step."""

    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray  # one for each sample
    samples: np.ndarray  # their numbers, which the masks of dropout depend on

    def alike(self):
        """The most rows that are equal."""
        return np.unique(self.x, axis=0, return_counts=True)[1].max(initial=1)


class Passed(NamedTuple):
    """What a batch comes to, on its way there and back."""

    loss_sum: Rough
    hits: tuple[float, float]  # the least and the greatest sum of weights
    gradient: Rough
    statistics: tuple[Rough, Rough]  # means and variances of normalised layers


def logits(network, params, x, scale, shift):
    """The logits of rows x, without dropout."""
    a = scaled(x, scale, shift)
    for depth, (w, b) in enumerate(network.views(params)):
        z = a @ exact(w) + exact(b)
        a = z if depth == len(network.layer_sizes) - 2 else activate(network.activation, z)[0]
    return a


def scaled(x, scale, shift):
    """Inputs as they enter the network."""
    x = exact(x) * scale
    return x + shift if shift else x


def back_and_forth(network, params, batch, record):
    """The loss of a batch and its gradient."""
    views, gains = network.views(params), network.gains(params)
    a, layers, statistics = scaled(batch.x, record.scale, record.shift), [], []
    alike = batch.alike()
    for depth, (w, b) in enumerate(views[:-1]):
        layer = HiddenLayer(network, depth, (exact(w), exact(b)), batch, record, alike)
        a = layer.forward(a, exact(gains[depth]) if gains else None)
        layers.append(layer)
        statistics += [layer.statistics] if gains else []
    w, b = (exact(part) for part in views[-1])
    loss_sum, hits, dz = loss_of(a @ w + b, batch, record)
    parts = [((a.T @ dz).alike(alike), dz.sum_rows().alike(alike))]
    da = dz @ w.T
    for layer in reversed(layers):
        da, *part = layer.backward(da)
        parts.append(part)
    flat = [array for part in reversed(parts) for array in part]
    loss_sum = loss_sum.alike(alike)
    return Passed(loss_sum, hits, joined(flat), tuple(map(joined, zip(*statistics, strict=True))))


def kept_units(threshold, samples, units, key):
    """What dropout multiplies the units of each sample by."""
    bits = layout.random_bits(samples, units, *key)
    return Rough((bits >= threshold) / (1 - threshold / 2**32), roundings=1)


class HiddenLayer:
    """A layer on the way forward, which keeps what the way back needs."""

    def __init__(self, network, depth, weights, batch, record, alike):
        self.activation, (self.w, self.b), self.alike = network.activation, weights, alike
        self.norm_eps, self.kept = record.norm_eps, None
        threshold = int(network.layers()[depth, layout.DROPOUT])
        if threshold:
            key = record.seed, record.epoch, depth
            self.kept = kept_units(threshold, batch.samples, self.b.value.size, key)

    def forward(self, a, gain):
        self.inputs, self.gain = a, gain
        z = a @ self.w
        if gain is not None:
            self._normalize(z)
            z = self.normal * gain
        a, self.slope = activate(self.activation, z + self.b)
        return a if self.kept is None else a * self.kept

    def _normalize(self, z):
        rows = len(z.value)
        mean = z.sum_rows().alike(self.alike) * (1.0 / rows)
        # All rows share the errors of mean and deviation, so a sum over rows adds them up.
        centred = z - mean.alike(rows)
        # The squares of errors count where all rows are alike.
        variance = (centred * centred).sum_rows().alike(self.alike) * (1.0 / rows)
        deviation = square_root(variance + self.norm_eps)
        self.inverse = rough(1.0).over(deviation, np.sqrt(self.norm_eps) * (1 - 1e-6))
        self.normal = centred * self.inverse.alike(rows)
        self.statistics = mean, variance

    def backward(self, da):
        """The gradient of the inputs, and those of weights, bias and gain."""
        if self.kept is not None:
            da = da * self.kept
        dz = da * self.slope
        dbias, more = dz.sum_rows().alike(self.alike), []
        if self.gain is not None:
            rows = len(dz.value)
            dgain = (dz * self.normal).sum_rows().alike(self.alike)
            shared = dbias * (1.0 / rows) + self.normal * (dgain * (1.0 / rows))
            dz, more = (dz - shared) * (self.gain * self.inverse), [dgain]
        return dz @ self.w.T, (self.inputs.T @ dz).alike(self.alike), dbias, *more


def loss_of(z, batch, record):
    """The sum of weighted losses, the hits, and the gradient of the mean loss in the logits."""
    given, classes = batch.targets, z.value.shape[1]
    labels = given if given.ndim == 1 else given.argmax(axis=1)
    if given.ndim == 1:
        given = np.eye(classes)[given]
    if batch.targets.ndim == 1 and not record.label_smoothing:
        losses, dz = _loss_of_labels(z, given)
    else:
        share = record.label_smoothing
        losses, dz = _loss_of_spread(z, exact(given) * (1.0 - share) + share / classes)
    if record.probs_clip:
        least, most = -np.log1p(-record.probs_clip), -np.log(record.probs_clip)
        losses = Rough(np.clip(losses.value, least, most), losses.error)
    weights = batch.weights.astype(np.float64)
    total = weights.sum()
    fractions = rough(weights[:, None] / total if total else 0 * weights[:, None])
    loss_sum = Rough(weights @ losses.value, np.sqrt(np.square(weights) @ np.square(losses.error)))
    return loss_sum, _hits(z, labels, weights), dz * fractions


def _exponentials(z):
    """Logits less the largest of their row, e to their power, and its sum over the classes."""
    gaps = z - Rough(z.value.max(axis=1, keepdims=True))
    e = exponential(gaps)
    return gaps, e, e.sum_columns()


def softmax(z):
    """The probabilities of each row."""
    _, e, whole = _exponentials(z)
    return _share(e, whole)


def _loss_of_labels(z, one_hot):
    gaps, e, whole = _exponentials(z)
    others = (e * Rough(1 - one_hot)).sum_columns()
    p, rest = _share(e, whole), _share(others, whole)
    dz = Rough(np.where(one_hot, -rest.value, p.value), np.where(one_hot, rest.error, p.error))
    own = (gaps * Rough(one_hot)).sum_columns()
    return _less_log(own, whole, z, 1.0), dz


def _loss_of_spread(z, targets):
    gaps, e, whole = _exponentials(z)
    size = targets.sum_columns()
    dz = _share(e, whole) * size - targets
    return _less_log((gaps * targets).sum_columns(), whole, z, size.value[:, 0]), dz


def _share(part, whole):
    """A part of a positive sum. However large the errors, it is between 0 and 1."""
    value = part.value / whole.value
    error = root_sum(part.error / whole.value, value * whole.error / whole.value)
    return Rough(value, np.minimum(error, 1 / CONFIDENCE), roundings=2)


def _less_log(own, whole, z, size):
    """The losses size * log(whole) - own. The logarithm moves no more than the logits do."""
    value = size * np.log(whole.value[:, 0]) - own.value[:, 0]
    roundings = 2 * ULPS + np.sqrt(z.value.shape[1])
    rounding = UNIT_ROUNDOFF * size * roundings * (1 + np.log(whole.value[:, 0]))
    return Rough(value, own.error[:, 0], size * z.error.max(axis=1), rounding)


def _hits(z, labels, weights):
    """The least and the greatest weighted sum of hits, where largest logits are about equal."""
    rows = np.arange(len(labels))
    hit = z.value.argmax(axis=1) == labels
    margin = np.abs(z.value - z.value[rows, labels][:, None])
    doubt = CONFIDENCE * (z.error + z.error[rows, labels][:, None])
    near = (margin <= doubt) & (doubt > 0)
    near[rows, labels] = False
    unsure = near.any(axis=1)
    return float(weights @ (hit & ~unsure)), float(weights @ (hit | unsure))
