"""One trial: train with the options of a point, and score it on the validation images."""

import dataclasses
import os
from collections.abc import Callable, Iterator

import numpy as np
from optuna import TrialPruned
from optuna.trial import Trial

from ..data import Dataset
from ..runs.execution import fit_in_memory
from ..runs.job import Job, prepare
from ..training.records import EpochRecord, Listener
from .config import Plan
from .study import LOSS, SURPLUS, WORKER, is_surplus, worker_name


class SurplusError(Exception):
    """The trial is surplus: the study needs no more."""


class Objective:
    """The objective of a study: the validation accuracy, or its mean over the folds.

    Parameters
    ----------
    plan
        The search.
    dataset
        The data; only its training images are used, never the test images.
    check
        Called about every 0.25 s; an exception that it raises ends the trial.
    """

    def __init__(self, plan: Plan, dataset: Dataset, check: Callable[[], None]) -> None:
        self._plan, self._dataset, self._check = plan, dataset, check
        self.number = -1  # of the current or last trial

    def __call__(self, trial: Trial) -> float:
        """Train, validate and return the accuracy in [0, 1].

        Raises
        ------
        TrialPruned
            If the pruner stops the trial, or training diverges.
        SurplusError
            If the study needs no more trials.
        """
        self.number = trial.number
        if is_surplus(trial.study.get_trials(deepcopy=False), trial.number, self._plan):
            trial.set_user_attr(SURPLUS, True)
            raise SurplusError
        trial.set_user_attr(WORKER, worker_name(os.getpid()))
        config = self._plan.train_config(self._plan.space.suggest(trial))
        job = prepare(config, self._dataset)
        if self._plan.config.folds is None:
            last = _fitted(job, _EpochReporter(trial, config.epochs), self._check)
            return self._settled(trial, [last])
        records = []
        for number, fold in enumerate(_folds(job, self._plan.config.folds), 1):
            records.append(_fitted(fold, Listener(), self._check))
            mean = _mean([r.validation_accuracy for r in records])
            _report(trial, mean, number, self._plan.config.folds)
        return self._settled(trial, records)

    def _settled(self, trial: Trial, records: list[EpochRecord]) -> float:
        trial.set_user_attr(LOSS, _mean([r.validation_loss for r in records]))
        return _mean([r.validation_accuracy for r in records])


class _EpochReporter(Listener):
    """Reports every epoch's validation accuracy to the study."""

    def __init__(self, trial: Trial, epochs: int) -> None:
        self._trial, self._epochs = trial, epochs

    def epoch_done(self, record: EpochRecord) -> None:
        assert record.validation_accuracy is not None
        _report(self._trial, record.validation_accuracy, record.epoch, self._epochs)


def _report(trial: Trial, accuracy: float, step: int, last_step: int) -> None:
    """Report to the study, and prune if it says so; never after the last step, to no benefit."""
    trial.report(accuracy, step)
    if step < last_step and trial.should_prune():
        raise TrialPruned


def _folds(job: Job, folds: int) -> Iterator[Job]:
    """Yield the job for each fold's training and validation images."""
    for train, validation in job.dataset.folds(folds, job.config.seed):
        yield dataclasses.replace(job, train_indices=train, validation_indices=validation)


def _fitted(job: Job, listener: Listener, check: Callable[[], None]) -> EpochRecord:
    """Train, and return the record of the epoch whose weights ``train`` would keep.

    A trial that diverges counts as pruned.
    """
    outcome = fit_in_memory(job, listener, check)
    if outcome.ending == "interrupted":
        raise KeyboardInterrupt
    if outcome.ending == "diverged":
        raise TrialPruned(outcome.message)
    kept = outcome.best_epoch if job.config.patience is not None else len(outcome.history)
    return outcome.history[kept - 1]


def _mean(values: list[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))
