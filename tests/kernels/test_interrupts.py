"""Exceptions that signal handlers raise at any moment: no thread stays at work, all stays right.

``MNISTCORE_INTERRUPTS=10000 pytest tests/kernels/test_interrupts.py`` tries that many moments.
"""

import math
import os
import random
import sys
import time
import warnings

import numpy as np
import pytest
from interruptions import Alarm, interrupted_everywhere
from numba.core.compiler_lock import global_compiler_lock

from mnistcore import get_num_threads, set_num_threads
from mnistcore.kernels import threads as teams
from mnistcore.kernels._numba.functions import JIT
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not JIT, reason="uncompiled, nothing computes on several threads"),
]

MOMENTS = int(os.environ.get("MNISTCORE_INTERRUPTS", "60"))
NONE = np.zeros(0, np.float32)
# What must not be cut off, and what calls it.
CODE = (
    *("_kernels.py", "threads.py", "threading.py", "contextlib.py", "interrupt.py"),
    *("functions.py", "compiler_lock.py", "training.py", "prediction.py"),
)


@pytest.fixture(params=[2, 3])
def threads(request, monkeypatch):
    """Teams even for work as small as this."""
    for worth in ("WORTHWHILE", "WORTHWHILE_TASKS"):
        monkeypatch.setattr(teams, worth, 0)
    set_num_threads(request.param)
    return request.param


class _Training:
    """A few steps of a small network; ``outputs`` is all that they write, but scratch."""

    def __init__(self, kernels):
        rng = np.random.default_rng(0)
        self._kernels, network = kernels, Network((50, 64, 32, 10))
        self._x = rng.integers(0, 256, (200, 50)).astype(np.uint8)
        self._targets = rng.integers(0, 10, 200).astype(np.int32)
        self._order, self._rates = rng.integers(0, 200, 16 * 20), np.full(20, 1e-3)
        self._options, self._layers = make_options(batch_size=16, scale=1 / 255), network.layers()
        self._params = network.init(np.random.default_rng(1))
        self._scratch = np.zeros(kernels.workspace_size(self._layers, 200, 2), np.float32)
        self.outputs = ()

    def __call__(self):
        params = self._params.copy()
        self.outputs = params, make_state(self._options, params), np.zeros(3)
        _, state, metrics = self.outputs
        self._kernels.train_steps(
            self._x, self._targets, NONE, self._order, self._rates, self._layers, self._options,
            0, params, state, NONE, self._scratch, metrics,
        )  # fmt: skip


class _Gradient(_Training):
    def __call__(self):
        self.outputs = (np.full_like(self._params, np.nan),)
        self._kernels.loss_and_gradient(
            self._x, self._targets, NONE, self._params, self._layers, self._options,
            self._scratch, *self.outputs,
        )  # fmt: skip


class _Prediction(_Training):
    def __call__(self):
        predictor = self._kernels.Predictor(self._params, self._layers, 1 / 255, 0.0)
        many, one, forward = (np.full((n, 10), np.nan, np.float32) for n in (200, 1, 200))
        self.outputs = many, one, forward
        predictor(self._x, many)
        predictor(self._x[:1], one)
        self._kernels.forward(
            self._x, self._params, self._layers, 1 / 255, 0.0, self._scratch, forward
        )


class _Products:
    def __init__(self, kernels):
        rng = np.random.default_rng(0)
        self._kernels = kernels
        self._a, self._b = (
            rng.normal(size=shape).astype(np.float32) for shape in ((70, 50), (50, 90))
        )
        self.outputs = ()

    def __call__(self):
        self.outputs = tuple(np.full((70, 90), np.nan, np.float32) for _ in range(8))
        for out in self.outputs:
            self._kernels.matmul(self._a, self._b, out)


class _NewTeam(_Training):
    """The members are started, too."""

    def __call__(self):
        former, teams._team = teams._team, teams._Team()
        for member in former._members.values():
            member.send(sys.exit)
        super().__call__()


class _Fit:
    """An estimator's fit, of one epoch: further ones pass the same places."""

    def __init__(self, kernels):
        rng = np.random.default_rng(0)
        self._x, self._y = rng.normal(size=(60, 8)), rng.integers(0, 3, 60)
        self._backend = kernels.NAME
        self.outputs = ()

    def __call__(self):
        classifier = pytest.importorskip("mnistcore.sklearn").MLPClassifier
        # scikit-learn switches its validation off within a fit; an interrupt may leave it so.
        sys.modules["sklearn"].set_config(skip_parameter_validation=False)
        self.outputs = ()
        model = classifier((16,), backend=self._backend, max_iter=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(self._x, self._y)
        self.outputs = (*model.coefs_, *model.intercepts_)


JOBS = [_Training, _Gradient, _Prediction, _Products, _NewTeam, _Fit]


def _bits(job):
    return [array.tobytes() for array in job.outputs]


def _duration(job):
    """The seconds that it takes at least, and the bits that it writes."""
    least = math.inf
    for _ in range(5):
        began = time.perf_counter()
        job()
        least = min(least, time.perf_counter() - began)
    return least, _bits(job)


@pytest.mark.parametrize("kind", JOBS)
def test_an_interrupt_at_a_random_moment_leaves_no_thread_at_work(compiled, kind, threads):
    job, chance = kind(compiled), random.Random(threads)
    seconds, expected = _duration(job)
    interrupts = 0
    with Alarm() as alarm:
        for _ in range(10 * MOMENTS):
            if interrupts == MOMENTS:
                break
            if alarm.interrupts(job, chance.uniform(1e-6, seconds)):
                interrupts += 1
                seconds *= 1.01
                _check_what_comes_after(job, expected, threads)
            else:  # it was over before: about every other try hits, however fast the machine is
                seconds /= 1.01
    assert interrupts == MOMENTS


def _check_what_comes_after(job, expected, cap):
    """Nobody writes to what an interrupt abandoned, and the next two calls are right."""
    written, abandoned = job.outputs, _bits(job)
    for _ in range(2):
        job()
        assert _bits(job) == expected
    assert [array.tobytes() for array in written] == abandoned
    assert teams._team._desk[teams.AT_WORK] == 0
    assert get_num_threads() == cap
    assert not global_compiler_lock.is_locked()


@pytest.mark.parametrize("kind", JOBS)
def test_an_interrupt_at_every_moment_leaves_no_thread_at_work(compiled, kind, threads):
    job = kind(compiled)
    _, expected = _duration(job)
    moments = 0
    for _ in interrupted_everywhere(job, CODE):
        _check_what_comes_after(job, expected, threads)
        moments += 1
    assert moments > 20


def test_a_signal_handler_may_compute(compiled, threads):
    """Whatever it interrupts, be it another call of the same kernels."""
    job, inner = _NewTeam(compiled), _Training(compiled)
    _, expected = _duration(job)

    def compute():
        inner()
        assert _bits(inner) == expected
        inner.outputs = ()

    moments = 0
    for _ in interrupted_everywhere(job, CODE, compute):
        assert _bits(job) == expected
        moments += 1
    assert moments > 20
