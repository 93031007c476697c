"""One case computed in several ways: to the same bits, and within its error of the reference."""

import contextlib
from dataclasses import replace
from functools import partial

import numpy as np
from guarded import guarded

from mnistcore import set_num_threads
from mnistcore.kernels import numpy_kernels
from mnistcore.kernels import threads as teams

from .calls import batch_of, call_of
from .cases import problem_of, record_of
from .network import back_and_forth
from .rough import CONFIDENCE, AtCornerError, BeyondFloat32Error
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
    check_one = check_training if case.program == "train_steps" else check_call
    incomparable = contextlib.suppress(AtCornerError, BeyondFloat32Error)
    with eager_team(), incomparable, np.errstate(all="ignore"):
        check_one(case, kernels, comparison)


def touch_nothing_outside(case, kernels):
    """Make the calls of a case on arrays beside guard pages; return how many they were."""
    calls = 0
    with eager_team(), np.errstate(all="ignore"):
        for place in (guarded, partial(guarded, before=True)):
            if case.program == "train_steps":
                problem = problem_of(case)
                problem.train(kernels, threads=case.threads, place=place)
                cuts = range(1, case.steps)  # a call for each step, until a loss is not finite
                steps = problem.train(kernels, threads=1, cuts=cuts, place=place).steps
                calls += 1 + min(steps + 1, case.steps)
            else:
                call = call_of(case)
                for run in range(len(call.runs)):
                    call.compute(kernels, run=run, threads=case.threads, place=place)
                calls += len(call.runs)
    return calls


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
# Kernels and the other programs
# ---------------------------------------------------------------------------------------------


def check_call(case, kernels, comparison):
    """The same bits from each function that may make a call, as near to the reference's."""
    call, results = call_of(case), []
    ways = [{}, {"threads": case.threads, "place": comparison.place}]
    ways += [ways[1] | {"run": run} for run in range(1, len(call.runs))]
    for way in ways:
        results.append(call.compute(kernels, **way))
        for one, other in zip(results[0], results[-1], strict=True):
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes(), f"other with {way}"
    expected = call.compute(numpy_kernels, dtype=np.float64)
    for number, found in enumerate(zip(results[0], expected, call.models(), strict=True)):
        comparison.near(f"output {number}", *found)
