"""The steps that call compiled kernels: the same for every backend, whose module they are given.

What changes from step to step is how much of a training step happens between two lines of Python.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ...kernels import numpy_kernels
from ..step import Step
from .arguments import Arguments, Layer, batches, each_batch, on_one_core
from .problem import LESSONS

Product = Callable[[np.ndarray, np.ndarray, np.ndarray], None]  # (a, b, out): out = a b
Kernels = ModuleType | SimpleNamespace

_NO_WEIGHTS = np.empty(0, np.float32)  # every sample counts the same


def kernel_by_kernel(
    kernels: Kernels, a: np.ndarray, labels: np.ndarray, layers: list[Layer], rate: float
) -> tuple[float, int]:
    """Make one training step by calling kernels; return the mean loss and the hits."""
    inputs = []
    for weights, bias in layers:
        inputs.append(a)
        z = np.empty((len(a), len(bias)), np.float32)
        kernels.matmul(a, weights, z)
        kernels.add_bias(z, bias, z)
        a = np.empty_like(z)
        kernels.relu_forward(z, a)
    dz = np.empty_like(z)
    loss = kernels.softmax_cross_entropy(z, labels, _NO_WEIGHTS, dz)
    for (weights, bias), a in zip(layers[::-1], inputs[::-1], strict=True):
        dweights, dbias, da = np.empty_like(weights), np.empty_like(bias), np.empty_like(a)
        kernels.matmul_tn(a, dz, dweights)
        kernels.sum_rows(dz, dbias)
        if a is not inputs[0]:  # nobody needs the gradient of the pixels
            kernels.matmul_nt(dz, weights, da)
            kernels.relu_backward(da, a, da)
        for values, gradient in ((weights, dweights), (bias, dbias)):
            kernels.sgd_update(
                gradient.ravel(), rate, 0.0, False, 0.0, values.reshape(-1), _NO_WEIGHTS
            )
        dz = da
    return loss, int(np.count_nonzero(z.argmax(axis=1) == labels))


def with_product(multiply: Product) -> SimpleNamespace:
    """Return NumPy's kernels with another product, for which operands are transposed in memory."""
    kernels = SimpleNamespace(**vars(numpy_kernels))
    kernels.matmul = multiply
    kernels.matmul_tn = lambda a, b, out: multiply(np.ascontiguousarray(a.T), b, out)
    kernels.matmul_nt = lambda a, b, out: multiply(a, np.ascontiguousarray(b.T), out)
    return kernels


def dense(given: Arguments) -> Arguments:
    """Return the arguments with the option that zeros are multiplied like other numbers."""
    options = given.options.copy()
    options["skip_zeros"] = 0
    return given._replace(options=options)


def compiled_step(kernels: ModuleType, *arguments: Any) -> int:
    """Call the compiled program once for each mini-batch."""
    steps = batches(dense(Arguments(*arguments)))
    return sum(kernels.train_steps(*step) for step in steps)


def compiled_epoch(kernels: ModuleType, *arguments: Any) -> int:
    """Call the compiled program once for all mini-batches."""
    done: int = kernels.train_steps(*dense(Arguments(*arguments)))
    return done


def steps_of(kernels: ModuleType, naive: Product, loop_order: Product) -> list[Step]:
    """Return the steps of a backend, given two steps of its ladder of products."""

    def called(by: Kernels) -> Callable[..., int]:
        return on_one_core(each_batch(partial(kernel_by_kernel, by)))

    def program(function: Callable[..., int]) -> Callable[..., int]:
        return on_one_core(partial(function, kernels))

    return [
        Step(LESSONS["naive products"], called(with_product(naive)), (kernel_by_kernel, naive)),
        Step(LESSONS["loop order"], called(with_product(loop_order)), (loop_order,)),
        Step(LESSONS["kernel by kernel"], called(kernels), (kernel_by_kernel,)),
        Step(LESSONS["compiled step"], program(compiled_step), (compiled_step, batches, dense)),
        Step(LESSONS["compiled epoch"], program(compiled_epoch), (compiled_epoch, dense)),
        Step(LESSONS["zeros left out"], on_one_core(kernels.train_steps), (kernels.train_steps,)),
        Step(LESSONS["threads"], kernels.train_steps, (kernels.train_steps,)),
    ]
