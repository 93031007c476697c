"""A worker: a process that computes trials of a study until it is complete.

It is started by the command, which writes what is searched to its standard input and then keeps
that open: when it ends, be it that the command was stopped or killed, so does the worker.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ..data import load_data
from ..kernels.threads import set_num_threads
from .config import Plan
from .objective import Objective, SurplusError
from .study import (
    FINISHED,
    StorageErrors,
    StorageUnreachableError,
    enqueue_point,
    in_state,
    open_storage,
    open_study,
    put_in_line,
    quiet_optuna,
    storage_url,
)

LOST_STORAGE = 3  # exit status of a worker that can no longer reach the study
_PAUSE = 0.5  # seconds between two looks at a study that has nothing to do for this worker


class _StoppedError(Exception):
    """The command wants no more of this worker."""


def work(
    study: optuna.Study,
    plan: Plan,
    objective: Objective,
    stop: threading.Event,
    deadline: float | None = None,
) -> None:
    """Compute trials until the study is complete or ``stop`` is set.

    A trial that ``stop`` cuts off is put in line again. After ``deadline``, by time.time, no
    trial is begun.
    """
    while not stop.is_set() and (deadline is None or time.time() < deadline):
        trials = study.get_trials(deepcopy=False)
        if len(in_state(trials, *FINISHED)) >= plan.n_trials:
            return
        if _may_begin(study, plan, trials):
            _compute_one(study, objective)
        else:
            stop.wait(_PAUSE)  # a trial that runs elsewhere may still be lost


def _may_begin(study: optuna.Study, plan: Plan, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a point waits, or more are wanted; that of a grid is put in line."""
    if in_state(trials, TrialState.WAITING):
        return True
    if len(in_state(trials, *FINISHED, TrialState.RUNNING)) >= plan.n_trials:
        return False
    return plan.grid is None or enqueue_point(study, plan, trials)


def _compute_one(study: optuna.Study, objective: Objective) -> None:
    try:
        study.optimize(objective, n_trials=1, catch=(SurplusError,))
    except _StoppedError:
        put_in_line(study, study.get_trials()[objective.number])
    except UpdateFinishedTrialError:
        return  # this worker was silent for too long, and another has the trial now
    except ValueError as error:
        if not str(error).startswith("Cannot tell"):  # the same, noticed a moment later
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
    config, base = plan.config, plan.train_config({})
    objective = Objective(plan, load_data(base.data, base.data_dir), check)
    try:
        storage = open_storage(storage_url(config.storage, config.folder), config.grace)
        work(open_study(plan, storage), plan, objective, stop, task["deadline"])
    except (StorageUnreachableError, *StorageErrors) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return LOST_STORAGE
    return 0


def _await_end(stop: threading.Event) -> None:
    """Standard input ends when the command that started this worker does."""
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    sys.exit(_main())
