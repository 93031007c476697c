"""The training loop on plain arrays: no files, no data sets, no terminal.

A :class:`Trainer` is a run in memory: parameters, optimizer state and the current step. It
passes slices of an epoch to the kernels' ``train_steps``, short enough for a progress bar to
move and for a quick reaction to Ctrl-C. :func:`.fit.fit` repeats epochs.
"""

import math
import time
from collections.abc import Callable, Mapping
from types import ModuleType

import numpy as np

from ..data.preprocess import scale_images
from ..kernels.layout import AVERAGE_EVERY, HIT_SUM, LOSS_SUM, METRICS, WEIGHT_SUM
from ..models.inference import PART
from ..models.network import Network
from ..system.pages import in_large_pages
from .adversarial import VirtualAdversary
from .augmentation import Augmenter, StrengthSchedule
from .optimizers import make_state
from .records import NonFiniteLossError, Progress

SLICE_SECONDS = 0.25  # target length of a slice, after which progress and Ctrl-C are handled
PACKING = 60e-9  # added for each parameter, so that packing them takes at most a tenth of a slice
_SAMPLED = 2000  # training images at most of which averaged weights get their statistics
GROWTH = 4  # how many times as long as the last one a slice may be; the first is a single step

# The numbers that belong to the state of a Trainer, by their names as its attributes.
COUNTS = ("epoch", "epoch_steps", "epoch_seconds", "step", "samples", "seconds")

# (first step, number of steps) -> the learning rate of each, float64.
RateSchedule = Callable[[int, int], np.ndarray]
Retarget = Callable[[np.ndarray, np.ndarray], None]  # x, rows of x: writes their targets


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
        (N,) int32 class ids, or (N, C) float32 soft targets.
    indices
        (n,) int64, the rows of x to train on.
    options
        From :func:`.make_options`; its ``seed`` also keys the order of the epochs.
    rates
        The learning-rate schedule.
    check
        Called before each slice; an exception that it raises ends the epoch there.
    strengths
        How strongly x is deformed anew in each epoch; None trains on x itself.
    radius
        That of a :class:`.VirtualAdversary`; 0 trains without one.
    retarget
        Called with x and some of its rows, to write these rows of ``targets``: with x as it is
        before the first epoch, with deformed images before each batch. None leaves the targets
        as they are.

    Attributes
    ----------
    epoch
        The epoch that is being trained on, or was last; from 1, and 0 before the first.
    epoch_steps, epoch_seconds
        The number of updates made in that epoch, and the time spent on it.
    step
        The number of updates made in all.
    samples
        The number of samples trained on.
    seconds
        The time spent in training, excluding validation, display and files.
    between_slices
        False while a slice changes the state, and for good if an exception ended that.
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
        strengths: StrengthSchedule | None = None,
        radius: float = 0.0,
        retarget: Retarget | None = None,
    ) -> None:
        self.params = params
        self.epoch = self.epoch_steps = self.step = self.samples = 0
        self.epoch_seconds = self.seconds = 0.0
        self.between_slices = True
        self._x, self._targets, self._indices = in_large_pages(x), targets, indices
        self._no_weights = np.empty(0, params.dtype)
        self._kernels, self._network, self._layers = kernels, network, network.layers()
        # A batch size above the number of samples would only need a larger workspace.
        self._batch_size = min(int(options["batch_size"][0]), len(indices))
        self._options = options.copy()
        self._options["batch_size"] = self._batch_size
        self._rates, self._check, self._retarget = rates, check, retarget
        self._augment = None if strengths is None else Augmenter(kernels, self._x, strengths)
        self._state = make_state(options, params)
        self._buffers = network.init_buffers(params.dtype.type)
        self._metrics = np.zeros(METRICS)  # of the samples so far in this epoch
        sizes = self._batch_size, len(self._state)
        self._workspace = np.empty(kernels.workspace_size(self._layers, *sizes), np.float32)
        self._steps = VirtualAdversary(kernels, radius, network, *sizes) if radius else kernels
        self._slice_steps = 1

    def inference_params(self) -> np.ndarray:
        """Return the parameters, or their average, with batch normalisation folded into them.

        The average is normalised by its own statistics, of some training images as they are.
        """
        params, buffers, eps = self.params, self._buffers, float(self._options["norm_eps"][0])
        if self._options["ema_decay"][0] and self.step >= AVERAGE_EVERY:  # it has moved
            params = self._state[-1]
            if self._network.batch_norm:  # the running statistics are those of other weights
                scaling = self._options["scale"][0], self._options["shift"][0]
                rng = np.random.default_rng(int(self._options["seed"][0]))  # each time the same
                rows = rng.permutation(self._indices)[:_SAMPLED]  # in whatever order classes come
                x = scale_images(self._x[rows], *scaling)
                buffers = self._network.statistics(self._kernels, params, x, eps)
        return self._network.folded(params, buffers, eps)

    def prepare(self) -> None:
        """Load or compile the kernels, by training on no samples."""
        self._train_steps(np.empty(0, np.int64), np.empty(0), np.zeros(METRICS))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the state, not copied.

        With :meth:`counts` they are all that the rest of the training depends on, apart from what
        the trainer was made of: the order of an epoch follows from seed and epoch, and so does
        every other random draw from its own place.
        """
        names = ("params", "state", "buffers", "metrics")
        values = (self.params, self._state, self._buffers, self._metrics)
        return dict(zip(names, values, strict=True))

    def counts(self) -> dict[str, int | float]:
        """Return the numbers of the state: how far the training has come."""
        return {name: getattr(self, name) for name in COUNTS}

    def restore(self, arrays: Mapping[str, np.ndarray], counts: Mapping[str, int | float]) -> None:
        """Continue where :meth:`arrays` and :meth:`counts` of an equal trainer were taken."""
        for name, array in self.arrays().items():
            array[...] = arrays[name]
        for name in COUNTS:
            setattr(self, name, counts[name])

    def train_epoch(
        self, epoch: int, on_slice: Callable[[Progress], None]
    ) -> tuple[Progress, float, float]:
        """Train for one pass over the samples, or for what is left of it.

        ``epoch`` counts from 1. It goes on where the last call or :meth:`restore` left it.

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
        if epoch != self.epoch:
            self.epoch, self.epoch_steps, self.epoch_seconds = epoch, 0, 0.0
            self._metrics[:] = 0.0
        seed = int(self._options["seed"][0])
        order = np.random.default_rng([seed, epoch]).permutation(len(self._indices))
        order = self._indices[order]
        self._write_targets()
        steps = math.ceil(len(order) / self._batch_size)
        rates = self._rates(self.step - self.epoch_steps, steps)
        self._options["epoch"] = epoch
        self._count_seconds(time.perf_counter() - began)
        while self.epoch_steps < steps:
            self._check()
            done, last = self.epoch_steps, min(self.epoch_steps + self._slice_steps, steps)
            samples = order[done * self._batch_size : last * self._batch_size]
            self._train_slice(samples, rates[done:last])
            on_slice(self._progress(len(order)))
        return self._progress(len(order)), float(rates[-1]), self.epoch_seconds

    def _write_targets(self) -> None:
        """Write the targets of images that are not deformed, if somebody else knows them."""
        if self._retarget and not self._augment:
            for first in range(0, len(self._indices), PART):
                self._check()
                self._retarget(self._x, self._indices[first : first + PART])
            self._retarget = None

    def _train_slice(self, samples: np.ndarray, rates: np.ndarray) -> None:
        began = time.perf_counter()
        self.between_slices = False
        done = self._train_steps(samples, rates, self._metrics)
        seconds = time.perf_counter() - began
        self.step += done
        self.epoch_steps += done
        self.samples += min(done * self._batch_size, len(samples))
        self._count_seconds(seconds)
        self.between_slices = True
        if done < len(rates):
            raise NonFiniteLossError(
                f"the loss is no longer finite at step {self.step + 1}: training diverged;"
                " try a lower learning rate"
            )
        wanted = SLICE_SECONDS + PACKING * self.params.size
        fitting = int(done * wanted / max(seconds, 1e-9))
        self._slice_steps = max(1, min(fitting, GROWTH * self._slice_steps))

    def _count_seconds(self, seconds: float) -> None:
        self.epoch_seconds += seconds
        self.seconds += seconds

    def _train_steps(self, samples: np.ndarray, rates: np.ndarray, metrics: np.ndarray) -> int:
        x = self._x
        if self._augment:
            x = self._augment(self._options, samples)
            if self._retarget:
                # Batch by batch: BLAS rounds a row by how many are with it, and the length of a
                # slice must not show.
                for first in range(0, len(samples), self._batch_size):
                    self._retarget(x, samples[first : first + self._batch_size])
        done: int = self._steps.train_steps(
            x, self._targets, self._no_weights, samples, rates, self._layers,
            self._options, self.step, self.params, self._state, self._buffers, self._workspace,
            metrics,
        )  # fmt: skip
        return done

    def _progress(self, samples: int) -> Progress:
        """Return the progress of this epoch, which has so many samples."""
        done = min(self.epoch_steps * self._batch_size, samples)
        loss, hits = self._metrics[[LOSS_SUM, HIT_SUM]] / self._metrics[WEIGHT_SUM]
        speed = done / max(self.epoch_seconds, 1e-9)
        return Progress(self.epoch, done, samples, float(loss), float(hits), speed)
