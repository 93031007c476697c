"""The worker processes: how they are started, take turns and answer."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .worker import Assignment

ROOT = Path(__file__).resolve().parents[2]

# BLAS and OpenMP fix their number of threads when they are loaded. How threads wait is left at its
# default, because passive waiting slows down the small parallel regions of PyTorch. A worker
# answers when its threads have stopped spinning; ``idle_cpu`` shows whether they stay idle.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class WorkerError(RuntimeError):
    """A worker could not carry out a command; the message says which worker and why."""


def environment(threads: int, **extra: str) -> dict[str, str]:
    """The environment variables of a process with so many threads."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    return os.environ | variables | quiet | {"PYTHONPATH": path} | extra


class Worker:
    """A process that has loaded a library, as a context manager."""

    def __init__(self, kind: str, assignment: Assignment) -> None:
        self.assignment = assignment
        self.idle_cpu = 0.0
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (closed below)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(assignment.threads),
            text=True,
        )
        self._send(assignment.to_json())

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5 if kind is None else 0.1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def await_ready(self) -> None:
        """Wait until the library and the data are loaded."""
        self._answer()

    def tell(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        self._send(json.dumps({"do": command} | arguments))
        answer = self._answer()
        self.idle_cpu = max(self.idle_cpu, answer.pop("idle_cpu"))
        return answer

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; reading its answer will tell why

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"it ended: {self._last_words()}"}
        if "error" in answer:
            who = f"{self.assignment.library} with {self.assignment.threads} threads"
            raise WorkerError(f"{who}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1] if lines else f"exit status {self._process.returncode}"


def take_turns(
    workers: Sequence[Worker], rounds: int, command: str, **arguments: Any
) -> list[list[dict[str, Any]]]:
    """The answers of each worker. In every other round the order of turns is reversed."""
    answers: list[list[dict[str, Any]]] = [[] for _ in workers]
    turns = list(zip(workers, answers, strict=True))
    for round_ in range(rounds):
        for worker, own in turns[:: -1 if round_ % 2 else 1]:
            own.append(worker.tell(command, **arguments))
    return answers


def run_fresh(what: str, assignment: Assignment, **extra: str) -> tuple[float, dict[str, Any]]:
    """Run ``fresh`` once; return the seconds from its start to its answer, and the answer."""
    command = [sys.executable, "-m", "benchmarks.peers.fresh", what, assignment.to_json()]
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+", errors="replace") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(assignment.threads, **extra),
            text=True,
        ) as process,
    ):
        answer, seconds = _last_json(process.stdout or (), began)
        process.wait()
        if answer is None:
            log.seek(0)
            reason = [line.strip() for line in log if line.strip()][-1:]
            raise WorkerError(f"{assignment.library}: {what} failed: {''.join(reason)}")
    return seconds, answer


def _last_json(lines: Iterable[str], began: float) -> tuple[dict[str, Any] | None, float]:
    """The first line that is JSON, and the seconds until it came."""
    for line in lines:
        if line.startswith("{"):
            return json.loads(line), time.perf_counter() - began
    return None, 0.0
