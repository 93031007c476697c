"""What the tests of the search share: a space of tiny networks, and a study of it."""

import threading
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="needs Optuna, in the extra [search]")

from mnistcore.search.config import SearchConfig, make_plan  # noqa: E402
from mnistcore.search.objective import Objective  # noqa: E402
from mnistcore.search.study import open_storage, open_study, quiet_optuna, storage_url  # noqa: E402
from mnistcore.search.worker import work  # noqa: E402

ROOT = Path(__file__).parents[2]
SPACE = {"units": {"low": 2, "high": 12}, "layers": [1, 2], "learning_rate": [0.003, 0.01, 0.03]}
TRAIN = {"backend": "numpy", "epochs": 2, "batch_size": 32, "schedule": "constant"}
FLAGS = [
    *("--units", "2:12", "--layers", "1", "2", "--learning-rate", "0.003", "0.01", "0.03"),
    *("--backend", "numpy", "--epochs", "2", "--batch-size", "32", "--schedule", "constant"),
]


def small_plan(folder, space=SPACE, train=TRAIN, **options):
    return make_plan(SearchConfig(output=str(folder), **options), space, train)


def open_small(plan):
    """The study of a plan, in a SQLite file."""
    quiet_optuna()
    plan.config.folder.mkdir(exist_ok=True)
    return open_study(plan, open_storage(storage_url(None, plan.config.folder), plan.config.grace))


def compute(plan, dataset, study=None, deadline=None):
    """Have this process compute the trials; the study."""
    study = study or open_small(plan)
    work(study, plan, Objective(plan, dataset, lambda: None), threading.Event(), deadline)
    return study
