"""The Cython backend: arguments are checked in Python, then passed to a precompiled kernel.

Importing this module picks the build for the best instruction set that this machine can run.
:data:`INSTRUCTION_SET` names it, and ``MNISTCORE_CYTHON_ISA`` (avx512, avx2 or baseline) forces
one. The contract is in the package's docstring. Arrays are float32, except for images (uint8 or
float32), labels (int32) and sample ids (int64). A wrong shape, constant or overlap raises
ValueError, a wrong dtype or memory order TypeError, and in both cases nothing is written.
"""

import importlib
import math
import os
import shutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from . import EXPORTS, checks, deformation, layout
from .checks import FLOAT32, check_backward, check_forward
from .threads import (
    WAKING,
    all_steps,
    alone_below,
    get_num_threads,
    run_tasks,
    run_team,
    tasks_team_size,
    team_size,
)

__all__ = EXPORTS

NAME = "cython"
FLOATS = (FLOAT32,)
BUILDS = ("avx512", "avx2", "baseline")
VARIABLE = "MNISTCORE_CYTHON_ISA"


def _build(name: str) -> ModuleType:
    """Import one build, or raise an ImportError with the reason and the remedy."""
    try:
        return importlib.import_module(f"._cython.{name}", __package__)
    except ImportError as error:
        compilers = ("cc", "gcc", "clang")
        found = any(shutil.which(compiler) for compiler in compilers)
        reason = "" if found else f" (there is no C compiler here: none of {', '.join(compilers)})"
        raise ImportError(
            f"the compiled kernels for {name} are not built for this Python{reason}; install GCC"
            " or Clang, run `pip install -v --force-reinstall --no-deps -e .` in the source folder"
            f" and read the compiler's messages [{error}]"
        ) from error


def _pick() -> tuple[str, ModuleType]:
    """Return the name and the module of the build to use."""
    supported = _build("baseline").instruction_sets()
    forced = os.environ.get(VARIABLE)
    if forced:
        if forced not in BUILDS:
            raise ImportError(f"{VARIABLE} must be one of {', '.join(BUILDS)}, got {forced!r}")
        if forced not in supported:
            raise ImportError(
                f"{VARIABLE} is {forced}, but this machine runs only {', '.join(supported)}"
            )
        return forced, _build(forced)
    for name in supported[:-1]:
        try:
            return name, _build(name)
        except ImportError:  # an old compiler may know fewer instruction sets than the machine
            continue
    return "baseline", _build("baseline")


INSTRUCTION_SET, _core = _pick()
_UNKNOWN, _DONE = int(_core.UNKNOWN), int(_core.DONE)  # what was found of a product


def compiled() -> bool:
    """Return whether training would start without compiling anything: always True."""
    return True


def begin_compiling() -> None:
    """Do nothing, like :func:`compile_programs`."""


def compile_programs(report: Callable[[str], None]) -> None:
    """Do nothing: all was compiled when the package was installed."""


# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a b for a (M, K), b (K, N), out (M, N)."""
    found = _core.multiply_small(a, b, out, False, False, alone_below())
    if found != _DONE:
        if found == _UNKNOWN:
            checks.check_matmul("matmul", FLOATS, a, b, out, ("MK", "KN"))
        _matmul(a, b, out, False, False)


def matmul_tn(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a^T b for a (K, M), b (K, N), out (M, N)."""
    found = _core.multiply_small(a, b, out, True, False, alone_below())
    if found != _DONE:
        if found == _UNKNOWN:
            checks.check_matmul("matmul_tn", FLOATS, a, b, out, ("KM", "KN"))
        _matmul(a, b, out, True, False)


def matmul_nt(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a b^T for a (M, K), b (N, K), out (M, N)."""
    found = _core.multiply_small(a, b, out, False, True, alone_below())
    if found != _DONE:
        if found == _UNKNOWN:
            checks.check_matmul("matmul_nt", FLOATS, a, b, out, ("MK", "NK"))
        _matmul(a, b, out, False, True)


def _matmul(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, a_transposed: bool, b_transposed: bool
) -> None:
    count = tasks_team_size(out.size * a.shape[0 if a_transposed else 1])

    def lead(desk: int, n: int) -> None:
        _core.multiply(a, b, out, a_transposed, b_transposed, desk, n)

    run_tasks(count, lead, _core.attend)


def add_bias(z: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out[n, o] = z[n, o] + b[o] for z and out (B, O), b (O,)."""
    checks.check_add_bias(FLOATS, z, b, out)
    _core.add_bias(z, b, out)


def sum_rows(dz: np.ndarray, out: np.ndarray) -> None:
    """Compute out[o] = sum over n of dz[n, o] for dz (B, O), out (O,)."""
    checks.check_sum_rows(FLOATS, dz, out)
    _core.sum_rows(dz, out)


def tanh_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = tanh z; both (B, O)."""
    check_forward("tanh_forward", FLOATS, z, a)
    _core.activation_forward(layout.TANH, z, a)


def tanh_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da (1 - a^2) from the output a = tanh z; all (B, O)."""
    check_backward("tanh_backward", FLOATS, da, a, dz)
    _core.activation_backward(layout.TANH, da, a, dz)


def relu_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = max(z, 0), where NaN stays NaN; both (B, O)."""
    check_forward("relu_forward", FLOATS, z, a)
    _core.activation_forward(layout.RELU, z, a)


def relu_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Set dz to da where the output a = relu z is positive, else to 0; all (B, O)."""
    check_backward("relu_backward", FLOATS, da, a, dz)
    _core.activation_backward(layout.RELU, da, a, dz)


def logistic_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = 1 / (1 + exp(-z)); both (B, O)."""
    check_forward("logistic_forward", FLOATS, z, a)
    _core.activation_forward(layout.LOGISTIC, z, a)


def logistic_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da a (1 - a) from the output a = logistic z; all (B, O)."""
    check_backward("logistic_backward", FLOATS, da, a, dz)
    _core.activation_backward(layout.LOGISTIC, da, a, dz)


def softmax(logits: np.ndarray, probs: np.ndarray) -> None:
    """Compute the softmax of each row, its maximum subtracted first; both (B, C)."""
    checks.check_softmax(FLOATS, logits, probs)
    _core.softmax(logits, probs)


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray, dlogits: np.ndarray
) -> float:
    """Return the weighted mean of -log softmax(logits)[label]; write its gradient to dlogits.

    logits and dlogits (B, C), labels (B,) int32, sample_weight (B,) or of length 0 for weights
    of 1. The gradient is ``weight / sum of weights * (probs - onehot)``. Loss and gradient are 0
    where the weights sum to 0.
    """
    checks.check_cross_entropy(FLOATS, logits, labels, sample_weight, dlogits)
    return _core.softmax_cross_entropy(logits, labels, sample_weight, dlogits)


def dropout(
    a: np.ndarray,
    samples: np.ndarray,
    rate: float,
    seed: int,
    epoch: int,
    layer: int,
    out: np.ndarray,
) -> None:
    """Apply inverted dropout: out = a / (1 - rate), or 0 for the units that are dropped.

    a and out (B, O), samples (B,) int64 ids. The mask is a hash of (seed, epoch, sample, layer,
    unit), :func:`.layout.random_bits`. The backward pass is the same call on the gradient.
    """
    checks.check_dropout(FLOATS, a, samples, out)
    key = layout.low_bits(seed, epoch, layer)
    _core.dropout(a, samples, layout.dropout_threshold(rate), *key, out)


def augment(
    images: np.ndarray,
    order: np.ndarray,
    options: np.ndarray,
    seed: int,
    epoch: int,
    out: np.ndarray,
) -> None:
    """Rotate, shear, scale, shift and bend the images whose numbers are in ``order``.

    images and out (N, side * side) uint8, order (n,) int64. out[s] is images[s] deformed, for each
    s in ``order``; other rows are not touched. See :mod:`.deformation`.
    """
    side = checks.check_augment(images, order, options, out)
    arrays, plan = (images, order, out), deformation.plan(options, side)
    seed, epoch = layout.low_bits(seed, epoch)

    def lead(desk: int, n: int) -> None:
        _core.augment_images(arrays, *plan, seed, epoch, desk, n)

    run_tasks(tasks_team_size(deformation.WORK * len(order) * side * side), lead, _core.attend)


def sgd_update(
    gradient: np.ndarray,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Take one step of gradient descent, with or without momentum, on flat arrays (P,) in place.

    The formulas are those of the reference, ``numpy_kernels.sgd_update``.
    """
    checks.check_sgd(FLOATS, gradient, momentum, weight_decay, params, velocity)
    constants = learning_rate, momentum, nesterov, weight_decay

    def update(gate: int, leads: bool) -> None:
        _core.sgd_update(gradient, constants, params, velocity, gate, leads)

    run_team(team_size(layout.UPDATE_WORK * len(params), WAKING), update)


def adam_update(
    gradient: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    """Take one step of Adam on flat arrays (P,) in place; ``step`` counts from 1.

    The formulas are those of the reference, ``numpy_kernels.adam_update``.
    """
    checks.check_adam(FLOATS, gradient, beta1, beta2, eps, weight_decay, step, params, m, v)
    constants = learning_rate, beta1, beta2, eps, weight_decay, decoupled, step

    def update(gate: int, leads: bool) -> None:
        _core.adam_update(gradient, constants, params, m, v, gate, leads)

    run_team(team_size(layout.UPDATE_WORK * len(params), WAKING), update)


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------


def workspace_size(layers: np.ndarray, batch_size: int, slots: int) -> int:
    """Return the number of float32 that a program's workspace needs.

    One row of state is always counted, because ``loss_and_gradient`` keeps the gradient there.
    ``forward`` works in blocks: a workspace for any batch size serves it for any number of rows,
    and it is faster if a whole block fits in for each thread. The number counts all the threads
    allowed now; with a smaller workspace a program runs on fewer threads.
    """
    checks.check_sizes("workspace_size", layers, batch_size, slots)
    rows = min(batch_size, _core.block_rows() * get_num_threads())
    inference = _core.weights_size(layers) + _core.buffers_size(layers, rows)
    threads = min(_core.division(layers, batch_size)[1], get_num_threads())
    totals = [_core.training_size(layers, batch_size, max(slots, 1), n) for n in {1, threads}]
    return max(inference, *totals)


def forward(
    x: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    scale: float,
    shift: float,
    workspace: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Compute the logits (N, C) of the inputs x (N, I), each scaled to x * scale + shift."""
    checks.check_forward_program(FLOATS, x, params, layers, workspace, logits)
    packed = _core.weights_size(layers)
    checks.check_workspace("forward", workspace, packed + _core.buffers_size(layers, 1))
    if not len(x):
        return
    threads, skip = 1, layout.SKIP_NOTHING
    few = len(x) <= _core.tile_rows()
    if not few:  # for fewer rows, looking for zeros costs more than it saves
        threads = team_size(len(x) * _weights(layers), WAKING)
        while threads > 1 and packed + _core.buffers_size(layers, threads) > workspace.size:
            threads -= 1
        skip = layout.skippable_zeros(scale, shift, params)
    weights = _core.Weights(layers, params, workspace[:packed], few)
    program = _core.Prediction(weights, threads, scale, shift, skip, workspace[packed:])
    run_team(threads, lambda gate, leads: program.run(x, logits, gate, leads))


class Predictor:
    """``forward`` with fixed parameters, which are checked, copied and packed only once.

    ``predictor(x, logits)`` writes the logits (N, C) of the inputs x (N, I). Later changes to
    ``params`` have no effect on it. Several threads may call the same predictor.
    """

    def __init__(self, params: np.ndarray, layers: np.ndarray, scale: float, shift: float) -> None:
        checks.check_prediction("Predictor", FLOATS, params, layers)
        self._params, self._layers = params.copy(), layers.copy()
        self._ends = int(layers[0, layout.FAN_IN]), int(layers[-1, layout.FAN_OUT])
        self._scaling = (scale, shift, layout.skippable_zeros(scale, shift, params))
        self._few = _core.tile_rows()
        packed = np.empty(_core.weights_size(self._layers), np.float32)
        self._weights = _core.Weights(self._layers, self._params, packed, False)
        self._weights.pack()
        self._program = self._prediction(1, self._few)

    def _prediction(self, threads: int, rows: int) -> Any:
        """Return a program for ``threads`` threads, whose blocks have ``rows`` rows in total."""
        buffers = np.empty(_core.buffers_size(self._layers, rows), np.float32)
        return _core.Prediction(self._weights, threads, *self._scaling, buffers)

    def __call__(self, x: np.ndarray, logits: np.ndarray) -> None:
        checks.check_inputs("Predictor", *self._ends, checks.FLOAT32, x, logits)
        rows = len(x)
        if 0 < rows <= self._few:
            self._program.predict(x, logits)
        elif rows:
            self._predict_many(x, logits)

    def _predict_many(self, x: np.ndarray, logits: np.ndarray) -> None:
        threads = tasks_team_size(len(x) * _weights(self._layers))
        program = self._prediction(threads, min(len(x), _core.block_rows() * threads))
        run_tasks(threads, lambda desk, n: program.lead(x, logits, desk, n), _core.attend)


def loss_and_gradient(
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    options: np.ndarray,
    workspace: np.ndarray,
    gradient: np.ndarray,
) -> float:
    """Return the mean loss of one batch x (B, I); write its gradient (P,) by all parameters.

    targets (B,), sample_weight (B,) or of length 0; ``options`` is one record, whose batch size
    is ignored. Loss and gradient are NaN if the loss is not finite.
    """
    checks.check_loss_and_gradient(
        FLOATS, x, targets, sample_weight, params, layers, options, workspace, gradient
    )
    if not len(x):
        gradient[...] = 0.0
        return 0.0
    threads = _step_team("loss_and_gradient", layers, len(x), 1, workspace)
    metrics = np.zeros(layout.METRICS)
    program = _core.Training(
        layers,
        layout.gradient_options(options, len(x)),
        threads,
        layout.skipped_zeros(options, params, x),
        (x, targets, sample_weight),
        None,
        (params, gradient[None, :], np.empty(0, np.float32), workspace, metrics),
    )
    run_team(threads, program.run)
    loss, weight = metrics[layout.LOSS_SUM], metrics[layout.WEIGHT_SUM]
    if not math.isfinite(loss):
        gradient.fill(math.nan)
        return math.nan
    return float(loss / weight) if weight else 0.0


def train_steps(
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    layers: np.ndarray,
    options: np.ndarray,
    first_step: int,
    params: np.ndarray,
    state: np.ndarray,
    buffers: np.ndarray,
    workspace: np.ndarray,
    metrics: np.ndarray,
) -> int:
    """Train on the mini-batches of ``order`` (n,), and return the number of steps done.

    x (N, I), targets (N,), sample_weight (N,) or of length 0; params (P,), state (slots, P) and
    metrics (3,) change in place. If a loss is not finite, it returns before that step's update.
    """
    checks.check_train_steps(
        x, targets, sample_weight, order, learning_rates, layers, options, first_step,
        params, state, buffers, workspace, metrics, FLOATS,
    )  # fmt: skip
    if not len(order):
        return 0
    batch_size, skip = int(options["batch_size"][0]), layout.skipped_zeros(options, params, x)

    def run(done: int) -> int:
        threads = _step_team("train_steps", layers, batch_size, len(state), workspace)
        program = _core.Training(
            layers,
            options,
            threads,
            skip,
            (x, targets, sample_weight),
            (order[done * batch_size :], learning_rates[done:], first_step + done),
            (params, state, buffers, workspace, metrics),
        )
        run_team(threads, program.run)
        made: int = program.steps_done
        return made

    return all_steps(len(learning_rates), run)


def _step_team(
    name: str, layers: np.ndarray, batch_size: int, slots: int, workspace: np.ndarray
) -> int:
    """Return how many threads share a training step: as many as pay off and fit in memory."""
    checks.check_workspace(name, workspace, _core.training_size(layers, batch_size, slots, 1))
    meetings, most = _core.division(layers, batch_size)
    # Three multiply-adds for each weight and sample.
    threads = min(most, team_size(3 * _weights(layers) * batch_size, meetings))
    while _core.training_size(layers, batch_size, slots, threads) > workspace.size:
        threads -= 1
    return threads


def _weights(layers: np.ndarray) -> int:
    return int((layers[:, layout.FAN_IN] * layers[:, layout.FAN_OUT]).sum())
