"""A training that pages watch: on a thread of its own, in memory, with its events in a feed."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..data import Dataset
from ..kernels.blas import limited, threads_of
from ..models.metrics import percent
from ..models.model import Model
from ..pictures.readings import check_characters
from ..runs.execution import model_of, prepared_trainer, tested
from ..runs.job import Job, prepare
from ..training.config import TrainConfig
from ..training.fit import fit
from ..training.loop import Trainer
from ..training.records import Listener, Progress
from .activity import Activity
from .monitor import Monitor
from .peak import Peak

MOST_POINTS = 1000  # of the curve; beyond, every other one is dropped


class Training(Activity):
    """One training: pages start, pause, resume and stop it, and watch its feed.

    Its states are "compiling", "training", "paused" and those of an end; its feed has events
    "progress" and "evaluation", too.

    Parameters
    ----------
    identifier
        What requests call it.
    config
        Its options.
    load
        Loads the data to train on.
    peak
        The machine's peak, for comparison.

    Attributes
    ----------
    model
        The network at the last look, if it reads characters; see :class:`.models.Source`.
    """

    kind = "job"

    def __init__(
        self, identifier: str, config: TrainConfig, load: Callable[[], Dataset], peak: Peak
    ) -> None:
        super().__init__(identifier)
        self.config, self._load, self.peak = config, load, peak
        self.model: Model | None = None
        self.test_accuracy: float | None = None
        self._told: dict[str, Any] = {}
        self._curve: list[dict[str, Any]] = []
        self._looks: list[dict[str, Any]] = []
        self._wanted = threading.Condition()
        self._pausing = self._stopping = False

    @property
    def name(self) -> str:
        """The layers and the optimizer."""
        layers = "-".join(map(str, self.config.hidden)) or "no hidden layer"
        return f"{layers}, {self.config.optimizer}"

    def describe(self) -> dict[str, Any]:
        """Return what ``GET /api/jobs`` says of it."""
        config = self.config
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "message": self.message,
            "drawable": self.model is not None,
            "layers": list(config.hidden),
            "optimizer": config.optimizer,
            "learning_rate": config.learning_rate,
            "batch_size": config.batch_size,
            "backend": config.backend,
            "threads": config.threads,
            "epochs": config.epochs,
            "samples_per_epoch": None,
            "test_accuracy": self.test_accuracy,
            "seconds": 0.0,
            "elapsed": None,
            "epoch": 0,
            "samples": 0,
            **self._told,
        }

    def snapshot(self) -> dict[str, Any]:
        """Return what a page needs that begins to watch."""
        return {
            "job": self.describe(),
            "curve": self._curve.copy(),
            "evaluations": self._looks.copy(),
        }

    def enter(self, state: str, message: str = "", **told: Any) -> None:
        """Take on a state, and tell the feed; also whether one can draw with the network."""
        super().enter(state, message, drawable=self.model is not None, **told)

    def pause(self) -> None:
        """Stand still at the end of the current slice, about a quarter of a second."""
        self._want(pausing=True)

    def resume(self) -> None:
        """Go on."""
        self._want(pausing=False)

    def stop(self) -> None:
        """End at the end of the current slice; the network stays as it is then."""
        self._want(stopping=True)

    def _want(self, pausing: bool = False, stopping: bool = False) -> None:
        with self._wanted:
            self._pausing, self._stopping = pausing, self._stopping or stopping
            self._wanted.notify_all()

    def work(self) -> None:
        """Train and test."""
        job = prepare(self.config, self._load(), writes=False)
        self._told["backend"] = job.backend
        self._told["threads"] = threads_of(job.backend, self.config.threads)
        with limited(job.backend, self.config.threads):
            trainer = prepared_trainer(job, Listener(), self._check)
            watcher = _Watcher(self, job, trainer)
            self._check()
            self.enter("training")
            began = time.perf_counter()
            outcome = fit(trainer, self.config.epochs, listener=watcher)
            self._told["elapsed"] = time.perf_counter() - began
            watcher.look()
            if outcome.ending == "diverged":
                self.enter("failed", outcome.message)
            elif outcome.ending == "interrupted":
                self.enter("stopped")
            else:
                self._finish(job, outcome.params)

    def _finish(self, job: Job, params: np.ndarray) -> None:
        test = tested(job, params, None)
        self.test_accuracy = test.accuracy
        right = f"{percent(test.accuracy, 2)} of the test images are read rightly"
        self.enter("finished", right, test_accuracy=test.accuracy)

    def _check(self) -> None:
        """Between two slices: wait while paused, and leave if stopped."""
        with self._wanted:
            if self._pausing and not self._stopping and self.state == "training":
                self.enter("paused")
                while self._pausing and not self._stopping:
                    self._wanted.wait()
                self.enter("training")
            if self._stopping:
                raise KeyboardInterrupt

    def tell(self, point: dict[str, Any], progress: dict[str, Any]) -> None:
        """Add to the curve, and publish the progress."""
        if len(self._curve) >= MOST_POINTS:
            self._curve = self._curve[::2]
        self._curve.append(point)
        self._told.update(progress)
        self.feed.publish("progress", progress)

    def show(self, look: dict[str, Any], model: Model | None) -> None:
        """Publish an evaluation, and use the network as it is now."""
        if len(self._looks) >= MOST_POINTS:
            self._looks = self._looks[::2]
        self._looks.append({name: look[name] for name in ("samples", "loss", "accuracy")})
        self.model = model
        self.feed.publish("evaluation", look)


class _Watcher(Listener):
    """Tells a training what its trainer has done."""

    def __init__(self, training: Training, job: Job, trainer: Trainer) -> None:
        self._training, self._trainer = training, trainer
        self._monitor = Monitor(job)
        self._flops = job.network.flops_per_sample
        self._threads = threads_of(job.backend, job.config.threads)
        self._per_epoch = len(job.train_indices)
        self._before = Progress(0, 0, 0, 0.0, 0.0, 0.0)
        self._model = model_of(job, trainer.inference_params())
        try:
            check_characters(self._model)
            self._readable = True
        except ValueError:
            self._readable = False  # data of another kind: it trains, and cannot be drawn

    def slice_done(self, progress: Progress) -> None:
        before, self._before = self._before, progress
        if before.epoch != progress.epoch:
            before = Progress(0, 0, 0, 0.0, 0.0, 0.0)
        speed = progress.samples_per_second
        point = {
            "samples": (progress.epoch - 1) * self._per_epoch + progress.samples_done,
            "epoch": progress.epoch,
            "loss": _of_slice(progress, before, "loss"),
            "train_accuracy": _of_slice(progress, before, "accuracy"),
        }
        told = {
            "epochs": self._training.config.epochs,
            "samples_per_epoch": self._per_epoch,
            "samples_per_second": speed,
            "gflops": speed * self._flops / 1e9,
            "peak_gflops": self._training.peak.of(self._threads),
            "seconds": self._trainer.seconds,
        }
        self._training.tell(point, point | told)
        if self._monitor.due():
            self.look()

    def look(self) -> None:
        """Evaluate the network as it is now."""
        params = self._trainer.inference_params().copy()
        if not np.isfinite(params).all():
            return
        look = self._monitor.look(params, self._trainer.samples)
        model = replace(self._model, params=params) if self._readable else None
        self._training.show(look, model)


def _of_slice(now: Progress, before: Progress, name: str) -> float:
    """Return the mean of a figure over a slice, given those over the epoch up to its ends."""
    totals = [getattr(progress, name) * progress.samples_done for progress in (now, before)]
    return float(totals[0] - totals[1]) / (now.samples_done - before.samples_done)
