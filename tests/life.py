"""What a process keeps of its work: memory, threads, open files, children and temporary files.

``python -m tests.life`` trains for 500 epochs, fits 500 estimators, and uses the commands 20
times, all in one process. Compiled code, imported modules and the team of threads are kept by
the first turns. After these, neither what Python and NumPy have allocated may grow, nor the process
as a whole, and nothing else may be left over. ``--turns 20 --rounds 0`` is the short form.
"""

import argparse
import contextlib
import gc
import io
import os
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # what tests share

from PIL import Image, ImageDraw
from small_digits import small_digits
from small_models import MODELS

from mnistcore.__main__ import main as mnistcore_main
from mnistcore.models.checkpoint import save
from mnistcore.sklearn import MLPClassifier
from mnistcore.train import TrainConfig, run
from mnistcore.training.records import Listener

A_TURN = 5000  # bytes allocated; the small images take 22,000, and a record of an epoch a thousand
IN_ALL = 6.0  # MiB of the process
BACKENDS = ("cython", "numba", "numpy")


def memory():
    """The bytes that Python and NumPy have allocated, and the MiB of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return tracemalloc.get_traced_memory()[0], pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Growth:
    """How memory grows between two moments, in so many turns."""

    def __init__(self, turns):
        self.turns, self.before = turns, memory()

    def end(self):
        allocated, process = memory()
        self.a_turn = (allocated - self.before[0]) / max(1, self.turns)
        self.in_all = process - self.before[1]
        return self

    def __str__(self):
        return f"{self.a_turn:+,.0f} bytes a turn, {self.in_all:+.1f} MiB in all"

    def is_none(self):
        return self.a_turn < A_TURN and self.in_all < IN_ALL


def growth_of(job, turns):
    """How memory grows while a job is done so often, after some first turns."""
    for _ in range(1 + turns // 5):
        job()
    growth = Growth(turns)
    for _ in range(turns):
        job()
    return growth.end()


def holdings(temporary):
    """The files, threads and children of this process, and the temporary files."""
    gc.collect()
    files = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            files.append(os.readlink(path))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "files": sorted(files),
        "threads": len(os.listdir("/proc/self/task")),
        "threads of Python": sorted(thread.name for thread in threading.enumerate()),
        "children": children,
        "temporary files": sorted(os.listdir(temporary)),
    }


def train(dataset, folder, backend, epochs, listener=None):
    """Train a small network with many options on."""
    config = TrainConfig(
        output=str(folder), backend=backend, epochs=epochs, hidden=(16, 8), batch_size=100,
        batch_norm=True, dropout=0.1, augment=True, ema=0.9,
    )  # fmt: skip
    run(config, dataset=dataset, listener=listener)


def growth_of_epochs(dataset, folder, backend, turns):
    """How memory grows in so many epochs of one run, after some first ones."""
    first = 1 + turns // 5

    class Look(Listener):
        def epoch_done(self, record):
            if record.epoch == first:
                self.growth = Growth(turns)
            if record.epoch == first + turns:
                self.growth.end()

    look = Look()
    train(dataset, folder, backend, first + turns, look)
    return look.growth


def fit(dataset, backend):
    """Fit an estimator to the small images, and predict them."""
    x = dataset.train_images.reshape(len(dataset.train_images), -1)
    estimator = MLPClassifier(
        (16,), backend=backend, max_iter=2, early_stopping=True, random_state=0
    )
    estimator.fit(x, dataset.train_labels).predict(x)


def write_inputs(place):
    """Write the small images, a network for pictures, and a picture."""
    dataset = small_digits(place / "data")
    save(place / "reader.safetensors", MODELS["relu"])
    picture = Image.new("L", (60, 60), 255)
    ImageDraw.Draw(picture).line((30, 10, 30, 50), fill=0, width=6)
    picture.save(place / "one.png")
    return dataset


def use_commands(place, run):
    """Use every command that reads, writes or starts something, once; their output is dropped."""
    data, into = str(place / "data"), tempfile.mkdtemp(dir=place)
    small = ["--data", data, "--epochs", "1"]
    for words in (
        ["train", *small, "--output", f"{into}/run", "--report", "--log", "csv"],
        ["evaluate", run, "--data", data],
        ["predict", str(place / "reader.safetensors"), str(place / "one.png")],
        ["report", run, "--data", data],
        ["export", run, "--to", "c", "--output", f"{into}/digits.c"],
        ["search", *small, "--output", f"{into}/search", "--trials", "2", "--workers", "1",
         "--layers", "1", "2", "--units", "4:8"],
    ):  # fmt: skip
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            status = mnistcore_main(words)
        assert status == 0, (words, told.getvalue())


def check(place, turns, rounds, backends):
    """Print a line for each kind of work, and return whether nothing is left over."""
    temporary = place / "temporary"
    temporary.mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    dataset, good = write_inputs(place), []

    def tell(what, passed):
        good.append(passed)
        print(f"{'ok ' if passed else 'BAD'} {time.process_time():4.0f} s  {what}", flush=True)

    for backend in backends:
        growth = growth_of_epochs(dataset, place / backend, backend, turns)
        tell(f"{backend}, {turns} epochs: {growth}", growth.is_none())
        growth = growth_of(lambda name=backend: fit(dataset, name), turns)
        tell(f"{backend}, {turns} fits: {growth}", growth.is_none())
    tracemalloc.stop()  # figures would take minutes
    for _ in range(min(rounds, 2)):  # figures fill caches twice
        use_commands(place, str(place / backends[0]))
    before, growth = holdings(temporary), Growth(rounds)
    for backend in backends:
        train(dataset, place / f"{backend} again", backend, 2)
        fit(dataset, backend)
    for _ in range(rounds):
        use_commands(place, str(place / backends[0]))
    grown, after = growth.end().in_all, holdings(temporary)
    tell(f"the commands, {rounds} times: {grown:+.1f} MiB", grown < 2 * IN_ALL)
    for kind, left in after.items():
        tell(f"{kind}: {before[kind]}, then {left}", left == before[kind])
    tell(f"temporary files: {after['temporary files']}", not after["temporary files"])
    return all(good)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=20, help="of the commands")
    parser.add_argument("--backends", nargs="+", default=BACKENDS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as place:
        passed = check(Path(place), arguments.turns, arguments.rounds, arguments.backends)
    sys.exit(not passed)


if __name__ == "__main__":
    main()
