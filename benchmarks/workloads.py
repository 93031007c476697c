"""What is timed: calls of the kernels, and a training run that can go on for ever.

Everything is made from seeds, so that every backend gets the same numbers, but in arrays of its
own. Before anything is timed it is verified, on two sets of inputs: a backend that computes
nothing, repeats an earlier answer or computes something else is refused with an AssertionError.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from types import ModuleType
from typing import NamedTuple, Protocol

import numpy as np

from mnistcore import get_backend
from mnistcore.data import Dataset, load_data
from mnistcore.kernels.layout import METRICS
from mnistcore.models.network import Network
from mnistcore.training.augmentation import make_augmentation
from mnistcore.training.optimizers import make_options, make_state

from .sizes import CLASSES, ELEMENTWISE_SHAPE, SAMPLES, UPDATED_NETWORK, Case

PIXEL_SCALE = 1 / 255
SEEDS = (0, 1)  # of the inputs on which a workload is verified; the first is timed

# Training is verified in calls of so many steps. How far it may be off: the norm of the error
# over the norm of the change, of the parameters and of each row of the optimizer's state. Rounding
# alone makes 1e-5; 1e-4 in Adam's first step, which moves every weight alike, however small its
# gradient; and up to 0.004 in the largest network, where it opens a ReLU in one backend only. A
# learning rate that is 1 % off makes 0.01.
VERIFIED_STEPS = (1, 2, 2)
TOLERANCE = 0.008
METRICS_TOLERANCE = 1e-3  # relative


class Workload(Protocol):
    """Something to time. The operations of its products count, or else the bytes it moves."""

    @property
    def flops(self) -> int:
        """Float32 operations of a call; 0 where it is no product."""

    @property
    def moved_bytes(self) -> int:
        """Bytes that a call must at least read and write."""

    def verify(self, kernels: ModuleType) -> None:
        """Raise AssertionError where a backend does not compute what the reference does."""

    def ready(self, kernels: ModuleType) -> Callable[[], object]:
        """A call in that backend, on arrays of its own, to be timed."""


# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


class Arguments(NamedTuple):
    """The arguments of a kernel: inputs and scalars, then the arrays that it writes."""

    given: tuple[object, ...]
    written: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class KernelCall:
    """A kernel and how its arguments are made.

    Attributes
    ----------
    name
        Of the kernel.
    make
        ``make(rng)`` makes new arguments.
    flops, moved_bytes
        As of every workload.
    exact
        Whether the result is the same to the bit in every backend.
    in_place
        Whether the arrays that it writes are also read, as an optimizer's are. The others hold
        NaN before a call that is verified.
    """

    name: str
    make: Callable[[np.random.Generator], Arguments]
    flops: int = 0
    moved_bytes: int = 0
    exact: bool = False
    in_place: bool = False

    def ready(self, kernels: ModuleType) -> Callable[[], object]:
        """A call on new arrays."""
        function, arguments = getattr(kernels, self.name), self._arguments(SEEDS[0])
        return lambda: function(*arguments.given, *arguments.written)

    def verify(self, kernels: ModuleType) -> None:
        """Compare what is returned and written with the reference, on each set of inputs."""
        for seed in SEEDS:
            arguments, expected = self._arguments(seed), self._arguments(seed)
            returned = getattr(kernels, self.name)(*arguments.given, *arguments.written)
            reference = getattr(get_backend("numpy"), self.name)
            expected_return = reference(*expected.given, *expected.written)
            self._compare(returned, expected_return)
            for actual, array in zip(arguments.written, expected.written, strict=True):
                self._compare(actual, array)

    def _arguments(self, seed: int) -> Arguments:
        arguments = self.make(np.random.default_rng(seed))
        for array in arguments.given:
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        if not self.in_place:
            for array in arguments.written:
                array.fill(np.nan if array.dtype.kind == "f" else 77)
        return arguments

    def _compare(self, actual: object, expected: object) -> None:
        if expected is None:
            if actual is not None:
                raise AssertionError(f"{self.name} returned {actual!r} and should return nothing")
        elif self.exact:
            np.testing.assert_array_equal(actual, expected, strict=True)
        elif isinstance(expected, np.ndarray):
            np.testing.assert_allclose(actual, expected, 1e-5, 1e-6, False, strict=True)
        else:
            np.testing.assert_allclose(actual, expected, 1e-5, 0, False)


def product(name: str, m: int, n: int, k: int) -> KernelCall:
    """A matrix product of small integers, whose sums float32 holds exactly in any order."""
    a_shape = (k, m) if name == "matmul_tn" else (m, k)
    b_shape = (n, k) if name == "matmul_nt" else (k, n)

    def make(rng: np.random.Generator) -> Arguments:
        a, b = (rng.integers(-8, 9, shape).astype(np.float32) for shape in (a_shape, b_shape))
        return Arguments((a, b), (np.empty((m, n), np.float32),))

    size = 4 * (m * k + k * n + m * n)
    return KernelCall(name, make, flops=2 * m * n * k, moved_bytes=size, exact=True)


def elementwise_calls() -> dict[str, KernelCall]:
    """A call of each kernel that is no product, by the kernel's name."""
    rows, columns = ELEMENTWISE_SHAPE
    size = 4 * rows * columns
    calls = [
        _elementwise("add_bias", lambda z, da: (z, da[0].copy()), 2 * size + 4 * columns),
        KernelCall("sum_rows", _sum_rows, moved_bytes=size + 4 * columns),
        _elementwise("dropout", lambda z, da: (z, np.arange(rows), 0.2, 3, 4, 5), 2 * size),
    ]
    calls.append(KernelCall("augment", _augment, moved_bytes=2 * rows * 784, exact=True))
    for activation in ("tanh", "relu", "logistic"):
        calls += [
            _elementwise(f"{activation}_forward", lambda z, da: (z,), 2 * size),
            _elementwise(f"{activation}_backward", _output_and_gradient, 3 * size),
        ]
    return {call.name: call for call in [*calls, *_loss_calls(rows), *_update_calls()]}


def _elementwise(
    name: str, given: Callable[[np.ndarray, np.ndarray], tuple[object, ...]], moved: int
) -> KernelCall:
    """A kernel whose output has the shape of its input."""

    def make(rng: np.random.Generator) -> Arguments:
        z, da = rng.normal(size=(2, *ELEMENTWISE_SHAPE)).astype(np.float32)
        return Arguments(given(z, da), (np.empty_like(z),))

    return KernelCall(name, make, moved_bytes=moved)


def _output_and_gradient(z: np.ndarray, da: np.ndarray) -> tuple[object, ...]:
    """What a backward kernel takes: outputs in [0, 1), about half of them 0, as ReLU's are."""
    return da, np.tanh(np.maximum(z, 0))


def _sum_rows(rng: np.random.Generator) -> Arguments:
    whole = rng.integers(-8, 9, ELEMENTWISE_SHAPE).astype(np.float32)
    return Arguments((whole,), (np.empty(ELEMENTWISE_SHAPE[1], np.float32),))


def _augment(rng: np.random.Generator) -> Arguments:
    images = rng.integers(0, 256, (ELEMENTWISE_SHAPE[0], 784)).astype(np.uint8)
    options = make_augmentation()
    return Arguments((images, rng.permutation(len(images)), options, 1, 2), (images[::-1].copy(),))


def _loss_calls(rows: int) -> list[KernelCall]:
    def softmax(rng: np.random.Generator) -> Arguments:
        logits = rng.normal(size=(rows, CLASSES)).astype(np.float32)
        return Arguments((logits,), (np.empty_like(logits),))

    def softmax_cross_entropy(rng: np.random.Generator) -> Arguments:
        (logits,), written = softmax(rng)
        labels = rng.integers(0, CLASSES, rows).astype(np.int32)
        return Arguments((logits, labels, np.empty(0, np.float32)), written)

    size = 4 * rows * CLASSES
    return [
        KernelCall("softmax", softmax, moved_bytes=2 * size),
        KernelCall("softmax_cross_entropy", softmax_cross_entropy, moved_bytes=2 * size + 4 * rows),
    ]


def _update_calls() -> list[KernelCall]:
    """The optimizers, on as many parameters as a network has."""
    size = Network(UPDATED_NETWORK.layer_sizes).n_params

    def sgd(rng: np.random.Generator) -> Arguments:
        gradient, params, velocity = rng.normal(size=(3, size)).astype(np.float32)
        return Arguments((gradient, 0.01, 0.9, False, 1e-4), (params, velocity))

    def adam(rng: np.random.Generator) -> Arguments:
        gradient, params, m, v = rng.normal(size=(4, size)).astype(np.float32)
        constants = (1e-3, 0.9, 0.999, 1e-8, 0.0, False, 1)
        return Arguments((gradient, *constants), (params, m, np.square(v)))

    return [
        KernelCall("sgd_update", sgd, moved_bytes=5 * 4 * size, in_place=True),
        KernelCall("adam_update", adam, moved_bytes=7 * 4 * size, in_place=True),
    ]


# ---------------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------------


@cache
def digits() -> Dataset:
    """MNIST from the folder that $MNISTCORE_DATA_DIR names, else the built-in digits."""
    return load_data("auto" if os.environ.get("MNISTCORE_DATA_DIR") else "synthetic")


class Problem(NamedTuple):
    """What a network is trained on, and the parameters that it begins with."""

    images: np.ndarray  # (N, I) uint8
    labels: np.ndarray
    params: np.ndarray


def problem_of(case: Case) -> Problem:
    """The problem on which a case is benchmarked."""
    data, network = digits(), Network(case.layer_sizes, case.activation)
    return Problem(
        data.train_images[:SAMPLES].reshape(SAMPLES, -1),
        data.train_labels[:SAMPLES],
        network.init(np.random.default_rng(0)),
    )


class TrainingRun:
    """``train_steps`` of one backend with all its arguments, which trains on as it is called.

    ``dtype`` is that of the parameters; float64 is for the numpy backend.
    """

    def __init__(
        self,
        kernels: ModuleType,
        case: Case,
        problem: Problem,
        skip_zeros: bool = True,
        dtype: type = np.float32,
    ) -> None:
        self.params = problem.params.astype(dtype)
        self._kernels, self._problem, self._rate = kernels, problem, case.learning_rate
        self._layers = Network(case.layer_sizes, case.activation).layers()
        self._options = make_options(
            case.optimizer, batch_size=case.batch_size, scale=PIXEL_SCALE, skip_zeros=skip_zeros
        )
        self.state = make_state(self._options, self.params)
        self.metrics = np.zeros(METRICS)
        self._nothing = np.empty(0, dtype)
        size = kernels.workspace_size(self._layers, case.batch_size, len(self.state))
        self._workspace = np.full(size, np.nan, dtype)
        self._trained = 0

    def train(self, order: np.ndarray) -> None:
        """Train on the samples of ``order``, batch by batch."""
        steps = -(-len(order) // int(self._options["batch_size"][0]))
        done = self._kernels.train_steps(
            self._problem.images, self._problem.labels, self._nothing, order,
            np.full(steps, self._rate), self._layers, self._options, self._trained, self.params,
            self.state, self._nothing, self._workspace, self.metrics,
        )  # fmt: skip
        if done != steps:
            raise AssertionError(f"training ended after {done} of {steps} steps")
        self._trained += done

    def go_on_from(self, moment: "Moment") -> None:
        """Put the parameters and the optimizer's state of another run in place of its own."""
        self.params[...], self.state[...] = moment.params, moment.state
        self.metrics[...] = 0


class Moment(NamedTuple):
    """Where a run stands, and the metrics of the call that led there; in float32, read-only."""

    params: np.ndarray
    state: np.ndarray
    metrics: np.ndarray


def _moment(run: TrainingRun) -> Moment:
    moment = Moment(run.params.astype(np.float32), run.state.astype(np.float32), run.metrics.copy())
    for array in moment:
        array.flags.writeable = False
    return moment


def reference_moments(case: Case, problem: Problem, orders: list[np.ndarray]) -> list[Moment]:
    """The initial moment, and that after training on each of these orders, in float64."""
    run = TrainingRun(get_backend("numpy"), case, problem, dtype=np.float64)
    moments = [_moment(run)]
    for order in orders:
        run.go_on_from(moments[-1])
        run.train(order)
        moments.append(_moment(run))
    return moments


def _verification_orders(case: Case) -> list[np.ndarray]:
    """Which samples each call of a verification trains on."""
    return [
        np.random.default_rng(seed).choice(SAMPLES, steps * case.batch_size)
        for seed, steps in enumerate(VERIFIED_STEPS)
    ]


def error_of_change(actual: np.ndarray, before: np.ndarray, expected: np.ndarray) -> float:
    """The norm of the error over the norm of the change that was expected; it may be NaN."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected - before))


@lru_cache(maxsize=1)  # benchmarks of a case follow one another; its moments take 300 MB
def _moments_of(case: Case) -> list[Moment]:
    return reference_moments(case, problem_of(case), _verification_orders(case))


@dataclass(frozen=True)
class Training:
    """So many steps of a network, as a workload."""

    case: Case
    steps: int
    skip_zeros: bool = True

    @property
    def flops(self) -> int:
        """Of the products alone, also those with zeros that a backend leaves out."""
        return self.case.flops_per_sample * self.case.batch_size * self.steps

    @property
    def moved_bytes(self) -> int:
        """Not counted."""
        return 0

    def ready(self, kernels: ModuleType) -> Callable[[], object]:
        """A run that goes on with every call, on the same batches each time."""
        run = TrainingRun(kernels, self.case, problem_of(self.case), self.skip_zeros)
        order = np.random.default_rng(1).choice(SAMPLES, self.steps * self.case.batch_size)
        return lambda: run.train(order)

    def verify(self, kernels: ModuleType) -> None:
        """Compare parameters, the optimizer's state and metrics with the reference's.

        Each call goes on from where the reference stood, so that no error adds to the last one.
        """
        moments, orders = _moments_of(self.case), _verification_orders(self.case)
        run = TrainingRun(kernels, self.case, problem_of(self.case), self.skip_zeros)
        for before, after, order in zip(moments, moments[1:], orders, strict=False):
            run.go_on_from(before)
            run.train(order)
            self._compare("params", run.params, before.params, after.params)
            for slot, row in enumerate(run.state):
                self._compare(f"state {slot}", row, before.state[slot], after.state[slot])
            np.testing.assert_allclose(run.metrics, after.metrics, METRICS_TOLERANCE, 0, False)

    def _compare(
        self, what: str, actual: np.ndarray, before: np.ndarray, expected: np.ndarray
    ) -> None:
        error = error_of_change(actual, before, expected)
        if not error < TOLERANCE:
            raise AssertionError(f"{self.case.name}: {what}: {error:.2g} off the reference")


def verified_run(kernels: ModuleType, case: Case, skip_zeros: bool = True) -> TrainingRun:
    """Return a run of a case, by a backend that trains as the reference does."""
    Training(case, 1, skip_zeros).verify(kernels)
    return TrainingRun(kernels, case, problem_of(case), skip_zeros)
