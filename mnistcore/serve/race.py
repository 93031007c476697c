"""A race: the same training step by pure Python, NumPy and the steps of the ladder "step".

Lanes take turns, so that each has the machine to itself; after every round all have computed for
about the same time.
"""

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..data import Dataset
from ..data.preprocess import flatten, input_scaling
from ..kernels.backends import available_backends, get_backend
from ..kernels.blas import limited
from ..ladder.step import BACKENDS, load, steps
from ..models.network import Network
from ..training.loop import Trainer
from ..training.optimizers import make_options
from ..training.records import Progress
from .activity import Activity

HIDDEN = (128, 64)
BATCH_SIZE = 64
RATE = 0.1
TURN = 0.2  # seconds of a lane's turn, or a slice of training, if that takes longer
SECONDS = 3.0  # that each lane computes
RACING = ("naive products", "kernel by kernel", "compiled epoch", "threads")
_TITLES = {"numba": "Numba", "cython": "Cython"}


def lane_names() -> dict[str, bool]:
    """Return the names of all lanes, slowest first, and whether each races unless others do."""
    lanes = _lanes()
    compiled = [language for language, _ in lanes.values() if language in BACKENDS][:1]
    return {
        name: language not in BACKENDS or ([language] == compiled and step in RACING)
        for name, (language, step) in lanes.items()
    }


def _lanes() -> dict[str, tuple[str, str]]:
    """Return the language and the step of each lane; loads no backend."""
    python, *lessons = load("step").lessons
    compiled = [backend for backend in BACKENDS if backend in available_backends()]
    lanes = {"pure Python": ("python", python.name)}
    for lesson in lessons:
        if lesson.name == "kernel by kernel":  # as NumPy works too
            lanes["NumPy"] = "numpy", "step"
        for backend in compiled:
            lanes[f"{lesson.name} ({_TITLES[backend]})"] = backend, lesson.name
    return lanes


class Lane:
    """One of those that race.

    Parameters
    ----------
    name
        One of :func:`lane_names`.
    dataset
        What is trained on.
    """

    def __init__(self, name: str, dataset: Dataset) -> None:
        self.name, (self.language, step) = name, _lanes()[name]
        sizes = (dataset.train_images[0].size, *HIDDEN, len(dataset.class_names))
        network = Network(sizes)
        self._step = next(one for one in steps("step", self.language) if one.name == step)
        backend = get_backend(self.language if self.language in BACKENDS else "numpy")
        kernels: Any = SimpleNamespace(
            workspace_size=backend.workspace_size, train_steps=self._step.function
        )
        scale, shift = input_scaling(dataset.train_images, False, dataset.pixel_max)
        self._trainer = Trainer(
            kernels,
            network,
            network.init(np.random.default_rng(0)),
            flatten(dataset.train_images),
            dataset.train_labels,
            np.arange(len(dataset.train_labels)),
            make_options("sgd", batch_size=BATCH_SIZE, scale=scale, shift=shift, seed=0),
            lambda first, count: np.full(count, RATE),
            self._check,
        )
        self._epoch, self._until, self._loss = 1, 0.0, float("nan")

    def prepare(self) -> None:
        """Train on little, then on nothing, so that what is compiled on first use is compiled."""
        with limited(self.language, 0):
            self._step(*load("step").draw((1, 1, 1), np.random.default_rng(0)))
            self._trainer.prepare()

    def run(self, seconds: float) -> None:
        """Train for so long, to the end of a slice."""
        self._until = self._trainer.seconds + seconds
        with limited(self.language, 0):
            while True:
                try:
                    self._trainer.train_epoch(self._epoch, self._note)
                    self._epoch += 1
                except _TurnOverError:
                    return

    def _check(self) -> None:
        if self._trainer.seconds >= self._until:
            raise _TurnOverError

    def _note(self, progress: Progress) -> None:
        self._loss = progress.loss

    @property
    def seconds(self) -> float:
        """How long it has computed."""
        return self._trainer.seconds

    def describe(self) -> dict[str, Any]:
        """Return what an event says of it."""
        return {
            "name": self.name,
            "samples": self._trainer.samples,
            "seconds": self.seconds,
            "samples_per_second": self._trainer.samples / max(self.seconds, 1e-9),
            "loss": None if np.isnan(self._loss) else self._loss,
            "done": self.seconds >= SECONDS,
        }


class _TurnOverError(Exception):
    """A lane has had its turn."""


class Race(Activity):
    """A race; its feed has the states and events "progress".

    Parameters
    ----------
    identifier
        What requests call it.
    names
        Its lanes.
    load
        Loads the data.
    """

    def __init__(self, identifier: str, names: Sequence[str], load: Callable[[], Dataset]) -> None:
        super().__init__(identifier)
        self.names, self._load = tuple(names), load
        self._stopping = threading.Event()

    def describe(self) -> dict[str, Any]:
        """Return what requests learn of it."""
        return {"id": self.id, "state": self.state, "lanes": list(self.names)}

    def stop(self) -> None:
        """End after the current turn."""
        self._stopping.set()

    def work(self) -> None:
        """Compile all lanes, then let them race."""
        dataset, lanes = self._load(), []
        for name in self.names:
            self._check()
            lanes.append(Lane(name, dataset))
            lanes[-1].prepare()
        self.enter("racing")
        self._race(lanes)
        self.enter("finished")

    def _check(self) -> None:
        if self._stopping.is_set():
            raise KeyboardInterrupt

    def _race(self, lanes: Sequence[Lane]) -> None:
        while racing := [lane for lane in lanes if lane.seconds < SECONDS]:
            for lane in racing:
                self._check()
                lane.run(TURN)
                self.feed.publish("progress", {"lanes": [one.describe() for one in lanes]})
