"""The Numba backend: compiled at first use for the machine it runs on, cached on disk.

Here are the checks and what must be allocated; the loops are in the package ``_numba``, whose
functions other ``@njit`` functions can call too. To import this compiles nothing; a kernel or a
program is compiled, or read from the disk, when it is first called. The contract is in the
docstring of ``kernels``.
"""

import math
from collections.abc import Callable
from functools import cache, partial
from types import ModuleType

import numpy as np

from . import checks, layout
from ._numba import dropout as masks
from ._numba import elementwise, inputs, losses, plan, products, team, tile, training, updates
from ._numba.cache import CACHE_FOLDER as CACHE_FOLDER
from ._numba.functions import JIT, is_cached, pointer
from ._numba.machine import INSTRUCTION_SET as INSTRUCTION_SET
from ._numba.machine import VL
from ._numba.memory import ALIGNMENT, address_of
from .threads import (
    START,
    alone_below,
    get_num_threads,
    run_tasks,
    run_team,
    tasks_team_size,
    team_size,
)

NAME = "numba"
FLOATS = (checks.FLOAT32,)

_NOTHING = np.zeros(0, np.float32)
_MODEL = id(_NOTHING)  # CPython's address of a plain array
_NN, _TN, _NT = range(3)  # which operand of a product is transposed: see _numba.matmul

# The C functions of the training program, by their names in ``products.Functions``.
_TRAINING = products.Functions(
    multiply_tile=tile.multiply_tile,
    multiply_listed=tile.multiply_listed,
    gather=inputs.gather,
    finish_tile=products.finish_tile,
    pack=plan.pack,
    unpack=plan.unpack,
    list_rows=inputs.list_rows,
    loss_rows=training.loss_rows,
    derive_tile=products.derive_tile,
    update_vectors=updates.update_vectors,
)


def compiled() -> bool:
    """Whether training starts without compiling: all of its program is in the disk cache."""
    if not JIT:
        return True
    return is_cached(training.train, training.SIGNATURE) and all(map(is_cached, _TRAINING))


# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b; a (M, K), b (K, N), out (M, N)."""
    if not _multiply_small(_NN, a, b, out):
        checks.check_matmul("matmul", FLOATS, a, b, out, ("MK", "KN"))
        _multiply(_NN, a, b, a.shape[1], out)


def matmul_tn(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a^T b; a (K, M), b (K, N), out (M, N)."""
    if not _multiply_small(_TN, a, b, out):
        checks.check_matmul("matmul_tn", FLOATS, a, b, out, ("KM", "KN"))
        _multiply(_TN, a, b, a.shape[0], out)


def matmul_nt(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b^T; a (M, K), b (N, K), out (M, N)."""
    if not _multiply_small(_NT, a, b, out):
        checks.check_matmul("matmul_nt", FLOATS, a, b, out, ("MK", "NK"))
        _multiply(_NT, a, b, a.shape[1], out)


def add_bias(z: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out[n, o] = z[n, o] + b[o]; z and out (B, O), b (O,)."""
    checks.check_add_bias(FLOATS, z, b, out)
    elementwise.add_bias(z, b, out)


def sum_rows(dz: np.ndarray, out: np.ndarray) -> None:
    """out[o] = sum over n of dz[n, o]; dz (B, O), out (O,)."""
    checks.check_sum_rows(FLOATS, dz, out)
    elementwise.sum_rows(dz, out)


def tanh_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = tanh z; both (B, O)."""
    checks.check_forward("tanh_forward", FLOATS, z, a)
    elementwise.activation_forward(layout.TANH, z, a)


def tanh_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da (1 - a^2) from the output a = tanh z; all (B, O)."""
    checks.check_backward("tanh_backward", FLOATS, da, a, dz)
    elementwise.activation_backward(layout.TANH, da, a, dz)


def relu_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = max(z, 0), NaN staying NaN; both (B, O)."""
    checks.check_forward("relu_forward", FLOATS, z, a)
    elementwise.activation_forward(layout.RELU, z, a)


def relu_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da where the output a = relu z is positive, else 0; all (B, O)."""
    checks.check_backward("relu_backward", FLOATS, da, a, dz)
    elementwise.activation_backward(layout.RELU, da, a, dz)


def logistic_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = 1 / (1 + exp(-z)); both (B, O)."""
    checks.check_forward("logistic_forward", FLOATS, z, a)
    elementwise.activation_forward(layout.LOGISTIC, z, a)


def logistic_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da a (1 - a) from the output a = logistic z; all (B, O)."""
    checks.check_backward("logistic_backward", FLOATS, da, a, dz)
    elementwise.activation_backward(layout.LOGISTIC, da, a, dz)


def softmax(logits: np.ndarray, probs: np.ndarray) -> None:
    """probs = exp(logits) / sum, row by row, the row's maximum subtracted; both (B, C)."""
    checks.check_softmax(FLOATS, logits, probs)
    losses.softmax(logits, probs, _row_scratch(logits))


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray, dlogits: np.ndarray
) -> float:
    """The weighted mean of -log softmax(logits)[label], and its gradient in dlogits.

    logits and dlogits (B, C), labels (B,) int32, sample_weight (B,) or length 0.
    """
    checks.check_cross_entropy(FLOATS, logits, labels, sample_weight, dlogits)
    return losses.softmax_cross_entropy(
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
    masks.dropout(a, samples, layout.dropout_threshold(rate), *key, out)


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
    """One step of Adam, or AdamW if decoupled, on flat arrays (P,), in place; step from 1."""
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
    """How many float32 the workspace of a program must hold at least.

    It counts all the threads allowed now; with less room a program runs on fewer.
    """
    checks.check_sizes("workspace_size", layers, batch_size, slots)
    threads = min(get_num_threads(), plan.MAX_THREADS)
    _, training_plan = plan.make_plan(layers, batch_size, max(slots, 1), threads)
    _, forward_plan, own_size = _forward_plan(layers, batch_size)
    packed = forward_plan.slot + ALIGNMENT
    return max(training_plan.total, packed + own_size * threads + ALIGNMENT)


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
    block = min(PREDICTED_ROWS, max(len(x), 1))
    _, forward_plan, own_size = _forward_plan(layers, block)
    packed = forward_plan.slot + ALIGNMENT
    checks.check_workspace("forward", workspace, packed + own_size + ALIGNMENT)
    threads = _tasks_team_size(len(x) * _weights(layers))
    threads = min(threads, (workspace.size - packed - ALIGNMENT) // own_size)
    # For a few rows, looking for zeros costs more than they save.
    skip = len(x) > tile.MR and layout.zeros_add_nothing(scale, shift, params, layers)
    prediction = _Prediction(
        layers, block, threads, skip, (scale, shift), workspace, workspace[packed:]
    )
    prediction.pack(params)
    prediction.run(x, logits)


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
        self._packed = np.empty(_forward_plan(layers, 1)[1].slot + ALIGNMENT, np.float32)
        # Those for few rows that nobody is using. Who finds none makes one: no caller waits for
        # another, nor a forked child for a thread that it does not have.
        self._free = [self._prediction(tile.MR, 1)]
        self._free[0].pack(params)

    def __call__(self, x: np.ndarray, logits: np.ndarray) -> None:
        checks.check_inputs("Predictor", *self._ends, checks.FLOAT32, x, logits)
        if len(x) <= tile.MR:
            try:
                prediction = self._free.pop()
            except IndexError:
                prediction = self._prediction(tile.MR, 1)
            prediction.run(x, logits)
            self._free.append(prediction)
            return
        threads = _tasks_team_size(len(x) * _weights(self._layers))
        self._prediction(min(PREDICTED_ROWS, len(x)), threads).run(x, logits)

    def _prediction(self, block: int, threads: int) -> "_Prediction":
        return _Prediction(self._layers, block, threads, self._skip, self._scaling, self._packed)


class _Prediction:
    """Predictions in blocks of rows: the table of the job, and what the threads write meanwhile.

    Parameters
    ----------
    layers
        The layer table.
    block, threads
        The most rows of a block; the most threads.
    skip
        Whether zeros among the inputs may be left out.
    scaling
        Scale and shift of the inputs.
    packed, buffers
        For the packed parameters; for the rest, allocated where it is None.
    """

    def __init__(
        self,
        layers: np.ndarray,
        block: int,
        threads: int,
        skip: bool,
        scaling: tuple[float, float],
        packed: np.ndarray,
        buffers: np.ndarray | None = None,
    ) -> None:
        self._compiled, self._threads, self._layers = _prediction_module(), threads, layers
        rows, forward_plan, own_size = _forward_plan(layers, block)
        if buffers is None:
            buffers = np.empty(threads * own_size + ALIGNMENT, np.float32)
        lists, tables = _lists(layers, block, 1, threads if skip else 0)
        records = self._compiled.NET + rows.size + plan.RUN_LENGTH * (_largest(layers) + 1)
        integers = np.empty((threads, records + block), np.int64)
        scale_and_shift, base = np.array(scaling, np.float32), _aligned(packed)
        functions = _prediction_functions()
        job = self._compiled.Job(
            functions=address_of(functions),
            net=address_of(rows),
            n_layers=len(layers),
            base=base,
            own=(_aligned(buffers) - base) // 4 - forward_plan.slot,
            own_size=own_size,
            block=block,
            inputs=forward_plan.inputs,
            ld=forward_plan.ld,
            scratch=forward_plan.scratch,
            lists=address_of(lists) if skip else 0,
            scaling=address_of(scale_and_shift),
            integers=address_of(integers),
            integers_size=integers.shape[1],
        )
        self._table = np.zeros(self._compiled.TABLE, np.int64)
        self._table[self._compiled.JOB :][: len(job)] = job
        # The table holds the addresses of these.
        self._kept = functions, rows, packed, buffers, lists, tables, integers, scale_and_shift
        self._job, self._address = job, address_of(self._table)

    def pack(self, params: np.ndarray) -> None:
        """Pack the parameters."""
        pack, job, start = pointer(plan.pack), self._job, address_of(params)

        def work(gate: int, leads: bool) -> None:
            self._compiled.pack_share(pack, job.net, job.n_layers, start, job.base, gate, leads)

        run_team(min(self._threads, _team_size(_weights(self._layers), START)), work)

    def run(self, x: np.ndarray, logits: np.ndarray) -> None:
        """The logits of all rows of x."""
        predict, tasks, table = self._compiled.predict, _block_tasks(), self._address
        start, out = address_of(x), address_of(logits)
        floats, rows = int(x.dtype == checks.FLOAT32), len(x)
        if self._threads == 1:
            predict(tasks, table, start, floats, rows, out, 0, 1)
            return

        def lead(desk: int, threads: int) -> None:
            predict(tasks, table, start, floats, rows, out, desk, threads)

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
        whole, 0, params.copy(), gradient[None], workspace, metrics, gradient_only=True,
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
        first_step, params, state, workspace, metrics,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------
# What the public functions share
# ---------------------------------------------------------------------------------------------

PREDICTED_ROWS = 4 * tile.MR  # that a thread predicts at a time: their activations stay in L2


def _team_size(multiply_adds: int, meetings: int) -> int:
    return team.MAX_TEAM or team_size(multiply_adds, meetings)


def _tasks_team_size(multiply_adds: int) -> int:
    return team.MAX_TEAM or tasks_team_size(multiply_adds)


def _weights(layers: np.ndarray) -> int:
    return int((layers[:, layout.FAN_IN] * layers[:, layout.FAN_OUT]).sum())


def _largest(layers: np.ndarray) -> int:
    return int(layers[:, layout.FAN_IN : layout.FAN_OUT + 1].max())


def _aligned(array: np.ndarray) -> int:
    """The address of the first whole cache line of an array."""
    return -(-address_of(array) // 64) * 64


def _lists(
    layers: np.ndarray, batch_size: int, parts: int, threads: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The addresses of each thread's lists of what is not zero, and the lists."""
    fan_in = int(layers[0, layout.FAN_IN])
    tables = inputs.make_lists(fan_in, batch_size, parts, threads)
    return np.array([address_of(table) for table in tables], np.int64), tables


def _forward_plan(layers: np.ndarray, n: int) -> tuple[np.ndarray, plan.Plan, int]:
    """The plan of a block of rows, and the floats of each thread's own arrays."""
    rows, forward_plan = plan.make_plan(layers, min(PREDICTED_ROWS, max(n, 1)), 0, 1)
    return rows, forward_plan, forward_plan.total - forward_plan.slot - ALIGNMENT


def _train_plan(
    name: str, layers: np.ndarray, batch_size: int, slots: int, workspace: np.ndarray
) -> tuple[np.ndarray, plan.Plan, int]:
    """The plan of a training step, and how many threads share it: what it deserves and fits."""
    _, least = plan.make_plan(layers, batch_size, slots, 1)
    checks.check_workspace(name, workspace, least.total)
    # Three products a weight and sample.
    threads = _team_size(3 * _weights(layers) * batch_size, least.meetings(len(layers)))
    threads = min(threads, least.most_threads())
    while True:
        rows, fitting = plan.make_plan(layers, batch_size, slots, threads)
        if fitting.total <= workspace.size:
            return rows, fitting, threads
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
    first_step: int,
    params: np.ndarray,
    state: np.ndarray,
    workspace: np.ndarray,
    metrics: np.ndarray,
    gradient_only: bool = False,
) -> int:
    batch_size = int(options["batch_size"][0])
    rows, step, threads = _train_plan(name, layers, batch_size, len(state), workspace)
    scale, shift = float(options["scale"][0]), float(options["shift"][0])
    skip = bool(options["skip_zeros"][0]) and layout.zeros_add_nothing(scale, shift, params, layers)
    listed = step.parts > 1 or (skip and batch_size <= plan.MOST_LISTED)
    lists, tables = _lists(layers, batch_size, step.parts, threads if listed else 0)
    integers = np.empty(
        (threads, training.RUNS + plan.RUN_LENGTH * (_largest(layers) + 1) + training.SPACE),
        np.int64,
    )
    results = np.empty((2, step.copies, batch_size))
    scaling, totals = np.array([scale, shift], np.float32), np.array(step, np.int64)
    functions = _training_functions()
    run = np.array(
        training.Run(
            functions=address_of(functions),
            plan=address_of(totals),
            net=address_of(rows),
            n_layers=len(layers),
            x=address_of(x),
            floats=int(x.dtype == checks.FLOAT32),
            targets=address_of(targets),
            sample_weight=address_of(sample_weight) if len(sample_weight) else 0,
            order=address_of(order),
            n_order=len(order),
            learning_rates=address_of(learning_rates),
            n_steps=len(learning_rates),
            options=address_of(options),
            first_step=first_step,
            gradient_only=int(gradient_only),
            params=address_of(params),
            n_params=len(params),
            state=address_of(state),
            slots=len(state),
            workspace=_aligned(workspace),
            lists=address_of(lists) if listed else 0,
            skip_zeros=int(skip),
            scaling=address_of(scaling),
            integers=address_of(integers),
            integers_size=integers.shape[1],
            losses=address_of(results[0]),
            hits=address_of(results[1]),
            metrics=address_of(metrics),
        ),
        np.int64,
    )
    at, kept = address_of(run), (tables, x, targets, sample_weight, order, learning_rates)

    def work(gate: int, leads: bool) -> int:
        return training.train(at, gate, leads)

    done = run_team(threads, work)
    del kept, functions
    return done


@cache
def _training_functions() -> np.ndarray:
    return np.array([pointer(function) for function in _TRAINING], np.int64)


@cache
def _prediction_functions() -> np.ndarray:
    """The first five are all that the forward pass calls."""
    functions = np.zeros(len(_TRAINING), np.int64)
    functions[:5] = [pointer(function) for function in _TRAINING[:5]]
    return functions


@cache
def _prediction_module() -> ModuleType:
    from ._numba import prediction

    return prediction


@cache
def _block_tasks() -> int:
    return pointer(_prediction_module().take_blocks)


@cache
def _products() -> tuple[ModuleType, int, int]:
    """The module of matrix products, compiled now, and what they take as pointers."""
    from ._numba import matmul

    return matmul, pointer(tile.multiply_tile), pointer(matmul.take_tasks)


@cache
def _small_product() -> Callable[..., bool]:
    """The compiled function, with the arguments that stay."""
    module, multiply_tile, tasks = _products()
    return partial(module.multiply_small, multiply_tile, tasks, _MODEL)


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
    module, multiply_tile, tasks = _products()

    def lead(desk: int, threads: int) -> None:
        module.multiply(multiply_tile, tasks, kind, a, b, out, desk, threads)

    run_tasks(_tasks_team_size(out.size * k), lead, team.attend)


def _row_scratch(logits: np.ndarray) -> np.ndarray:
    return np.empty(-(-max(logits.shape[1], 1) // VL) * VL, np.float32)


def _update(
    options: np.ndarray,
    learning_rate: float,
    step: int,
    gradient: np.ndarray,
    params: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
) -> None:
    block = np.zeros(updates.BLOCK_VECTORS * VL + updates.UPDATE, np.float32)
    apply, rate = pointer(updates.update_vectors), float(learning_rate)
    updates.update_flat(apply, options, rate, step, gradient, params, m, v, block)
