"""A trial: train what a point stands for, and say how well it does on the validation images."""

import dataclasses
import os
from collections.abc import Callable, Iterator

import numpy as np
from optuna import TrialPruned
from optuna.trial import Trial

from ..data import Dataset
from ..runs.job import Job, fit_in_memory, prepare
from ..training.records import EpochRecord, Listener
from .config import Plan
from .study import LOSS, SURPLUS, WORKER, host_name, is_surplus


class SurplusError(Exception):
    """The trial was one too many."""


def worker_name() -> str:
    """Who computes a trial: the machine and the process."""
    return f"{host_name()}:{os.getpid()}"


class Objective:
    """What a study maximises: the accuracy on the images held out, or its mean over the folds.

    Parameters
    ----------
    plan
        What is searched.
    dataset
        Whose training images are used; the test images are not read.
    check
        Called every quarter of a second; what it raises ends the trial.
    """

    def __init__(self, plan: Plan, dataset: Dataset, check: Callable[[], None]) -> None:
        self._plan, self._dataset, self._check = plan, dataset, check
        self.number = -1  # of the trial that it computes, or computed last

    def __call__(self, trial: Trial) -> float:
        """Train, validate, report; raises TrialPruned where the pruner says so."""
        self.number = trial.number
        if is_surplus(trial.study.get_trials(deepcopy=False), trial.number, self._plan):
            trial.set_user_attr(SURPLUS, True)
            raise SurplusError
        trial.set_user_attr(WORKER, worker_name())
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
    """Tell the study; after the last step there is nothing left to be saved by pruning."""
    trial.report(accuracy, step)
    if step < last_step and trial.should_prune():
        raise TrialPruned


def _folds(job: Job, folds: int) -> Iterator[Job]:
    """The job on each fold's training and validation images."""
    for train, validation in job.dataset.folds(folds, job.config.seed):
        yield dataclasses.replace(job, train_indices=train, validation_indices=validation)


def _fitted(job: Job, listener: Listener, check: Callable[[], None]) -> EpochRecord:
    """Train; the record of the epoch whose weights ``train`` would keep.

    A run that diverges is no worse off than one that is pruned.
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
