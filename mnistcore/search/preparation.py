"""Preparation of a search: checking its plan, opening its study and loading its data."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from ..runs.folder import check_output
from ..runs.job import Job
from ..runs.job import prepare as prepare_training
from ..system.files import write_json
from ..training.records import Listener
from .config import Plan
from .results import MARKER_FILE, SearchResult, Standing, standing_of
from .study import agree, open_storage, open_study, quiet_optuna, shown, storage_url


@dataclass(frozen=True, eq=False)
class Search:
    """A search that is ready to start: its plan, its study, and its data as a training job."""

    plan: Plan
    study: optuna.Study
    job: Job

    @property
    def folder(self) -> Path:
        """The folder of the results."""
        return self.plan.config.folder

    def standing(self) -> Standing:
        """Return the current state of the study."""
        return standing_of(self.study, "fold" if self.plan.config.folds else "epoch")

    @property
    def storage_name(self) -> str:
        """The address of the study's storage, without its password."""
        return shown(storage_url(self.plan.config.storage, self.folder))


def prepare(plan: Plan, progress: bool = False) -> Search:
    """Load the data and open the study, so that the search cannot fail on its input.

    Raises as :func:`.execution.run`, except for the last three errors. ``progress`` shows a
    progress bar for downloads.
    """
    quiet_optuna()
    folder = plan.config.folder
    if not (folder / MARKER_FILE).exists():
        check_output(str(folder))
    augmented = {"augment": True} if "augment" in plan.space.dimensions else {}
    job = prepare_training(plan.train_config(augmented), progress=progress)
    url = storage_url(plan.config.storage, folder)
    if plan.config.storage is None:
        folder.mkdir(parents=True, exist_ok=True)
    study = open_study(plan, open_storage(url, plan.config.grace))
    settings = {**plan.settings(), "data": _fingerprint(job)}
    agree(study, settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / MARKER_FILE, settings)
    return Search(plan, study, job)


def _fingerprint(job: Job) -> dict[str, Any]:
    """Identify the data by its content, independently of the machine and the folder."""
    images, labels = job.dataset.train_images, job.dataset.train_labels
    checksum = zlib.crc32(labels.tobytes(), zlib.crc32(images.tobytes()))
    return {"images": list(images.shape), "checksum": checksum}


class SearchListener(Listener):
    """Receives the progress events of a search. The methods do nothing; displays override them."""

    def started(self, search: Search) -> None:
        """Called when the data is loaded and the study is open."""

    def working(self, pids: Sequence[int]) -> None:
        """Called when the workers have been started, with their process ids."""

    def looked(self, standing: Standing) -> None:
        """Called twice a second with the current state of the study."""

    def training_winner(self, result: SearchResult) -> None:
        """Called when the trials are done, before the winner is trained again."""

    def finished(self, result: SearchResult) -> None:
        """Called when all results are written."""
