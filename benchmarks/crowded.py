"""``python -m benchmarks.crowded``: an epoch with half a core, and beside other programs.

A process trains alone, on one thread and on as many as it chooses; in a container with half a core
(a control group with a quota; Linux, as root); and beside as many other programs as there are
cores, each busy with one thread. How much longer it takes than its fair share of the cores
explains:

half a core
    Twice the time of one thread alone.
busy cores
    On n cores n + 1 programs have n / (n + 1) of a core each: with two cores 1.5 times the time of
    one thread alone. One thread is also measured there; and when they have left, the seconds until
    an epoch takes what it took before.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mnistcore import get_backend, set_num_threads
from mnistcore.kernels.threads import available_cores

from .peers.tables import table
from .sizes import BACKENDS, NETWORKS, QUICK, SMALLER_NETWORKS, Case
from .workloads import SAMPLES, Training, TrainingRun, digits, problem_of

BACK = 1.1  # times the time of an epoch before other programs came: back at full speed
CALL_SECONDS = 0.2  # of training in a call, as `train` makes them
GROUPS = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds, the default of Linux and of containers


def measure(backend: str, case: Case, threads: int, rounds: int) -> list[float]:
    """Seconds of an epoch, scaled up from whole calls that last for about a second a round."""
    trainer = _Trainer(backend, case, threads)
    return [trainer.epoch(0.1 if QUICK else 1.0) for _ in range(rounds)]


def recovery(backend: str, case: Case, threads: int, rounds: int) -> list[float]:
    """Seconds from the end of busy programs until training is as fast as before, for each round."""
    trainer, found = _Trainer(backend, case, threads), []
    for _ in range(rounds):
        before = trainer.epoch(0.1 if QUICK else 2.0)
        with _busy_cores():
            trainer.epoch(0.1 if QUICK else 3.0)
        began = time.perf_counter()
        while trainer.epoch(0) > BACK * before and time.perf_counter() < began + 10:
            pass
        found.append(time.perf_counter() - began)
    return found


class _Trainer:
    """Trains in calls that take about as long as those of `train`."""

    def __init__(self, backend: str, case: Case, threads: int) -> None:
        set_num_threads(threads)
        self._run = TrainingRun(get_backend(backend), case, problem_of(case))
        self._batch, self._samples = case.batch_size, 64 * case.batch_size
        self._rng = np.random.default_rng(0)
        self._run.train(np.arange(self._samples))  # also loads what is compiled

    def epoch(self, least: float) -> float:
        """Train for so many seconds, at least one call; return the seconds that an epoch takes."""
        trained, elapsed, began = 0, 0.0, time.perf_counter()
        while not trained or elapsed < least:
            order, before = self._rng.integers(0, SAMPLES, self._samples), elapsed
            self._run.train(order)
            trained, elapsed = trained + len(order), time.perf_counter() - began
            fitting = int(len(order) * CALL_SECONDS / (elapsed - before))
            self._samples = max(1, min(SAMPLES, fitting) // self._batch) * self._batch
        return elapsed / trained * 60_000


@contextlib.contextmanager
def _busy_cores() -> Iterator[None]:
    """As many programs as there are cores, which compute without a pause."""
    code = "print(flush=True)\nwhile True: pass"
    programs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(available_cores())
    ]
    try:
        for program in programs:
            assert program.stdout is not None
            program.stdout.readline()
        yield
    finally:
        for program in programs:
            program.kill()
            program.communicate()


@contextlib.contextmanager
def _half_a_core() -> Iterator[list[str]]:
    """The start of a command that runs in a control group with the time of half a core."""
    unified = (GROUPS / "cgroup.controllers").exists()  # version 2
    group = (GROUPS if unified else GROUPS / "cpu") / f"mnistcore-{os.getpid()}"
    group.mkdir()
    try:
        if unified:
            (group / "cpu.max").write_text(f"{PERIOD // 2} {PERIOD}")
        else:
            (group / "cpu.cfs_quota_us").write_text(str(PERIOD // 2))
        yield ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        group.rmdir()


def _measured(
    backend: str,
    network: str,
    threads: int,
    rounds: int,
    prefix: Sequence[str] = (),
    what: str = "measure",
) -> list[float]:
    """What :func:`measure` or :func:`recovery` returns in a process of its own."""
    command = [*prefix, sys.executable, "-m", "benchmarks.crowded", "--one", what, backend, network]
    command += ["--threads", str(threads), "--rounds", str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def _line(backend: str, network: str, rounds: int) -> list[str]:
    one = (backend, network)
    alone = {n: min(_measured(*one, n, rounds)) for n in (1, 0)}
    line = [f"{backend}, {network}", f"{alone[1]:.3f}", f"{alone[0]:.3f}"]
    try:
        with _half_a_core() as prefix:
            half = np.median(_measured(*one, 0, rounds, prefix))
        line += [f"{half:.3f}", f"{half / (2 * alone[1]):.2f}"]
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"half a core: not measured: {error}", file=sys.stderr)
        line += ["", ""]
    with _busy_cores():
        busy = _measured(*one, 0, rounds)
        single = float(np.median(_measured(*one, 1, rounds)))
    back = _measured(*one, 0, rounds, what="recovery")
    middle, fair = float(np.median(busy)), (1 + 1 / available_cores()) * alone[1]
    line += [f"{middle:.3f}", f"{middle / fair:.2f}", f"{max(busy) / fair:.2f}"]
    line += [f"{single:.3f}", f"{middle / single:.2f}"]
    return [*line, f"{np.median(back):.2f}", f"{max(back):.2f}"]


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crowded",
        description="Measure an epoch with half a core, and beside two busy programs.",
    )
    add = parser.add_argument
    add("--backends", nargs="+", choices=BACKENDS, default=BACKENDS, metavar="NAME")
    add("--networks", nargs="+", choices=SMALLER_NETWORKS, default=SMALLER_NETWORKS, metavar="NAME")
    add("--rounds", type=int, default=5, metavar="N", help="rounds of a second (default: 5)")
    add("--threads", type=int, default=0, help=argparse.SUPPRESS)
    add("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        what, backend, network = options.one
        measured = {"measure": measure, "recovery": recovery}[what]
        print(json.dumps(measured(backend, NETWORKS[network], options.threads, options.rounds)))
        return 0
    for network in options.networks:
        for backend in options.backends:
            Training(NETWORKS[network], 1).verify(get_backend(backend))
    lines = [
        _line(backend, network, options.rounds)
        for network in options.networks
        for backend in options.backends
    ]
    header = ["seconds per epoch", "one thread", f"{available_cores()} cores", "half a core"]
    header += ["of the fair share", "busy cores", "of the fair share", "worst"]
    print(digits().name + "\n")
    print(table([*header, "one thread there", "of its time", "back after", "worst"], lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
