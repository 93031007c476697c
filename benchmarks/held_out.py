"""Errors of runs on the images that they held out, as these are and mildly deformed.

    python -m benchmarks.held_out RUN ...

Of 10,000 images good networks read some fifty wrong, give or take seven by chance, so a choice
between two settings of a recipe is mostly luck. Each image deformed in eight ways, half as strongly
as in training, makes more errors, and of more kinds. The test set plays no part.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from mnistcore import get_backend
from mnistcore.kernels.layout import Augmentation
from mnistcore.runs.data import load_run_data, split_indices
from mnistcore.runs.folder import load_run
from mnistcore.training.augmentation import STRENGTHS, versions_of

_HALF = Augmentation(*(strength / 2 for strength in STRENGTHS))._replace(
    smoothness=STRENGTHS.smoothness
)


def errors(run: str, versions: int) -> tuple[int, int, float]:
    """Return how many images a run held out and reads wrong, and the share of deformed ones."""
    loaded, kernels = load_run(run), get_backend("auto")
    dataset = load_run_data(loaded)
    samples = split_indices(loaded.model, dataset, "validation")
    shown = versions_of(kernels, dataset.train_images, samples, versions + 1, strengths=_HALF)
    labels = dataset.train_labels[samples]
    wrong = [int((loaded.model.predict(each, kernels) != labels).sum()) for each in shown]
    return len(samples), wrong[0], float(np.mean(wrong[1:])) / len(samples)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held_out", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--versions", type=int, default=8, help="deformed versions of each image")
    arguments = parser.parse_args(argv)
    print("| run | held out | wrong | error | error, deformed |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for run in arguments.runs:
        n, wrong, deformed = errors(run, arguments.versions)
        print(f"| {run} | {n:,} | {wrong} | {wrong / n:.2%} | {deformed:.2%} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
