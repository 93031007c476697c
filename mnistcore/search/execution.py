"""A search from start to finish: workers run the trials, then the winner is trained and tested."""

import dataclasses
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..runs.execution import TrainingInterrupted, load_kernels
from ..runs.execution import run as train
from ..system.files import write_json
from ..system.interrupt import ENDING, DeferredInterrupt, Signalled
from ..training.config import TrainConfig
from .config import Plan, SearchConfig, make_plan
from .figures import write_figures
from .pool import Pool
from .preparation import Search, SearchListener, prepare
from .results import (
    SUMMARY_FILE,
    SearchResult,
    TrialRecord,
    importances_of,
    write_best,
    write_trials,
)
from .study import (
    TEST,
    WORKER,
    StorageErrors,
    give_up,
    host_name,
    in_state,
    lost,
    storage_url,
)

_LOOK_SECONDS = 0.5  # interval for polling the study and the workers


class NoWinnerError(RuntimeError):
    """No trial was trained to its end, so the search has no winner."""


class SearchInterrupted(KeyboardInterrupt):
    """A signal ended a search, which can be resumed.

    ``folder`` is its output folder, ``number`` that of the signal, which is Ctrl-C's by default.
    """

    def __init__(self, folder: Path, number: int = signal.SIGINT) -> None:
        super().__init__(f"interrupted; the same command resumes the study in {folder}")
        self.folder, self.number = folder, number


def run(
    config: SearchConfig | None = None,
    space: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    *,
    listener: SearchListener | None = None,
) -> SearchResult:
    """Start or resume a search, train and test the winner, and write the results to a folder.

    Parameters
    ----------
    config
        The options; by default 20 trials of TPE.
    space
        The search space: for each name a list of values or ``{"low", "high", "log", "step"}``.
        If no name has several values or a range, the default space, less what is fixed.
    train
        Options of :class:`.TrainConfig` that are the same in all trials, such as
        ``{"epochs": 5, "data": "synthetic"}``.
    listener
        Receives progress events. By default nothing is printed.

    Returns
    -------
    SearchResult
        The trials, and the winner's run.

    Raises
    ------
    TypeError, ValueError
        If an option is not valid, the storage cannot be reached, or it holds another search
        under this name.
    BackendUnavailableError, OSError, NonFiniteLossError
        As in training.
    WorkersFailedError
        If workers fail or die repeatedly.
    NoWinnerError
        If time ran out before a trial was trained to its end.
    SearchInterrupted
        On Ctrl-C. The study can be resumed.

    Examples
    --------
    >>> import mnistcore
    >>> config = mnistcore.SearchConfig(sampler="grid", workers=1, output="runs/grid")
    >>> space = {"learning_rate": [0.01, 0.001]}
    >>> result = mnistcore.search(config, space, {"data": "synthetic", "epochs": 1})
    >>> result.complete, result.best.learning_rate in space["learning_rate"]
    (True, True)
    """
    return execute(prepare(make_plan(config or SearchConfig(), space, train)), listener)


def execute(search: Search, listener: SearchListener | None = None) -> SearchResult:
    """Run a prepared search until the study is complete, then train and test the winner.

    Raises the last three errors of :func:`run`, and StorageUnreachableError if the connection
    to the storage is lost.
    """
    began = time.perf_counter()
    listener = listener or SearchListener()
    load_kernels(search.job, listener)  # before the workers, or each would compile them
    try:
        interrupt = DeferredInterrupt(ENDING)
        interrupt.during(lambda: _compute(search, listener, interrupt.check))
        return _finish(search, listener, began)
    except TrainingInterrupted as error:
        raise SearchInterrupted(search.folder, error.result.signal) from error
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Signalled) else signal.SIGINT
        raise SearchInterrupted(search.folder, number) from error
    except (*StorageErrors, KeyError) as error:
        config = search.plan.config
        if (told := lost(storage_url(config.storage, config.folder), error)) is None:
            raise
        raise told from error


def _finish(search: Search, listener: SearchListener, began: float) -> SearchResult:
    """Write the results; train and test the winner if the study has no test result yet."""
    result = _result(search, began)
    _write(search, result)
    if not result.test:
        listener.training_winner(result)
        test = _test_winner(search, result)
        result = dataclasses.replace(result, test=test, seconds=time.perf_counter() - began)
        write_json(search.folder / SUMMARY_FILE, result.summary())
    return result


def _compute(search: Search, listener: SearchListener, check: Callable[[], None]) -> None:
    """Run the workers and watch them until the study is complete."""
    unclaimed = _UnclaimedTrials(search)
    standing = search.standing()
    listener.looked(standing)
    if len(standing.finished) >= search.plan.n_trials:
        return
    with Pool(search.plan, search.study) as pool:
        listener.working(pool.pids)
        while pool.watch(len(standing.finished)):
            check()
            time.sleep(_LOOK_SECONDS)
            optuna.storages.fail_stale_trials(search.study)
            unclaimed.look()
            standing = search.standing()
            listener.looked(standing)
    listener.looked(search.standing())


class _UnclaimedTrials:
    """Detects trials whose worker died before it recorded its name or sent a heartbeat."""

    def __init__(self, search: Search) -> None:
        self._study, self._grace = search.study, search.plan.config.grace
        self._seen: dict[int, float] = {}

    def look(self) -> None:
        """Give up trials that have had no worker name for longer than the grace period."""
        now = time.monotonic()
        unclaimed = [trial for trial in self._running() if WORKER not in trial.user_attrs]
        self._seen = {trial.number: self._seen.get(trial.number, now) for trial in unclaimed}
        for trial in unclaimed:
            if now - self._seen[trial.number] > self._grace:
                give_up(self._study, trial)

    def _running(self) -> list[FrozenTrial]:
        return in_state(self._study.get_trials(deepcopy=False), TrialState.RUNNING)


def _result(search: Search, began: float) -> SearchResult:
    standing = search.standing()
    winner = standing.winner
    if winner is None:
        raise NoWinnerError(
            f"no trial was trained to its end ({len(standing.finished)} were ended early); run the"
            " same command with more --trials or a longer --timeout to continue"
        )
    test = search.study.user_attrs.get(TEST, {})
    return SearchResult(
        search.folder,
        standing,
        winner,
        _winning_config(search.plan, winner),
        importances_of(search.study),
        time.perf_counter() - began,
        len(standing.finished) >= search.plan.n_trials,
        test if test.get("trial") == winner.number else {},
    )


def _winning_config(plan: Plan, winner: TrialRecord) -> TrainConfig:
    """Return the training options of the winner."""
    return plan.train_config(plan.space.point_of(winner.point))


def _write(search: Search, result: SearchResult) -> None:
    write_trials(result.folder, result.standing.finished)
    write_best(result.folder, result.best, result.winner, search.plan.config.study)
    write_figures(result, search.plan.space.logarithmic())
    write_json(result.folder / SUMMARY_FILE, result.summary())


def _test_winner(search: Search, result: SearchResult) -> dict[str, Any]:
    """Train the winner as in ``best.toml``, test it once, and store the result in the study."""
    output = _new_folder(result.folder, f"winner-{result.winner.number}")
    config = dataclasses.replace(
        result.best, output=str(output), threads=search.plan.config.threads
    )
    trained = train(config, dataset=search.job.dataset)
    test = {
        "trial": result.winner.number,
        "accuracy": trained.summary["test_accuracy"],
        "loss": trained.summary["test_loss"],
        "run_folder": str(output),
        "machine": host_name(),
    }
    search.study.set_user_attr(TEST, test)
    return test


def _new_folder(folder: Path, name: str) -> Path:
    """Make and return a folder of its own for the winner's run."""
    path, number = folder / name, 1
    while True:
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
            path = folder / f"{name}-{number}"
        else:
            return path
