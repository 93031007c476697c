"""``python -m benchmarks.dense``: training without zeros to leave out.

Every product is computed whole, so its speed can be compared with the peak of multiply-adds: a
large network on MNIST with skipping off, gather and update included. Then what it costs to look for
zeros where there are none: images without a zero, with skipping on and off.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mnistcore import get_backend, set_num_threads
from mnistcore.kernels.threads import available_cores

from .ceilings import peak_gflops
from .peers.tables import table
from .sizes import BACKENDS, LARGE_NETWORK, NETWORKS, QUICK, SAMPLES, SMALLER_NETWORKS, Case
from .workloads import Problem, Training, TrainingRun, digits, problem_of, verified_run

STEPS = 2 if QUICK else 60


def seconds_of(runs: Sequence[TrainingRun], samples: int, rounds: int) -> np.ndarray:
    """Seconds of training of each run (rounds, runs), in turns after one round unmeasured."""
    rng, seconds = np.random.default_rng(0), np.empty((rounds, len(runs)))
    for run in runs:
        run.train(rng.integers(0, SAMPLES, samples))
    for row in seconds:
        for i, run in enumerate(runs):
            order, began = rng.integers(0, SAMPLES, samples), time.perf_counter()
            run.train(order)
            row[i] = time.perf_counter() - began
    return seconds


def shares_of_peak(backend: str, threads: int, rounds: int) -> list[str]:
    """GFLOP/s and share of the peak with plain SGD and with Adam, the best of the rounds."""
    set_num_threads(threads)
    cases = [replace(LARGE_NETWORK, optimizer=name) for name in ("sgd", "adam")]
    kernels, peak, line = get_backend(backend), peak_gflops(threads), []
    samples = STEPS * LARGE_NETWORK.batch_size
    runs = [verified_run(kernels, case, skip_zeros=False) for case in cases]
    for best in seconds_of(runs, samples, rounds).min(axis=0):
        gflops = LARGE_NETWORK.flops_per_sample * samples / best / 1e9
        line += [f"{gflops:.0f}", f"{gflops / peak:.0%}"]
    return [f"{peak:.0f}", *line]


def cost_of_looking(backend: str, case: Case, rounds: int) -> float:
    """The time with skipping on over that with skipping off, for images without a zero."""
    problem, kernels = problem_of(case), get_backend(backend)
    for skip in (True, False):
        Training(case, 1, skip).verify(kernels)
    dense = Problem(np.maximum(problem.images, 1), problem.labels, problem.params)
    runs = [TrainingRun(kernels, case, dense, skip_zeros=skip) for skip in (True, False)]
    steps = STEPS * (LARGE_NETWORK.batch_size // case.batch_size)
    seconds = seconds_of(runs, steps * case.batch_size, rounds)
    return float(np.median(seconds[:, 0] / seconds[:, 1]))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dense",
        description="Measure training where no zeros can be left out.",
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="default: 15")
    options = parser.parse_args(argv)
    teams = sorted({1, available_cores()})
    header = [f"{LARGE_NETWORK.name}, threads", "peak GFLOP/s", "SGD", "of it", "Adam", "of it"]
    lines = [
        [f"{backend}, {threads}", *shares_of_peak(backend, threads, options.rounds)]
        for backend in BACKENDS
        for threads in teams
    ]
    print(f"{digits().name}\n\n{table(header, lines)}\n")
    lines = []
    for name in SMALLER_NETWORKS:
        costs = []
        for threads in teams:
            set_num_threads(threads)
            costs += [cost_of_looking(b, NETWORKS[name], options.rounds) for b in BACKENDS]
        lines.append([name, *(f"{cost:.3f}" for cost in costs)])
    header = ["images without a zero", *(f"{b}, {n}" for n in teams for b in BACKENDS)]
    print(table(header, lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
