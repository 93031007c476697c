"""Calls of single kernels: their arguments, which of them are written, and what may come out."""

from typing import NamedTuple

import numpy as np

from mnistcore.kernels import deformation, layout

from .cases import numbers, options_of, record_of, weights_of
from .network import Batch, kept_units, loss_of, softmax
from .rough import Rough, activate, exact, rough
from .update import adapt, descend


class Call(NamedTuple):
    """A call of a kernel."""

    arguments: list
    outputs: tuple[int, ...]  # of the arguments, those that are written
    models: object  # a function that returns a rough array for each of them, and for what returns


def call_of(case):
    """The call that a case stands for."""
    return _CALLS[case.program](case, np.random.default_rng(case.seed))


def unwritten(*shape):
    return np.full(shape, np.nan, np.float32)


def _matmul(case, rng):
    m, k, n = case.rows, case.inputs, case.classes
    a, b = (m, k), (k, n)
    if case.program == "matmul_tn":
        a = k, m
    elif case.program == "matmul_nt":
        b = n, k
    a, b = numbers(case, rng, *a), numbers(case, rng, *b)

    def models():
        one, two = exact(a), exact(b)
        one = one.T if case.program == "matmul_tn" else one
        product = one @ (two.T if case.program == "matmul_nt" else two)
        return [product.alike(k if case.values == "ones" else 1)]

    return Call([a, b, unwritten(m, n)], (2,), models)


def _add_bias(case, rng):
    z, b = numbers(case, rng, case.rows, case.inputs), numbers(case, rng, case.inputs)
    return Call([z, b, unwritten(*z.shape)], (2,), lambda: [exact(z) + exact(b)])


def _sum_rows(case, rng):
    z = numbers(case, rng, case.rows, case.inputs)
    alike = case.rows if case.values == "ones" else 1
    return Call([z, unwritten(case.inputs)], (1,), lambda: [exact(z).sum_rows().alike(alike)])


def _forward(case, rng):
    z, (name, _) = numbers(case, rng, case.rows, case.inputs), case.program.split("_")
    return Call([z, unwritten(*z.shape)], (1,), lambda: [activate(name, exact(z))[0]])


def _backward(case, rng):
    da, (name, _) = numbers(case, rng, case.rows, case.inputs), case.program.split("_")
    a = activate(name, Rough(rng.normal(size=da.shape)))[0].value.astype(np.float32)

    def models():
        slopes = {
            "relu": lambda a: Rough(a.value > 0),
            "tanh": lambda a: rough(1.0) - a * a,
            "logistic": lambda a: a * (rough(1.0) - a),
        }
        return [exact(da) * slopes[name](exact(a))]

    return Call([da, a, unwritten(*da.shape)], (2,), models)


def _softmax(case, rng):
    z = numbers(case, rng, case.rows, case.classes)
    return Call([z, unwritten(*z.shape)], (1,), lambda: [softmax(exact(z))])


def _cross_entropy(case, rng):
    z = numbers(case, rng, case.rows, case.classes)
    labels = rng.integers(0, case.classes, case.rows).astype(np.int32)
    weights = weights_of(case, rng)

    def models():
        each = weights if weights.size else np.ones(len(z))
        batch = Batch(z, labels, each, np.arange(len(z)))
        loss, _, dz = loss_of(
            exact(z),
            batch,
            record_of(options_of(case))._replace(probs_clip=0.0, label_smoothing=0.0),
        )
        total = float(each.sum(dtype=np.float64)) or 1.0
        return [dz, Rough(loss.value / total, loss.error / total)]

    return Call([z, labels, weights, unwritten(*z.shape)], (3,), models)


def _dropout(case, rng):
    a, samples = numbers(case, rng, case.rows, case.inputs), rng.integers(0, 2**40, case.rows)
    key = case.seed, case.first_step, len(case.hidden)
    threshold = layout.dropout_threshold(case.dropout)

    def models():
        return [exact(a) * kept_units(threshold, samples, case.inputs, key)]

    return Call([a, samples, case.dropout, *key, unwritten(*a.shape)], (6,), models)


def _update(case, rng):
    record = record_of(options_of(case))
    if case.program == "adam_update" and record.optimizer == layout.SGD:
        record = record._replace(optimizer=layout.ADAM, momentum=0.0)
    gradient, params = numbers(case, rng, case.inputs), numbers(case, rng, case.inputs)
    state = rng.normal(0, 0.01, (2, case.inputs)).astype(np.float32)
    state[1] **= 2
    decay = np.full(case.inputs, record.weight_decay)
    if case.program == "adam_update":
        step, rule, rows = case.first_step + 1, adapt, [*state]
        constants = [record.beta1, record.beta2, record.eps, record.weight_decay]
        constants += [record.optimizer == layout.ADAMW, step]
    else:
        step, rule, rows = 0, descend, [state[0] if record.momentum else unwritten(0)]
        constants = [record.momentum, bool(record.nesterov), record.weight_decay]

    def models():
        start = exact(params), state
        after, changed = rule(record, step, case.rate, start, exact(gradient), decay)
        return [after, *(changed or [Rough(np.zeros(0))])]

    arguments = [gradient, case.rate, *constants, params, *rows]
    first = len(constants) + 2
    return Call(arguments, tuple(range(first, len(arguments))), models)


def _augment(case, rng):
    side = min(case.inputs, 33)
    images = rng.integers(0, 256, (case.rows, side * side)).astype(np.uint8)
    order = rng.choice(case.rows, rng.integers(case.rows + 1), replace=False)
    strengths = np.array([(15, 0.1, 0.1, 0.1, 0.05, 0.2, 0.5)], layout.AUGMENTATION_DTYPE)
    for name in strengths.dtype.names:
        if name != "smoothness":
            strengths[name] *= rng.choice([0, 0.5, 1, 2])
    out = rng.integers(0, 256, images.shape).astype(np.uint8)

    def models():  # the same in every backend, to the bit
        expected = out.copy()
        deformation.augment(images, order, strengths, case.seed, case.first_step, expected)
        return [Rough(expected)]

    arguments = [images, order, strengths, case.seed, case.first_step, out]
    return Call(arguments, (5,), models)


_CALLS = {
    "matmul": _matmul, "matmul_tn": _matmul, "matmul_nt": _matmul, "add_bias": _add_bias,
    "sum_rows": _sum_rows, "tanh_forward": _forward, "relu_forward": _forward,
    "logistic_forward": _forward, "tanh_backward": _backward, "relu_backward": _backward,
    "logistic_backward": _backward, "softmax": _softmax, "softmax_cross_entropy": _cross_entropy,
    "dropout": _dropout, "augment": _augment, "sgd_update": _update, "adam_update": _update,
}  # fmt: skip
