"""What is timed: a training run that can go on for ever, and the inputs of each kernel.

Everything is made from seeds, so that every backend gets the same.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from mnistcore import get_backend
from mnistcore.data import Dataset, load_data
from mnistcore.kernels.layout import METRICS
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_options, make_state

from .sizes import CLASSES, ELEMENTWISE_SHAPE, SAMPLES, UPDATED_NETWORK, Case

PIXEL_SCALE = 1 / 255
VERIFIED_STEPS = 3
# Norm of the difference over norm of the change, after VERIFIED_STEPS. Adam divides by the size
# of each gradient, so that rounding moves the few weights with next to none by a whole step.
TOLERANCE = 0.02


@cache
def digits() -> Dataset:
    """MNIST from the folder that $MNISTCORE_DATA_DIR names, else the built-in digits."""
    return load_data("auto" if os.environ.get("MNISTCORE_DATA_DIR") else "synthetic")


class TrainingRun:
    """``train_steps`` of one backend with all its arguments, which trains on as it is called."""

    def __init__(
        self, kernels: ModuleType, case: Case, steps: int, skip_zeros: bool = True
    ) -> None:
        data = digits()
        network = Network(case.layer_sizes, case.activation)
        self.steps = steps
        self.params = network.init(np.random.default_rng(0))
        self._kernels = kernels
        self._x = data.train_images[:SAMPLES].reshape(SAMPLES, -1)
        self._targets = data.train_labels[:SAMPLES]
        self._layers = network.layers()
        self._options = make_options(
            case.optimizer, batch_size=case.batch_size, scale=PIXEL_SCALE, skip_zeros=skip_zeros
        )
        self._state = make_state(self._options, self.params)
        self._nothing = np.empty(0, np.float32)
        self._workspace = self._nothing
        self._metrics = np.zeros(METRICS)
        self._rates = np.full(steps, case.learning_rate)
        self._order = np.random.default_rng(1).choice(SAMPLES, steps * case.batch_size)
        self._trained = 0

    def fit_workspace(self) -> None:
        """Make the workspace; its size may depend on the number of threads."""
        batch_size, slots = int(self._options["batch_size"][0]), len(self._state)
        size = self._kernels.workspace_size(self._layers, batch_size, slots)
        self._workspace = np.empty(size, np.float32)

    def train(self) -> None:
        """Go on for ``steps`` steps, on the same batches each time."""
        done = self._kernels.train_steps(
            self._x, self._targets, self._nothing, self._order, self._rates, self._layers,
            self._options, self._trained, self.params, self._state, self._nothing,
            self._workspace, self._metrics,
        )  # fmt: skip
        if done != self.steps:
            raise AssertionError(f"training diverged after {done} of {self.steps} steps")
        self._trained += done


@cache
def _reference_change(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The initial parameters of a case, and how the reference changes them."""
    run = TrainingRun(get_backend("numpy"), case, VERIFIED_STEPS)
    before = run.params.copy()
    run.train()
    return before, run.params - before


def verify_training(kernels: ModuleType, case: Case) -> None:
    """Raise AssertionError where a backend trains otherwise than the reference."""
    before, expected = _reference_change(case)
    run = TrainingRun(kernels, case, VERIFIED_STEPS)
    run.fit_workspace()
    run.train()
    error = np.linalg.norm(run.params - before - expected) / np.linalg.norm(expected)
    if not error < TOLERANCE:
        raise AssertionError(f"{case.name}: {error:.2g} off the reference's training")


@dataclass(frozen=True)
class KernelCall:
    """A kernel with its inputs, ready to be called over and over.

    Attributes
    ----------
    name
        Of the kernel.
    call
        ``call(kernels)`` calls it in that backend and returns the array that it wrote.
    flops, bytes
        What a call computes, where it is a product, and else what it must read and write.
    exact
        Whether the result is the same to the bit in every backend.
    changes
        Arrays that a call changes in place: verifying puts them back.
    """

    name: str
    call: Callable[[ModuleType], np.ndarray]
    flops: int = 0
    bytes: int = 0
    exact: bool = False
    changes: tuple[np.ndarray, ...] = ()

    def verify(self, kernels: ModuleType) -> None:
        """Raise AssertionError where the backend's result is not the reference's."""
        expected, actual = self._result(get_backend("numpy")), self._result(kernels)
        if self.exact:
            np.testing.assert_array_equal(actual, expected, strict=True)
        else:
            np.testing.assert_allclose(actual, expected, 1e-5, 1e-6, strict=True)

    def _result(self, kernels: ModuleType) -> np.ndarray:
        before = [array.copy() for array in self.changes]
        result = self.call(kernels).copy()
        for array, values in zip(self.changes, before, strict=True):
            array[...] = values
        return result


def product(name: str, m: int, n: int, k: int) -> KernelCall:
    """A matrix product of small integers, whose sums float32 holds exactly in any order."""
    rng = np.random.default_rng([m, n, k])
    a_shape = (k, m) if name == "matmul_tn" else (m, k)
    b_shape = (n, k) if name == "matmul_nt" else (k, n)
    a, b = (rng.integers(-8, 9, shape).astype(np.float32) for shape in (a_shape, b_shape))
    out = np.empty((m, n), np.float32)

    def call(kernels: ModuleType) -> np.ndarray:
        getattr(kernels, name)(a, b, out)
        return out

    size = 4 * (m * k + k * n + m * n)
    return KernelCall(name, call, flops=2 * m * n * k, bytes=size, exact=True)


def elementwise_calls() -> dict[str, KernelCall]:
    """A call of each kernel that is no product, by the kernel's name."""
    rows, columns = ELEMENTWISE_SHAPE
    rng = np.random.default_rng(2)
    z, da = rng.normal(size=(2, rows, columns)).astype(np.float32)
    a, whole = np.tanh(np.abs(z)), np.rint(4 * z)
    b, sums = da[0].copy(), np.empty(columns, np.float32)
    samples, out = np.arange(rows), np.empty_like(z)
    cases = {
        "add_bias": ((z, b), out, 2 * z.nbytes + b.nbytes),
        "sum_rows": ((whole,), sums, z.nbytes + b.nbytes),
        "dropout": ((z, samples, 0.2, 3, 4, 5), out, 2 * z.nbytes),
    }
    for activation in ("tanh", "relu", "logistic"):
        cases[f"{activation}_forward"] = ((z,), out, 2 * z.nbytes)
        cases[f"{activation}_backward"] = ((da, a), out, 3 * z.nbytes)
    calls = {name: _with_output(name, *case) for name, case in cases.items()}
    return calls | _loss_calls(rows) | _update_calls()


def _with_output(name: str, inputs: tuple[object, ...], out: np.ndarray, moved: int) -> KernelCall:
    def call(kernels: ModuleType) -> np.ndarray:
        getattr(kernels, name)(*inputs, out)
        return out

    return KernelCall(name, call, bytes=moved)


def _loss_calls(rows: int) -> dict[str, KernelCall]:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(rows, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, rows).astype(np.int32)
    no_weights, out = np.empty(0, np.float32), np.empty_like(logits)
    return {
        "softmax": _with_output("softmax", (logits,), out, 2 * logits.nbytes),
        "softmax_cross_entropy": _with_output(
            "softmax_cross_entropy",
            (logits, labels, no_weights),
            out,
            2 * logits.nbytes + labels.nbytes,
        ),
    }


def _update_calls() -> dict[str, KernelCall]:
    """The optimizers, on as many parameters as a network has."""
    size = Network(UPDATED_NETWORK.layer_sizes).n_params
    rng = np.random.default_rng(4)
    gradient, params = rng.normal(size=(2, size)).astype(np.float32)
    state = np.zeros((2, size), np.float32)

    def sgd(kernels: ModuleType) -> np.ndarray:
        kernels.sgd_update(gradient, 0.01, 0.9, False, 1e-4, params, state[0])
        return params

    def adam(kernels: ModuleType) -> np.ndarray:
        kernels.adam_update(gradient, 1e-3, 0.9, 0.999, 1e-8, 0.0, False, 1, params, *state)
        return params

    changes, moved = (params, state), gradient.nbytes
    return {
        "sgd_update": KernelCall("sgd_update", sgd, bytes=5 * moved, changes=changes),
        "adam_update": KernelCall("adam_update", adam, bytes=7 * moved, changes=changes),
    }
