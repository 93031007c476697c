"""Learning-rate schedules: a factor of the learning rate as a function of the run's progress.

Each takes the progress t of a run, 0 at its first step and 1 past its last, and returns the
factors in [0, 1] that the learning rate is multiplied by. So ``--learning-rate`` is the largest
rate of the run, whatever the schedule. Momentum is not scheduled.
"""

from collections.abc import Callable

import numpy as np

# The shape of one-cycle, as in PyTorch's OneCycleLR and fastai.
WARM_UP = 0.3  # the share of the run in which the rate rises
FIRST_FACTOR = 1 / 25
LAST_FACTOR = FIRST_FACTOR / 1e4


def constant(t: np.ndarray) -> np.ndarray:
    """1 throughout."""
    return np.ones_like(t)


def step(t: np.ndarray) -> np.ndarray:
    """1, then 0.1 from half of the run, 0.01 from three quarters (He et al. 2016, section 4.2)."""
    return np.where(t < 0.5, 1.0, np.where(t < 0.75, 0.1, 0.01))


def cosine(t: np.ndarray) -> np.ndarray:
    """(1 + cos(pi t)) / 2, from 1 to 0 (Loshchilov and Hutter 2017, equation 5, no restarts)."""
    return (1.0 + np.cos(np.pi * t)) / 2.0


def one_cycle(t: np.ndarray) -> np.ndarray:
    """Up from 1/25 to 1 in the first 30 % of the run, then down to nearly 0, both by half cosines.

    Source: Smith 2018, "A disciplined approach to neural network hyper-parameters", section 4.1;
    half cosines in place of its straight lines, as fastai and PyTorch have it.
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
    """The rates (steps,) float64 of the steps from ``first_step`` on, of a run of ``total_steps``.

    Raises
    ------
    ValueError
        If no schedule has that name.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; choose from {', '.join(SCHEDULES)}")
    t = np.arange(first_step, first_step + steps) / max(total_steps, 1)
    return learning_rate * SCHEDULES[schedule](t)
