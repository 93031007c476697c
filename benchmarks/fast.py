"""The recipe ``fast`` as a whole process, beside the same training in PyTorch.

    python -m benchmarks.fast --rounds 5

Both read the same files, train the same network on all 60,000 images with the same optimizer,
schedule, loss, epochs and number of threads, evaluate it on the test set and end. Their turns are
interleaved, with another seed in each round; the medians of the times are compared.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

import numpy as np

from mnistcore.data import load_data
from mnistcore.training.recipes import RECIPES

# As PyTorch's performance guide says: data in memory as one tensor, batches by index_select, a
# fused optimizer, gradients set to None, no synchronisation in the loop.
PYTORCH = """
import sys
import numpy as np
import torch
from torch import nn
from torch.nn import functional

folder, seed, threads, hidden, rate, batch, epochs, smoothing = sys.argv[1:]
seed, batch, epochs = int(seed), int(batch), int(epochs)
torch.set_num_threads(int(threads))
torch.manual_seed(seed)
images, labels, test_images, test_labels = (
    torch.from_numpy(np.load(f"{folder}/{name}.npy"))
    for name in ("images", "labels", "test_images", "test_labels")
)
x, test = images.float().mul_(1 / 255), test_images.float().mul_(1 / 255)
sizes = [784, *map(int, hidden.split(",")), 10]
layers = []
for fan_in, fan_out in zip(sizes, sizes[1:]):
    linear = nn.Linear(fan_in, fan_out)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    layers += [linear, nn.ReLU()]
model = nn.Sequential(*layers[:-1])
optimizer = torch.optim.Adam(model.parameters(), lr=float(rate), fused=True)
steps = epochs * -(-len(x) // batch)
schedule = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, float(rate), total_steps=steps, cycle_momentum=False
)
for _ in range(epochs):
    for rows in torch.randperm(len(x)).split(batch):
        optimizer.zero_grad(set_to_none=True)
        logits = model(x.index_select(0, rows))
        functional.cross_entropy(logits, labels[rows], label_smoothing=float(smoothing)).backward()
        optimizer.step()
        schedule.step()
with torch.inference_mode():
    print((model(test).argmax(dim=1) == test_labels).float().mean().item())
"""


def timed(command: Sequence[str], threads: int) -> tuple[float, str]:
    """Return the seconds of a new process, and what it printed."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    began = time.perf_counter()
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return time.perf_counter() - began, done.stdout


def ours(backend: str, seed: int, threads: int) -> tuple[float, float]:
    """Return the seconds and the test accuracy of our command."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "mnistcore.train", "--recipe", "fast"]
        command += ["--backend", backend, "--seed", str(seed), "--data", "mnist", "--quiet"]
        seconds, printed = timed([*command, "--output", str(Path(place, "run"))], threads)
    return seconds, float(printed.split()[2]) / 100  # "test accuracy 98.40 %, ..."


def pytorch(folder: str, seed: int, threads: int) -> tuple[float, float]:
    """Return the same of the same training in PyTorch."""
    chosen = RECIPES["fast"].settings
    names = ("learning_rate", "batch_size", "epochs", "label_smoothing")
    hidden = ",".join(map(str, chosen["hidden"]))
    options = [folder, str(seed), str(threads), hidden, *(str(chosen[name]) for name in names)]
    seconds, printed = timed([sys.executable, "-c", PYTORCH, *options], threads)
    return seconds, float(printed)


def save_data(folder: str) -> None:
    """Write the images and labels as PyTorch's process reads them, ready to use."""
    data = load_data("mnist")
    for name, array in {
        "images": data.train_images.reshape(len(data.train_images), -1),
        "labels": data.train_labels.astype(np.int64),
        "test_images": data.test_images.reshape(len(data.test_images), -1),
        "test_labels": data.test_labels.astype(np.int64),
    }.items():
        np.save(Path(folder, name), array)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fast", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args(argv)
    print(f"{'whole process':<24}{'threads':>8}{'seconds':>9}{'accuracy':>10}")
    with tempfile.TemporaryDirectory() as folder:
        save_data(folder)
        for threads in arguments.threads:
            sides: dict[str, list[tuple[float, float]]] = {"cython": [], "numba": [], "PyTorch": []}
            for backend in ("cython", "numba"):
                ours(backend, 0, threads)  # compiled, and the data unpacked
            pytorch(folder, 0, threads)  # read from the disk
            for seed in range(arguments.rounds):
                for backend in ("cython", "numba"):
                    sides[backend].append(ours(backend, seed, threads))
                sides["PyTorch"].append(pytorch(folder, seed, threads))
            for name, results in sides.items():
                seconds, accuracies = zip(*results, strict=True)
                print(
                    f"{name:<24}{threads:>8}{median(seconds):>9.2f}{mean(accuracies):>10.2%}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
