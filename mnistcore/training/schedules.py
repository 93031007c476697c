"""Learning-rate schedules, as factors that depend on the progress of the run.

Each maps an array of progress t, 0 at the first step and 1 after the last, to float64 factors in
[0, 1] of the same shape, by which the learning rate is multiplied. ``--learning-rate`` is thus an
upper bound of the rate for any schedule. Momentum is not scheduled.
"""

from collections.abc import Callable

import numpy as np

# The shape of one-cycle, as in PyTorch's OneCycleLR and fastai.
WARM_UP = 0.3  # the share of the run during which the rate rises
FIRST_FACTOR = 1 / 25
LAST_FACTOR = FIRST_FACTOR / 1e4


def constant(t: np.ndarray) -> np.ndarray:
    """Return 1 throughout."""
    return np.ones_like(t)


def step(t: np.ndarray) -> np.ndarray:
    """Return 1, then 0.1 from 50 % and 0.01 from 75 % of the run (He et al. 2016, section 4.2)."""
    return np.where(t < 0.5, 1.0, np.where(t < 0.75, 0.1, 0.01))


def cosine(t: np.ndarray) -> np.ndarray:
    """Return (1 + cos(pi t)) / 2 (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    return (1.0 + np.cos(np.pi * t)) / 2.0


def one_cycle(t: np.ndarray) -> np.ndarray:
    """Rise from 1/25 to 1 in the first 30 % of the run, then fall to nearly 0, along half cosines.

    Smith 2018, "A disciplined approach to neural network hyper-parameters", section 4.1, with
    half cosines instead of straight lines, as in fastai and PyTorch.
    """
    rising = FIRST_FACTOR + (1.0 - FIRST_FACTOR) * cosine(1.0 - t / WARM_UP)
    falling = LAST_FACTOR + (1.0 - LAST_FACTOR) * cosine((t - WARM_UP) / (1.0 - WARM_UP))
    return np.where(t < WARM_UP, rising, falling)


Schedule = Callable[[np.ndarray], np.ndarray]

SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "one-cycle": one_cycle,
}


def learning_rates(
    schedule: str, learning_rate: float, first_step: int, steps: int, total_steps: int
) -> np.ndarray:
    """Return the rates (steps,) float64 from ``first_step`` on, in a run of ``total_steps``.

    Raises
    ------
    ValueError
        If the schedule is unknown.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; choose from {', '.join(SCHEDULES)}")
    t = np.arange(first_step, first_step + steps) / max(total_steps, 1)
    return learning_rate * SCHEDULES[schedule](t)
