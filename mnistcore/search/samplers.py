"""Optuna's samplers, which choose points, and pruners, which stop trials early.

TPE: Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011. Random search:
Bergstra and Bengio, JMLR 13, 2012. Successive halving, asynchronous: Li et al., "A system for
massively parallel hyperparameter tuning", MLSys 2020. Hyperband: Li et al., JMLR 18, 2018.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

_REDUCTION = 3  # one trial in three continues, for three times the epochs
_STARTUP_TRIALS = 5  # finished trials before the median is used


class NumberedSampler(BaseSampler):
    """A sampler whose random draws depend only on the seed and the number of the trial.

    Workers that share a study therefore never draw the same numbers, and a random search gives
    the same points for any number of workers.

    Parameters
    ----------
    make
        Creates the sampler for one trial from a seed.
    seed
        The seed of the search.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        self._sampler, self._number = make(0), -1

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            seeds = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)
            self._sampler, self._number = self._make(int(seeds[0])), trial.number
        return self._sampler

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._of(trial).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._of(trial).after_trial(study, trial, state, values)


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return the sampler of a search; it is not used for a grid, whose points are queued."""
    if name == "tpe":
        # constant_liar counts running trials as bad, so that workers try different regions.
        return NumberedSampler(lambda s: TPESampler(seed=s, constant_liar=True), seed)
    return NumberedSampler(lambda s: RandomSampler(seed=s), seed)


def make_pruner(name: str, resource: int) -> BasePruner:
    """Return the pruner of a search whose trials report at most ``resource`` times."""
    if name == "median":
        return MedianPruner(_STARTUP_TRIALS, n_warmup_steps=max(1, resource // 3))
    if name == "successive-halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=_REDUCTION)
    if name == "hyperband":
        return HyperbandPruner(1, max(1, resource), _REDUCTION)
    return NopPruner()
