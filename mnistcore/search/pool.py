"""The worker processes of one command: started, watched, replaced where they die, ended."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import optuna
from optuna.trial import TrialState

from ..kernels.threads import available_cores
from .config import Plan
from .study import WORKER, give_up, host_name, in_state

_ENDING_SECONDS = 10  # that a worker has to end in; a slice of training takes 0.25
_DEATHS = 3  # in a row, without a finished trial: no accident
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class WorkersFailedError(RuntimeError):
    """The workers die again and again, or cannot reach the study."""


def shares(cores: int, workers: int) -> list[int]:
    """How many threads each worker gets; they differ by one at most, and none has none.

    >>> shares(8, 3)
    [3, 3, 2]
    """
    return [max(1, (cores + workers - 1 - i) // workers) for i in range(workers)]


def shares_of(plan: Plan) -> list[int]:
    """The threads of each worker of a search."""
    return shares(plan.config.threads or available_cores(), plan.n_workers)


class Pool:
    """The workers, in a ``with`` block; leaving it ends them.

    A worker that dies loses only its trial, which is put in line again, and is replaced.

    Parameters
    ----------
    plan
        What is searched.
    study
        The study, to give up the trials of dead workers.
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
            self._bury(worker)

    def _start(self, threads: int) -> "_Worker":
        return _Worker(self._plan, threads, self._deadline)

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.pid for worker in self._workers]

    def watch(self, finished: int) -> bool:
        """Replace the workers that have died; False where all have done their work.

        Parameters
        ----------
        finished
            How many trials are finished.

        Raises
        ------
        WorkersFailedError
            If one ended by an error of its own, or several died and no trial came of it.
        """
        for place, worker in enumerate(self._workers):
            status = worker.status()
            if status is None or status == 0:
                continue
            self._bury(worker)
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

    def _bury(self, worker: "_Worker") -> None:
        """Put the trial of a dead worker in line again, without waiting for its silence."""
        name = f"{host_name()}:{worker.pid}"
        for trial in in_state(self._study.get_trials(), TrialState.RUNNING):
            if trial.user_attrs.get(WORKER) == name:
                give_up(self._study, trial)


class _Worker:
    """One process; Ctrl-C in the terminal does not reach it."""

    def __init__(self, plan: Plan, threads: int, deadline: float | None) -> None:
        self.threads = threads
        self.finished = 0
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed in end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=_environment(threads),
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
        with suppress(BrokenPipeError):  # it is dead already, as its status will show
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def ask_to_end(self) -> None:
        """A worker ends when its standard input does."""
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
        """The last line that it wrote on standard error."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"


def _environment(threads: int) -> dict[str, str]:
    """This process's, with this package on the path and so many threads for NumPy's BLAS."""
    paths = [str(_PACKAGE_ROOT), *_split(os.environ.get("PYTHONPATH"))]
    caps = dict.fromkeys(_BLAS_THREADS, str(threads))
    return {**os.environ, **caps, "PYTHONPATH": os.pathsep.join(paths)}


def _split(paths: str | None) -> Sequence[str]:
    return paths.split(os.pathsep) if paths else ()
