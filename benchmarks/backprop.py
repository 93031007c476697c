"""``python -m benchmarks.backprop``: what each further thing gains over the ladder's plain trainer.

First the time of an epoch of the same network, batches and gradient descent, on one core: the
fastest of the rounds, which depends least on what else the machine does. Then the validation error,
each row with what those above it have, and every sixth training image held out; the test set plays
no part::

    python -m benchmarks.backprop --output benchmarks/results/backprop.json
    python -m benchmarks.backprop --table benchmarks/results/backprop.json
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mnistcore import get_backend
from mnistcore.data import Dataset, load_data
from mnistcore.kernels.threads import limited_threads
from mnistcore.ladder.backprop import steps
from mnistcore.ladder.backprop.command import BATCH_SIZE, EPOCHS, HIDDEN, LEARNING_RATE
from mnistcore.train import TrainConfig, run

from .peers.tables import table
from .sizes import SAMPLES, Case
from .workloads import Problem, problem_of, verified_run

CASE = Case((784, *HIDDEN, 10), "relu", BATCH_SIZE, "sgd", LEARNING_RATE, 0, 1)
HELD_OUT = 1 / 6
PLAIN = "the trainer of this page"
ADDED: dict[str, dict[str, Any]] = {
    "the same in mnistcore": {
        "hidden": HIDDEN,
        "batch_size": BATCH_SIZE,
        "epochs": EPOCHS,
        "optimizer": "sgd",
        "learning_rate": LEARNING_RATE,
        "schedule": "constant",
        "validation_fraction": HELD_OUT,
    },
    "Adam": {"optimizer": "adam", "learning_rate": 0.001},
    "a learning rate that rises and falls": {"schedule": "one-cycle", "learning_rate": 0.004},
    "batch normalisation": {"batch_norm": True},
    "deformed images": {"augment": True},
    "four times the epochs": {"epochs": 4 * EPOCHS},
    "512 and 256 units": {"hidden": (512, 256)},
    "dropout 0.1": {"dropout": (0.1,)},
}

Figures = dict[str, dict[str, list[float]]]


def epochs_of_plain(problem: Problem, dtype: type) -> Callable[[], object]:
    """Return a call that trains an epoch with the functions of the ladder."""
    x, rng = problem.images.astype(dtype) / dtype(255), np.random.default_rng(0)
    params = steps.init(CASE.layer_sizes, rng, dtype)
    rate, labels = CASE.learning_rate, problem.labels
    return lambda: steps.train_epoch(params, x, labels, CASE.batch_size, rate, rng)


def epochs_of_ours(skip_zeros: bool) -> Callable[[], object]:
    """Return a call that trains an epoch with the fastest backend here."""
    training, rng = verified_run(get_backend(), CASE, skip_zeros), np.random.default_rng(0)
    return lambda: training.train(rng.permutation(SAMPLES))


def measure_seconds(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of an epoch in each round, in turns after one that is not measured."""
    problem = problem_of(CASE)
    epochs = {
        f"{PLAIN}, in float64": epochs_of_plain(problem, np.float64),
        "float32": epochs_of_plain(problem, np.float32),
        "compiled, a call for many steps": epochs_of_ours(skip_zeros=False),
        "zeros left out": epochs_of_ours(skip_zeros=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    with limited_threads(1), threadpool_limits(1, "blas"):
        for number in range(rounds + 1):
            for name, epoch in epochs.items():
                began = time.perf_counter()
                epoch()
                if number:
                    seconds[name].append(time.perf_counter() - began)
    return seconds


def error_of_plain(dataset: Dataset, seed: int) -> float:
    """Return the validation error of the ladder's trainer."""
    training, validation = dataset.split(HELD_OUT, seed)
    x = dataset.train_images.reshape(-1, 784).astype(np.float32) / np.float32(255)
    labels, rng = dataset.train_labels, np.random.default_rng(seed)
    params = steps.init(CASE.layer_sizes, rng)
    for _ in range(EPOCHS):
        steps.train_epoch(params, x[training], labels[training], BATCH_SIZE, LEARNING_RATE, rng)
    return float(np.mean(steps.predict(params, x[validation]) != labels[validation]))


def error_of(dataset: Dataset, settings: dict[str, Any], seed: int) -> float:
    """Return the validation error of a run of mnistcore after its last epoch."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(seed=seed, output=str(Path(folder, "run")), **settings)
        return 1 - run(config, dataset=dataset).history[-1].validation_accuracy


def measure_errors(seeds: Sequence[int], data: str) -> dict[str, list[float]]:
    """Return the validation errors of each row, one for each seed."""
    dataset, settings = load_data(data), {}
    errors = {PLAIN: [error_of_plain(dataset, seed) for seed in seeds]}
    for name, added in ADDED.items():
        settings |= added
        errors[name] = [error_of(dataset, settings, seed) for seed in seeds]
    return errors


def markdown(figures: Figures) -> str:
    """Return both tables."""
    seconds = {name: min(values) for name, values in figures["seconds"].items()}
    befores = [None, *seconds.values()]
    times = [
        [name, f"{value:.3f}", f"{before / value:.1f}x" if before else ""]
        for (name, value), before in zip(seconds.items(), befores, strict=False)
    ]
    errors = {name: mean(values) for name, values in figures["errors"].items()}
    befores = [None, *errors.values()]
    changes = [
        [name, f"{value:.2%}", f"{value - before:+.2%}" if before else ""]
        for (name, value), before in zip(errors.items(), befores, strict=False)
    ]
    return "\n\n".join(
        (
            table(["added", "seconds per epoch", "gain"], times),
            table(["added", "validation error", "change"], changes),
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.backprop",
        description="Measure what each thing adds to the plain trainer of the ladder.",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write the figures to it")
    parser.add_argument("--table", type=Path, metavar="FILE.json", help="only print its tables")
    options = parser.parse_args(argv)
    if options.table:
        print(markdown(json.loads(options.table.read_text(encoding="utf-8"))))
        return 0
    figures = {
        "seconds": measure_seconds(options.rounds),
        "errors": measure_errors(options.seeds, options.data),
    }
    if options.output:
        options.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(markdown(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
