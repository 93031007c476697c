"""The database of a search, which goes on in the folder where another left it."""

import contextlib
import functools
import json
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

import sqlalchemy.engine
from alembic.script import ScriptDirectory

from mnistcore.search import execution, preparation, worker
from mnistcore.search.config import SearchConfig, make_plan
from mnistcore.search.execution import NoWinnerError, execute
from mnistcore.search.objective import Objective

from .run_folders import SIDE, data_of, number_of, strict_json
from .target import Target

SEARCHED = 20  # one of so many searches goes on, after it has been read

# Places in the database: a table, a column, a row, and the value there.
_PLACES = (
    ("study_user_attributes", "value_json"), ("trial_params", "distribution_json"),
    ("trial_params", "param_value"), ("trial_user_attributes", "value_json"),
    ("trial_values", "value"), ("trial_intermediate_values", "step"),
    ("trials", "state"), ("trials", "datetime_complete"), ("study_directions", "direction"),
)  # fmt: skip


@functools.cache
def _studied():
    with tempfile.TemporaryDirectory() as parent:
        _search(Path(parent), whole=True)
        names = ("study.db", "search.json")
        files = {name: Path(parent, name).read_bytes() for name in names}
        with contextlib.closing(sqlite3.connect(Path(parent, "study.db"))) as database:
            edits = [
                [table, column, row, value]
                for table, column in _PLACES
                for row, value in database.execute(f"SELECT rowid, {column} FROM {table} LIMIT 3")
            ]
    return {**files, "edits": json.dumps(edits).encode()}


def _study(parts):
    """Pack the files of a search, with some values in its database replaced."""
    files = {name: content for name, content in parts.items() if name != "edits"}
    with contextlib.suppress(ValueError, TypeError, sqlite3.Error, OverflowError, RecursionError):
        edits = json.loads(parts["edits"])
        with contextlib.closing(sqlite3.connect(":memory:")) as database:
            database.deserialize(files["study.db"])
            for table, column, row, value in edits:
                if (table, column) in _PLACES:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row)
                    )
            database.commit()
            files["study.db"] = database.serialize()
    return files


@functools.cache
def _plan(folder):
    data = str(data_of(SIDE)[1] / "digits.npz")
    train = {"backend": "numpy", "epochs": 1, "hidden": (3,), "data": data}
    train["optimizer"] = "sgd"
    space = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "momentum": [0.1, 0.9]}
    return make_plan(SearchConfig(output=str(folder), trials=5, workers=1), space, train)


@contextlib.contextmanager
def _prepared_once():
    """Keep what is the same whatever a database holds: the data, queries, versions of its tables.

    Without this, nine tenths of the time go into loading modules and compiling queries.
    """
    with (
        mock.patch.object(preparation, "prepare_training", new=_prepare_training),
        mock.patch.object(sqlalchemy.engine, "create_engine", new=_engine),
        mock.patch.object(ScriptDirectory, "from_config", new=_scripts),
    ):
        yield


_prepare_training = functools.cache(preparation.prepare_training)
_create_engine, _read_scripts = sqlalchemy.engine.create_engine, ScriptDirectory.from_config
_engines, _versions = {}, []


def _engine(url, **options):
    """Return the engine of an address, with its compiled queries but without a connection."""
    if url not in _engines:
        _engines[url] = _create_engine(url, **options)
    _engines[url].dispose()
    return _engines[url]


def _scripts(config):
    if not _versions:
        _versions.append(_read_scripts(config))
    return _versions[0]


@contextlib.contextmanager
def _searching_here():
    """Compute the trials of a search in this process, and draw none of its figures."""

    def compute(search, listener, check):
        objective = Objective(search.plan, search.job.dataset, lambda: None)
        deadline = time.time() + 0.3
        worker.work(search.study, search.plan, objective, threading.Event(), deadline)

    with (
        mock.patch.object(execution, "_compute", compute),
        mock.patch.object(execution, "write_figures"),
    ):
        yield


def _search(folder, whole):
    search = preparation.prepare(_plan(folder))
    if not whole:
        search.standing()
        return
    with _searching_here(), contextlib.suppress(NoWinnerError):
        execute(search)
    for path in folder.glob("*.json"):
        strict_json(path.read_bytes())


def _open_study(folder):
    with _prepared_once():
        _search(folder, whole=number_of(folder) % SEARCHED == 0)


TARGETS = {
    "study": Target(
        lambda: [_studied()], _open_study, pack=_study, folder=True, writes=True, seconds=20,
        short=20,
    ),
}  # fmt: skip
