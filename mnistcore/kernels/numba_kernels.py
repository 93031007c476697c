"""The Numba backend: compiled at first use for the machine it runs on, cached on disk.

Here are the checks and what must be allocated; the loops are in the package ``_numba``, whose
functions other ``@njit`` functions can call too. The contract is in the docstring of ``kernels``.
"""

import math
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

from . import EXPORTS, checks, layout
from ._numba import CACHE_FOLDER as CACHE_FOLDER
from ._numba import (
    division,
    elementwise,
    inputs,
    load,
    plan,
    products,
    singles,
    team,
    tile,
    training,
)
from ._numba.functions import JIT, pointer
from ._numba.simd import ALIGNMENT, LANES
from ._numba.simd import INSTRUCTION_SET as INSTRUCTION_SET
from .threads import (
    WAKING,
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


def compiled() -> bool:
    """Whether training would start without compiling anything."""
    cached = any(Path(CACHE_FOLDER).rglob("training.train-*.nbi"))
    return not JIT or bool(training.train.signatures) or cached


_NOTHING = np.zeros(0, np.float32)
_MODEL = id(_NOTHING)  # CPython's address of a plain array

# The C functions that the programs call, in the order of their first parameters.
_MULTIPLY, _UPDATE = pointer(tile.multiply), pointer(elementwise.update_vectors)
_MULTIPLY_LISTED, _PACK = pointer(tile.multiply_listed), pointer(training.pack)
_FETCH, _FINISH = pointer(inputs.gather), pointer(products.finish_tile)
_PREDICTION = _MULTIPLY, _MULTIPLY_LISTED, _FETCH, _FINISH
_TRAINING = (
    _MULTIPLY,
    _MULTIPLY_LISTED,
    _PACK,
    pointer(training.unpack),
    _FETCH,
    pointer(inputs.list_rows),
    _FINISH,
    pointer(training.loss_rows),
    pointer(products.derive_tile),
    _UPDATE,
)

# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b; a (M, K), b (K, N), out (M, N)."""
    if not _multiply_small(division.NN, a, b, out):
        checks.check_matmul("matmul", FLOATS, a, b, out, ("MK", "KN"))
        _multiply(division.NN, a, b, a.shape[1], out)


def matmul_tn(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a^T b; a (K, M), b (K, N), out (M, N)."""
    if not _multiply_small(division.TN, a, b, out):
        checks.check_matmul("matmul_tn", FLOATS, a, b, out, ("KM", "KN"))
        _multiply(division.TN, a, b, a.shape[0], out)


def matmul_nt(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b^T; a (M, K), b (N, K), out (M, N)."""
    if not _multiply_small(division.NT, a, b, out):
        checks.check_matmul("matmul_nt", FLOATS, a, b, out, ("MK", "NK"))
        _multiply(division.NT, a, b, a.shape[1], out)


def add_bias(z: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out[n, o] = z[n, o] + b[o]; z and out (B, O), b (O,)."""
    checks.check_add_bias(FLOATS, z, b, out)
    singles.add_bias(z, b, out)


def sum_rows(dz: np.ndarray, out: np.ndarray) -> None:
    """out[o] = sum over n of dz[n, o]; dz (B, O), out (O,)."""
    checks.check_sum_rows(FLOATS, dz, out)
    singles.sum_rows(dz, out)


def tanh_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = tanh z; both (B, O)."""
    checks.check_forward("tanh_forward", FLOATS, z, a)
    singles.activation(layout.TANH, z, a)


def tanh_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da (1 - a^2) from the output a = tanh z; all (B, O)."""
    checks.check_backward("tanh_backward", FLOATS, da, a, dz)
    singles.activation_gradient(layout.TANH, da, a, dz)


def relu_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = max(z, 0), NaN staying NaN; both (B, O)."""
    checks.check_forward("relu_forward", FLOATS, z, a)
    singles.activation(layout.RELU, z, a)


def relu_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da where the output a = relu z is positive, else 0; all (B, O)."""
    checks.check_backward("relu_backward", FLOATS, da, a, dz)
    singles.activation_gradient(layout.RELU, da, a, dz)


def logistic_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = 1 / (1 + exp(-z)); both (B, O)."""
    checks.check_forward("logistic_forward", FLOATS, z, a)
    singles.activation(layout.LOGISTIC, z, a)


def logistic_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da a (1 - a) from the output a = logistic z; all (B, O)."""
    checks.check_backward("logistic_backward", FLOATS, da, a, dz)
    singles.activation_gradient(layout.LOGISTIC, da, a, dz)


def softmax(logits: np.ndarray, probs: np.ndarray) -> None:
    """probs = exp(logits) / sum, row by row, the row's maximum subtracted; both (B, C)."""
    checks.check_softmax(FLOATS, logits, probs)
    singles.softmax(logits, probs, _row_scratch(logits))


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray, dlogits: np.ndarray
) -> float:
    """The weighted mean of -log softmax(logits)[label], and its gradient in dlogits.

    logits and dlogits (B, C), labels (B,) int32, sample_weight (B,) or length 0.
    """
    checks.check_cross_entropy(FLOATS, logits, labels, sample_weight, dlogits)
    return singles.softmax_cross_entropy(
        logits, labels, sample_weight, dlogits, _row_scratch(logits)
    )


def dropout(
    a: np.ndarray,
    samples: np.ndarray,
    rate: float,
    seed: int,
    epoch: int,
    layer: int,
    out: np.ndarray,
) -> None:
    """Inverted dropout: out = a / (1 - rate), or 0 for the units that drop.

    a and out (B, O), samples (B,) int64 ids; the mask is that of :func:`.layout.random_bits`.
    """
    checks.check_dropout(FLOATS, a, samples, out)
    key = (number & layout.LOW_BITS for number in (seed, epoch, layer))
    singles.dropout(a, samples, layout.dropout_threshold(rate), *key, out)


def sgd_update(
    gradient: np.ndarray,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """One step of (momentum) gradient descent on flat arrays (P,), in place."""
    checks.check_sgd(FLOATS, gradient, momentum, weight_decay, params, velocity)
    options = np.zeros(1, layout.OPTIONS_DTYPE)
    options["optimizer"], options["momentum"] = layout.SGD, momentum
    options["weight_decay"] = weight_decay
    _update(options, learning_rate, 1, nesterov, gradient, params, velocity, _NOTHING)


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
    """One step of Adam, or AdamW if decoupled, on flat arrays (P,), in place; step from 1."""
    checks.check_adam(FLOATS, gradient, beta1, beta2, eps, weight_decay, step, params, m, v)
    options = np.zeros(1, layout.OPTIONS_DTYPE)
    options["optimizer"] = layout.ADAMW if decoupled else layout.ADAM
    options["beta1"], options["beta2"], options["eps"] = beta1, beta2, eps
    options["weight_decay"] = weight_decay
    _update(options, learning_rate, step, False, gradient, params, m, v)


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------


def workspace_size(layers: np.ndarray, batch_size: int, slots: int) -> int:
    """How many float32 the workspace of a program must hold at least.

    It counts all the threads allowed now; with less room a program runs on fewer.
    """
    checks.check_sizes("workspace_size", layers, batch_size, slots)
    threads = min(get_num_threads(), plan.MAX_THREADS)
    totals = plan.make_plan(layers, batch_size, max(slots, 1), threads).totals
    totals_forward, chunk_size = _forward_plan(layers, batch_size)[1:]
    packed = int(totals_forward[plan.SLOT]) + ALIGNMENT
    return max(int(totals[plan.TOTAL]), packed + chunk_size * threads + ALIGNMENT)


def forward(
    x: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    scale: float,
    shift: float,
    workspace: np.ndarray,
    logits: np.ndarray,
) -> None:
    """The logits (N, C) of the inputs x (N, I)."""
    checks.check_forward_program(FLOATS, x, params, layers, workspace, logits)
    chunk = min(CHUNK, max(len(x), 1))
    _, totals, own_size = _forward_plan(layers, chunk)
    packed = int(totals[plan.SLOT]) + ALIGNMENT
    checks.check_workspace("forward", workspace, packed + own_size + ALIGNMENT)
    threads = _tasks_team_size(len(x) * _weights(layers))
    threads = min(threads, (workspace.size - packed - ALIGNMENT) // own_size)
    # For a few rows, looking for zeros costs more than they save.
    skip = len(x) > tile.TILE_ROWS and layout.zeros_add_nothing(scale, shift, params, layers)
    rooms = _Rooms(layers, chunk, threads, skip, (scale, shift), workspace, workspace[packed:])
    rooms.pack(params)
    rooms.predict(x, logits)


class Predictor:
    """``forward`` with parameters that stay: copied, checked and packed once.

    ``predictor(x, logits)`` writes the logits (N, C) of the inputs x (N, I). Later changes of
    ``params`` do not reach it. Several threads may call one predictor.
    """

    def __init__(self, params: np.ndarray, layers: np.ndarray, scale: float, shift: float) -> None:
        checks.check_parameters("Predictor", FLOATS, params, layers)
        self._layers, self._scaling = layers.copy(), (float(scale), float(shift))
        self._ends = int(layers[0, layout.FAN_IN]), int(layers[-1, layout.FAN_OUT])
        self._skip = layout.zeros_add_nothing(scale, shift, params, layers)
        self._packed = np.empty(_forward_plan(layers, 1)[1][plan.SLOT] + ALIGNMENT, np.float32)
        # Rooms for few rows that nobody is in. Who finds none furnishes one: no caller waits for
        # another, nor a forked child for a thread that it does not have.
        self._free = [self._rooms(tile.TILE_ROWS, 1)]
        self._free[0].pack(params)

    def __call__(self, x: np.ndarray, logits: np.ndarray) -> None:
        checks.check_inputs("Predictor", *self._ends, checks.FLOAT32, x, logits)
        if len(x) <= tile.TILE_ROWS:
            try:
                rooms = self._free.pop()
            except IndexError:
                rooms = self._rooms(tile.TILE_ROWS, 1)
            rooms.predict(x, logits)
            self._free.append(rooms)
            return
        threads = _tasks_team_size(len(x) * _weights(self._layers))
        self._rooms(min(CHUNK, len(x)), threads).predict(x, logits)

    def _rooms(self, chunk: int, threads: int) -> "_Rooms":
        return _Rooms(self._layers, chunk, threads, self._skip, self._scaling, self._packed)


class _Rooms:
    """The table of a prediction in chunks of rows, and what the threads write meanwhile."""

    def __init__(
        self,
        layers: np.ndarray,
        chunk: int,
        threads: int,
        skip: bool,
        scaling: tuple[float, float],
        packed: np.ndarray,
        buffers: np.ndarray | None = None,
    ) -> None:
        self._compiled, self._threads, self._layers = load("prediction"), threads, layers
        nets, totals, own_size = _forward_plan(layers, chunk)
        if buffers is None:
            buffers = np.empty(threads * own_size + ALIGNMENT, np.float32)
        fan_in = int(layers[0, layout.FAN_IN])
        tables = plan.lists_of(fan_in, chunk, 1, threads) if skip else []
        lists = np.array([table.ctypes.data for table in tables], np.int64)
        integers = np.empty((threads, nets.size + 3 * _largest(layers) + chunk), np.int64)
        self._table = np.zeros(self._compiled.TABLE, np.int64)
        self._compiled.write_table(
            self._table, _PREDICTION, nets, totals, packed, buffers, own_size, chunk, lists,
            integers, skip, *map(float, scaling),
        )  # fmt: skip
        self._nets, self._packed = nets, packed
        self._kept = totals, buffers, tables, lists, integers  # the table holds their addresses

    def pack(self, params: np.ndarray) -> None:
        """Pack the parameters."""

        def work(gate: int, leads: bool) -> None:
            self._compiled.pack_share(_PACK, self._nets, params, self._packed, gate, leads)

        run_team(min(self._threads, _team_size(_weights(self._layers), WAKING)), work)

    def predict(self, x: np.ndarray, logits: np.ndarray) -> None:
        """The logits of all rows of x."""
        predict, tasks, table = self._compiled.predict, self._compiled.TASKS, self._table
        x_at, out = singles.address_of(x), singles.address_of(logits)
        floats, rows = x.dtype == checks.FLOAT32, len(x)
        if self._threads == 1:
            predict(tasks, table, x_at, floats, rows, out, 0, 1)
            return

        def lead(desk: int, threads: int) -> None:
            predict(tasks, table, x_at, floats, rows, out, desk, threads)

        run_tasks(self._threads, lead, team.attend)


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
    """The mean loss of one batch x (B, I), and its gradient (P,) by all the parameters."""
    checks.check_loss_and_gradient(
        FLOATS, x, targets, sample_weight, params, layers, options, workspace, gradient
    )
    if not len(x):
        gradient[...] = 0.0
        return 0.0
    metrics = np.zeros(layout.METRICS)
    whole = options.copy()
    whole["batch_size"] = len(x)
    _train(
        "loss_and_gradient", x, targets, sample_weight, np.arange(len(x)), np.zeros(1), layers,
        whole, elementwise.GRADIENT, 0, params.copy(), gradient[None], workspace, metrics,
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
    """Train on the mini-batches of ``order``; the steps done. See the contract."""
    checks.check_train_steps(
        x, targets, sample_weight, order, learning_rates, layers, options, first_step,
        params, state, buffers, workspace, metrics, FLOATS,
    )  # fmt: skip
    return _train(
        "train_steps", x, targets, sample_weight, order, learning_rates, layers, options,
        int(options["optimizer"][0]), first_step, params, state, workspace, metrics,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------
# What the public functions share
# ---------------------------------------------------------------------------------------------

CHUNK = 4 * tile.TILE_ROWS  # rows that a thread predicts at a time: their activations stay in L2


def _team_size(multiply_adds: int, meetings: int) -> int:
    return team.MAX_TEAM or team_size(multiply_adds, meetings)


def _tasks_team_size(multiply_adds: int) -> int:
    return team.MAX_TEAM or tasks_team_size(multiply_adds)


def _weights(layers: np.ndarray) -> int:
    return int((layers[:, layout.FAN_IN] * layers[:, layout.FAN_OUT]).sum())


def _largest(layers: np.ndarray) -> int:
    return int(layers[:, layout.FAN_IN : layout.FAN_OUT + 1].max())


def _address(x: np.ndarray) -> tuple[int, bool]:
    """Where the inputs stand, and whether they are floats."""
    return singles.address_of(x), x.dtype == checks.FLOAT32


def _forward_plan(layers: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The plan of a chunk of rows, and the floats of each thread's own arrays."""
    nets, totals = plan.make_plan(layers, min(CHUNK, max(n, 1)), 0, 1)
    return nets, totals, int(totals[plan.TOTAL] - totals[plan.SLOT]) - ALIGNMENT


def _train_plan(
    name: str, layers: np.ndarray, batch_size: int, slots: int, workspace: np.ndarray
) -> tuple[plan.Plan, int]:
    """The plan of a training step, and how many threads share it: what it deserves and fits."""
    least = plan.make_plan(layers, batch_size, slots, 1)
    checks.check_workspace(name, workspace, int(least.totals[plan.TOTAL]))
    # Three products a weight and sample.
    threads = _team_size(3 * _weights(layers) * batch_size, least.meetings())
    threads = min(threads, least.most_threads())
    while True:
        fitting = plan.make_plan(layers, batch_size, slots, threads)
        if fitting.totals[plan.TOTAL] <= workspace.size:
            return fitting, threads
        threads -= 1


def _train(
    name: str,
    x: np.ndarray,
    targets: np.ndarray,
    sample_weight: np.ndarray,
    order: np.ndarray,
    learning_rates: np.ndarray,
    layers: np.ndarray,
    options: np.ndarray,
    optimizer: int,
    first_step: int,
    params: np.ndarray,
    state: np.ndarray,
    workspace: np.ndarray,
    metrics: np.ndarray,
) -> int:
    batch_size = int(options["batch_size"][0])
    (nets, totals), threads = _train_plan(name, layers, batch_size, len(state), workspace)
    scale, shift = float(options["scale"][0]), float(options["shift"][0])
    skip = bool(options["skip_zeros"][0]) and layout.zeros_add_nothing(scale, shift, params, layers)
    parts, lists = int(totals[plan.PARTS]), []
    if parts > 1 or (skip and batch_size <= plan.MOST_LISTED):
        lists = plan.lists_of(x.shape[1], batch_size, parts, threads)
    addresses = np.array([table.ctypes.data for table in lists], np.int64)
    integers = np.empty((threads, training.RUNS + 3 * _largest(layers) + 16), np.int64)
    losses = np.empty((2, int(totals[plan.COPIES]), batch_size))

    def work(gate: int, leads: bool) -> int:
        return training.train(
            *_TRAINING, gate, leads, *_address(x), targets, sample_weight, order, learning_rates,
            options, optimizer, first_step, params, state, workspace, nets, totals, addresses,
            integers, losses[0], losses[1], skip, metrics,
        )  # fmt: skip

    return run_team(threads, work)


@cache
def _small_product() -> Callable[..., bool]:
    """The compiled function, with the arguments that stay."""
    matmuls = load("matmul")
    return partial(matmuls.multiply_small, _MULTIPLY, matmuls.TASKS, _MODEL)


def _multiply_small(kind: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
    """Do it at once, unless it is large or there is something to say against it.

    The smallest products take less time than checks in Python.
    """
    if not JIT:  # nothing but its compiled signature refuses other arrays
        return False
    try:
        return _small_product()(kind, a, b, out, alone_below())
    except (TypeError, AttributeError, ValueError):  # the checks say what it is
        return False


def _multiply(kind: int, a: np.ndarray, b: np.ndarray, k: int, out: np.ndarray) -> None:
    matmuls = load("matmul")

    def lead(desk: int, n: int) -> None:
        matmuls.multiply(_MULTIPLY, matmuls.TASKS, kind, a, b, out, desk, n)

    run_tasks(_tasks_team_size(out.size * k), lead, team.attend)


def _row_scratch(logits: np.ndarray) -> np.ndarray:
    return np.empty(-(-max(logits.shape[1], 1) // LANES) * LANES, np.float32)


def _update(
    options: np.ndarray,
    learning_rate: float,
    step: int,
    nesterov: bool,
    gradient: np.ndarray,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    block = np.zeros(4 * LANES + elementwise.CONSTANTS, np.float32)
    rate = float(learning_rate)
    singles.update(
        _UPDATE, options, rate, step, bool(nesterov), gradient, params, m, v,
        block,
    )  # fmt: skip
