"""One case computed in several ways: to the same bits, and within its error of the reference."""

import contextlib
from dataclasses import replace

import numpy as np
from problems import in_dtype

from mnistcore import set_num_threads
from mnistcore.kernels import numpy_kernels
from mnistcore.kernels import threads as teams

from .cases import network_of, problem_of, record_of
from .network import Batch, back_and_forth, logits
from .rough import CONFIDENCE, BeyondFloat32Error, Rough
from .single import call_of
from .update import moved_statistics, updated

# The model of the errors has the values of the reference: a share of what is tolerated.
AGREEMENT = 0.01


class Comparison:
    """Compares results, and keeps the largest error among those that it accepted."""

    def __init__(self, place=np.copy):
        self.place = place  # returns an array to pass on, like the one that it is given
        self.compared, self.worst = 0, 0.0

    def near(self, name, actual, expected, model):
        """Accept results that are as near to those of the reference as float32 gets."""
        actual, expected = (np.asarray(a, np.float64) for a in (actual, expected))
        assert actual.shape == expected.shape == model.value.shape, name
        if not actual.size:
            return
        slack = AGREEMENT * CONFIDENCE * model.error + 1e-12 * np.abs(expected) + 1e-300
        outside(f"{name}, of the model of the errors", model.value, expected, slack)
        allowed = CONFIDENCE * model.error
        outside(name, actual, expected, allowed)
        wrong = np.abs(actual - expected)
        share = wrong / np.where(allowed > 0, allowed, 1)
        self.compared, self.worst = self.compared + actual.size, max(self.worst, share.max())

    def within(self, name, actual, least, most):
        slack = 1e-6 * max(abs(least), abs(most))
        assert least - slack <= actual <= most + slack, f"{name}: {actual} not in {least}..{most}"


def outside(name, actual, expected, allowed):
    """Raise AssertionError where a number is not as near as is allowed; no NaN is."""
    good = np.abs(actual - expected) <= allowed
    if not good.all():
        worst = np.unravel_index(np.argmax(np.where(good, 0, 1)), good.shape)
        raise AssertionError(
            f"{name}: {(~good).sum()} of {good.size} wrong, first at {tuple(map(int, worst))}:"
            f" {actual[worst]:.9g} for {expected[worst]:.9g} +- {allowed[worst]:.3g}"
        )


@contextlib.contextmanager
def eager_team():
    """Several threads even for work as small as this."""
    names = ("WORTHWHILE", "WORTHWHILE_TASKS")
    before = {name: getattr(teams, name) for name in names}
    try:
        for name in names:
            setattr(teams, name, 0)
        yield
    finally:
        for name, value in before.items():
            setattr(teams, name, value)
        set_num_threads(0)


def check(case, kernels, comparison):
    """Raise AssertionError if a backend computes a case wrong."""
    programs = {
        "train_steps": check_training,
        "loss_and_gradient": check_gradient,
        "forward": check_predictions,
    }
    with eager_team(), contextlib.suppress(BeyondFloat32Error), np.errstate(all="ignore"):
        programs.get(case.program, check_kernel)(case, kernels, comparison)


# ---------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------


def check_training(case, kernels, comparison):
    """The same bits however it is trained, also step by step; and each step by the reference.

    A step is compared with that of the reference from the same parameters, so that errors do not
    grow from step to step.
    """
    problem = problem_of(case)
    steps = len(problem.rates)
    cut = case.seed % steps
    ways = [
        {"threads": case.threads, "place": comparison.place},
        {"skip_zeros": False, "cuts": (cut,) if cut else ()},
        {"skip_zeros": False, "threads": case.threads, "cuts": range(1, steps)},
    ]
    whole = problem.check_bits(kernels, ways)
    pairs = list(single_steps(problem, kernels))
    last, metrics = pairs[-1][1], sum(trained.metrics for _, trained in pairs)
    made = sum(trained.steps for _, trained in pairs)
    assert last._replace(metrics=metrics, steps=made).bits() == whole.bits(), "step by step"
    for start, trained in pairs:
        check_step(start, trained, comparison)


def single_steps(problem, kernels):
    """Train step by step: yield the problem of each step, and what it comes to."""
    size, trained = problem.batch_size, problem
    for step, rate in enumerate(problem.rates):
        order = problem.order[size * step : size * (step + 1)]
        start = replace(problem, order=order, rates=np.array([rate]), params=trained.params)
        start.state, start.buffers = trained.state, trained.buffers
        start.first_step = problem.first_step + step
        trained = start.train(kernels, threads=1)
        yield start, trained
        if trained.steps == 0:
            return


def batch_of(problem, samples):
    weights = problem.weights[samples] if problem.weights.size else np.ones(len(samples))
    return Batch(problem.x[samples], problem.targets[samples], weights, samples)


def check_step(start, trained, comparison):
    """One step, compared with that of the reference."""
    record, batch = record_of(start.options), batch_of(start, start.order)
    passed = back_and_forth(start.network, start.params, batch, record)
    params, rows = updated(
        start.network, record, start.first_step + 1, float(start.rates[0]),
        (start.params, start.state), passed.gradient,
    )  # fmt: skip
    buffers = moved_statistics(
        start.buffers, passed.statistics, len(start.order), record.norm_momentum
    )
    expected = start.train(numpy_kernels, dtype=np.float64)
    assert trained.steps == expected.steps == 1
    comparison.near("params", trained.params, expected.params, params)
    for row, actual in enumerate(trained.state):
        comparison.near(f"state[{row}]", actual, expected.state[row], rows[row])
    comparison.near("buffers", trained.buffers, expected.buffers, buffers)
    comparison.near("loss", trained.metrics[0], expected.metrics[0], passed.loss_sum)
    comparison.within("weights", trained.metrics[1], expected.metrics[1], expected.metrics[1])
    comparison.within("hits", trained.metrics[2], *passed.hits)


# ---------------------------------------------------------------------------------------------
# The other programs
# ---------------------------------------------------------------------------------------------


def same_bits(compute, ways):
    """Compute in several ways, which come to the same bits; return the first result."""
    results = [compute(**way) for way in ways]
    first = [np.asarray(part).tobytes() for part in results[0]]
    for way, result in zip(ways, results, strict=True):
        assert [np.asarray(part).tobytes() for part in result] == first, f"other bits with {way}"
    return results[0]


def check_gradient(case, kernels, comparison):
    """The loss of a batch, all of the data, and its gradient."""
    problem, layers = problem_of(case), network_of(case).layers()

    def compute(kernels, dtype=np.float32, threads=1, place=np.copy):
        set_num_threads(threads)
        x, targets, weights, params = (
            place(in_dtype(array, dtype))
            for array in (problem.x, problem.targets, problem.weights, problem.params)
        )
        gradient = place(np.full(params.size, np.nan, dtype))
        room = place(np.full(kernels.workspace_size(layers, case.rows, 1), np.nan, dtype))
        loss = kernels.loss_and_gradient(
            x, targets, weights, params, place(layers), place(problem.options), room, gradient
        )
        return loss, gradient

    ways = [
        {"kernels": kernels},
        {"kernels": kernels, "threads": case.threads, "place": comparison.place},
    ]
    loss, gradient = same_bits(compute, ways)
    batch = batch_of(problem, np.arange(case.rows))
    passed = back_and_forth(problem.network, problem.params, batch, record_of(problem.options))
    expected_loss, expected = compute(numpy_kernels, np.float64)
    comparison.near("gradient", gradient, expected, passed.gradient)
    total = float(batch.weights.sum(dtype=np.float64)) or 1.0
    mean = Rough(passed.loss_sum.value / total, passed.loss_sum.error / total)
    comparison.near("loss", loss, expected_loss, mean)


def check_predictions(case, kernels, comparison):
    """Logits of ``forward`` and, to the same bits, of a ``Predictor``."""
    problem, layers = problem_of(case), network_of(case).layers()
    scaling, shape = (case.scale, case.shift), (case.rows, case.classes)

    def compute(kernels, dtype=np.float32, threads=1, place=np.copy, predictor=False):
        set_num_threads(threads)
        x, params = (place(in_dtype(array, dtype)) for array in (problem.x, problem.params))
        found = place(np.full(shape, np.nan, dtype))
        if predictor:
            kernels.Predictor(params, place(layers), *scaling)(x, found)
        else:
            room = place(np.full(kernels.workspace_size(layers, case.rows, 0), np.nan, dtype))
            kernels.forward(x, params, place(layers), *scaling, room, found)
        return (found,)

    here = {"kernels": kernels, "threads": case.threads, "place": comparison.place}
    ways = [{"kernels": kernels}, here, here | {"predictor": True}]
    (found,) = same_bits(compute, ways)
    (expected,) = compute(numpy_kernels, np.float64)
    model = logits(problem.network, problem.params, problem.x, *scaling)
    comparison.near("logits", found, expected, model)


def check_kernel(case, kernels, comparison):
    """One kernel."""
    call = call_of(case)

    def compute(kernels, dtype=np.float32, threads=1, place=np.copy):
        set_num_threads(threads)
        arguments = [
            place(a.astype(dtype) if a.dtype == np.float32 else a)
            if isinstance(a, np.ndarray)
            else a
            for a in call.arguments
        ]
        returned = getattr(kernels, case.program)(*arguments)
        found = [arguments[index] for index in call.outputs]
        return found if returned is None else [*found, returned]

    ways = [
        {"kernels": kernels},
        {"kernels": kernels, "threads": case.threads, "place": comparison.place},
    ]
    found, expected = same_bits(compute, ways), compute(numpy_kernels, np.float64)
    for index, (actual, wanted, model) in enumerate(
        zip(found, expected, call.models(), strict=True)
    ):
        comparison.near(f"output {index}", actual, wanted, model)
