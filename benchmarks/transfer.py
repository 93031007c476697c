"""How well a network that was trained on the built-in digits alone reads MNIST.

python -m benchmarks.transfer                # on MNIST's training images, for development
python -m benchmarks.transfer --split test   # on its test images, once, for the final figure
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mnistcore.data import load_data
from mnistcore.models.metrics import accuracy
from mnistcore.train import TrainConfig, run
from mnistcore.training.recipes import DEFAULT_RECIPE, RECIPES


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument("--recipe", default=DEFAULT_RECIPE, choices=list(RECIPES))
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", default="train", choices=("train", "test"))
    arguments = parser.parse_args(argv)
    mnist = load_data("mnist")
    images, labels = (
        (mnist.train_images, mnist.train_labels)
        if arguments.split == "train"
        else (mnist.test_images, mnist.test_labels)
    )
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(
                recipe=arguments.recipe,
                backend=arguments.backend,
                data="synthetic",
                seed=seed,
                output=str(Path(folder) / "run"),
            )
            model = run(config).model
        share = accuracy(labels, model.predict(images, arguments.backend))
        print(f"seed {seed}: {share:.2%} of MNIST's {arguments.split} images", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
