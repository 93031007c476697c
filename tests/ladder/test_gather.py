"""The ladder of the gather: what leads to it, and that it measures batches not read before."""

from unittest.mock import Mock

import numpy as np
import pytest

from mnistcore import get_backend
from mnistcore.kernels.backends import BackendUnavailableError
from mnistcore.ladder import load, measure

pytestmark = pytest.mark.slow

LADDER = load("gather")


def drawn(shape=(5, 70, 9)):
    return LADDER.draw(shape, np.random.default_rng(0))


def test_the_last_step_in_numba_calls_the_gather_of_the_training_program(monkeypatch):
    from mnistcore.kernels._numba.selection import FUNCTIONS
    from mnistcore.ladder.gather import numba_steps

    assert numba_steps.STEPS[-1].function is numba_steps.production
    pointer = Mock(side_effect=numba_steps.pointer)
    monkeypatch.setattr(numba_steps, "pointer", pointer)
    numba_steps.production(*drawn())
    pointer.assert_called_once_with(FUNCTIONS["gather"])


def test_the_last_step_in_cython_is_in_the_module_of_the_training_program(monkeypatch):
    try:
        kernels = get_backend("cython")
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    from mnistcore.ladder.gather import cython_steps

    engine = Mock(wraps=kernels._core)
    monkeypatch.setattr(cython_steps, "_engine", engine)
    cython_steps.STEPS[-1](*drawn())
    engine.gather_rows.assert_called_once()


@pytest.mark.parametrize("language", ["numba", "cython"])
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
    try:
        steps = LADDER.steps(language)
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    with pytest.raises(ValueError, match=message):
        steps[0](*arguments)


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
