"""The training loop on plain arrays: no files, no data sets, no terminal.

A :class:`Trainer` is a run in memory: parameters, optimizer state and the current step. It
passes slices of an epoch to the kernels' ``train_steps``, short enough for a progress bar to
move and for a quick reaction to Ctrl-C. :func:`fit` repeats epochs, validates after each and
keeps the best weights.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

import numpy as np

from ..kernels.layout import HIT_SUM, LOSS_SUM, METRICS, WEIGHT_SUM
from ..models.inference import Evaluation
from ..models.network import Network
from ..system.pages import in_large_pages
from .augmentation import Augmenter
from .optimizers import make_state
from .records import EpochRecord, Listener, NonFiniteLossError, Progress

SLICE_SECONDS = 0.25  # target length of a slice, after which progress and Ctrl-C are handled
PACKING = 60e-9  # added for each parameter, so that packing them takes at most a tenth of a slice
GROWTH = 4  # how many times as long as the last one a slice may be; the first is a single step

# How a fit ended.
Ending = Literal["finished", "stopped early", "interrupted", "diverged"]

# (first step, number of steps) -> the learning rate of each, float64.
RateSchedule = Callable[[int, int], np.ndarray]


class Trainer:
    """The training of one network on some of the rows of x.

    Parameters
    ----------
    kernels
        The module of a backend.
    network
        The network to train.
    params
        (P,) float32, the initial parameters, which change in place.
    x
        (N, I) uint8 or float32, C-contiguous, neither copied nor written.
    targets
        (N,) int32 class ids, or (N, C) float32 soft targets, of x as it is, deformed or not.
    indices
        (n,) int64, the rows of x to train on.
    options
        From :func:`.make_options`; its ``seed`` also keys the order of the epochs.
    rates
        The learning-rate schedule.
    check
        Called before each slice; an exception that it raises ends the epoch there.
    strengths
        From :func:`.make_augmentation`, to deform x anew in each epoch; None trains on x itself.

    Attributes
    ----------
    step
        The number of updates made.
    samples
        The number of samples trained on.
    seconds
        The time spent in training, excluding validation, display and files.
    """

    def __init__(
        self,
        kernels: ModuleType,
        network: Network,
        params: np.ndarray,
        x: np.ndarray,
        targets: np.ndarray,
        indices: np.ndarray,
        options: np.ndarray,
        rates: RateSchedule,
        check: Callable[[], None] = lambda: None,
        strengths: np.ndarray | None = None,
    ) -> None:
        self.params = params
        self.step = 0
        self.samples = 0
        self.seconds = 0.0
        self._kernels = kernels
        self._x, self._targets, self._indices = in_large_pages(x), targets, indices
        self._no_weights = np.empty(0, params.dtype)
        self._network, self._layers = network, network.layers()
        # A batch size above the number of samples would only need a larger workspace.
        self._batch_size = min(int(options["batch_size"][0]), len(indices))
        self._options = options.copy()
        self._options["batch_size"] = self._batch_size
        self._rates = rates
        self._check = check
        self._augment = None if strengths is None else Augmenter(kernels, self._x, strengths)
        self._state = make_state(options, params)
        self._buffers = network.init_buffers(params.dtype.type)
        size = kernels.workspace_size(self._layers, self._batch_size, len(self._state))
        self._workspace = np.empty(size, np.float32)
        self._slice_steps = 1

    def inference_params(self) -> np.ndarray:
        """Return the parameters, or their average, with batch normalisation folded into them."""
        params = self._state[-1] if self._options["ema_decay"][0] else self.params
        return self._network.folded(params, self._buffers, self._options["norm_eps"][0])

    def prepare(self) -> None:
        """Load or compile the kernels, by training on no samples."""
        self._train_steps(np.empty(0, np.int64), np.empty(0), np.zeros(METRICS))

    def train_epoch(
        self, epoch: int, on_slice: Callable[[Progress], None]
    ) -> tuple[Progress, float, float]:
        """Train for one pass over the samples; ``epoch`` counts from 1.

        Returns
        -------
        progress, learning_rate, seconds
            The progress of the whole epoch, the rate of its last step, and its training time.

        Raises
        ------
        NonFiniteLossError
            If a loss is not finite. The parameters are those before that step's update.
        """
        began = time.perf_counter()
        seed = int(self._options["seed"][0])
        order = np.random.default_rng([seed, epoch]).permutation(len(self._indices))
        order = self._indices[order]
        steps = math.ceil(len(order) / self._batch_size)
        rates = self._rates(self.step, steps)
        self._options["epoch"] = epoch
        metrics = np.zeros(METRICS)
        seconds = time.perf_counter() - began
        self.seconds += seconds
        done = 0
        while done < steps:
            self._check()
            last = min(done + self._slice_steps, steps)
            samples = order[done * self._batch_size : last * self._batch_size]
            seconds += self._train_slice(samples, rates[done:last], metrics)
            done = last
            progress = self._progress(epoch, done, len(order), metrics, seconds)
            on_slice(progress)
        return progress, float(rates[-1]), seconds

    def _train_slice(self, samples: np.ndarray, rates: np.ndarray, metrics: np.ndarray) -> float:
        """Train on a slice and return the seconds that it took."""
        began = time.perf_counter()
        done = self._train_steps(samples, rates, metrics)
        seconds = time.perf_counter() - began
        self.step += done
        self.samples += min(done * self._batch_size, len(samples))
        self.seconds += seconds
        if done < len(rates):
            raise NonFiniteLossError(
                f"the loss is no longer finite at step {self.step + 1}: training diverged;"
                " try a lower learning rate"
            )
        wanted = SLICE_SECONDS + PACKING * self.params.size
        fitting = int(done * wanted / max(seconds, 1e-9))
        self._slice_steps = max(1, min(fitting, GROWTH * self._slice_steps))
        return seconds

    def _train_steps(self, samples: np.ndarray, rates: np.ndarray, metrics: np.ndarray) -> int:
        x = self._augment(self._options, samples) if self._augment else self._x
        done: int = self._kernels.train_steps(
            x, self._targets, self._no_weights, samples, rates, self._layers,
            self._options, self.step, self.params, self._state, self._buffers, self._workspace,
            metrics,
        )  # fmt: skip
        return done

    def _progress(
        self, epoch: int, steps: int, samples: int, metrics: np.ndarray, seconds: float
    ) -> Progress:
        done = min(steps * self._batch_size, samples)
        loss, hits = metrics[[LOSS_SUM, HIT_SUM]] / metrics[WEIGHT_SUM]
        return Progress(epoch, done, samples, float(loss), float(hits), done / max(seconds, 1e-9))


@dataclass(eq=False)
class Fit:
    """The result of a fit.

    Attributes
    ----------
    params
        (P,) float32, the weights that are kept, of ``network.plain``: see :func:`fit`.
    ending
        How the fit ended.
    history
        A record of each completed epoch.
    best_epoch
        The epoch with the best validation, or 0 without validation.
    message
        What went wrong, if the run diverged.
    """

    params: np.ndarray
    ending: Ending = "finished"
    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    message: str = ""


def fit(
    trainer: Trainer,
    epochs: int,
    validate: Callable[[], Evaluation] | None = None,
    patience: int | None = None,
    listener: Listener | None = None,
) -> Fit:
    """Train for some epochs, validating after each.

    The weights kept are normally the last ones, or with ``patience`` those of the epoch with the
    best validation. If the run is interrupted or its loss is not finite, they are those with the
    best validation so far or, without validation, the latest ones, which fall back to the initial
    ones if not finite. The best validation has the highest accuracy; lower loss breaks ties.

    Ctrl-C (KeyboardInterrupt) and a loss that is not finite end the fit without an exception;
    ``ending`` of the result says so.

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
    """
    listener = listener or Listener()
    outcome = Fit(trainer.inference_params().copy())
    best = _Best()
    try:
        for epoch in range(1, epochs + 1):
            record = _one_epoch(trainer, epoch, validate, listener)
            outcome.history.append(record)
            best.see(record, trainer)
            outcome.best_epoch = best.epoch
            listener.epoch_done(record)
            if patience is not None and epoch - best.epoch >= patience:
                outcome.ending = "stopped early"
                break
    except KeyboardInterrupt:
        outcome.ending = "interrupted"
    except NonFiniteLossError as error:
        outcome.ending, outcome.message = "diverged", str(error)
    if best.params is not None and (patience is not None or outcome.ending != "finished"):
        outcome.params = best.params
    elif np.isfinite(latest := trainer.inference_params()).all():
        outcome.params = latest
    return outcome


class _Best:
    """The weights with the best validation so far, and their epoch, which is 0 before the first."""

    def __init__(self) -> None:
        self.epoch = 0
        self.params: np.ndarray | None = None
        self._score = (-math.inf, -math.inf)

    def see(self, record: EpochRecord, trainer: Trainer) -> None:
        if record.validation_accuracy is None or record.validation_loss is None:
            return
        score = record.validation_accuracy, -record.validation_loss
        if score > self._score:
            self.epoch, self._score = record.epoch, score
            self.params = trainer.inference_params().copy()


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
