"""The estimator beside scikit-learn's: fits on MNIST, and the examples of its documentation.

    python -m benchmarks.estimator --output benchmarks/results/estimator.json

Both run in one process on the same number of threads and take turns; in every other round the
order of turns is reversed. Times are medians over the rounds, ratios are medians of the ratio
within a round.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier
from threadpoolctl import threadpool_limits

from benchmarks.estimator.uses import USES, Outcome
from benchmarks.peers.results import describe_machine
from benchmarks.settling import settle
from mnistcore import set_num_threads
from mnistcore.data import load_data
from mnistcore.kernels.threads import available_cores
from mnistcore.sklearn import MLPClassifier

HIDDEN = ((100,), (100, 100), (512, 512))
SOLVERS = ("sgd", "adam")
CLASSES = {"ours": MLPClassifier, "theirs": TheirClassifier}

Row = dict[str, Any]


def compare(run: Callable[[type], Outcome], rounds: int) -> Row:
    """Run both classes in turn: median seconds, median ratio within a round, mean accuracies."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in CLASSES}
    for round_ in range(rounds):
        for name in list(CLASSES)[:: -1 if round_ % 2 else 1]:
            settle()
            outcomes[name].append(run(CLASSES[name]))
    ours, theirs = ([outcome.seconds for outcome in outcomes[name]] for name in CLASSES)
    accuracies = [outcomes[name][0].accuracies for name in CLASSES]
    return {
        "fits": len(accuracies[0]),
        "seconds_ours": median(ours),
        "seconds_theirs": median(theirs),
        "ratio": median(b / a for a, b in zip(ours, theirs, strict=True)),
        "accuracy_ours": float(np.mean(list(accuracies[0].values()))),
        "accuracy_theirs": float(np.mean(list(accuracies[1].values()))),
        "largest_difference": max(
            abs(accuracies[0][key] - accuracies[1][key]) for key in accuracies[0]
        ),
        "accuracies": dict(zip(CLASSES, accuracies, strict=True)),
    }


def measure_fits(epochs: int, rounds: int, data: str) -> list[Row]:
    """``fit`` on all of MNIST, with float32 pixels in [0, 1], for every network and solver."""
    dataset = load_data(data)
    train, test = (
        (images.reshape(len(images), -1).astype(np.float32) / 255, labels)
        for images, labels in (
            (dataset.train_images, dataset.train_labels),
            (dataset.test_images, dataset.test_labels),
        )
    )
    rows = []
    for hidden in HIDDEN:
        for solver in SOLVERS:

            def run(classifier: type, hidden: Any = hidden, solver: str = solver) -> Outcome:
                outcome = Outcome()
                settings = {"solver": solver, "max_iter": epochs, "random_state": 0}
                model = classifier(hidden, learning_rate_init=RATES[solver], **settings)
                outcome.fit("test", model, train, test)
                return outcome

            name = f"{'-'.join(map(str, hidden))} {solver}"
            rows.append({"name": name, "epochs": epochs, **compare(run, rounds)})
            print(f"fit {name}: {rows[-1]['ratio']:.2f}", file=sys.stderr)
    return rows


RATES = {"sgd": 0.1, "adam": 0.001}


def measure_uses(rounds: int) -> list[Row]:
    """Each documented use, with either class."""
    rows = []
    for name, use in USES.items():
        rows.append({"name": name, **compare(use, rounds)})
        print(f"use {name}: {rows[-1]['ratio']:.2f}", file=sys.stderr)
    return rows


def table(title: str, rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    columns = (
        title,
        "mnistcore",
        "scikit-learn",
        "times as fast",
        "accuracy",
        "scikit-learn's",
        "largest difference of a fit",
    )
    lines = ["| " + " | ".join(columns) + " |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    for row in rows:
        cells = (
            row["name"] + (f" ({row['fits']} fits)" if row["fits"] > 1 else ""),
            f"{row['seconds_ours']:.3f} s",
            f"{row['seconds_theirs']:.3f} s",
            f"{row['ratio']:.2f}",
            f"{row['accuracy_ours']:.2%}",
            f"{row['accuracy_theirs']:.2%}",
            f"{100 * row['largest_difference']:.2f} points",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimator", description=__doc__)
    parser.add_argument("--epochs", type=int, default=3, help="of each fit on MNIST")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--only", choices=["fits", "uses"])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--output", help="write the figures to this JSON file")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore", ConvergenceWarning)
    set_num_threads(arguments.threads)
    figures: dict[str, Any] = {"machine": describe_machine(), "threads": arguments.threads}
    with threadpool_limits(arguments.threads):
        if arguments.only != "uses":
            figures["fits"] = measure_fits(arguments.epochs, arguments.rounds, arguments.data)
        if arguments.only != "fits":
            figures["uses"] = measure_uses(arguments.rounds)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    epochs = f"{arguments.epochs} epoch{'s' if arguments.epochs > 1 else ''}"
    for section, title in (("fits", f"fit, {epochs}"), ("uses", "documented use")):
        if section in figures:
            print(table(title, figures[section]), end="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
