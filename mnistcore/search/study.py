"""The study: what all workers of a search share, on however many machines, through a database.

Nothing but the database keeps them in step. A trial that is not lost counts if fewer than the
wanted number of such trials have a smaller number: numbers are given by the database, so every
worker comes to the same answer, and no more trials are finished than were asked for.
"""

import copy
import json
import logging
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError, SQLAlchemyError

from .config import Plan
from .samplers import make_pruner, make_sampler
from .space import label

SETTINGS = "settings"  # the study's attribute that says what is searched
POINT = "point"  # a trial's: the number of its point in the grid
LOSS = "validation_loss"  # a trial's
WORKER = "worker"  # a trial's: who computes it
SURPLUS = "surplus"  # a trial's: one too many, given up before it began
DATABASE = "study.db"

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_LIVE = (*FINISHED, TrialState.RUNNING, TrialState.WAITING)
_LOCK_SECONDS = 60  # that a worker waits for others to let go of a SQLite file
_CONNECT_SECONDS = 10

StorageErrors = (SQLAlchemyError, StorageInternalError)


class StorageUnreachableError(ValueError):
    """The database of the study cannot be used."""


class StudyMismatchError(ValueError):
    """The study is there, and it is another search."""


def quiet_optuna() -> None:
    """What Optuna says to developers does not belong on a user's screen."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("sqlalchemy").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def storage_url(storage: str | None, folder: Path) -> URL:
    """The address of the database: that which the user names, or a file in the output folder.

    PostgreSQL is reached through whichever driver is installed.

    Raises
    ------
    StorageUnreachableError
        If it is no address.
    """
    if storage is None:
        return URL.create("sqlite", database=str((folder / DATABASE).absolute()))
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError) as error:
        raise StorageUnreachableError(
            f"storage must be a URL such as postgresql://USER@HOST/NAME, got {storage!r}"
        ) from error
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername=f"postgresql+{_postgresql_driver()}")
    return url


def _postgresql_driver() -> str:
    from importlib.util import find_spec

    for driver in ("psycopg", "psycopg2"):
        if find_spec(driver):
            return driver
    raise StorageUnreachableError(
        'PostgreSQL needs a driver that is not installed; pip install "psycopg[binary]"'
    )


@contextmanager
def _storage_errors(url: URL) -> Iterator[None]:
    """Whatever a database says, in a line that names it and hides its password."""
    try:
        yield
    except (*StorageErrors, ImportError, RuntimeError, OSError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        original = getattr(cause, "orig", None) or cause or error
        words = " ".join(str(original).split()) or type(original).__name__
        raise StorageUnreachableError(f"{shown(url)}: cannot be used: {words}") from error


def shown(url: URL) -> str:
    """An address as a user may see it: without its password."""
    if url.drivername == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)


def open_storage(url: URL, grace: int) -> RDBStorage:
    """Connect to a database, making Optuna's tables where there are none.

    A running trial must be heard of every few seconds; one that is silent for ``grace`` of them
    is given up and tried again, by whichever worker comes first.

    Raises
    ------
    StorageUnreachableError
        If that fails.
    """
    connect: dict[str, Any] = {}
    if url.drivername.startswith("sqlite"):
        connect["timeout"] = _LOCK_SECONDS
    elif url.drivername.startswith(("postgresql", "mysql")):
        connect["connect_timeout"] = _CONNECT_SECONDS
    with _storage_errors(url):
        for _ in range(5):
            try:
                return _connect(url, connect, grace)
            except (IntegrityError, ProgrammingError, sqlalchemy.exc.OperationalError) as error:
                if "exist" not in str(error) and not isinstance(error, IntegrityError):
                    raise
                time.sleep(0.2)  # another worker is making the same tables
        return _connect(url, connect, grace)


def _connect(url: URL, connect: Mapping[str, Any], grace: int) -> RDBStorage:
    return RDBStorage(
        url.render_as_string(hide_password=False),
        engine_kwargs={"connect_args": connect, "pool_pre_ping": True},
        heartbeat_interval=max(1, grace // 6),
        grace_period=grace,
        heartbeat_stale_trial_callback=put_in_line,
    )


def open_study(plan: Plan, storage: RDBStorage) -> optuna.Study:
    """Create the study, or load the one of this name that the storage has."""
    with _storage_errors(make_url(storage.url)):
        return optuna.create_study(
            storage=storage,
            sampler=make_sampler(plan.config.sampler, plan.seed),
            pruner=make_pruner(plan.config.pruner or "none", plan.resource),
            study_name=plan.config.study,
            direction="maximize",
            load_if_exists=True,
        )


def agree(study: optuna.Study, settings: Mapping[str, Any]) -> None:
    """See that the study is this search; the first command to come says what it is.

    Raises
    ------
    StudyMismatchError
        If it is another; the message names the first difference.
    """
    stored = study.user_attrs.get(SETTINGS)
    if stored is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(SETTINGS, dict(settings))
        return
    if stored is None:
        raise StudyMismatchError(
            f"study {study.study_name!r} was not made by mnistcore search; give another --study"
        )
    ours = json.loads(json.dumps(settings))
    for name in {**stored, **ours}:
        if stored.get(name) != ours.get(name):
            difference = _difference(name, stored.get(name), ours.get(name))
            raise StudyMismatchError(
                f"study {study.study_name!r} is another search: {difference}; give another --study"
                " or --output, or the options that it began with"
            )


def _difference(name: str, stored: Any, ours: Any) -> str:
    """Which entry differs, and how: of tables the first that does."""
    if isinstance(stored, dict) and isinstance(ours, dict) and stored.keys() | ours.keys():
        for key in {**stored, **ours}:
            if stored.get(key) != ours.get(key) and name in ("space", "train", "data"):
                return _difference(key, stored.get(key), ours.get(key))
    return f"its {name} is {_words(stored)}, not {_words(ours)}"


def _words(value: Any) -> str:
    return "not given" if value is None else json.dumps(value)


def host_name() -> str:
    """This machine, as others call it."""
    return socket.gethostname()


def in_state(trials: Sequence[FrozenTrial], *states: TrialState) -> list[FrozenTrial]:
    """The trials that are in one of these states."""
    return [trial for trial in trials if trial.state in states]


def is_surplus(trials: Sequence[FrozenTrial], number: int, plan: Plan) -> bool:
    """Whether a trial is one too many, or of a grid and its point not its own."""
    earlier = [trial for trial in in_state(trials, *_LIVE) if trial.number < number]
    if len(earlier) >= plan.n_trials:
        return True
    if plan.grid is None:
        return False
    point = trials[number].user_attrs.get(POINT)  # None: another worker took what was in line
    return point is None or any(trial.user_attrs.get(POINT) == point for trial in earlier)


def enqueue_point(study: optuna.Study, plan: Plan, trials: Sequence[FrozenTrial]) -> bool:
    """Put the first point of the grid in line that no trial has; False where all have one."""
    taken = {trial.user_attrs.get(POINT) for trial in in_state(trials, *_LIVE)}
    for number, point in enumerate(plan.grid or ()):
        if number not in taken:
            labelled = {name: label(value) for name, value in point.items()}
            study.enqueue_trial(labelled, user_attrs={POINT: number})
            return True
    return False


def give_up(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a running trial whose worker is gone, and put its point in line again."""
    with suppress(ValueError, UpdateFinishedTrialError):  # another command was quicker
        study.tell(trial.number, state=TrialState.FAIL)
        put_in_line(study, trial)


def put_in_line(study: optuna.Study, trial: FrozenTrial) -> None:
    """Have the point of a lost trial tried again; nothing else of it is kept."""
    again = copy.copy(trial)
    again.user_attrs = {k: v for k, v in trial.user_attrs.items() if k == POINT}
    RetryHeartbeatStaleTrialCallback()(study, again)
