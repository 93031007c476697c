"""Check every gradient against numerical differences.

The derivative of a function f along a random direction u is <gradient, u>, with the gradient
from the kernels. It is compared with (f(x + h u) - f(x - h u)) / 2h, which takes two evaluations
for any number of parameters. The NumPy reference computes these differences in float64, where
they are accurate to ten digits, even for the comparison with float32 kernels.

The relative error is the difference divided by ``|gradient| |u| / sqrt(n)``, the typical size of
the derivative along a random direction of n components. The largest of several directions counts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..kernels import numpy_kernels as reference
from ..kernels.backends import BACKENDS, get_backend, unavailable_reason
from ..kernels.layout import ACTIVATIONS
from ..models.network import Network
from .optimizers import make_options

# h. The truncation error is about h^2 and the rounding error about 1e-16 / h, both well below the
# tolerance. With a small h, a step across the kink of ReLU is also unlikely.
STEP = 1e-6


DIRECTIONS = 5


# In float64 the error is that of the difference; in float32 it is rounding, 6e-8 per operation in
# sums of a few dozen terms through a few layers.
TOLERANCES = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 2e-6}


_BATCH, _FAN_IN, _FAN_OUT = 12, 33, 17  # not multiples of vector or tile sizes


Gradient = Callable[[ModuleType, np.dtype], np.ndarray]


@dataclass(frozen=True)
class Check:
    """The comparison of one backend's gradient with the numerical one.

    Attributes
    ----------
    name
        The name of the function and of the variable that it was differentiated by.
    backend
        The backend and dtype, such as "numpy float64".
    error
        The relative error; infinite if the gradient is not finite.
    tolerance
        The largest acceptable error.
    """

    name: str
    backend: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Case:
    """A function of a float64 array, and how a backend computes its gradient at ``x``."""

    name: str
    x: np.ndarray
    function: Callable[[np.ndarray], float]
    gradient: Gradient


def run(backends: Sequence[str] | None = None, seed: int = 0) -> list[Check]:
    """Check every kernel that has a gradient, and whole random networks.

    Parameters
    ----------
    backends
        The names of the backends, by default all that are available. "numpy" is checked in both
        float64 and float32.
    seed
        The seed of the networks, inputs and directions, which must not be negative.

    Returns
    -------
    list of Check
        One for each gradient and backend.

    Raises
    ------
    ValueError, BackendUnavailableError
        As :func:`.get_backend`; ValueError also for a negative seed.

    Examples
    --------
    >>> import mnistcore
    >>> all(check.passed for check in mnistcore.gradcheck(["numpy"]))
    True
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if backends is None:
        backends = [name for name in BACKENDS if unavailable_reason(name) is None]
    subjects = [subject for name in backends for subject in _subjects(name)]
    rng = np.random.default_rng(seed)
    checks = []
    for case in (*_kernel_cases(rng), *_network_cases(rng)):
        directions = rng.standard_normal((DIRECTIONS, *case.x.shape))
        differences = [_difference(case, direction) for direction in directions]
        for label, kernels, dtype in subjects:
            gradient = case.gradient(kernels, dtype).astype(np.float64)
            error = max(
                _error(gradient, direction, difference)
                for direction, difference in zip(directions, differences, strict=True)
            )
            checks.append(Check(case.name, label, error, TOLERANCES[dtype]))
    return checks


def _subjects(name: str) -> Iterable[tuple[str, ModuleType, np.dtype]]:
    kernels = get_backend(name)
    if kernels is reference:
        yield "numpy float64", kernels, np.dtype(np.float64)
    yield f"{name} float32", kernels, np.dtype(np.float32)


def _difference(case: Case, direction: np.ndarray) -> float:
    ahead = case.function(case.x + STEP * direction)
    behind = case.function(case.x - STEP * direction)
    return (ahead - behind) / (2 * STEP)


def _error(gradient: np.ndarray, direction: np.ndarray, difference: float) -> float:
    size = np.linalg.norm(gradient) * np.linalg.norm(direction) / np.sqrt(gradient.size)
    error = abs(float(np.vdot(gradient, direction)) - difference) / max(float(size), 1e-300)
    return error if np.isfinite(error) else float("inf")


def _draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw normal float64 numbers that are exact in float32, the same for every backend."""
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def _kernel_cases(rng: np.random.Generator) -> Iterable[Case]:
    """Yield each kernel with a gradient, as the function <c, kernel(x)> for a random c."""
    yield from _matmul_cases(rng)
    c = _draw(rng, _BATCH, _FAN_OUT)
    z = _draw(rng, _BATCH, _FAN_OUT)

    def bias_gradient(kernels: ModuleType, dtype: np.dtype) -> np.ndarray:
        out = np.empty(_FAN_OUT, dtype)
        kernels.sum_rows(c.astype(dtype), out)
        return out

    bias = _draw(rng, _FAN_OUT)
    yield Case("add_bias by b", bias, lambda b: _dot(c, reference.add_bias, z, b), bias_gradient)
    for name in ("tanh", "relu", "logistic"):
        # Keep away from 0, where ReLU has no derivative.
        yield _activation_case(name, z + 0.01 * np.sign(z) if name == "relu" else z, c)
    yield _softmax_case(rng, 3 * z)
    yield _dropout_case(z, c)


def _dot(c: np.ndarray, kernel: Callable[..., None], *inputs: np.ndarray) -> float:
    """Return <c, kernel(inputs)> in float64, for a kernel of the reference."""
    out = np.empty_like(c)
    kernel(*inputs, out)
    return float(np.vdot(c, out))


def _matmul_cases(rng: np.random.Generator) -> Iterable[Case]:
    a, b = _draw(rng, _BATCH, _FAN_IN), _draw(rng, _FAN_IN, _FAN_OUT)
    c = _draw(rng, _BATCH, _FAN_OUT)

    def by_a(kernels: ModuleType, dtype: np.dtype) -> np.ndarray:
        out = np.empty(a.shape, dtype)
        kernels.matmul_nt(c.astype(dtype), b.astype(dtype), out)
        return out

    def by_b(kernels: ModuleType, dtype: np.dtype) -> np.ndarray:
        out = np.empty(b.shape, dtype)
        kernels.matmul_tn(a.astype(dtype), c.astype(dtype), out)
        return out

    yield Case("matmul by a", a, lambda x: _dot(c, reference.matmul, x, b), by_a)
    yield Case("matmul by b", b, lambda x: _dot(c, reference.matmul, a, x), by_b)


def _activation_case(name: str, z: np.ndarray, c: np.ndarray) -> Case:
    def gradient(kernels: ModuleType, dtype: np.dtype) -> np.ndarray:
        a, dz = np.empty(z.shape, dtype), np.empty(z.shape, dtype)
        getattr(kernels, f"{name}_forward")(z.astype(dtype), a)
        getattr(kernels, f"{name}_backward")(c.astype(dtype), a, dz)
        return dz

    forward = getattr(reference, f"{name}_forward")
    return Case(f"{name} by z", z, lambda x: _dot(c, forward, x), gradient)


def _softmax_case(rng: np.random.Generator, logits: np.ndarray) -> Case:
    labels = rng.integers(0, logits.shape[1], len(logits), np.int32)
    weights = rng.integers(1, 4, len(logits)).astype(np.float64)

    def function(x: np.ndarray) -> float:
        return reference.softmax_cross_entropy(x, labels, weights, np.empty_like(x))

    def gradient(kernels: ModuleType, dtype: np.dtype) -> np.ndarray:
        out = np.empty(logits.shape, dtype)
        kernels.softmax_cross_entropy(logits.astype(dtype), labels, weights.astype(dtype), out)
        return out

    return Case("cross-entropy by logits", logits, function, gradient)


def _dropout_case(a: np.ndarray, c: np.ndarray) -> Case:
    samples = np.arange(len(a))

    def dropped(kernels: ModuleType, values: np.ndarray) -> np.ndarray:
        out = np.empty_like(values)
        kernels.dropout(values, samples, 0.3, 1, 2, 3, out)
        return out

    return Case(
        "dropout by a",
        a,
        lambda x: float(np.vdot(c, dropped(reference, x))),
        lambda kernels, dtype: dropped(kernels, c.astype(dtype)),
    )


def _network_cases(rng: np.random.Generator) -> Iterable[Case]:
    """Yield the loss of random networks as a function of their parameters.

    For each activation: with dropout and without, and with batch normalisation and smoothed
    labels; and one without a hidden layer, with class ids and with soft targets.
    """
    for activation in ACTIVATIONS:
        for dropout in (0.0, 0.3):
            network = Network((_FAN_IN, 19, _FAN_OUT, 10), activation, dropout)
            yield _network_case(rng, network)
        normalized = Network((_FAN_IN, 19, _FAN_OUT, 10), activation, batch_norm=True)
        yield _network_case(rng, normalized, label_smoothing=0.1)
    yield _network_case(rng, Network((_FAN_IN, 10), "identity"))
    yield _network_case(rng, Network((_FAN_IN, 10), "identity"), soft=True)


def _network_case(
    rng: np.random.Generator, network: Network, label_smoothing: float = 0.0, soft: bool = False
) -> Case:
    x = rng.integers(0, 256, (_BATCH, network.layer_sizes[0]), np.uint8)
    targets = rng.integers(0, network.layer_sizes[-1], _BATCH, np.int32)
    if soft:
        eighths = rng.multinomial(8, np.full(10, 0.1), _BATCH)  # exact in float32
        targets = eighths / 8
    weights = rng.integers(1, 4, _BATCH).astype(np.float64)
    params = network.init(rng, dtype=np.float32).astype(np.float64)
    for _, bias in network.views(params):
        bias[...] = 0.1 * _draw(rng, *bias.shape)
    params = params.astype(np.float32).astype(np.float64)
    layers = network.layers()
    options = make_options(
        batch_size=_BATCH, scale=1 / 255, seed=3, label_smoothing=label_smoothing
    )

    def loss_and_gradient(kernels: ModuleType, at: np.ndarray) -> tuple[float, np.ndarray]:
        gradient = np.empty_like(at)
        workspace = np.empty(kernels.workspace_size(layers, _BATCH, 0), np.float32)
        loss = kernels.loss_and_gradient(
            x, targets.astype(at.dtype) if soft else targets, weights.astype(at.dtype), at, layers,
            options, workspace, gradient,
        )  # fmt: skip
        return loss, gradient

    how = ", dropout" if any(network.rates) else ""
    how += ", normalised" if network.batch_norm else ""
    how += ", soft targets" if soft else ""
    hidden = len(network.layer_sizes) > 2
    return Case(
        f"{network.activation} network{how}" if hidden else f"no hidden layer{how}",
        params,
        lambda at: loss_and_gradient(reference, at)[0],
        lambda kernels, dtype: loss_and_gradient(kernels, params.astype(dtype))[1],
    )
