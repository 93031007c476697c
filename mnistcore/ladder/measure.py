"""Measure the steps of a ladder on this machine, next to its limits and to NumPy."""

import itertools
import math
import operator
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..kernels.backends import BackendUnavailableError
from ..kernels.blas import named_threads
from ..kernels.threads import available_cores, get_num_threads
from ..system.machine import cpu_model, library_versions
from .machine import bandwidth_gbs, peak_gflops
from .step import BACKENDS, Ladder, Step, load
from .verify import mistake

SECONDS = 10.0
QUICK_SECONDS = 2.0
LARGEST_SIZE = 1 << 24
LARGEST_ARRAY = 1 << 28  # elements: 1 GiB of float32

BURST = 0.004  # seconds of repeated calls of a step in one round
LONGEST_CALL = 0.05  # of the measuring time; slower steps are timed on fewer rows
OWN_SHAPES = 0.4  # of the measuring time is for the shapes at which single steps pay
PEAK_ITERATIONS = 300_000  # of the peak's loop in a round: a millisecond or two
TRIAD_BYTES = 1 << 24  # that the loop of the bandwidth moves in a round, at least, and
PASSES = 4  # at least so many times through its arrays


@dataclass(frozen=True)
class Rung:
    """The measurement of one step.

    Attributes
    ----------
    language, step
        "python", "numba", "cython", "numpy" or "yours", and the name of the step.
    seconds
        The shortest time of a call, for the whole shape.
    rate
        1e9 operations or bytes per second: the ladder's unit says which.
    threads
        The number of cores that the step may use.
    of_peak
        The fraction reached of the limit of that many cores.
    over_first
        The speed relative to the first step of the ladder.
    gain
        The speed relative to the step before; None for the first.
    own_shape, own_gain
        The shape at which the idea pays and the gain there, if it is not the ladder's shape.
    rows
        The number of rows that were measured; fewer than all if that would have taken too long.
    wrong
        What is wrong with the result; empty if it is right.
    """

    language: str
    step: str
    seconds: float
    rate: float
    threads: int
    of_peak: float
    over_first: float
    gain: float | None
    own_shape: tuple[int, ...] | None
    own_gain: float | None
    rows: int
    wrong: str


@dataclass(frozen=True)
class Climb:
    """Measurements of the steps of a ladder, from slow to fast, and of NumPy.

    Attributes
    ----------
    ladder, shape
        The name of the ladder, and the shape that was measured.
    rungs
        The measurements, by language.
    peaks
        The measured limit in the unit of the ladder, by number of threads.
    missing
        The reason why a backend is missing, by its name.
    """

    ladder: str
    shape: tuple[int, ...]
    rungs: list[Rung]
    peaks: dict[int, float]
    missing: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the measurements with the machine and the library versions, for JSON."""
        return {
            "machine": {"cpu": cpu_model(), "cores": available_cores()},
            "versions": library_versions("numba"),
            "ladder": self.ladder,
            "shape": list(self.shape),
            "unit": load(self.ladder).unit,
            "peaks": {str(threads): peak for threads, peak in self.peaks.items()},
            "rungs": [asdict(rung) for rung in self.rungs],
            "missing": self.missing,
        }


def run(
    ladder: str = "matmul",
    backend: str = "both",
    shape: Sequence[int] | None = None,
    seconds: float | None = None,
    *,
    quick: bool = False,
    others: Sequence[Step] = (),
    watch: Callable[[Climb], None] = lambda climb: None,
) -> Climb:
    """Measure the steps of a ladder: in Python, in one backend or both, and in NumPy.

    The steps are called in turn in many rounds, so that disturbances affect all of them. The
    shortest call of each counts.

    Parameters
    ----------
    ladder
        Its name.
    backend
        "numba", "cython" or "both"; with "both", one of them may be missing.
    shape
        The sizes of the ladder; None for its own. With a shape given, steps are not measured at
        the shapes at which they pay.
    seconds
        The approximate measuring time, without compilation; None for 10, or 2 if quick.
    quick
        Measure a smaller shape, and only that.
    others
        Functions of your own to measure in the same rounds, in the language "yours".
    watch
        Called again and again with what has been measured so far.

    Returns
    -------
    Climb

    Raises
    ------
    ValueError
        If an argument is out of range, or NUMBA_DISABLE_JIT is set.
    BackendUnavailableError
        If the backend cannot be loaded, or with "both" neither of them.
    """
    chosen = load(ladder)
    seconds = (QUICK_SECONDS if quick else SECONDS) if seconds is None else seconds
    if not (math.isfinite(seconds) and 0 < seconds <= 3600):
        raise ValueError(f"seconds must be above 0 and at most 3600, got {seconds}")
    own_shapes = not quick and shape is None
    whole = _check_shape(chosen, shape or (chosen.quick if quick else chosen.shape))
    _check_compiler()
    candidates, missing = _candidates(chosen, backend)
    candidates += [("yours", step) for step in others]
    climbing = _Climbing(chosen, whole, candidates, missing)
    share = seconds * (1 - OWN_SHAPES if own_shapes else 1)
    climbing.measure(share, watch)
    if own_shapes:
        climbing.measure_own_shapes(seconds - share, watch)
    return climbing.climb()


def _check_shape(ladder: Ladder, shape: Sequence[int]) -> tuple[int, ...]:
    names = " ".join(ladder.sizes)
    count = len(ladder.sizes)
    if len(shape) != count or not all(1 <= size <= LARGEST_SIZE for size in shape):
        raise ValueError(
            f"the shape of the ladder {ladder.name} is {count} whole numbers {names} from 1 to"
            f" {LARGEST_SIZE}, got {' '.join(map(str, shape))}"
        )
    largest = max(itertools.starmap(operator.mul, itertools.combinations((1, *shape), 2)))
    if largest > LARGEST_ARRAY:
        raise ValueError(
            f"shape must make no array larger than {LARGEST_ARRAY:,} numbers (1 GiB),"
            f" got {' '.join(map(str, shape))}"
        )
    return tuple(shape)


def _check_compiler() -> None:
    """Check that Numba compiles: it measures the limits, for the steps of any backend."""
    try:
        import numba
    except ImportError as error:
        raise BackendUnavailableError(
            f"the limits of this machine are measured in Numba, which does not load: {error}"
        ) from error
    if getattr(numba.config, "DISABLE_JIT", False):  # made at run time
        raise ValueError("NUMBA_DISABLE_JIT is set, and only what is compiled can be measured")


def _candidates(ladder: Ladder, backend: str) -> tuple[list[tuple[str, Step]], dict[str, str]]:
    """Return the steps to measure with their languages, and the reasons for missing backends."""
    found: list[tuple[str, Step]] = []
    missing = {}
    for name in BACKENDS if backend == "both" else (backend,):
        try:
            found += [(name, step) for step in ladder.steps(name)]
        except BackendUnavailableError as error:
            missing[name] = str(error)
    if not found:
        raise BackendUnavailableError("; ".join(missing.values()))
    python, numpy = ([(name, s) for s in ladder.steps(name)] for name in ("python", "numpy"))
    return [*python, *found, *numpy], missing


class _Trial:
    """Times the calls of one step at one shape, or at some rows of it."""

    def __init__(self, ladder: Ladder, language: str, step: Step, shape: Sequence[int]) -> None:
        self.language, self.step, self.shape = language, step, tuple(shape)
        self.threads = 1
        if step.lesson.threaded:
            self.threads = _numpy_threads() if language == "numpy" else get_num_threads()
        self.rows, self.best, self.spent, self.wrong = 0, math.inf, 0.0, ""
        self._ladder = ladder

    def prepare(self, longest: float) -> None:
        """Compile, and find how many rows a call of at most ``longest`` seconds can process."""
        self.draw(1)
        self._call()  # compiles
        rows = 1
        while True:  # start with few rows: a naive step may take a second for each
            seconds = self._call()
            if seconds > longest / 8:  # unless it only lost its core in this call
                seconds = min(seconds, self._call(), self._call())
            if rows >= self.shape[0] or seconds > longest / 8:
                break
            rows = min(4 * rows, self.shape[0])
            self.draw(rows)
        bearable = int(rows * min(self.shape[0] / rows, longest / seconds))
        self.draw(max(bearable, 1))

    def draw(self, rows: int, seed: int = 0) -> None:
        """Take new arguments, with so many rows."""
        self.rows = rows
        shape = (rows, *self.shape[1:])
        self._arguments = self._ladder.draw(shape, np.random.default_rng(seed))

    def check(self) -> None:
        """Call the step with other numbers than so far: who repeats an answer is wrong."""
        self.draw(self.rows, seed=1)
        before = [np.copy(argument) for argument in self._arguments]
        result = self.step(*self._arguments)
        self.wrong = mistake(self._ladder, before, self._arguments, result) or ""

    def burst(self) -> None:
        """Call the step repeatedly for BURST seconds, at least once."""
        until = time.perf_counter() + BURST
        while True:
            seconds = self._call()
            self.best = min(self.best, seconds)
            self.spent += seconds
            if time.perf_counter() > until:
                return

    @property
    def seconds(self) -> float:
        """The shortest time of a call, for all rows: it grows as the work does."""
        few = (self.rows, *self.shape[1:])
        return self.best * self._ladder.work(self.shape) / self._ladder.work(few)

    @property
    def working_set(self) -> int:
        """The bytes of its arguments, or fewer if a call does not need all of them."""
        held: int = sum(getattr(argument, "nbytes", 0) for argument in self._arguments)
        return min(held, int(self._ladder.moved((self.rows, *self.shape[1:]))))

    def _call(self) -> float:
        self._ladder.renew(self._arguments)
        began = time.perf_counter()
        self.step(*self._arguments)
        return time.perf_counter() - began


class _Climbing:
    """The trials of a ladder at its shape, and of single steps at their own."""

    def __init__(
        self,
        ladder: Ladder,
        shape: tuple[int, ...],
        candidates: Iterable[tuple[str, Step]],
        missing: dict[str, str],
    ) -> None:
        self._ladder, self._shape, self._missing = ladder, shape, missing
        self._trials = [_Trial(ladder, name, step, shape) for name, step in candidates]
        self._own: dict[tuple[str, str], tuple[_Trial, _Trial]] = {}
        self._peaks = dict.fromkeys(sorted({trial.threads for trial in self._trials}), 0.0)

    def measure(self, seconds: float, watch: Callable[[Climb], None]) -> None:
        """Measure all steps at the shape of the ladder."""
        for trial in self._trials:
            trial.prepare(LONGEST_CALL * seconds)
            trial.check()
        share = seconds / len(self._trials)
        while waiting := [trial for trial in self._trials if trial.spent < share]:
            self._measure_peaks()  # in the same rounds: a busy core affects both
            for trial in waiting:
                trial.burst()
            watch(self.climb())

    def _measure_peaks(self) -> None:
        working_set = max(trial.working_set for trial in self._trials)
        for threads in self._peaks:
            if self._ladder.unit == "GFLOP/s":
                peak = peak_gflops(threads, PEAK_ITERATIONS, runs=2)
            else:
                moved = max(TRIAD_BYTES, PASSES * working_set)
                in_place = self._ladder.in_place
                peak = bandwidth_gbs(threads, working_set, moved, runs=2, in_place=in_place)
            self._peaks[threads] = max(self._peaks[threads], peak)

    def measure_own_shapes(self, seconds: float, watch: Callable[[Climb], None]) -> None:
        """Measure each step that has a shape of its own there, beside the step before it."""
        pairs = [
            (trial, before)
            for trial in self._trials
            if (before := self._before(trial)) and trial.step.lesson.shape
        ]
        for trial, before in pairs:
            shape = trial.step.lesson.shape or self._shape
            pair = tuple(_Trial(self._ladder, t.language, t.step, shape) for t in (trial, before))
            for one in pair:
                one.prepare(seconds / len(pairs) / 6)
            rows = min(one.rows for one in pair)
            for one in pair:  # at the same number of rows
                one.draw(rows)
                one.check()
            while any(one.spent < seconds / len(pairs) / 2 for one in pair):
                for one in pair:
                    one.burst()
            self._own[trial.language, trial.step.name] = pair[0], pair[1]
            watch(self.climb())

    def _before(self, trial: _Trial) -> _Trial | None:
        """Return the step before: that of its language, or for the first one Python's last."""
        if trial.language in ("numpy", "yours"):
            return None
        same = [t for t in self._trials if t.language == trial.language]
        python = [t for t in self._trials if t.language == "python" != trial.language]
        earlier = [*python, *same][: len(python) + same.index(trial)]
        return earlier[-1] if earlier else None

    def climb(self) -> Climb:
        """Return what has been measured so far."""
        measured = [trial for trial in self._trials if trial.best < math.inf]
        rungs = [self._rung(trial) for trial in measured]
        return Climb(self._ladder.name, self._shape, rungs, dict(self._peaks), self._missing)

    def _rung(self, trial: _Trial) -> Rung:
        rate = 1e-9 * self._ladder.work(self._shape) / trial.seconds
        before, first = self._before(trial), self._trials[0]
        own = self._own.get((trial.language, trial.step.name))
        return Rung(
            language=trial.language,
            step=trial.step.name,
            seconds=trial.seconds,
            rate=rate,
            threads=trial.threads,
            of_peak=rate / self._peaks[trial.threads],
            over_first=first.seconds / trial.seconds,
            gain=before.seconds / trial.seconds if before else None,
            own_shape=own[0].shape if own else None,
            own_gain=own[1].seconds / own[0].seconds if own else None,
            rows=trial.rows,
            wrong=trial.wrong or (own[0].wrong if own else ""),
        )


def _numpy_threads() -> int:
    """Return the number of threads of NumPy's BLAS: from its variables, or else all cores."""
    cores = available_cores()
    return min(named_threads() or cores, cores)
