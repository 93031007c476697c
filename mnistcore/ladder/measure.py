"""Measure the steps of the ladder on this machine, next to its peak and NumPy's BLAS."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..kernels.backends import BackendUnavailableError
from ..kernels.blas import named_threads
from ..kernels.threads import available_cores, get_num_threads
from ..system.machine import cpu_model, library_versions
from .peak import peak_gflops
from .step import BACKENDS, Product, Step, steps

__all__ = ["Ladder", "Rung", "run"]

SHAPE = (128, 784, 1024)  # a batch of 128 images, 784 pixels, 1024 units
SECONDS = 6.0
LARGEST_SIZE = 1 << 16  # sums over K products of integers up to 8 are exact in float32
LARGEST_MATRIX = 1 << 28  # elements: 1 GiB

BURST = 0.004  # seconds of repeated calls of a step in one round
LONGEST_CALL = 0.15  # of the measuring time; slower steps are timed on fewer rows
PROBE_ROWS = 8

PEAK_ITERATIONS = 300_000  # of the peak's loop per round: a millisecond or two

BLAS = "BLAS"


@dataclass(frozen=True)
class Rung:
    """The measurement of one step.

    Attributes
    ----------
    backend, step
        "numba" or "cython" and the name of the step; "numpy" and "BLAS" for NumPy's product.
    seconds
        The shortest time of a call, for the whole shape.
    gflops
        1e9 float32 operations per second; a product takes 2 M K N operations.
    threads
        The number of cores that the step may use.
    of_peak
        The fraction reached of the peak of that many cores.
    gain
        The speed relative to the previous step; None for the first.
    rows
        The number of rows of a that were measured; fewer than M if M would have taken too long.
    exact
        Whether the result was exact. (The operands are small integers.)
    """

    backend: str
    step: str
    seconds: float
    gflops: float
    threads: int
    of_peak: float
    gain: float | None
    rows: int
    exact: bool


@dataclass(frozen=True)
class Ladder:
    """Measurements of the steps of all backends, from naive to fast, and of NumPy's BLAS.

    Attributes
    ----------
    shape
        (M, K, N).
    rungs
        The measurements.
    peaks
        The measured peak in GFLOP/s by number of threads.
    missing
        The reason why a backend is missing, by its name.
    """

    shape: tuple[int, int, int]
    rungs: list[Rung]
    peaks: dict[int, float]
    missing: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the measurements with the machine and the library versions, for JSON."""
        return {
            "machine": {"cpu": cpu_model(), "cores": available_cores()},
            "versions": library_versions("numba"),
            "shape": list(self.shape),
            "peak_gflops": {str(threads): peak for threads, peak in self.peaks.items()},
            "rungs": [asdict(rung) for rung in self.rungs],
            "missing": self.missing,
        }


def run(
    backend: str = "both",
    shape: Sequence[int] = SHAPE,
    seconds: float = SECONDS,
    report: Callable[[str], None] = lambda text: None,
) -> Ladder:
    """Measure the steps of one backend or of both.

    The steps are called in turn in many rounds, so that disturbances affect all of them. The
    shortest call of each counts.

    Parameters
    ----------
    backend
        "numba", "cython" or "both"; with "both", one of them may be missing.
    shape
        M, K, N: a (M, K) times b (K, N).
    seconds
        The approximate measuring time, without compilation and the peak.
    report
        Called with a line about the current activity.

    Raises
    ------
    ValueError
        If an argument is out of range, or NUMBA_DISABLE_JIT is set.
    BackendUnavailableError
        If the backend cannot be loaded, or with "both" neither of them.
    """
    m, k, n = _check_shape(shape)
    if not (math.isfinite(seconds) and 0 < seconds <= 3600):
        raise ValueError(f"seconds must be above 0 and at most 3600, got {seconds}")
    _check_compiler()
    report("loading and compiling (the first run takes longest)")
    candidates, missing = _candidates(backend)
    rng = np.random.default_rng(0)
    a, b = np.empty((m, k), np.float32), np.empty((k, n), np.float32)
    _draw(rng, a, b)
    trials = [
        _Trial(name, step.name, step.multiply, get_num_threads() if step.threaded else 1)
        for name, step in candidates
    ]
    trials.append(_Trial("numpy", BLAS, _blas, _blas_threads()))
    out = np.empty((m, n), np.float32)
    for trial in trials:
        trial.prepare(a, b, out, LONGEST_CALL * seconds)
    _draw(rng, a, b)  # other numbers than so far: who repeats an earlier answer is wrong
    report(f"measuring {len(trials)} steps and the peak for {seconds:.0f} s")
    peaks = _measure(trials, a @ b, seconds / len(trials))
    return Ladder((m, k, n), _rungs(trials, (m, k, n), peaks), peaks, missing)


def _check_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or not all(1 <= size <= LARGEST_SIZE for size in shape):
        raise ValueError(
            f"shape must be three numbers M K N in [1, {LARGEST_SIZE}],"
            f" got {' '.join(map(str, shape))}"
        )
    m, k, n = shape
    if max(m * k, k * n, m * n) > LARGEST_MATRIX:
        raise ValueError(
            f"shape must make no matrix larger than {LARGEST_MATRIX:,} numbers (1 GiB),"
            f" got {m} {k} {n}"
        )
    return m, k, n


def _draw(rng: np.random.Generator, *operands: np.ndarray) -> None:
    """Fill them with small whole numbers, whose products are exact."""
    for operand in operands:
        operand[...] = rng.integers(-8, 9, operand.shape)


def _check_compiler() -> None:
    """Check that Numba compiles: it measures the peak, for the steps of any backend."""
    try:
        import numba
    except ImportError as error:
        raise BackendUnavailableError(
            f"the peak of this machine is measured in Numba, which does not load: {error}"
        ) from error
    if getattr(numba.config, "DISABLE_JIT", False):  # made at run time
        raise ValueError("NUMBA_DISABLE_JIT is set, and only what is compiled can be measured")


def _candidates(backend: str) -> tuple[list[tuple[str, Step]], dict[str, str]]:
    """Return the steps to measure with their backends, and the reasons for missing backends."""
    if backend != "both":
        return [(backend, step) for step in steps(backend)], {}
    found, missing = [], {}
    for name in BACKENDS:
        try:
            found += [(name, step) for step in steps(name)]
        except BackendUnavailableError as error:
            missing[name] = str(error)
    if not found:
        raise BackendUnavailableError("; ".join(missing.values()))
    return found, missing


class _Trial:
    """Times the calls of one step, on all or some rows of the operands."""

    def __init__(self, backend: str, step: str, multiply: Product, threads: int) -> None:
        self.backend, self.step, self.threads = backend, step, threads
        self.rows = 0
        self.best = math.inf
        self.spent = 0.0
        self.exact = True
        self._multiply = multiply

    def prepare(self, a: np.ndarray, b: np.ndarray, out: np.ndarray, longest: float) -> None:
        """Compile, and find how many rows a call of at most ``longest`` seconds can process."""
        self._operands = a[:1], b, out[:1]
        self._call()  # compiles
        rows, seconds = PROBE_ROWS, 0.0
        while True:  # start with few rows: a naive step may take a second for each
            self._operands = a[:rows], b, out[:rows]
            seconds = self._call()
            if rows >= len(a) or seconds > longest / 8:
                break
            rows *= 4
        predicted = seconds * len(a) / min(rows, len(a))
        bearable = int(len(a) * min(1.0, longest / predicted))
        self.rows = min(len(a), max(bearable, PROBE_ROWS))
        self._operands = a[: self.rows], b, out[: self.rows]

    def burst(self) -> None:
        """Call the step repeatedly for BURST seconds, at least once."""
        until = time.perf_counter() + BURST
        while True:
            seconds = self._call()
            self.best = min(self.best, seconds)
            self.spent += seconds
            if time.perf_counter() > until:
                return

    def check(self, expected: np.ndarray) -> None:
        """Run a burst on an ``out`` filled with NaN, and check that it then holds the product."""
        out = self._operands[2]
        out.fill(np.nan)
        self.burst()
        self.exact = np.array_equal(out, expected[: self.rows])

    def _call(self) -> float:
        began = time.perf_counter()
        self._multiply(*self._operands)
        return time.perf_counter() - began


def _measure(trials: Sequence[_Trial], expected: np.ndarray, share: float) -> dict[int, float]:
    """Run a burst of each trial in turn until each has used its share of the time.

    Return the peaks by number of threads. They are measured in the same rounds, so that other
    programs that occupy a core affect both.
    """
    peaks = dict.fromkeys(sorted({trial.threads for trial in trials}), 0.0)
    for trial in trials:
        trial.check(expected)
    while True:
        for threads in peaks:
            peaks[threads] = max(peaks[threads], peak_gflops(threads, PEAK_ITERATIONS, runs=2))
        waiting = [trial for trial in trials if trial.spent < share]
        if not waiting:
            return peaks
        for trial in waiting:
            trial.burst()


def _rungs(
    trials: Sequence[_Trial], shape: tuple[int, int, int], peaks: Mapping[int, float]
) -> list[Rung]:
    m, k, n = shape
    rungs: list[Rung] = []
    for trial in trials:
        seconds = trial.best * m / trial.rows
        gflops = 2e-9 * m * k * n / seconds
        before = rungs[-1] if rungs and rungs[-1].backend == trial.backend else None
        rungs.append(
            Rung(
                backend=trial.backend,
                step=trial.step,
                seconds=seconds,
                gflops=gflops,
                threads=trial.threads,
                of_peak=gflops / peaks[trial.threads],
                gain=before.seconds / seconds if before else None,
                rows=trial.rows,
                exact=trial.exact,
            )
        )
    return rungs


def _blas(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    np.matmul(a, b, out=out)


def _blas_threads() -> int:
    """Return the number of threads of NumPy's BLAS: from its variables, or else all cores."""
    cores = available_cores()
    return min(named_threads() or cores, cores)
