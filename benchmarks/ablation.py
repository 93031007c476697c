"""What each ingredient of the recipe ``fast-99`` is worth, on validation images.

    python -m benchmarks.ablation --output benchmarks/results/ablation.json

One option is changed at a time, or one ingredient added. Every sixth training image is held out;
the test set plays no part. Prints a Markdown table.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mnistcore.train import TrainConfig, run

RECIPE = "fast-99"
CHANGES: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "no deformed images": {"augment": False},
    "deformations that do not fade": {"augment_fade": 0.0},
    "no batch normalisation": {"batch_norm": False},
    "no label smoothing": {"label_smoothing": 0.0},
    "a constant learning rate": {"schedule": "constant", "learning_rate": 0.001},
    "one hidden layer": {"hidden": (512,)},
    "half the units": {"hidden": (256, 64)},
    "twice the units": {"hidden": (1024, 256)},
    "half the epochs": {"epochs": 4},
    "twice the epochs": {"epochs": 16},
    "with dropout 0.2": {"dropout": (0.2,)},
}


def measure(changes: dict[str, Any], seeds: Sequence[int], data: str) -> list[float]:
    """Return the validation accuracy of the recipe, so changed, for each seed."""
    accuracies = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(
                recipe=RECIPE, validation_fraction=1 / 6, seed=seed, data=data,
                output=str(Path(folder, "run")), **changes,
            )  # fmt: skip
            accuracies.append(run(config).history[-1].validation_accuracy)
    return accuracies


def table(rows: dict[str, list[float]]) -> str:
    """The rows as a Markdown table, with the difference from the first."""
    lines = ["| | validation error | sd | change |", "| --- | ---: | ---: | ---: |"]
    errors = {name: [1 - value for value in values] for name, values in rows.items()}
    base = mean(next(iter(errors.values())))
    for name, values in errors.items():
        spread = stdev(values) if len(values) > 1 else 0.0
        change = f"{mean(values) - base:+.2%}" if mean(values) != base else ""
        lines.append(f"| {name} | {mean(values):.2%} | {spread:.2%} | {change} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--output", metavar="FILE.json", help="write the figures to this file")
    parser.add_argument("--table", metavar="FILE.json", help="only print the table of a file")
    arguments = parser.parse_args(argv)
    if arguments.table:
        print(table(json.loads(Path(arguments.table).read_text(encoding="utf-8"))))
        return 0
    rows = {}
    for name, changes in CHANGES.items():
        rows[name] = measure(changes, arguments.seeds, arguments.data)
        print(name, *(f"{value:.2%}" for value in rows[name]), flush=True)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
