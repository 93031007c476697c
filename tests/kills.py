"""Runs that are killed at random moments, and resumed until they are finished.

``python tests/kills.py --kills 100`` kills a run of each compiled backend so many times with
SIGKILL, which no program can handle, and compares what it comes to with an undisturbed run: the
model byte for byte, and the recorded epochs. Augmentation, batch normalisation, dropout, the
average of the weights and the optimizer's state are all part of it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from small_digits import write_small_digits

ROOT = Path(__file__).parents[1]
OPTIONS = [
    *("--augment", "--batch-norm", "--dropout", "0.2", "--ema", "0.99", "--clip-norm", "1"),
    *("--hidden", "24", "16", "--batch-size", "16", "--patience", "1000000", "--quiet"),
]


def command(*flags):
    """Start ``mnistcore train`` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "mnistcore.train", *flags]
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(*flags):
    """Run the command to its end."""
    process = command(*flags)
    try:
        _, errors = process.communicate(timeout=1800)
    finally:
        process.kill()
    assert process.returncode == 0, errors


def kill_and_resume(run, flags, kills, seconds, rng):
    """Train into the folder ``run``, killed so many times; return how many kills hit training.

    Undisturbed, the run takes so many seconds. The process is killed some time after it began or,
    every other time, after it has written its next checkpoint: otherwise a run on a slow machine
    would never come on. Fewer kills are done if the run is finished before.
    """
    hits, done = 0, 0
    while done < kills and not is_finished(run):
        before = newest_of(run)
        process = command(*(["--resume", str(run), "--quiet"] if resumable(run) else flags))
        began = time.monotonic()
        while done % 2 and newest_of(run) == before and process.poll() is None:
            assert time.monotonic() - began < 120, "a run makes no progress"
            time.sleep(0.005)
        time.sleep(rng.uniform(0, seconds / (10 if done % 2 else 4)))
        hits += newest_of(run) != before
        if process.poll() is None:
            process.kill()
            done += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -9), errors
        check(run)
    if not is_finished(run):
        finish("--resume", str(run), "--quiet")
    return done, hits


def resumable(run):
    return (run / "config.json").exists()


def is_finished(run):
    """Whether the last process reached its end."""
    return (run / "summary.json").exists()


def newest_of(run):
    """What tells one checkpoint from the next; they come and go while a process trains."""
    found = []
    for path in run.glob("checkpoint-*"):
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path.name))
    return max(found, default=None)


def check(run):
    """Check that no file under its own name is half written."""
    from mnistcore.runs.checkpoints import load

    for path in run.glob("checkpoint-*"):
        load(path)
    for path in run.glob("*.json"):
        json.loads(path.read_text())


def compare(run, undisturbed):
    """Check that two runs came to the same model and recorded the same epochs."""
    one, other = ((folder / "model.safetensors").read_bytes() for folder in (run, undisturbed))
    assert one == other, "the models differ"
    records = []
    for folder in (run, undisturbed):
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        records.append([{**json.loads(line), "seconds": 0} for line in lines])
    validated = [[(r["epoch"], r["validation_loss"]) for r in each] for each in records]
    assert validated[0] == validated[1], "the epochs differ"
    names = [
        [path.name for path in folder.iterdir() if lasts(path)] for folder in (run, undisturbed)
    ]
    assert sorted(names[0]) == sorted(names[1]), "the folders differ"


def lasts(path):
    """Whether a file is more than an empty temporary one, which stays for a minute after a kill."""
    return path.stat().st_size > 0 or path.suffix != ".tmp"


def experiment(place, backend, kills, epochs, every, seed=0):
    """Kill and resume one run in the folder ``place``; return the kills, and those that hit."""
    data = place / "data"
    if not data.exists():
        write_small_digits(data)
    options = ["--data", str(data), "--backend", backend, "--epochs", str(epochs), *OPTIONS]
    options += ["--checkpoint-every", every]
    run, undisturbed = place / f"killed-{backend}", place / f"undisturbed-{backend}"
    began = time.monotonic()
    finish(*options, "--output", str(undisturbed))
    seconds = time.monotonic() - began
    flags = [*options, "--output", str(run)]
    counts = kill_and_resume(run, flags, kills, min(seconds, 8), random.Random(seed))
    compare(run, undisturbed)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20_000)
    parser.add_argument("--every", default="1seconds", help="as --checkpoint-every of train")
    parser.add_argument("--backends", nargs="+", default=["cython", "numba"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for backend in arguments.backends:
        with tempfile.TemporaryDirectory() as place:
            began = time.monotonic()
            kills, hits = experiment(
                Path(place), backend, arguments.kills, arguments.epochs, arguments.every,
                arguments.seed,
            )  # fmt: skip
            seconds = time.monotonic() - began
            print(
                f"{backend}: {kills} kills, {hits} after a new checkpoint: the same model, the same"
                f" epochs ({seconds:.0f} s)"
            )


if __name__ == "__main__":
    main()
