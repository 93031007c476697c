"""Calls of kernels, gradients and predictions: arguments, what they write, what may come out."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from problems import in_dtype

from mnistcore import set_num_threads
from mnistcore.kernels import deformation, layout

from .cases import (
    network_of,
    numbers,
    options_of,
    problem_of,
    record_of,
    weights_of,
)
from .network import Batch, back_and_forth, kept_units, logits, loss_of, softmax
from .rough import Rough, activate, exact, rough
from .update import adapt, descend

Run = Callable  # run(kernels, place, *arguments), which returns what the backend's function does


class Call(NamedTuple):
    """A call, which some functions may make to the same bits."""

    runs: tuple[Run, ...]
    arguments: list
    outputs: tuple[int, ...]  # of the arguments, those that are written
    models: Callable[[], list]  # a rough array for each of them, and for what is returned

    def compute(self, kernels, *, run=0, dtype=np.float32, threads=1, place=np.copy):
        """Return what is written and returned. ``place`` returns the arrays to pass on."""
        set_num_threads(threads)
        arguments = [
            place(in_dtype(part, dtype)) if isinstance(part, np.ndarray) else part
            for part in self.arguments
        ]
        returned = self.runs[run](kernels, place, *arguments)
        found = [arguments[index] for index in self.outputs]
        return found if returned is None else [*found, returned]


def call_of(case):
    """The call that a case stands for, other than one of ``train_steps``."""
    return _CALLS[case.program](case, np.random.default_rng(case.seed))


def unwritten(*shape):
    return np.full(shape, np.nan, np.float32)


def _kernel(case, *others):
    """A call of the kernel that a case names."""

    def run(kernels, place, *arguments):
        return getattr(kernels, case.program)(*arguments)

    return Call((run,), *others)


def batch_of(problem, samples):
    """The samples of a batch."""
    weights = problem.weights[samples] if problem.weights.size else np.ones(len(samples))
    return Batch(problem.x[samples], problem.targets[samples], weights, samples)


def mean_of(loss_sum, weights):
    """The mean of losses, from their weighted sum."""
    total = float(weights.sum(dtype=np.float64)) or 1.0
    return Rough(loss_sum.value / total, loss_sum.error / total)


def workspace(size, place, dtype):
    return place(np.full(size, np.nan, dtype))


def _gradient(case, rng):
    problem = problem_of(case)

    def run(kernels, place, *arguments):
        *inputs, gradient = arguments
        size = kernels.workspace_size(problem.network.layers(), case.rows, 1)
        room = workspace(size, place, gradient.dtype)
        return kernels.loss_and_gradient(*inputs, room, gradient)

    def models():
        batch = batch_of(problem, np.arange(case.rows))
        record = record_of(problem.options)
        passed = back_and_forth(problem.network, problem.params, batch, record)
        return [passed.gradient, mean_of(passed.loss_sum, batch.weights)]

    arguments = [problem.x, problem.targets, problem.weights, problem.params]
    arguments += [problem.network.layers(), problem.options, unwritten(problem.params.size)]
    return Call((run,), arguments, (6,), models)


def _forward_program(case, rng):
    problem = problem_of(case)

    def run(kernels, place, *arguments):
        *inputs, found = arguments
        size = kernels.workspace_size(problem.network.layers(), case.rows, 0)
        kernels.forward(*inputs, workspace(size, place, found.dtype), found)

    def run_predictor(kernels, place, x, *arguments):
        *parameters, found = arguments
        kernels.Predictor(*parameters)(x, found)

    arguments = [problem.x, problem.params, network_of(case).layers(), case.scale, case.shift]
    arguments += [unwritten(case.rows, case.classes)]

    def models():
        return [logits(problem.network, problem.params, problem.x, case.scale, case.shift)]

    return Call((run, run_predictor), arguments, (5,), models)


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

    return _kernel(case, [a, b, unwritten(m, n)], (2,), models)


def _add_bias(case, rng):
    z, b = numbers(case, rng, case.rows, case.inputs), numbers(case, rng, case.inputs)
    return _kernel(case, [z, b, unwritten(*z.shape)], (2,), lambda: [exact(z) + exact(b)])


def _sum_rows(case, rng):
    z = numbers(case, rng, case.rows, case.inputs)
    alike = case.rows if case.values == "ones" else 1
    return _kernel(
        case, [z, unwritten(case.inputs)], (1,), lambda: [exact(z).sum_rows().alike(alike)]
    )


def _forward(case, rng):
    z, (name, _) = numbers(case, rng, case.rows, case.inputs), case.program.split("_")
    return _kernel(case, [z, unwritten(*z.shape)], (1,), lambda: [activate(name, exact(z))[0]])


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

    return _kernel(case, [da, a, unwritten(*da.shape)], (2,), models)


def _softmax(case, rng):
    z = numbers(case, rng, case.rows, case.classes)
    return _kernel(case, [z, unwritten(*z.shape)], (1,), lambda: [softmax(exact(z))])


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
        return [dz, mean_of(loss, each)]

    return _kernel(case, [z, labels, weights, unwritten(*z.shape)], (3,), models)


def _dropout(case, rng):
    a, samples = numbers(case, rng, case.rows, case.inputs), rng.integers(0, 2**40, case.rows)
    key = case.seed, case.first_step, len(case.hidden)
    threshold = layout.dropout_threshold(case.dropout)

    def models():
        return [exact(a) * kept_units(threshold, samples, case.inputs, key)]

    return _kernel(case, [a, samples, case.dropout, *key, unwritten(*a.shape)], (6,), models)


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
    return _kernel(case, arguments, tuple(range(first, len(arguments))), models)


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
    return _kernel(case, arguments, (5,), models)


_CALLS = {
    "loss_and_gradient": _gradient, "forward": _forward_program,
    "matmul": _matmul, "matmul_tn": _matmul, "matmul_nt": _matmul, "add_bias": _add_bias,
    "sum_rows": _sum_rows, "tanh_forward": _forward, "relu_forward": _forward,
    "logistic_forward": _forward, "tanh_backward": _backward, "relu_backward": _backward,
    "logistic_backward": _backward, "softmax": _softmax, "softmax_cross_entropy": _cross_entropy,
    "dropout": _dropout, "augment": _augment, "sgd_update": _update, "adam_update": _update,
}  # fmt: skip
