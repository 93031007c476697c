"""Preparation of a search: checking its plan, opening its study and loading its data."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from ..runs.folder import check_output
from ..runs.job import Job
from ..runs.job import prepare as prepare_training
from ..system.files import read_bounded, write_json
from ..system.text import parsed
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
    _check_folder(folder, plan.config.study)
    config = plan.base
    if "augment" in plan.space.dimensions:
        config = replace(config, augment=True)  # the data must be images that can be deformed
    job = prepare_training(config, progress=progress)
    url = storage_url(plan.config.storage, folder)
    if plan.config.storage is None:
        folder.mkdir(parents=True, exist_ok=True)
    study = open_study(plan, open_storage(url, plan.config.grace))
    settings = {**plan.settings(), **_fingerprint(job)}
    agree(study, settings)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / MARKER_FILE, {"study": plan.config.study, **settings})
    return Search(plan, study, job)


def _check_folder(folder: Path, study: str) -> None:
    """Check that a folder can take the results of a study: it is empty, or has that study's."""
    marker = folder / MARKER_FILE
    if not marker.exists():
        check_output(str(folder))
        return
    found = None
    with suppress(ValueError):  # a damaged one says nothing, and is written anew
        found = parsed(read_bounded(marker))
    other = found.get("study", study) if isinstance(found, dict) else study
    if other != study:
        raise ValueError(f"{folder}: has the results of study {other!r}; give another output")


def _fingerprint(job: Job) -> dict[str, Any]:
    """Identify data and teachers by their content, independently of the machine and the folder."""
    data = {"images": list(job.dataset.train_images.shape), "checksum": job.dataset.checksum}
    return {"data": data, "teachers": [teacher.checksum for teacher in job.teachers]}


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
