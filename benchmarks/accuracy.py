"""The test accuracy of every recipe with every backend and seed, as a table and as JSON.

    python -m benchmarks.accuracy --output benchmarks/results/accuracy.json

The test set is used once for each seed, at the end of its run. No choice depends on it.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from mnistcore.train import TrainConfig, run
from mnistcore.training.recipes import RECIPES

COLUMNS = ("recipe", "backend", "seeds", "mean", "lowest", "highest")


def measure(recipe: str, backend: str, seeds: Sequence[int], data: str) -> dict[str, Any]:
    """Train a recipe once for each seed and return the test accuracies."""
    accuracies = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            output = str(Path(folder) / "run")
            config = TrainConfig(
                recipe=recipe, backend=backend, seed=seed, data=data, output=output
            )
            summary = run(config).summary
        accuracies.append(summary["test_accuracy"])
        print(f"{recipe} {backend} seed {seed}: {summary['test_accuracy']:.2%}", flush=True)
    return {
        "recipe": recipe,
        "backend": backend,
        "data": summary["data"],
        "seeds": list(seeds),
        "test_accuracies": accuracies,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- | --- " + "| ---: " * 4 + "|"]
    for row in rows:
        accuracies = row["test_accuracies"]
        cells = (
            row["recipe"],
            row["backend"],
            str(len(row["seeds"])),
            *(f"{value:.2%}" for value in (mean(accuracies), min(accuracies), max(accuracies))),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--backends", nargs="+", default=["numba", "cython", "numpy"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--numpy-seeds", nargs="+", type=int, default=[0], help="of numpy, slower")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--output", help="write the figures to this JSON file")
    parser.add_argument("--table", metavar="FILE.json", help="only print the table of a file")
    arguments = parser.parse_args(argv)
    if arguments.table:
        print(table(json.loads(Path(arguments.table).read_text(encoding="utf-8"))))
        return 0
    rows = [
        measure(
            recipe,
            backend,
            arguments.numpy_seeds if backend == "numpy" else arguments.seeds,
            arguments.data,
        )
        for recipe in arguments.recipes
        for backend in arguments.backends
    ]
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
