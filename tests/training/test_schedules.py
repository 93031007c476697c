import math

import numpy as np
import pytest

from mnistcore.training.schedules import SCHEDULES, learning_rates


def rates(schedule, total=1000):
    return learning_rates(schedule, 0.5, 0, total, total)


def test_constant():
    np.testing.assert_array_equal(rates("constant"), np.full(1000, 0.5))


def test_step_divides_by_ten_at_half_and_at_three_quarters():
    steps = rates("step")
    np.testing.assert_allclose(
        steps[[0, 499, 500, 749, 750, 999]], [0.5, 0.5] + [0.05] * 2 + [0.005] * 2
    )


def test_cosine_is_half_way_in_the_middle_and_ends_near_zero():
    steps = rates("cosine")
    assert steps[0] == 0.5
    assert steps[500] == pytest.approx(0.25)
    assert 0 < steps[-1] < 1e-5
    assert (np.diff(steps) < 0).all()


def test_one_cycle_starts_low_peaks_at_three_tenths_and_ends_near_zero():
    steps = rates("one-cycle")
    assert steps[0] == pytest.approx(0.5 / 25)
    assert steps[150] == pytest.approx(0.5 * (1 + 1 / 25) / 2)
    assert steps.argmax() == 300
    assert steps[300] == pytest.approx(0.5)
    # One step of 700 before the end, on a parabola that ends at the first factor over 10,000.
    last = 0.5 / 25 / 1e4
    assert steps[-1] == pytest.approx(last + (0.5 - last) * (np.pi / 700) ** 2 / 4, rel=1e-3)
    assert (np.diff(steps[:300]) > 0).all()
    assert (np.diff(steps[300:]) < 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_slices_of_a_run_join_up(schedule):
    whole = learning_rates(schedule, 0.1, 0, 17, 17)
    parts = [learning_rates(schedule, 0.1, first, 5, 17) for first in (0, 5, 10)]
    np.testing.assert_array_equal(whole[:15], np.concatenate(parts))
    assert whole.dtype == np.float64
    assert whole.max() <= 0.1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_of_one_step_has_a_rate(schedule):
    (rate,) = learning_rates(schedule, 0.1, 0, 1, 1)
    assert math.isfinite(rate)
    assert rate > 0


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match="unknown schedule 'linear'; choose from constant"):
        learning_rates("linear", 0.1, 0, 1, 1)
