"""The process that runs one library with one number of threads, a round at a time.

The first line of its standard input is its assignment, each later line a command, all of them
JSON. It answers every line with a line of JSON, ``{"error": "..."}`` where it failed.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.settling import settle

if TYPE_CHECKING:
    from .libraries import Job, Peer

# How far a library's training may be off the reference: the norm of the error over that of the
# change, after the first call and after a later one, which goes on from the errors before.
# The libraries that shuffle by themselves put epsilon elsewhere in Adam, and Keras's is larger.
TRAINING_TOLERANCES = (0.002, 0.05)
SHUFFLED_TOLERANCES = (0.15, 0.15)
LEAST_AGREEMENT = 0.998  # of predicted classes: rounding decides between equal logits
VERIFIED_SINGLES = 20  # images that are predicted one by one


@dataclass(frozen=True)
class Assignment:
    """What a worker runs: library, network, number of threads, folder with the data.

    ``data`` is the option of that name for mnistcore's ``train`` command, which loads its data
    itself.
    """

    library: str
    network: str
    threads: int
    folder: str
    data: str = "auto"

    def to_json(self) -> str:
        """The assignment as a line of JSON."""
        return json.dumps(asdict(self))


def confine(threads: int) -> None:
    """Restrict this process to as many cores as it has threads, the last ones available.

    Interrupts and other processes mostly run on the first cores.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-threads:])


def make_job(assignment: Assignment) -> "Job":
    """The data and the initial weights that every library starts with."""
    import numpy as np

    from benchmarks.sizes import case_of
    from mnistcore.models.network import Network

    from .libraries import Job

    case, folder = case_of(assignment.network), Path(assignment.folder)
    network = Network(case.layer_sizes, case.activation)
    weights = network.views(network.init(np.random.default_rng(0)))
    images, labels = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
    return Job(assignment.library, case, assignment.threads, images, labels, weights)


class PeerWorker:
    """Runs the commands ``warm``, ``epoch`` and ``predict`` with one library."""

    def __init__(self, assignment: Assignment) -> None:
        import numpy as np

        from .libraries import LIBRARIES

        self._library = LIBRARIES[assignment.library]
        self._job = make_job(assignment)
        self._test_images = np.load(Path(assignment.folder, "test_images.npy"))
        self._test_labels = np.load(Path(assignment.folder, "test_labels.npy"))
        self._peer: Peer = self._library.load()(self._job)
        self._rng = np.random.default_rng(1)
        self._chunk = len(self._test_images)

    def warm(self) -> dict[str, Any]:
        """Check that it does the same work as the others, tune it, train an epoch."""
        from benchmarks.sizes import LEAST_ACCURACY

        if self._library.trains:
            self._verify_training()
            self._peer.tune()
            self.epoch()
        self._verify_prediction()
        accuracy = float((self._predict_in_chunks() == self._test_labels).mean())
        if self._library.trains and not accuracy > LEAST_ACCURACY:
            raise AssertionError(f"it does not learn: accuracy {accuracy:.3f} after the warm-up")
        return {"accuracy": accuracy, "note": self._peer.note}

    def epoch(self) -> dict[str, Any]:
        """Train for an epoch, or for fewer steps, whose time is scaled up to an epoch."""
        samples, case = len(self._job.images), self._job.case
        trained = min(samples, case.epoch_steps * case.batch_size) or samples
        began = time.perf_counter()
        self._peer.train(self._rng.permutation(samples)[:trained])
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds * samples / trained,
            "samples": samples,
            "samples_trained": trained,
        }

    def predict(self) -> dict[str, Any]:
        """Images per second for the whole test set, and the median latency of a single image."""
        import numpy as np

        from benchmarks.sizes import PREDICTION_CHUNKS, SINGLE_IMAGES

        rates = {}
        for chunk in PREDICTION_CHUNKS:
            self._chunk = chunk
            self._predict_in_chunks()
            began = time.perf_counter()
            self._predict_in_chunks()
            rates[chunk] = len(self._test_images) / (time.perf_counter() - began)
        single, latencies = self._test_images[:, None], []
        for index in range(SINGLE_IMAGES):
            began = time.perf_counter()
            self._peer.predict(single[index % len(single)])
            latencies.append(time.perf_counter() - began)
        best = max(rates, key=lambda chunk: rates[chunk])
        return {
            "images_per_second": rates[best],
            "chunk": best,
            "latency": float(np.median(latencies)),
        }

    def _predict_in_chunks(self) -> Any:
        import numpy as np

        images = self._test_images
        chunks = range(0, len(images), self._chunk)
        return np.concatenate(
            [self._peer.predict(images[first : first + self._chunk]) for first in chunks]
        )

    def _verify_training(self) -> None:
        """Train a few steps, in several calls, and compare the weights with those of our reference.

        A library that shuffles by itself is given one batch a call, whose order does not matter.
        """
        import numpy as np

        from benchmarks.workloads import VERIFIED_STEPS, Problem, error_of_change, reference_moments

        job, follows = self._job, self._peer.follows_order
        steps = np.array(VERIFIED_STEPS if follows else (1, 1))
        tolerances = TRAINING_TOLERANCES if follows else SHUFFLED_TOLERANCES
        ends = job.case.batch_size * steps.cumsum()
        orders = np.split(np.arange(ends[-1]), ends[:-1])
        problem = Problem(job.images, job.labels, _flat(job.weights))
        before, *moments = reference_moments(job.case, problem, orders)
        for call, (order, moment) in enumerate(zip(orders, moments, strict=True)):
            tolerance = tolerances[min(call, 1)]
            self._peer.train(order)
            error = error_of_change(_flat(self._peer.weights()), before.params, moment.params)
            if not error < tolerance:
                raise AssertionError(f"it trains otherwise than the reference: {error:.2g} off")

    def _verify_prediction(self) -> None:
        """Compare the classes of all test images, and of some one by one, with our reference's."""
        import numpy as np

        from mnistcore import get_backend
        from mnistcore.models.network import Network

        from ..workloads import PIXEL_SCALE

        case = self._job.case
        network, params = Network(case.layer_sizes, case.activation), _flat(self._peer.weights())
        images = self._test_images
        # The reference comes last: memory that it has freed would show its answer again.
        in_chunks = self._predict_in_chunks()
        one_by_one = [self._peer.predict(image[None]) for image in images[:VERIFIED_SINGLES]]
        expected = network.predict(get_backend("numpy"), params, images, PIXEL_SCALE)
        for predicted, classes in (
            (in_chunks, expected),
            (np.concatenate(one_by_one), expected[:VERIFIED_SINGLES]),
        ):
            agreement = (predicted == classes).mean()
            if not agreement > LEAST_AGREEMENT:
                raise AssertionError(f"it predicts otherwise than the reference: {agreement:.4f}")


def _flat(weights: Any) -> Any:
    import numpy as np

    return np.concatenate([part.ravel() for pair in weights for part in pair])


class ProductWorker:
    """Runs the command ``product`` with one library."""

    def __init__(self, assignment: Assignment) -> None:
        from .products import Products

        self._products = Products(assignment.library, assignment.threads)

    def product(self, kernel: str, m: int, n: int, k: int) -> dict[str, Any]:
        """The best time of a call."""
        return {"seconds": self._products.seconds(kernel, m, n, k)}


class CeilingsWorker:
    """Runs the command ``ceilings``."""

    def __init__(self, assignment: Assignment) -> None:
        self._threads = assignment.threads

    def ceilings(self) -> dict[str, Any]:
        """Peak and bandwidth of this many threads."""
        from benchmarks.ceilings import measure_ceilings

        return measure_ceilings([self._threads])[str(self._threads)]


KINDS: dict[str, Callable[[Assignment], Any]] = {
    "peer": PeerWorker,
    "product": ProductWorker,
    "ceilings": CeilingsWorker,
}


def serve(kind: str) -> None:
    """Answer commands until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    worker: Any = None
    idle_since = time.process_time()
    answer: dict[str, Any]
    for line in sys.stdin:
        message = json.loads(line)
        idle_cpu = time.process_time() - idle_since
        try:
            if worker is None:
                assignment = Assignment(**message)
                confine(assignment.threads)
                worker, answer = KINDS[kind](assignment), {}
            else:
                answer = getattr(worker, message.pop("do"))(**message)
            answer["idle_cpu"] = idle_cpu
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        settle()
        idle_since = time.process_time()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
