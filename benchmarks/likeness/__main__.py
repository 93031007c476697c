"""Trains the judge of ``mnistcore.pictures.likeness``.

``python -m benchmarks.likeness --output mnistcore/pictures/likeness.safetensors`` writes the file
of weights that the package contains.

It is trained on MNIST's training images except the last 10,000, on twice as many built-in digits,
and on ink that is no digit. The threshold is chosen on those 10,000, so that the share `REFUSED` of
them is refused. The test set is not used. It takes three minutes on one core.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnistcore.data import Dataset, load_data
from mnistcore.data.synthetic import make_digits
from mnistcore.models import checkpoint
from mnistcore.models.model import Model
from mnistcore.pictures.likeness import features, likeness
from mnistcore.runs.execution import fit_in_memory
from mnistcore.runs.job import prepare
from mnistcore.training.config import TrainConfig

from .other_ink import draw_other_ink

HELD_OUT = 10_000
OTHERS = 360_000
EPOCHS = 12
REFUSED = 0.005
SEED = 1
_NAMES = (*"0123456789", "no digit")


def teach(
    images: np.ndarray, labels: np.ndarray, held_out: np.ndarray, others: int, epochs: int
) -> Model:
    """Train a judge on digits (N, 28, 28) and on so many drawings of other ink."""
    rng = np.random.default_rng(SEED)
    ink = np.concatenate([images, draw_other_ink(rng, images, labels, others)])
    targets = np.full(len(ink), _NAMES.index("no digit"), np.int32)
    targets[: len(labels)] = labels
    seen = np.concatenate([features(part) for part in np.array_split(ink, 1 + len(ink) // 2000)])
    data = Dataset("ink", seen, targets, seen[:1], targets[:1], _NAMES, "drawn")  # no test set
    config = TrainConfig(
        hidden=(128, 64), epochs=epochs, batch_size=128, validation_fraction=0.0, threads=1
    )
    job = prepare(config, data)
    params = fit_in_memory(job).params
    model = Model(job.network, params, seen.shape[1:], job.scale, job.shift, _NAMES)
    least = np.quantile(likeness(model, held_out[:, None]), REFUSED)
    return dataclasses.replace(model, config={"least": round(float(least), 3)})


def main(argv: Sequence[str] | None = None) -> None:
    """Write a file of weights like the one that the package contains."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likeness")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the weights, in safetensors"
    )
    path = parser.parse_args(argv).output
    mnist = load_data("mnist")
    drawn, drawn_labels = make_digits(2 * (len(mnist.train_labels) - HELD_OUT), SEED)
    images = np.concatenate([mnist.train_images[:-HELD_OUT], drawn])
    labels = np.concatenate([mnist.train_labels[:-HELD_OUT], drawn_labels])
    model = teach(images, labels, mnist.train_images[-HELD_OUT:], OTHERS, EPOCHS)
    checkpoint.save(path, model)
    print(f"{path}: {model.network.n_params} weights, refuses what is below {model.config}")


if __name__ == "__main__":
    main()
