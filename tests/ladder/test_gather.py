"""The ladder of the gather: what leads to it, and that it measures batches not read before."""

import sys
from unittest.mock import Mock

import numba
import numpy as np
import pytest

from mnistcore import get_backend
from mnistcore.kernels._numba.selection import FUNCTIONS
from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import BACKENDS, load, measure
from mnistcore.ladder.verify import first_mistake

pytestmark = pytest.mark.slow

LADDER = load("gather")


def drawn(shape=(5, 70, 9)):
    return LADDER.draw(shape, np.random.default_rng(0))


def steps(language):
    """The steps in a language; the test is skipped where there is none, or nothing is compiled."""
    if numba.config.DISABLE_JIT:
        pytest.skip("vector instructions exist in compiled code only")
    try:
        return LADDER.steps(language)
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def test_the_last_step_in_numba_calls_the_gather_of_the_training_program(monkeypatch):
    last = steps("numba")[-1].function
    module = sys.modules[last.__module__]
    pointer = Mock(side_effect=module.pointer)
    monkeypatch.setattr(module, "pointer", pointer)
    last(*drawn())
    pointer.assert_called_once_with(FUNCTIONS["gather"])


def test_the_last_step_in_cython_is_in_the_module_of_the_training_program(monkeypatch):
    last = steps("cython")[-1].function
    engine = Mock(wraps=get_backend("cython")._core)
    monkeypatch.setattr(sys.modules[last.__module__], "_engine", engine)
    last(*drawn())
    engine.gather_rows.assert_called_once()


@pytest.mark.parametrize("language", BACKENDS)
def test_the_threads_of_the_last_step_write_their_own_rows(language, monkeypatch):
    last = steps(language)[-1].function
    monkeypatch.setattr(sys.modules[last.__module__], "team_size", lambda *size: 2)
    assert first_mistake(LADDER, last, LADDER.edges) is None


@pytest.mark.parametrize("language", BACKENDS)
@pytest.mark.parametrize(
    ("which", "change", "message"),
    [
        (1, lambda order: order - 1, "order must be rows of x in"),
        (1, lambda order: order + 9, "order must be rows of x in"),
        (3, lambda out: out[:, :-1].copy(), "out must have shape"),
        (4, lambda marks: marks[:, :8].copy(), "marks must have shape"),
        (0, lambda x: x[0], "x must have 2 dimension"),
    ],
)
def test_a_step_reads_and_writes_nothing_outside(language, which, change, message):
    arguments = list(drawn())
    arguments[1][:] = [0, 8, 3, 8, 1]
    arguments[which] = change(arguments[which])
    with pytest.raises(ValueError, match=message):
        steps(language)[0](*arguments)


def test_another_batch_is_measured_in_each_call():
    seen = []
    step = Mock(side_effect=lambda x, order, *others: seen.append(order.copy()))
    step.lesson.threaded = False
    trial = measure._Trial(LADDER, "yours", step, (3, 10, 50))
    trial.draw(3)
    for _ in range(4):
        trial._call()
    assert len({tuple(order) for order in seen}) == 4
    assert all(order.min() >= 0 and order.max() < 50 for order in seen)
