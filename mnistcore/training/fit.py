"""A fit: epochs one after the other, each validated, and the best weights kept."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..models.inference import Evaluation
from .loop import Trainer
from .records import EpochRecord, Listener, NonFiniteLossError

# How a fit ended.
Ending = Literal["finished", "stopped early", "interrupted", "diverged"]


_UNKNOWN = -math.inf, -math.inf  # worse than any validation


@dataclass(eq=False)
class Fit:
    """The result of a fit, or what it has come to so far.

    Attributes
    ----------
    params
        (P,) float32, the weights that are kept, of ``network.plain``: see :func:`fit`. The initial
        ones before the end.
    ending
        How the fit ended.
    history
        A record of each completed epoch.
    best_params
        (P,) float32, the weights with the best validation so far; None without validation.
    message
        What went wrong, if the run diverged.
    """

    params: np.ndarray
    ending: Ending = "finished"
    history: list[EpochRecord] = field(default_factory=list)
    best_params: np.ndarray | None = None
    message: str = ""

    @property
    def best_epoch(self) -> int:
        """The epoch with the best validation, the first of equals; 0 without validation."""
        best = max(self.history, key=_standing, default=None)
        return best.epoch if best and best.validation_accuracy is not None else 0

    def add(self, record: EpochRecord, params: np.ndarray) -> None:
        """Add an epoch, and keep the weights after it if its validation is the best so far.

        The weights come first: should Ctrl-C fall between the two, the epoch is validated again.
        """
        if _standing(record) > max(map(_standing, self.history), default=_UNKNOWN):
            self.best_params = params.copy()
        self.history.append(record)

    def out_of_patience(self, patience: int | None) -> bool:
        """Return whether so many epochs have passed since the best one."""
        return patience is not None and len(self.history) - self.best_epoch >= patience

    def over(self, epochs: int, patience: int | None) -> bool:
        """Return whether no epoch is left to train."""
        return len(self.history) >= epochs or self.out_of_patience(patience)


def fit(
    trainer: Trainer,
    epochs: int,
    validate: Callable[[], Evaluation] | None = None,
    patience: int | None = None,
    listener: Listener | None = None,
    so_far: Fit | None = None,
) -> Fit:
    """Train for some epochs, validating after each.

    The weights kept are normally the last ones, or with ``patience`` those of the epoch with the
    best validation. If the run is interrupted or its loss is not finite, they are those with the
    best validation so far or, without validation, the latest ones, which fall back to the initial
    ones if not finite. The best validation has the highest accuracy; lower loss breaks ties.

    Ctrl-C (KeyboardInterrupt) and a loss or weights that are not finite end the fit without an
    exception; ``ending`` of the result says so. Only a Ctrl-C in the middle of a slice, whose
    weights are those of no step, is passed on: while signals are deferred, that is a second one.

    Parameters
    ----------
    trainer
        The training to run.
    epochs
        The maximum number of epochs.
    validate
        Evaluates the ``inference_params()`` of ``trainer`` on the validation samples.
    patience
        Stop after this many epochs without a better validation.
    listener
        Called after every slice and epoch.
    so_far
        What the fit had come to where the trainer stands; it is brought up to date in every
        epoch, and returned. By default the fit begins.
    """
    listener = listener or Listener()
    outcome = so_far or Fit(trainer.inference_params().copy())
    try:
        while not outcome.over(epochs, patience):
            record = _one_epoch(trainer, len(outcome.history) + 1, validate, listener)
            outcome.add(record, trainer.inference_params())
            listener.epoch_done(record)
        if outcome.out_of_patience(patience):
            outcome.ending = "stopped early"
    except KeyboardInterrupt:
        if not trainer.between_slices:
            raise
        outcome.ending = "interrupted"
    except NonFiniteLossError as error:
        outcome.ending, outcome.message = "diverged", str(error)
    _keep_weights(outcome, trainer.inference_params(), patience)
    return outcome


def _keep_weights(outcome: Fit, latest: np.ndarray, patience: int | None) -> None:
    """Choose the weights that a fit keeps; it diverged if the latest are needed and not finite."""
    finite = np.isfinite(latest).all()
    if not finite and outcome.ending == "finished" and patience is None:
        outcome.ending = "diverged"
        outcome.message = (
            "the weights are not finite after the last step: training diverged;"
            " try a lower learning rate"
        )
    if outcome.best_params is not None and (patience is not None or outcome.ending != "finished"):
        outcome.params = outcome.best_params
    elif finite:
        outcome.params = latest


def _standing(record: EpochRecord) -> tuple[float, float]:
    """Return what is larger for a better validation: the accuracy, and less loss for equal ones."""
    if record.validation_accuracy is None or record.validation_loss is None:
        return _UNKNOWN
    return record.validation_accuracy, -record.validation_loss


def _one_epoch(
    trainer: Trainer,
    epoch: int,
    validate: Callable[[], Evaluation] | None,
    listener: Listener,
) -> EpochRecord:
    train, learning_rate, seconds = trainer.train_epoch(epoch, listener.slice_done)
    validation = validate() if validate else None
    if validation is not None and not math.isfinite(validation.loss):
        raise NonFiniteLossError(
            f"the validation loss is not finite after epoch {epoch}: training diverged;"
            " try a lower learning rate"
        )
    loss = validation.loss if validation else None
    accuracy = validation.accuracy if validation else None
    return EpochRecord(epoch, train.loss, train.accuracy, loss, accuracy, learning_rate, seconds)
