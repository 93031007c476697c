"""The ladder in Numba: from a loop for each operation to the kernel of training.

Every step is a function ``step(gradient, learning_rate, beta1, beta2, eps, step, params, m, v)``
that changes the last three arrays in place.
"""

import math

import numpy as np
from numba import njit

from ...kernels import numba_kernels
from ...kernels._numba.cache import cache_here
from ..compiling import compiled
from ..step import Step
from .arguments import checked
from .problem import LESSONS


def compiled_as_numpy(function):
    """Compile so that a division by 0 gives inf or NaN as in NumPy, and raises nothing."""
    with cache_here():
        return njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")(function)


@compiled
def _weights_of(beta):
    """Return the weights of the old and the new in a running mean."""
    return np.float32(beta), np.float32(1 - beta)


@compiled_as_numpy
def _scales(learning_rate, beta1, beta2, step):
    """Return the factors of m and of the root of v, which hold both bias corrections."""
    rate = np.float32(learning_rate / (1 - beta1**step))
    return rate, np.float32(1 / math.sqrt(1 - beta2**step))


def _passes(gradient, learning_rate, beta1, beta2, eps, step, params, m, v):
    """Run a loop for each line of the formula, as NumPy does for each operation."""
    old1, new1 = _weights_of(beta1)
    old2, new2 = _weights_of(beta2)
    rate, scale = _scales(learning_rate, beta1, beta2, step)
    roots = np.empty(len(params), np.float32)
    for i in range(len(params)):
        m[i] = old1 * m[i] + new1 * gradient[i]
    for i in range(len(params)):
        v[i] = old2 * v[i] + new2 * gradient[i] * gradient[i]
    for i in range(len(params)):
        roots[i] = math.sqrt(v[i]) * scale + np.float32(eps)
    for i in range(len(params)):
        params[i] -= rate * m[i] / roots[i]


naive = checked(compiled(_passes))
vectors = checked(compiled_as_numpy(_passes))


@checked
@compiled_as_numpy
def one_pass(gradient, learning_rate, beta1, beta2, eps, step, params, m, v):
    """Update a parameter with all that belongs to it before the next one."""
    old1, new1 = _weights_of(beta1)
    old2, new2 = _weights_of(beta2)
    rate, scale = _scales(learning_rate, beta1, beta2, step)
    for i in range(len(params)):
        m[i] = old1 * m[i] + new1 * gradient[i]
        v[i] = old2 * v[i] + new2 * gradient[i] * gradient[i]
        params[i] -= rate * m[i] / (math.sqrt(v[i]) * scale + np.float32(eps))


def production(gradient, learning_rate, beta1, beta2, eps, step, params, m, v):
    """Call the kernel of training, without weight decay."""
    constants = learning_rate, beta1, beta2, eps, 0.0, False, step
    numba_kernels.adam_update(gradient, *constants, params, m, v)


STEPS = [
    Step(LESSONS["naive loops"], naive, (_passes, _weights_of, _scales)),
    Step(LESSONS["vectors"], vectors, (compiled_as_numpy, _passes)),
    Step(LESSONS["one pass"], one_pass, (one_pass,)),
    Step(LESSONS["production"], production, (numba_kernels.adam_update,)),
]
