"""The worker processes of one command: starting, watching, replacing and ending them."""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from types import TracebackType
from typing import IO

import optuna
from optuna.trial import TrialState

from ..kernels.blas import VARIABLES
from ..kernels.threads import default_threads
from ..system.child_process import environment
from .config import Plan
from .study import (
    LOST_STORAGE,
    WORKER,
    StorageErrors,
    StorageUnreachableError,
    give_up,
    in_state,
    worker_name,
)

_ENDING_SECONDS = 10  # before a worker is killed; it looks every 0.25 s whether to end
_DEATHS = 3  # per worker, without a finished trial in between: no coincidence


class WorkersFailedError(RuntimeError):
    """Workers fail, die repeatedly, or cannot reach the study."""


def shares(cores: int, workers: int) -> list[int]:
    """Divide cores among workers as evenly as possible, with at least one thread each.

    >>> shares(8, 3)
    [3, 3, 2]
    """
    return [max(1, (cores + workers - 1 - i) // workers) for i in range(workers)]


def shares_of(plan: Plan) -> list[int]:
    """Return the number of threads of each worker of a search."""
    return shares(plan.config.threads or default_threads(), plan.n_workers)


class Pool:
    """The worker processes, as a context manager that ends them on exit.

    A worker that dies is replaced; only its trial is lost, and that is queued again.

    Parameters
    ----------
    plan
        The search.
    study
        The study, for giving up the trials of dead workers.
    """

    def __init__(self, plan: Plan, study: optuna.Study) -> None:
        self._plan, self._study = plan, study
        self._shares = shares_of(plan)
        self._workers: list[_Worker] = []
        self._deaths = 0
        timeout = plan.config.timeout
        self._deadline = None if timeout is None else time.time() + timeout

    def __enter__(self) -> "Pool":
        self._workers = [self._start(threads) for threads in self._shares]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.ask_to_end()
        deadline = time.monotonic() + _ENDING_SECONDS
        for worker in self._workers:
            worker.end(max(0.1, deadline - time.monotonic()))
        with suppress(*StorageErrors, LookupError):  # who has lost the study says so already
            for worker in self._workers:
                self._requeue_trial_of(worker)

    def _start(self, threads: int) -> "_Worker":
        return _Worker(self._plan, threads, self._deadline)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.pid for worker in self._workers]

    def watch(self, finished: int) -> bool:
        """Replace workers that have died; return False once all have done their work.

        Parameters
        ----------
        finished
            The number of finished trials.

        Raises
        ------
        StorageUnreachableError
            If a worker has lost the study.
        WorkersFailedError
            If a worker exited with an error, or too many died without a trial being finished.
        """
        for place, worker in enumerate(self._workers):
            status = worker.status()
            if status is None or status == 0:
                continue
            if status == LOST_STORAGE:
                raise StorageUnreachableError(worker.last_words())
            self._requeue_trial_of(worker)
            if status > 0:
                raise WorkersFailedError(f"a worker failed: {worker.last_words()}")
            self._deaths = self._deaths + 1 if finished == worker.finished else 1
            if self._deaths >= _DEATHS * len(self._workers):
                raise WorkersFailedError(
                    f"{self._deaths} workers were killed (signal {-status}) and no trial was"
                    " finished in between; is there enough memory? Try fewer --workers"
                )
            self._workers[place] = self._start(worker.threads)
            self._workers[place].finished = finished
        return any(worker.status() is None for worker in self._workers)

    def _requeue_trial_of(self, worker: "_Worker") -> None:
        """Queue the trial of a dead worker again, without waiting for the grace period."""
        name = worker_name(worker.pid)
        for trial in in_state(self._study.get_trials(), TrialState.RUNNING):
            if trial.user_attrs.get(WORKER) == name:
                give_up(self._study, trial)


class _Worker:
    """One worker process, in its own session so that Ctrl-C does not reach it."""

    def __init__(self, plan: Plan, threads: int, deadline: float | None) -> None:
        self.threads = threads
        self.finished = 0
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed in end()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=_environment(plan.config.threads and threads),
            start_new_session=True,
        )
        task = {"plan": plan.to_json(), "threads": threads, "deadline": deadline}
        self._write(json.dumps(task).encode() + b"\n")

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int | None:
        return self._process.poll()

    def _write(self, text: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already, which watch() will notice
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def ask_to_end(self) -> None:
        """Close the worker's standard input, upon which it ends."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def last_words(self) -> str:
        """Return the last line of the worker's standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed no message"


def _environment(threads: int) -> dict[str, str]:
    """Return a worker's environment: BLAS has one thread unless a number was asked for.

    See :mod:`.blas`.
    """
    return {**environment(), **dict.fromkeys(VARIABLES, str(threads or 1))}
