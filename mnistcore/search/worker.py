"""A worker process, which runs trials of a study until the study is complete.

The command that starts a worker writes the plan to the worker's standard input and keeps it open.
The worker ends when its standard input does, even if the command was killed.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ..kernels.threads import set_num_threads
from .config import Plan
from .objective import Objective, SurplusError
from .study import (
    FINISHED,
    LOST_STORAGE,
    StorageUnreachableError,
    enqueue_point,
    in_state,
    lost,
    open_storage,
    open_study,
    quiet_optuna,
    requeue,
    storage_url,
)

_PAUSE = 0.5  # seconds between polls of a study that has no work for this worker


class _StoppedError(Exception):
    """The command has ended, or asked this worker to end."""


def work(
    study: optuna.Study,
    plan: Plan,
    objective: Objective,
    stop: threading.Event,
    deadline: float | None = None,
) -> None:
    """Run trials until the study is complete or ``stop`` is set.

    A trial that ``stop`` interrupts is queued again. No trial starts after ``deadline``, a
    ``time.time`` value.
    """
    while not stop.is_set() and (deadline is None or time.time() < deadline):
        trials = study.get_trials(deepcopy=False)
        if len(in_state(trials, *FINISHED)) >= plan.n_trials:
            return
        if _may_begin(study, plan, trials):
            _compute_one(study, objective)
        else:
            stop.wait(_PAUSE)  # a trial running elsewhere may still fail


def _may_begin(study: optuna.Study, plan: Plan, trials: Sequence[FrozenTrial]) -> bool:
    """Return whether a trial is waiting or needed; for a grid, queue its next point."""
    if in_state(trials, TrialState.WAITING):
        return True
    if len(in_state(trials, *FINISHED, TrialState.RUNNING)) >= plan.n_trials:
        return False
    return plan.grid is None or enqueue_point(study, plan, trials)


def _compute_one(study: optuna.Study, objective: Objective) -> None:
    try:
        study.optimize(objective, n_trials=1, catch=(SurplusError,))
    except _StoppedError:
        requeue(study, study.get_trials()[objective.number])
    except UpdateFinishedTrialError:
        return  # this worker was silent for too long, and another has taken the trial
    except ValueError as error:
        if not str(error).startswith("Cannot tell"):  # the same, as Optuna reports it later
            raise


def _main() -> int:
    task = json.loads(sys.stdin.readline())
    quiet_optuna()
    set_num_threads(task["threads"])
    stop = threading.Event()
    threading.Thread(target=_await_end, args=(stop,), daemon=True).start()

    def check() -> None:
        if stop.is_set():
            raise _StoppedError

    plan = Plan.from_json(task["plan"])
    config = plan.config
    objective = Objective(plan, plan.base.load(), check)
    url = storage_url(config.storage, config.folder)
    try:
        study = open_study(plan, open_storage(url, config.grace))
        work(study, plan, objective, stop, task["deadline"])
    except StorageUnreachableError as error:
        print(error, file=sys.stderr)
        return LOST_STORAGE
    except Exception as error:
        if (told := lost(url, error)) is None:
            raise
        print(told, file=sys.stderr)
        return LOST_STORAGE
    return 0


def _await_end(stop: threading.Event) -> None:
    """Set ``stop`` when standard input ends, as it does when the command ends."""
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    sys.exit(_main())
