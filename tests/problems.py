"""A training job on plain arrays, for tests that give the same one to several backends."""

import itertools
import os
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from tolerances import assert_relative

from mnistcore import set_num_threads
from mnistcore.kernels import numpy_kernels
from mnistcore.models.network import Network
from mnistcore.training.optimizers import make_state

NONE = np.zeros(0, np.float32)
UNCOMPILED = os.environ.get("NUMBA_DISABLE_JIT") == "1"  # the Numba kernels run as Python


class Trained(NamedTuple):
    """What ``train_steps`` leaves behind."""

    params: np.ndarray
    state: np.ndarray
    metrics: np.ndarray
    steps: int
    buffers: np.ndarray

    def bits(self):
        """What must be the same to the last bit, as bytes."""
        arrays = {"params": self.params, "state": self.state, "metrics": self.metrics}
        arrays["buffers"] = self.buffers
        return {name: array.tobytes() for name, array in arrays.items()} | {"steps": self.steps}


def in_dtype(array, dtype):
    """The array, in another dtype if it holds floats."""
    return array.astype(dtype) if array.dtype.kind == "f" else array


def assert_alike(actual, expected, bound):
    """Both made the same number of steps and came to the same, by the norms of what differs."""
    assert actual.steps == expected.steps
    assert_relative(actual.params, expected.params, bound)
    for row, wanted in zip(actual.state, expected.state, strict=True):
        assert_relative(row, wanted, 10 * bound)
    np.testing.assert_allclose(actual.metrics, expected.metrics, rtol=1e-4)
    assert_relative(actual.buffers, expected.buffers, bound)


@dataclass
class Problem:
    """Samples, the order in which they are trained on, and where training begins."""

    network: Network
    options: np.ndarray  # (1,) record
    x: np.ndarray
    targets: np.ndarray
    order: np.ndarray
    rates: np.ndarray  # one per step
    params: np.ndarray
    weights: np.ndarray = field(default_factory=NONE.copy)
    first_step: int = 0

    def __post_init__(self):
        self.state = make_state(self.options, self.params)
        self.buffers = self.network.init_buffers(self.params.dtype)

    @property
    def batch_size(self):
        return int(self.options["batch_size"][0])

    def train(
        self, kernels, *, threads=None, cuts=(), skip_zeros=True, dtype=np.float32, place=np.copy
    ):
        """Train in one call, or in one more for each of the ``cuts``, which are numbers of steps.

        Each array is passed on as ``place`` returns it, floats in the given dtype.
        """
        if threads is not None:
            set_num_threads(threads)

        def given(array):
            return place(in_dtype(array, dtype))

        x, targets, weights = given(self.x), given(self.targets), given(self.weights)
        params, state, buffers = given(self.params), given(self.state), given(self.buffers)
        layers, options, metrics = place(self.network.layers()), place(self.options), np.zeros(3)
        options["skip_zeros"] = skip_zeros
        size = kernels.workspace_size(layers, self.batch_size, len(state))
        workspace, done = place(np.full(size, np.nan, dtype)), 0
        for first, stop in itertools.pairwise([0, *cuts, len(self.rates)]):
            samples = self.order[self.batch_size * first : self.batch_size * stop]
            done += kernels.train_steps(
                x, targets, weights, place(samples), place(self.rates[first:stop]), layers,
                options, self.first_step + first, params, state, buffers, workspace, metrics,
            )  # fmt: skip
            if done < stop:  # a loss was not finite
                break
        return Trained(params, state, metrics, done, buffers)

    def check_bits(self, kernels, ways):
        """Train in one call on one thread, and otherwise to the same bits; return the result."""
        result = self.train(kernels, threads=1)
        for way in ways:
            other = self.train(kernels, **{"threads": 1} | way).bits()
            for name, bits in result.bits().items():
                assert other[name] == bits, f"other {name} with {way}: {self.describe()}"
        return result

    def check(self, kernels, ways, bound):
        """The same bits in all ways, and every step made as by the reference in float64."""
        actual = self.check_bits(kernels, ways)
        assert actual.steps == len(self.rates), self.describe()
        try:
            assert_alike(actual, self.train(numpy_kernels, dtype=np.float64), bound)
        except AssertionError as error:
            raise AssertionError(f"{self.describe()}: {error}") from None

    def describe(self):
        sizes = "-".join(map(str, self.network.layer_sizes))
        density = np.count_nonzero(self.x) / max(1, self.x.size)
        options = dict(zip(self.options.dtype.names, self.options[0].item(), strict=True))
        return f"{sizes} {self.network.activation}, {self.x.dtype}, {density:.2f}, {options}"
