"""What computes beside the event loop: one training or race at a time, and the last that ended."""

from collections.abc import Sequence
from itertools import count
from typing import TypeVar

from starlette.exceptions import HTTPException

from ..training.config import TrainConfig
from .config import ServeConfig
from .peak import Peak
from .race import Race
from .training import Training
from .training_data import TrainingData

MOST_KEPT = 8

One = TypeVar("One", Training, Race)


class Computing:
    """The trainings and races by their identifiers; used by the event loop alone.

    Attributes
    ----------
    data
        What is trained on.
    peak
        The machine's peak.
    jobs, races
        Those that go on, and those that are kept.
    """

    def __init__(self, config: ServeConfig) -> None:
        self.data = TrainingData(config)
        self.jobs: dict[str, Training] = {}
        self.races: dict[str, Race] = {}
        self.peak = Peak(lambda: self.at_work is None)
        self._numbers = count(1)

    @property
    def at_work(self) -> Training | Race | None:
        """What goes on, or is paused."""
        return next((one for one in self._each() if not one.over), None)

    def _each(self) -> list[Training | Race]:
        return [*self.jobs.values(), *self.races.values()]

    def train(self, config: TrainConfig) -> Training:
        """Start a training; answer 409 if something goes on."""
        self._refuse_another()
        job = Training(f"job-{next(self._numbers)}", config, self.data.load, self.peak)
        return _started(job, self.jobs)

    def race(self, names: Sequence[str]) -> Race:
        """Start a race; answer 409 if something goes on."""
        self._refuse_another()
        return _started(Race(f"race-{next(self._numbers)}", names, self.data.load), self.races)

    def _refuse_another(self) -> None:
        other = self.at_work
        if other is not None:
            what = "a network is being trained" if isinstance(other, Training) else "a race goes on"
            raise HTTPException(409, f"{what} already ({other.id}); stop it first")

    def close(self) -> None:
        """Stop what goes on, and end the streams."""
        for one in self._each():
            one.stop()
            one.feed.close()


def _started(one: One, kept: dict[str, One]) -> One:
    """Start one, and forget the oldest of too many that have ended."""
    while len(kept) >= MOST_KEPT:
        del kept[next(iter(kept))]
    kept[one.id] = one
    one.start()
    return one
