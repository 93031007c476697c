"""The measurements of each section of the results, by workers or new processes."""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.sizes import (
    DEFAULT_NETWORK,
    SAMPLES,
    SQUARES,
    TEST_SAMPLES,
    case_of,
    product_shapes,
)
from mnistcore.data import Dataset

from .libraries import LIBRARIES
from .products import installed_product_libraries
from .results import Row, summary
from .rounds import Worker, WorkerError, run_fresh, take_turns
from .worker import Assignment

LOADING_AT_ONCE = 2  # workers that load their library side by side


@dataclass(frozen=True)
class Plan:
    """What to measure: libraries, networks and numbers of threads, and for how many rounds."""

    libraries: Sequence[str]
    networks: Sequence[str]
    threads: Sequence[int]
    rounds: int
    folder: str
    data: str


class Notice:
    """Receives messages about the progress of a measurement."""

    def say(self, text: str) -> None:
        """Show a line of progress."""

    def fail(self, error: WorkerError) -> None:
        """Note that a library could not be measured. The others still are."""


@contextmanager
def data_folder(dataset: Dataset) -> Iterator[str]:
    """A temporary folder with the raw arrays that every library reads."""
    with tempfile.TemporaryDirectory(prefix="mnistcore-peers-") as folder:
        for name, array in (
            ("images", dataset.train_images[:SAMPLES].reshape(-1, 784)),
            ("labels", dataset.train_labels[:SAMPLES]),
            ("test_images", dataset.test_images[:TEST_SAMPLES].reshape(-1, 784)),
            ("test_labels", dataset.test_labels[:TEST_SAMPLES]),
        ):
            np.save(Path(folder, f"{name}.npy"), array)
        yield folder


@contextmanager
def _ready_workers(
    kind: str, assignments: Sequence[Assignment], notice: Notice
) -> Iterator[list[Worker]]:
    """A worker for each assignment, with its library loaded; those that fail are left out."""
    with ExitStack() as stack:
        ready = []
        for first in range(0, len(assignments), LOADING_AT_ONCE):
            part = assignments[first : first + LOADING_AT_ONCE]
            for worker in [stack.enter_context(Worker(kind, one)) for one in part]:
                try:
                    worker.await_ready()
                    ready.append(worker)
                except WorkerError as error:
                    notice.fail(error)
        yield ready


def measure_ceilings(threads: Sequence[int], folder: str) -> dict[str, dict[str, float]]:
    """Peak and bandwidth by number of threads."""
    ceilings = {}
    for count in threads:
        assignment = Assignment("ceilings", DEFAULT_NETWORK.name, count, folder)
        with Worker("ceilings", assignment) as worker:
            worker.await_ready()
            ceilings[str(count)] = worker.tell("ceilings")
    return ceilings


def measure_networks(
    plan: Plan, sections: Sequence[str], notice: Notice
) -> Iterator[tuple[str, list[Row]]]:
    """(section, rows) of each network: sections "epoch" and "inference"."""
    for network in plan.networks:
        assignments = [
            Assignment(library, network, threads, plan.folder)
            for threads in plan.threads
            for library in plan.libraries
            if ("epoch" in sections and LIBRARIES[library].trains)
            or ("inference" in sections and LIBRARIES[library].predicts)
        ]
        notice.say(f"{network}: loading {len(assignments)} workers")
        with _ready_workers("peer", assignments, notice) as workers:
            warm = _warmed(workers, notice)
            if "epoch" in sections:
                yield "epoch", _epoch_rows(plan, network, warm, notice)
            if "inference" in sections:
                yield "inference", _inference_rows(plan, network, warm, notice)


def _warmed(workers: Sequence[Worker], notice: Notice) -> dict[Worker, Row]:
    """The answer of each worker to its warm-up; those that fail are left out."""
    warm = {}
    for worker in workers:
        try:
            warm[worker] = worker.tell("warm")
        except WorkerError as error:
            notice.fail(error)
            continue
        one = worker.assignment
        accuracy = warm[worker]["accuracy"]
        notice.say(f"  {one.library}, {one.threads} threads: warm, test accuracy {accuracy:.3f}")
    return warm


def _epoch_rows(plan: Plan, network: str, warm: dict[Worker, Row], notice: Notice) -> list[Row]:
    notice.say(f"{network}: {plan.rounds} rounds of an epoch each")
    training = [one for one in warm if LIBRARIES[one.assignment.library].trains]
    rows = []
    for worker, answers in zip(training, take_turns(training, plan.rounds, "epoch"), strict=True):
        rows.append(
            _identity(worker)
            | {
                "seconds": summary([answer["seconds"] for answer in answers]),
                "samples": answers[0]["samples"],
                "samples_trained": answers[0]["samples_trained"],
                "batch_size": case_of(network).batch_size,
                "note": warm[worker]["note"],
                "warm_accuracy": warm[worker]["accuracy"],
                "idle_cpu": worker.idle_cpu,
            }
        )
        notice.say(f"  {_name(worker)}: {rows[-1]['seconds']['median']:.3f} s")
    return rows


def _inference_rows(plan: Plan, network: str, warm: dict[Worker, Row], notice: Notice) -> list[Row]:
    notice.say(f"{network}: {plan.rounds} rounds of prediction")
    workers = [one for one in warm if LIBRARIES[one.assignment.library].predicts]
    rows = []
    for worker, answers in zip(workers, take_turns(workers, plan.rounds, "predict"), strict=True):
        rows.append(
            _identity(worker)
            | {
                "images_per_second": summary([answer["images_per_second"] for answer in answers]),
                "latency": summary([answer["latency"] for answer in answers]),
                "chunk": statistics.mode(answer["chunk"] for answer in answers),
                "idle_cpu": worker.idle_cpu,
            }
        )
        rate, latency = (rows[-1][key]["median"] for key in ("images_per_second", "latency"))
        notice.say(f"  {_name(worker)}: {rate:,.0f} images/s, {1e6 * latency:.1f} us for one")
    return rows


def _identity(worker: Worker) -> Row:
    one = worker.assignment
    return {"network": one.network, "library": one.library, "threads": one.threads}


def _name(worker: Worker) -> str:
    return f"{worker.assignment.library}, {worker.assignment.threads} threads"


def measure_fresh(plan: Plan, what: str, environment: dict[str, str], notice: Notice) -> list[Row]:
    """Rows of "start" or "memory": a new process each time, all libraries in turn.

    The first run of each does not count: it fills the caches of files and of compiled code.
    """
    libraries = [name for name in plan.libraries if LIBRARIES[name].does_all]
    threads, network = max(plan.threads), DEFAULT_NETWORK.name
    rows = {
        library: {"network": network, "library": library, "threads": threads, "cold": False}
        for library in libraries
    }
    figures: dict[str, list[float]] = {library: [] for library in libraries}
    for round_ in range(plan.rounds + 1):
        for library in list(figures):
            assignment = Assignment(library, network, threads, plan.folder, plan.data)
            try:
                seconds, answer = run_fresh(what, assignment, **environment)
            except WorkerError as error:
                notice.fail(error)
                del figures[library]
                continue
            figure = seconds if what == "start" else float(answer["bytes"])
            notice.say(f"  {what}: {library}: {_readable(what, figure)}")
            if round_:
                figures[library].append(figure)
    measured = [rows[library] | {_key(what): summary(figures[library])} for library in figures]
    if what == "start" and "mnistcore-numba" in figures:
        measured.append(_cold_start(replace(plan, threads=[threads]), environment, notice))
    return measured


def _cold_start(plan: Plan, environment: dict[str, str], notice: Notice) -> Row:
    """One start with Numba while nothing is compiled yet."""
    library, network = "mnistcore-numba", DEFAULT_NETWORK.name
    assignment = Assignment(library, network, plan.threads[0], plan.folder, plan.data)
    with tempfile.TemporaryDirectory() as empty:
        seconds, _ = run_fresh("start", assignment, **environment, NUMBA_CACHE_DIR=empty)
    notice.say(f"  start: {library}, nothing compiled yet: {seconds:.2f} s")
    identity = {"network": network, "library": library, "threads": plan.threads[0]}
    return identity | {"cold": True, "seconds": summary([seconds])}


def _key(what: str) -> str:
    return "seconds" if what == "start" else "bytes"


def _readable(what: str, figure: float) -> str:
    return f"{figure:.2f} s" if what == "start" else f"{figure / 2**20:.0f} MiB"


def measure_products(plan: Plan, notice: Notice) -> list[Row]:
    """Rows of "products": the shapes that occur in the networks, and squares."""
    wanted = [name for name in installed_product_libraries() if name in plan.libraries]
    assignments = [
        Assignment(library, DEFAULT_NETWORK.name, threads, plan.folder)
        for threads in plan.threads
        for library in wanted
    ]
    shapes = product_shapes() + [("matmul", size, size, size) for size in SQUARES]
    rows = []
    with _ready_workers("product", assignments, notice) as workers:
        for index, (kernel, m, n, k) in enumerate(shapes, start=1):
            notice.say(f"product {index} of {len(shapes)}: {kernel} {m} x {k} x {n}")
            answers = take_turns(workers, plan.rounds, "product", kernel=kernel, m=m, n=n, k=k)
            seconds: dict[int, Row] = {threads: {} for threads in plan.threads}
            for worker, own in zip(workers, answers, strict=True):
                one = worker.assignment
                seconds[one.threads][one.library] = summary([answer["seconds"] for answer in own])
            shape = {"kernel": kernel, "m": m, "n": n, "k": k}
            rows += [
                shape | {"threads": t, "seconds": by_library} for t, by_library in seconds.items()
            ]
    return rows
