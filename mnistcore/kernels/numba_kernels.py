"""The Numba backend: compiled at first use for the machine it runs on, cached on disk.

This module checks arguments and allocates scratch; the loops are in the package ``_numba``, whose
functions other ``@njit`` functions can call too. Importing it compiles nothing: a kernel or a
program is compiled, or read from disk, when it is first called. The contract is in the docstring
of ``kernels``.
"""

import math
from collections.abc import Callable
from functools import cache, partial
from types import ModuleType

import numpy as np

from . import EXPORTS, checks, deformation, layout
from ._numba import dropout as masks
from ._numba import elementwise, losses, programs, team, training, updates
from ._numba.functions import JIT, pointer
from ._numba.machine import INSTRUCTION_SET as INSTRUCTION_SET
from ._numba.machine import VL
from ._numba.memory import LINE_FLOATS
from ._numba.plan import MAX_THREADS, Plan, make_plan
from ._numba.prediction import Prediction, block_rows, forward_plan
from ._numba.tile import MR, multiply_tile
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

NAME = "numba"
FLOATS = (checks.FLOAT32,)

_NOTHING = np.zeros(0, np.float32)
_MODEL = id(_NOTHING)  # CPython's address of a plain array
_NN, _TN, _NT = range(3)  # which operand of a product is transposed: see _numba.matmul
_UNKNOWN, _DONE = range(2)  # what was found of a product: see _numba.matmul
_NAMES = ("matmul", "matmul_tn", "matmul_nt")
_AXES = (("MK", "KN"), ("KM", "KN"), ("MK", "NK"))


def compiled() -> bool:
    """Return whether training would start without compiling, all of it being cached on disk."""
    return programs.TRAINING.is_cached()


def begin_compiling() -> None:
    """Start other processes on what :func:`compile_programs` would compile."""
    programs.TRAINING.begin()


def compile_programs(report: Callable[[str], None]) -> None:
    """Compile what training and prediction need, unless it is cached: see the contract."""
    programs.TRAINING.load(report)


# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a b; a (M, K), b (K, N), out (M, N)."""
    _multiply(_NN, a, b, out)


def matmul_tn(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a^T b; a (K, M), b (K, N), out (M, N)."""
    _multiply(_TN, a, b, out)


def matmul_nt(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a b^T; a (M, K), b (N, K), out (M, N)."""
    _multiply(_NT, a, b, out)


def add_bias(z: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out[n, o] = z[n, o] + b[o]; z and out (B, O), b (O,)."""
    checks.check_add_bias(FLOATS, z, b, out)
    elementwise.add_bias(z, b, out)


def sum_rows(dz: np.ndarray, out: np.ndarray) -> None:
    """Compute out[o] = sum over n of dz[n, o]; dz (B, O), out (O,)."""
    checks.check_sum_rows(FLOATS, dz, out)
    elementwise.sum_rows(dz, out)


def tanh_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = tanh z; both (B, O)."""
    checks.check_forward("tanh_forward", FLOATS, z, a)
    elementwise.activation_forward(layout.TANH, z, a)


def tanh_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da (1 - a^2) from the output a = tanh z; all (B, O)."""
    checks.check_backward("tanh_backward", FLOATS, da, a, dz)
    elementwise.activation_backward(layout.TANH, da, a, dz)


def relu_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = max(z, 0), NaN staying NaN; both (B, O)."""
    checks.check_forward("relu_forward", FLOATS, z, a)
    elementwise.activation_forward(layout.RELU, z, a)


def relu_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da where the output a = relu z is positive, else 0; all (B, O)."""
    checks.check_backward("relu_backward", FLOATS, da, a, dz)
    elementwise.activation_backward(layout.RELU, da, a, dz)


def logistic_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = 1 / (1 + exp(-z)); both (B, O)."""
    checks.check_forward("logistic_forward", FLOATS, z, a)
    elementwise.activation_forward(layout.LOGISTIC, z, a)


def logistic_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da a (1 - a) from the output a = logistic z; all (B, O)."""
    checks.check_backward("logistic_backward", FLOATS, da, a, dz)
    elementwise.activation_backward(layout.LOGISTIC, da, a, dz)


def softmax(logits: np.ndarray, probs: np.ndarray) -> None:
    """Compute probs = exp(logits) / sum, row by row, less the row's maximum; both (B, C)."""
    checks.check_softmax(FLOATS, logits, probs)
    row = np.empty(-(-logits.shape[1] // VL) * VL, np.float32)
    losses.softmax(logits, probs, row)


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray, dlogits: np.ndarray
) -> float:
    """Return the weighted mean of -log softmax(logits)[label], and write its gradient to dlogits.

    logits and dlogits (B, C), labels (B,) int32, sample_weight (B,) or length 0.
    """
    checks.check_cross_entropy(FLOATS, logits, labels, sample_weight, dlogits)
    return losses.softmax_cross_entropy(logits, labels, sample_weight, dlogits)


def dropout(
    a: np.ndarray,
    samples: np.ndarray,
    rate: float,
    seed: int,
    epoch: int,
    layer: int,
    out: np.ndarray,
) -> None:
    """Apply inverted dropout: out = a / (1 - rate), or 0 for the units that drop.

    a and out (B, O), samples (B,) int64 ids; the mask comes from :func:`.layout.random_bits`.
    """
    checks.check_dropout(FLOATS, a, samples, out)
    key = layout.low_bits(seed, epoch, layer)
    masks.dropout(a, samples, layout.dropout_threshold(rate), *key, out)


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
    from ._numba.augment import augment_images  # most runs do without it

    side = checks.check_augment(images, order, options, out)
    made = deformation.plan(options, side)
    threads = _tasks_team_size(deformation.WORK * len(order) * side * side)
    seed, epoch = layout.low_bits(seed, epoch)
    augment_images((images, order, out), made, seed, epoch, threads)


def sgd_update(
    gradient: np.ndarray,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Take one step of gradient descent, momentum optional, on flat arrays (P,), in place."""
    checks.check_sgd(FLOATS, gradient, momentum, weight_decay, params, velocity)
    options = np.zeros(1, layout.OPTIONS_DTYPE)
    options["optimizer"], options["momentum"] = layout.SGD, momentum
    options["nesterov"], options["weight_decay"] = nesterov, weight_decay
    _update(options, learning_rate, 1, gradient, params, velocity, _NOTHING)


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
    """Take one step of Adam, or AdamW if decoupled, on flat arrays (P,), in place; step from 1."""
    checks.check_adam(FLOATS, gradient, beta1, beta2, eps, weight_decay, step, params, m, v)
    options = np.zeros(1, layout.OPTIONS_DTYPE)
    options["optimizer"] = layout.ADAMW if decoupled else layout.ADAM
    options["beta1"], options["beta2"], options["eps"] = beta1, beta2, eps
    options["weight_decay"] = weight_decay
    _update(options, learning_rate, step, gradient, params, m, v)


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------


def workspace_size(layers: np.ndarray, batch_size: int, slots: int) -> int:
    """Return the size of a program's workspace in float32, with room for all threads allowed now.

    A program that is given a smaller workspace runs on fewer threads.
    """
    checks.check_sizes("workspace_size", layers, batch_size, slots)
    threads = min(get_num_threads(), MAX_THREADS)
    totals = [
        make_plan(layers, batch_size, slots + 1, n, skip, narrow=narrow)[1].total
        for skip in range(layout.SKIP_ALL + 1)
        for n in {1, threads}
        for narrow in (False, True)
    ]
    _, plan, own_size = forward_plan(layers, batch_size)
    packed = plan.slot_size + LINE_FLOATS
    return max(*totals, packed + own_size * threads + LINE_FLOATS)


def forward(
    x: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    scale: float,
    shift: float,
    workspace: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Compute the logits (N, C) of the inputs x (N, I)."""
    checks.check_forward_program(FLOATS, x, params, layers, workspace, logits)
    _, plan, own_size = forward_plan(layers, len(x))
    packed = plan.slot_size + LINE_FLOATS
    checks.check_workspace("forward", workspace, packed + own_size + LINE_FLOATS)
    programs.PREDICTION.load()
    threads = _tasks_team_size(len(x) * _weights(layers))
    threads = min(threads, (workspace.size - packed - LINE_FLOATS) // own_size)
    # For a few rows, looking for zeros costs more than they save.
    skip = layout.skippable_zeros(scale, shift, params) if len(x) > MR else layout.SKIP_NOTHING
    prediction = Prediction(
        layers, block_rows(len(x)), threads, skip, (scale, shift), workspace,
        workspace[packed:],
    )  # fmt: skip
    prediction.pack(params, _team_size(_weights(layers), WAKING))
    prediction.run(x, logits)


class Predictor:
    """``forward`` with fixed parameters, which are copied, checked and packed once.

    ``predictor(x, logits)`` writes the logits (N, C) of the inputs x (N, I). Later changes to
    ``params`` have no effect. Several threads may call one predictor.
    """

    def __init__(self, params: np.ndarray, layers: np.ndarray, scale: float, shift: float) -> None:
        checks.check_prediction("Predictor", FLOATS, params, layers)
        programs.PREDICTION.load()
        self._layers, self._scaling = layers.copy(), (float(scale), float(shift))
        self._ends = int(layers[0, layout.FAN_IN]), int(layers[-1, layout.FAN_OUT])
        self._skip = layout.skippable_zeros(scale, shift, params)
        self._packed = np.empty(forward_plan(layers, 1)[1].slot_size + LINE_FLOATS, np.float32)
        # Unused predictions for a few rows. A caller that finds none makes one, so that no caller
        # waits for another, and no forked child for a thread that it does not have.
        self._free = [self._prediction(MR, 1)]
        self._free[0].pack(params, 1)

    def __call__(self, x: np.ndarray, logits: np.ndarray) -> None:
        checks.check_inputs("Predictor", *self._ends, checks.FLOAT32, x, logits)
        if len(x) <= MR:
            try:
                prediction = self._free.pop()
            except IndexError:
                prediction = self._prediction(MR, 1)
            prediction.run(x, logits)
            self._free.append(prediction)
            return
        threads = _tasks_team_size(len(x) * _weights(self._layers))
        self._prediction(block_rows(len(x)), threads).run(x, logits)

    def _prediction(self, block: int, threads: int) -> Prediction:
        return Prediction(self._layers, block, threads, self._skip, self._scaling, self._packed)


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
    """Return the mean loss of one batch x (B, I), and write its gradient (P,) in the parameters."""
    checks.check_loss_and_gradient(
        FLOATS, x, targets, sample_weight, params, layers, options, workspace, gradient
    )
    if not len(x):
        gradient[...] = 0.0
        return 0.0
    metrics = np.zeros(layout.METRICS)
    whole = layout.gradient_options(options, len(x))
    _train(
        "loss_and_gradient", layers, workspace, 0, True, x=x, targets=targets,
        sample_weight=sample_weight, order=np.arange(len(x)), learning_rates=np.zeros(1),
        options=whole, params=params, state=gradient[None], buffers=params[:0], metrics=metrics,
    )  # fmt: skip
    if not math.isfinite(metrics[layout.LOSS_SUM]):
        gradient.fill(math.nan)
        return math.nan
    weight = metrics[layout.WEIGHT_SUM]
    return float(metrics[layout.LOSS_SUM] / weight) if weight else 0.0


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
    """Train on the mini-batches of ``order`` and return the steps done. See the contract."""
    checks.check_train_steps(
        x, targets, sample_weight, order, learning_rates, layers, options, first_step,
        params, state, buffers, workspace, metrics, FLOATS,
    )  # fmt: skip
    return _train(
        "train_steps", layers, workspace, first_step, False, x=x, targets=targets,
        sample_weight=sample_weight, order=order, learning_rates=learning_rates, options=options,
        params=params, state=state, buffers=buffers, metrics=metrics,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------
# Shared functions
# ---------------------------------------------------------------------------------------------


def _team_size(multiply_adds: int, meetings: int) -> int:
    return team.MAX_TEAM or team_size(multiply_adds, meetings)


def _tasks_team_size(multiply_adds: int) -> int:
    return team.MAX_TEAM or tasks_team_size(multiply_adds)


def _weights(layers: np.ndarray) -> int:
    return int((layers[:, layout.FAN_IN] * layers[:, layout.FAN_OUT]).sum())


def _train_plan(
    name: str,
    layers: np.ndarray,
    options: np.ndarray,
    slots: int,
    skip: int,
    workspace: np.ndarray,
) -> tuple[np.ndarray, Plan, int]:
    """Return a training step's layers, its plan, and as many threads as pay off and fit."""
    batch_size = int(options["batch_size"][0])
    make = partial(make_plan, narrow=layout.divides_inputs(options))
    _, least = make(layers, batch_size, slots, 1, skip)
    checks.check_workspace(name, workspace, least.total)
    # Each weight takes part in three products per sample.
    threads = _team_size(3 * _weights(layers) * batch_size, least.meetings(len(layers)))
    threads = min(threads, least.most_threads())
    while True:
        net, plan = make(layers, batch_size, slots, threads, skip)
        if plan.total <= workspace.size:
            return net, plan, threads
        threads -= 1


def _train(
    name: str,
    layers: np.ndarray,
    workspace: np.ndarray,
    first_step: int,
    gradient_only: bool,
    **arrays: np.ndarray,
) -> int:
    """Run the steps of ``train_steps``, given its array arguments by name; return their number."""
    programs.TRAINING.load()
    options, order, rates = arrays["options"], arrays["order"], arrays["learning_rates"]
    batch_size = int(options["batch_size"][0])
    slots = len(arrays["state"]) + bool(options["clip_norm"][0])
    skip = layout.skipped_zeros(options, arrays["params"], arrays["x"])

    def run(done: int) -> int:
        net, plan, threads = _train_plan(name, layers, options, slots, skip, workspace)
        arrays["order"], arrays["learning_rates"] = order[done * batch_size :], rates[done:]
        program = training.Training(layers, net, plan, threads, skip, gradient_only)
        return program.run(workspace, first_step + done, **arrays)

    return all_steps(len(rates), run)


@cache
def _products() -> tuple[ModuleType, int, int]:
    """Import, and so compile, the matrix products; return the module and the pointers it takes."""
    from ._numba import matmul

    return matmul, pointer(multiply_tile), pointer(matmul.take_tasks)


@cache
def _small_product(limit: int) -> Callable[..., int]:
    """Return the compiled function with the constants of products below that limit bound."""
    module, multiply_tile, tasks = _products()
    common = np.array([multiply_tile, tasks, _MODEL, limit], np.int64)
    _COMMON.append(common)
    return partial(module.multiply_small, common.ctypes.data)


_COMMON: list[np.ndarray] = []  # what compiled code has the addresses of


def _multiply(kind: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Do a small and valid product at once: it takes less time than checks in Python."""
    try:  # only the compiled signature rejects wrong arrays
        found = _small_product(alone_below())(kind, a, b, out) if JIT else _UNKNOWN
    except (TypeError, AttributeError, ValueError):
        found = _UNKNOWN  # the checks will name the error
    if found == _DONE:
        return
    if found == _UNKNOWN:
        checks.check_matmul(_NAMES[kind], FLOATS, a, b, out, _AXES[kind])
    _multiply_together(kind, a, b, out)


def _multiply_together(kind: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Do a valid product on as many threads as pay off."""
    module, multiply_tile, tasks = _products()

    def lead(desk: int, threads: int) -> None:
        module.multiply(multiply_tile, tasks, kind, a, b, out, desk, threads)

    terms = a.shape[0 if kind == _TN else 1]
    run_tasks(_tasks_team_size(out.size * terms), lead, team.attend)


def _update(
    options: np.ndarray,
    learning_rate: float,
    step: int,
    gradient: np.ndarray,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    """Take one optimizer step on as many threads as pay off."""
    count = _team_size(layout.UPDATE_WORK * len(params), WAKING)
    scratch = np.zeros((count, updates.SCRATCH), np.float32)
    apply, rates = pointer(updates.update_apart), (float(learning_rate), step)
    arrays = params, m, v, gradient

    def update(gate: int, leads: bool) -> None:
        updates.update_flat(apply, options, rates, arrays, scratch, gate, leads)

    run_team(count, update)
