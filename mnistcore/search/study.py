"""The study, which all workers of a search share through a database, on one or more machines.

The database is their only coordination. A trial counts if it is not lost and fewer than the
requested number of such trials have a lower number. The database assigns the numbers, so all
workers agree, and no more trials are finished than were requested.
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

from ..system.errors import reason_of
from .config import Plan
from .samplers import make_pruner, make_sampler
from .space import label

# Attributes of the study and its trials.
SETTINGS = "settings"  # of the study: the settings of the search
TEST = "test"  # of the study: the result of the winner's test
POINT = "point"  # of a trial: the number of its point in the grid
LOSS = "validation_loss"  # of a trial
WORKER = "worker"  # of a trial: the name of its worker
SURPLUS = "surplus"  # of a trial: not needed, given up before training
DATABASE = "study.db"
LOST_STORAGE = 3  # exit status of a worker that cannot reach the study

_TESTED = {"accuracy": int | float, "run_folder": str, "machine": str}  # what is shown of TEST

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_LIVE = (*FINISHED, TrialState.RUNNING, TrialState.WAITING)
_LOCK_SECONDS = 60  # timeout for the lock of a SQLite file
_CONNECT_SECONDS = 10

StorageErrors = (SQLAlchemyError, StorageInternalError)
_GONE = "Record does not exist."  # a KeyError of Optuna, if a study or a trial was deleted
_DamageErrors = (ValueError, TypeError, LookupError)  # of Optuna and SQLAlchemy


class StorageUnreachableError(ValueError):
    """The database of the study cannot be used."""


class StudyMismatchError(ValueError):
    """The study exists, but belongs to another search."""


def quiet_optuna() -> None:
    """Silence the log messages and warnings of Optuna, which are meant for developers."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("sqlalchemy").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def storage_url(storage: str | None, folder: Path) -> URL:
    """Return the address of the database, by default a SQLite file in the output folder.

    PostgreSQL uses psycopg or psycopg2, whichever is installed.

    Raises
    ------
    StorageUnreachableError
        If ``storage`` is not a URL, or PostgreSQL has no driver.
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
    """Report database errors in one line, with the address but without its password."""
    try:
        yield
    except (*StorageErrors, *_DamageErrors, ImportError, RuntimeError, OSError) as error:
        words = _words_of(error)
        raise StorageUnreachableError(f"{shown(url)}: cannot be used: {words}") from error


def _words_of(error: BaseException) -> str:
    """Return what the database says, from beneath the errors of Optuna and SQLAlchemy."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return reason_of(getattr(cause, "orig", None) or cause or error)


def lost(url: URL, error: BaseException) -> StorageUnreachableError | None:
    """Return what to raise if an error, or one beneath it, means that an open study is lost.

    Where a trial cannot be ended, Optuna raises an error of its own, whose context is that of the
    database.
    """
    beneath: BaseException | None = error
    while beneath is not None:
        gone = isinstance(beneath, KeyError) and beneath.args == (_GONE,)
        if gone or isinstance(beneath, (*StorageErrors, StorageUnreachableError)):
            words = "it is not in there any more" if gone else _words_of(beneath)
            return StorageUnreachableError(f"{shown(url)}: the study cannot be reached: {words}")
        beneath = beneath.__cause__ or beneath.__context__
    return None


def shown(url: URL) -> str:
    """Format an address without its password."""
    if url.drivername == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)


def open_storage(url: URL, grace: int) -> RDBStorage:
    """Connect to a database, creating Optuna's tables if needed.

    Running trials send a heartbeat every few seconds. A trial that is silent for ``grace``
    seconds is given up and tried again by the next free worker.

    Raises
    ------
    StorageUnreachableError
        If the database cannot be used.
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
                time.sleep(0.2)  # another worker is creating the same tables
        return _connect(url, connect, grace)


def _connect(url: URL, connect: Mapping[str, Any], grace: int) -> RDBStorage:
    return RDBStorage(
        url.render_as_string(hide_password=False),
        engine_kwargs={"connect_args": connect, "pool_pre_ping": True},
        heartbeat_interval=max(1, grace // 6),
        grace_period=grace,
        heartbeat_stale_trial_callback=requeue,
    )


def open_study(plan: Plan, storage: RDBStorage) -> optuna.Study:
    """Create the study, or load it if the storage has one of this name.

    Raises
    ------
    StorageUnreachableError
        If the database cannot be used.
    """
    with _storage_errors(make_url(storage.url)):
        study = optuna.create_study(
            storage=storage,
            sampler=make_sampler(plan.config.sampler, plan.seed),
            pruner=make_pruner(plan.config.pruner or "none", plan.resource),
            study_name=plan.config.study,
            direction="maximize",
            load_if_exists=True,
        )
        _check_rows(study)
        return study


def _check_rows(study: optuna.Study) -> None:
    """Read all rows of a study, so that a damaged one is found here."""
    attributes = study.user_attrs  # each look at it is a query
    settings, test = (attributes.get(name, {}) for name in (SETTINGS, TEST))
    good = isinstance(settings, dict) and isinstance(test, dict)
    good &= not test or all(isinstance(test.get(name), kind) for name, kind in _TESTED.items())
    for trial in study.get_trials(deepcopy=False):
        good &= isinstance(trial.user_attrs.get(WORKER, ""), str)
        good &= isinstance(trial.user_attrs.get(LOSS, 0.0), int | float)
        good &= isinstance(trial.user_attrs.get(POINT, 0), int)
    if not good:
        raise ValueError("it has attributes that no search has written")


def agree(study: optuna.Study, settings: Mapping[str, Any]) -> None:
    """Check that the study has the same settings; a new study gets those of this search.

    Raises
    ------
    StudyMismatchError
        If the settings differ; the message names the first difference.
    """
    stored = study.user_attrs.get(SETTINGS)
    if stored is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(SETTINGS, dict(settings))
        return
    if stored is None:
        raise StudyMismatchError(
            f"study {study.study_name!r} was not made by mnistcore search; give another --study"
        )
    ours, data = json.loads(json.dumps(settings)), stored.get("data")
    if isinstance(data, dict) and isinstance(data.get("checksum"), int):
        raise StudyMismatchError(
            f"study {study.study_name!r} is of an older version, which did not look at test images;"
            " give another --output, or with --storage another --study"
        )
    for name in {**stored, **ours}:
        if stored.get(name) != ours.get(name):
            difference = _difference(name, stored.get(name), ours.get(name))
            raise StudyMismatchError(
                f"study {study.study_name!r} is another search: {difference}; give another"
                " --output, with --storage another --study, or the options that it began with"
            )


def _difference(name: str, stored: Any, ours: Any) -> str:
    """Describe the first entry that differs."""
    if isinstance(stored, dict) and isinstance(ours, dict) and stored.keys() | ours.keys():
        for key in {**stored, **ours}:
            if stored.get(key) != ours.get(key) and name in ("space", "train", "data"):
                return _difference(key, stored.get(key), ours.get(key))
    return f"its {name} is {_words(stored)}, not {_words(ours)}"


def _words(value: Any) -> str:
    return "not given" if value is None else json.dumps(value)


def host_name() -> str:
    """Return the network name of this machine."""
    return socket.gethostname()


def worker_name(pid: int) -> str:
    """Return the name of the worker on this machine with a process id."""
    return f"{host_name()}:{pid}"


def in_state(trials: Sequence[FrozenTrial], *states: TrialState) -> list[FrozenTrial]:
    """Return the trials that are in one of the given states."""
    return [trial for trial in trials if trial.state in states]


def is_surplus(trials: Sequence[FrozenTrial], number: int, plan: Plan) -> bool:
    """Return whether a trial is not needed, or has the same grid point as an earlier one."""
    earlier = [trial for trial in in_state(trials, *_LIVE) if trial.number < number]
    if len(earlier) >= plan.n_trials:
        return True
    if plan.grid is None:
        return False
    point = trials[number].user_attrs.get(POINT)  # None: another worker took the queued point
    return point is None or any(trial.user_attrs.get(POINT) == point for trial in earlier)


def enqueue_point(study: optuna.Study, plan: Plan, trials: Sequence[FrozenTrial]) -> bool:
    """Queue the first point of the grid without a trial; return False if there is none."""
    taken = {trial.user_attrs.get(POINT) for trial in in_state(trials, *_LIVE)}
    for number, point in enumerate(plan.grid or ()):
        if number not in taken:
            labelled = {name: label(value) for name, value in point.items()}
            study.enqueue_trial(labelled, user_attrs={POINT: number})
            return True
    return False


def give_up(study: optuna.Study, trial: FrozenTrial) -> None:
    """Fail a running trial whose worker is gone, and queue its point again."""
    with suppress(ValueError, UpdateFinishedTrialError):  # another command was faster
        study.tell(trial.number, state=TrialState.FAIL)
        requeue(study, trial)


def requeue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the point of a lost trial again; its other attributes are dropped."""
    again = copy.copy(trial)
    again.user_attrs = {k: v for k, v in trial.user_attrs.items() if k == POINT}
    RetryHeartbeatStaleTrialCallback()(study, again)
