"""A training run from start to finish, written to a run folder.

:func:`.job.prepare` checks and loads all input, so that :func:`execute` cannot fail on it;
:func:`run` does both. Some of the training images are held out for validation, one backend trains,
and the test set is evaluated once, at the end.
"""

import math
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import Dataset
from ..data.preprocess import flatten
from ..kernels.blas import limited, threads_of
from ..models.inference import Evaluation, evaluate
from ..models.model import Model, TrainedOn
from ..system.interrupt import ENDING, DeferredInterrupt
from ..system.machine import library_versions
from ..training.config import TrainConfig
from ..training.fit import Fit, fit
from ..training.intervals import parse_interval
from ..training.loop import Trainer
from ..training.records import EpochRecord, Listener, NonFiniteLossError, Progress
from .checkpoints import Keeper
from .folder import RunFolder, create_run_folder
from .job import Job, describe, make_trainer, prepare
from .logs import open_logs

COMPLETE = ("finished", "stopped early")  # the endings of a training that was not cut off


@dataclass(frozen=True, eq=False)
class TrainResult:
    """The result of a run: model, a record per epoch, content of ``summary.json``, run folder.

    ``message`` says why training diverged, and is empty otherwise. ``signal`` is the number of
    the signal that interrupted the run, or 0.
    """

    model: Model
    history: list[EpochRecord]
    summary: dict[str, Any]
    folder: RunFolder
    message: str = ""
    signal: int = 0


class TrainingInterrupted(KeyboardInterrupt):
    """A signal ended a run after its best weights and its state were saved; see ``result``."""

    def __init__(self, result: TrainResult) -> None:
        super().__init__(f"interrupted; the best weights so far are in {result.folder.path}")
        self.result = result


def run(
    config: TrainConfig | None = None,
    *,
    dataset: Dataset | None = None,
    listener: Listener | None = None,
) -> TrainResult:
    """Train a network and write its run folder.

    Parameters
    ----------
    config
        The options; by default those of the default recipe.
    dataset
        Data to train on instead of ``config.data``. :class:`.Dataset` describes which dtypes and
        pixel ranges it accepts.
    listener
        Receives progress events. By default the run prints nothing.

    Returns
    -------
    TrainResult
        With the trained ``model``, the ``history`` of epochs, the ``summary`` and the ``folder``.

    Raises
    ------
    ValueError
        If the data or a teacher cannot be found or used, or the output folder is not empty.
    BackendUnavailableError
        If the backend cannot be loaded.
    MissingExtraError
        If ``config.log`` needs a library that is not installed.
    OSError
        If the run folder cannot be written.
    NonFiniteLossError
        If training diverged. The last good weights are in the run folder.
    TrainingInterrupted
        On Ctrl-C, SIGTERM or SIGHUP. The best weights so far are in the run folder.

    Examples
    --------
    >>> import mnistcore
    >>> config = mnistcore.TrainConfig(data="synthetic", epochs=1, seed=1)
    >>> result = mnistcore.train(config)
    >>> result.summary["test_accuracy"] > 0.8
    True
    >>> mnistcore.load(result.folder.path).network.layer_sizes
    (784, 128, 64, 10)
    """
    return completed(execute(prepare(config or TrainConfig(), dataset), listener))


def completed(result: TrainResult) -> TrainResult:
    """Return the result, or raise the last two errors of :func:`run`."""
    outcome = result.summary["outcome"]
    if outcome == "interrupted":
        raise TrainingInterrupted(result)
    if outcome == "diverged":
        raise NonFiniteLossError(result.message)
    return result


def execute(job: Job, listener: Listener | None = None) -> TrainResult:
    """Run a prepared job: train, evaluate on the test set, and write the run folder.

    Ctrl-C, SIGTERM, SIGHUP and a non-finite loss end the training but raise no exception: the best
    weights so far are written, and ``summary["outcome"]`` says how training ended. Only a Ctrl-C
    before training begins raises KeyboardInterrupt; nothing has been written at that point.
    """
    listener = listener or Listener()
    interrupt = DeferredInterrupt(ENDING)
    folder = job.past.folder if job.past else None
    try:
        with limited(job.backend, job.config.threads):
            trainer = prepared_trainer(job, listener, interrupt.check)
            folder = folder or create_run_folder(
                job.config.output, f"{job.config.recipe}-{job.backend}"
            )
            _begin(job, folder)
            return interrupt.during(lambda: _train(job, trainer, folder, listener, interrupt))
    finally:
        if folder is not None:
            folder.release()


def _begin(job: Job, folder: RunFolder) -> None:
    """Write the options; if that fails, nothing is left of a new run."""
    try:
        folder.write_config(job.config.to_dict())
    except OSError:
        if job.past is None and job.config.output is None:
            folder.path.rmdir()
        raise
    if job.past is not None:
        job.past.rewind()


def fit_in_memory(
    job: Job, listener: Listener | None = None, check: Callable[[], None] = lambda: None
) -> Fit:
    """Train and validate a prepared job without writing files or reading the test set.

    Parameters
    ----------
    job
        The prepared job.
    listener
        Receives progress events. Its exceptions end the fit and are passed on, except for
        KeyboardInterrupt and NonFiniteLossError: see :func:`.fit.fit`.
    check
        Called between slices of training; its exceptions are treated like the listener's.
    """
    trainer = make_trainer(job, check)
    validate = _validation(job, trainer, check)
    return fit(trainer, job.config.epochs, validate, job.config.patience, listener)


def load_kernels(job: Job, listener: Listener) -> None:
    """Load the kernels, compiling them on first use, without training."""
    prepared_trainer(job, listener, lambda: None)


def prepared_trainer(job: Job, listener: Listener, check: Callable[[], None]) -> Trainer:
    """Load the kernels, make the trainer of a job, and call what it will use.

    ``check`` is called between slices of training; its exceptions end the fit.
    """
    listener.preparing(job.backend, not job.kernels.compiled())
    job.kernels.compile_programs(listener.compiling)
    trainer = make_trainer(job, check)
    trainer.prepare()
    predictor = job.network.plain.predictor(job.kernels, trainer.inference_params())
    predictor.forward(flatten(job.dataset.train_images[:1]))
    listener.prepared()
    return trainer


def _train(
    job: Job,
    trainer: Trainer,
    folder: RunFolder,
    listener: Listener,
    interrupt: DeferredInterrupt,
) -> TrainResult:
    config, check = job.config, interrupt.check
    outcome = Fit(trainer.inference_params().copy())
    if job.past is not None and job.past.checkpoint is not None:
        job.past.checkpoint.restore(trainer, outcome)
    every = parse_interval(config.checkpoint_every)
    keeper = Keeper(folder, every, trainer, outcome, lambda: describe(job))
    validate = _validation(job, trainer, check)
    history = job.past.history if job.past else None
    with open_logs(config.log, folder.path, len(job.train_indices), history) as logs:
        recorder = _Recorder(folder, [*logs, keeper, listener])
        fit(trainer, config.epochs, validate, config.patience, recorder, outcome)
    test = _final_test(job, outcome, check)
    model = model_of(job, outcome.params)
    folder.write_model(model)  # before the larger checkpoint, for a disk that is nearly full
    if outcome.ending != "diverged":
        keeper.save()
    summary = _summary(job, trainer, outcome, test)
    folder.write_summary(summary)
    if outcome.ending in COMPLETE:
        keeper.finish()
    number = (interrupt.number or signal.SIGINT) if outcome.ending == "interrupted" else 0
    return TrainResult(model, outcome.history, summary, folder, outcome.message, number)


def model_of(job: Job, params: np.ndarray) -> Model:
    """Return the model that a job has come to, given the parameters of its plain network."""
    return Model(
        job.network.plain,
        params,
        job.dataset.train_images.shape[1:],
        job.scale,
        job.shift,
        job.dataset.class_names,
        job.config.to_dict(),
        job.dataset.pixel_max,
        job.dataset.train_images.dtype != np.uint8,
        TrainedOn.of(job.dataset),
    )


def _final_test(job: Job, outcome: Fit, check: Callable[[], None]) -> Evaluation | None:
    """Evaluate on the test set, once.

    Return None if training did not complete, or if the test is interrupted or diverges.
    """
    if outcome.ending not in COMPLETE:
        return None
    try:
        return tested(job, outcome.params, check)
    except NonFiniteLossError as error:
        outcome.ending, outcome.message = "diverged", str(error)
    except KeyboardInterrupt:
        outcome.ending = "interrupted"
    if outcome.best_params is not None:  # as of a fit that ended so
        outcome.params = outcome.best_params
    return None


class _Recorder(Listener):
    """Appends each epoch to ``metrics.jsonl`` before passing it on to the listeners."""

    def __init__(self, folder: RunFolder, listeners: Sequence[Listener]) -> None:
        self._folder = folder
        self._listeners = listeners

    def slice_done(self, progress: Progress) -> None:
        for listener in self._listeners:
            listener.slice_done(progress)

    def epoch_done(self, record: EpochRecord) -> None:
        self._folder.append_metrics(record)
        for listener in self._listeners:
            listener.epoch_done(record)


def _validation(
    job: Job, trainer: Trainer, check: Callable[[], None]
) -> Callable[[], Evaluation] | None:
    """Return a function that evaluates on the validation images, or None if there are none."""
    indices = job.validation_indices
    if not len(indices):
        return None
    x = flatten(job.dataset.train_images)[indices]
    labels = job.dataset.train_labels[indices]

    return lambda: _evaluate(job, trainer.inference_params(), x, labels, check)


def tested(job: Job, params: np.ndarray, check: Callable[[], None] | None) -> Evaluation:
    """Return how a job's plain network does on the test set.

    Raises
    ------
    NonFiniteLossError
        If its loss is not finite.
    """
    x, labels = flatten(job.dataset.test_images), job.dataset.test_labels
    test = _evaluate(job, params, x, labels, check)
    if not math.isfinite(test.loss):
        raise NonFiniteLossError(
            "the loss on the test images is not finite: training diverged;"
            " try a lower learning rate"
        )
    return test


def _evaluate(
    job: Job,
    params: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    check: Callable[[], None] | None,
) -> Evaluation:
    network = job.network.plain
    return evaluate(job.kernels, network, params, x, labels, job.scale, job.shift, check)


def _summary(job: Job, trainer: Trainer, outcome: Fit, test: Evaluation | None) -> dict[str, Any]:
    """Return the content of ``summary.json``; the test results are null if there was no test."""
    return {
        "test_accuracy": test.accuracy if test else None,
        "test_loss": test.loss if test else None,
        "confusion_matrix": test.confusion.tolist() if test else None,
        "train_seconds": trainer.seconds,
        "total_seconds": job.total_seconds,
        "samples_per_second": trainer.samples / max(trainer.seconds, 1e-9),
        "epochs_run": len(outcome.history),
        "best_epoch": outcome.best_epoch or None,
        "outcome": outcome.ending,
        "interrupted": outcome.ending == "interrupted",
        "backend": job.backend,
        "threads": threads_of(job.backend, job.config.threads),
        "data": job.dataset.name,
        "data_folder": job.dataset.folder,
        "data_checksum": job.dataset.checksum,
        "pixel_max": job.dataset.pixel_max,
        "teachers": [
            {"path": os.path.abspath(teacher.path), "checksum": teacher.checksum}
            for teacher in job.teachers
        ],
        "notices": list(job.notices),
        "layer_sizes": list(job.network.layer_sizes),
        "seed": job.config.seed,
        "versions": library_versions(job.backend),
    }
