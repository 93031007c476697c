"""The reference backend: every kernel and program in plain NumPy, specifying the other backends.

It is plain rather than fast, and takes float32 and float64. The contract is in the package's
docstring. Matrix products use NumPy's BLAS, which the compiled backends are measured against.
"""

import math
from collections.abc import Callable

import numpy as np

from . import EXPORTS, checks, layout
from ._numpy import formulas
from .deformation import augment as augment
from .layout import Options

__all__ = EXPORTS

NAME = "numpy"
INSTRUCTION_SET = ""  # whatever NumPy's BLAS picks
FLOATS = (checks.FLOAT32, checks.FLOAT64)


def compiled() -> bool:
    """Return True: nothing has to be compiled before training starts."""
    return True


def begin_compiling() -> None:
    """Do nothing, like :func:`compile_programs`."""


def compile_programs(report: Callable[[str], None]) -> None:
    """Do nothing: nothing has to be compiled."""


# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a b; a (M, K), b (K, N), out (M, N).

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.kernels import numpy_kernels
    >>> x, w = np.ones((2, 3), np.float32), np.full((3, 4), 2, np.float32)
    >>> z = np.empty((2, 4), np.float32)
    >>> numpy_kernels.matmul(x, w, z)
    >>> z[0]
    array([6., 6., 6., 6.], dtype=float32)
    """
    checks.check_matmul("matmul", FLOATS, a, b, out, ("MK", "KN"))
    np.matmul(a, b, out=out)


def matmul_tn(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a^T b; a (K, M), b (K, N), out (M, N)."""
    checks.check_matmul("matmul_tn", FLOATS, a, b, out, ("KM", "KN"))
    np.matmul(a.T, b, out=out)


def matmul_nt(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out = a b^T; a (M, K), b (N, K), out (M, N)."""
    checks.check_matmul("matmul_nt", FLOATS, a, b, out, ("MK", "NK"))
    np.matmul(a, b.T, out=out)


def add_bias(z: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute out[n, o] = z[n, o] + b[o]; z and out (B, O), b (O,)."""
    checks.check_add_bias(FLOATS, z, b, out)
    np.add(z, b, out=out)


def sum_rows(dz: np.ndarray, out: np.ndarray) -> None:
    """Compute out[o] = sum over n of dz[n, o]; dz (B, O), out (O,)."""
    checks.check_sum_rows(FLOATS, dz, out)
    np.sum(dz, axis=0, out=out)


def tanh_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = tanh z; both (B, O)."""
    checks.check_forward("tanh_forward", FLOATS, z, a)
    np.tanh(z, out=a)


def tanh_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da (1 - a^2) from the output a = tanh z; all (B, O)."""
    checks.check_backward("tanh_backward", FLOATS, da, a, dz)
    np.multiply(da, 1 - a * a, out=dz)


def relu_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = max(z, 0), keeping NaN; both (B, O). Source: Nair and Hinton 2010, section 2."""
    checks.check_forward("relu_forward", FLOATS, z, a)
    np.maximum(z, 0, out=a)


def relu_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da where the output a = relu z is positive, else 0; all (B, O)."""
    checks.check_backward("relu_backward", FLOATS, da, a, dz)
    dz[...] = np.where(a > 0, da, 0)


def logistic_forward(z: np.ndarray, a: np.ndarray) -> None:
    """Compute a = 1 / (1 + exp(-z)); both (B, O). Uses exp(-abs(z)), which cannot overflow."""
    checks.check_forward("logistic_forward", FLOATS, z, a)
    e = np.exp(-np.abs(z))
    np.divide(np.where(z < 0, e, 1), 1 + e, out=a)


def logistic_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """Compute dz = da a (1 - a) from the output a = logistic z; all (B, O)."""
    checks.check_backward("logistic_backward", FLOATS, da, a, dz)
    np.multiply(da, a * (1 - a), out=dz)


@np.errstate(over="ignore")  # an infinite gap to the maximum is a probability of 0
def softmax(logits: np.ndarray, probs: np.ndarray) -> None:
    """Compute probs = exp(logits) / sum, row by row, less the row's maximum; both (B, C).

    Source: the shifted formula of Blanchard, Higham and Higham 2021, "Accurately computing the
    log-sum-exp and softmax functions".

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.kernels import numpy_kernels
    >>> logits = np.zeros((1, 4), np.float32)
    >>> probs = np.empty_like(logits)
    >>> numpy_kernels.softmax(logits, probs)
    >>> probs
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """
    checks.check_softmax(FLOATS, logits, probs)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.divide(exponentials, exponentials.sum(axis=1, keepdims=True), out=probs)


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray, dlogits: np.ndarray
) -> float:
    """Return the weighted mean of -log softmax(logits)[label], and write its gradient to dlogits.

    logits and dlogits (B, C), labels (B,) int32, sample_weight (B,) or length 0. The gradient is
    ``weight / sum of weights * (probs - onehot)``; if the weights sum to 0, it and the loss are 0.

    Returns
    -------
    float
        The mean loss in nats.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.kernels import numpy_kernels
    >>> logits, labels = np.zeros((1, 2), np.float32), np.array([1], np.int32)
    >>> dlogits, equal_weights = np.empty_like(logits), np.empty(0, np.float32)
    >>> loss = numpy_kernels.softmax_cross_entropy(logits, labels, equal_weights, dlogits)
    >>> round(loss, 4)  # log 2
    0.6931
    >>> dlogits
    array([[ 0.5, -0.5]], dtype=float32)
    """
    checks.check_cross_entropy(FLOATS, logits, labels, sample_weight, dlogits)
    weights = formulas.weights(sample_weight, np.arange(len(labels)), logits.dtype)
    losses, total, dlogits[...] = formulas.cross_entropy(logits, labels, weights)
    return formulas.weighted_sum(losses, weights) / total if total else 0.0


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

    a and out (B, O), samples (B,) int64 ids. The mask is a hash of (seed, epoch, sample, layer,
    unit), :func:`.layout.random_bits`; the backward pass is the same call on the gradient.
    Source: Srivastava et al. 2014, section 4, with the scaling during training of section 10.
    """
    checks.check_dropout(FLOATS, a, samples, out)
    threshold = layout.dropout_threshold(rate)
    dropped = layout.random_bits(samples, a.shape[1], seed, epoch, layer) < threshold
    out[...] = np.where(dropped, 0, a * (1.0 / (1.0 - threshold / 2**32)))


def sgd_update(
    gradient: np.ndarray,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Take one step of gradient descent, momentum optional, on flat arrays (P,), in place.

    ``g = gradient + weight_decay * params``, ``velocity = momentum * velocity + g``, then
    ``params -= learning_rate * velocity``, or with Nesterov's look-ahead
    ``params -= learning_rate * (g + momentum * velocity)``. Without momentum, velocity has
    length 0. Source: Sutskever et al. 2013, section 2, in the form that PyTorch uses.

    Examples
    --------
    >>> import numpy as np
    >>> from mnistcore.kernels import numpy_kernels
    >>> params, gradient = np.ones(3, np.float32), np.array([0, 1, 2], np.float32)
    >>> no_velocity = np.empty(0, np.float32)
    >>> numpy_kernels.sgd_update(gradient, 0.5, 0.0, False, 0.0, params, no_velocity)
    >>> params
    array([1. , 0.5, 0. ], dtype=float32)
    """
    checks.check_sgd(FLOATS, gradient, momentum, weight_decay, params, velocity)
    learning_rate = float(learning_rate)  # np.float64 would turn float32 arrays into float64
    if weight_decay:
        gradient = gradient + weight_decay * params
    if momentum:
        velocity *= momentum
        velocity += gradient
        gradient = gradient + momentum * velocity if nesterov else velocity
    params -= learning_rate * gradient


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
    """Take one step of Adam on flat arrays (P,), in place; ``step`` counts from 1.

    ``m = beta1 * m + (1 - beta1) * g``, ``v = beta2 * v + (1 - beta2) * g^2``, then
    ``params -= learning_rate * m_hat / (sqrt(v_hat) + eps)`` with ``m_hat = m / (1 - beta1^step)``
    and ``v_hat = v / (1 - beta2^step)``. Weight decay is L2 (``g = gradient + weight_decay *
    params``) or ``decoupled`` (``params *= 1 - learning_rate * weight_decay`` first). Sources:
    Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2 (AdamW).
    """
    checks.check_adam(FLOATS, gradient, beta1, beta2, eps, weight_decay, step, params, m, v)
    learning_rate = float(learning_rate)
    if weight_decay and decoupled:
        params *= 1.0 - learning_rate * weight_decay
    elif weight_decay:
        gradient = gradient + weight_decay * params
    m *= beta1
    m += (1.0 - beta1) * gradient
    v *= beta2
    v += (1.0 - beta2) * np.square(gradient)
    denominator = np.sqrt(v * (1.0 / (1.0 - beta2**step))) + eps
    params -= learning_rate / (1.0 - beta1**step) * m / denominator


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------


def workspace_size(layers: np.ndarray, batch_size: int, slots: int) -> int:
    """Return 0: the reference allocates as it goes and needs no workspace."""
    checks.check_sizes("workspace_size", layers, batch_size, slots)
    return 0


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
    logits[...] = _logits(x, params, layers, scale, shift)


class Predictor:
    """``forward`` with fixed parameters, which are copied and checked once.

    ``predictor(x, logits)`` writes the logits (N, C) of the inputs x (N, I). Later changes to
    ``params`` have no effect. Several threads may call one predictor.
    """

    def __init__(self, params: np.ndarray, layers: np.ndarray, scale: float, shift: float) -> None:
        checks.check_prediction("Predictor", FLOATS, params, layers)
        self._network = params.copy(), layers.copy(), scale, shift
        self._ends = int(layers[0, layout.FAN_IN]), int(layers[-1, layout.FAN_OUT])

    def __call__(self, x: np.ndarray, logits: np.ndarray) -> None:
        checks.check_inputs("Predictor", *self._ends, self._network[0].dtype, x, logits)
        logits[...] = _logits(x, *self._network)


@np.errstate(over="ignore", invalid="ignore")  # the loss will show it
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
    samples, record = np.arange(len(x)), Options(*options[0].item())
    weights = formulas.weights(sample_weight, samples, params.dtype)
    sums, _ = _backpropagate(x, targets, weights, samples, params, layers, record, gradient)
    loss_sum, weight_sum = sums[layout.LOSS_SUM], sums[layout.WEIGHT_SUM]
    if not math.isfinite(loss_sum):
        gradient.fill(math.nan)
        return math.nan
    return loss_sum / weight_sum if weight_sum else 0.0


@np.errstate(over="ignore", invalid="ignore")  # the loss will show it
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
    record = Options(*options[0].item())
    gradient = np.empty_like(params)
    for step, learning_rate in enumerate(learning_rates.tolist()):
        samples = order[step * record.batch_size :][: record.batch_size]
        sums, statistics = _backpropagate(
            x[samples], targets[samples], formulas.weights(sample_weight, samples, params.dtype),
            samples, params, layers, record, gradient,
        )  # fmt: skip
        if not math.isfinite(sums[layout.LOSS_SUM]):
            return step
        metrics += sums
        if record.clip_norm:
            formulas.clip_gradient(gradient, record.clip_norm)
        count = first_step + step + 1
        _update(gradient, learning_rate, count, layers, record, params, state)
        if record.max_norm:
            formulas.limit_norms(params, layers, record.max_norm)
        if record.ema_decay and count % layout.AVERAGE_EVERY == 0:
            formulas.move_average(params, record.ema_decay, count, state[-1])
        formulas.update_buffers(statistics, len(samples), record.norm_momentum, buffers)
    return len(learning_rates)


# ---------------------------------------------------------------------------------------------
# Shared functions
# ---------------------------------------------------------------------------------------------

# Each activation and its derivative, by code; the programs apply them in place.
_ACTIVATIONS = {
    layout.IDENTITY: (lambda z, a: None, lambda da, a, dz: None),
    layout.LOGISTIC: (logistic_forward, logistic_backward),
    layout.TANH: (tanh_forward, tanh_backward),
    layout.RELU: (relu_forward, relu_backward),
}


def _logits(
    x: np.ndarray, params: np.ndarray, layers: np.ndarray, scale: float, shift: float
) -> np.ndarray:
    """Return the logits (N, C) of the inputs x (N, I)."""
    a = x.astype(params.dtype) * float(scale) + float(shift)
    for row in layers:
        w, b = formulas.layer(params, row)
        a = a @ w + b
        _ACTIVATIONS[row[layout.ACTIVATION]][0](a, a)
    return a


def _backpropagate(
    x: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    samples: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    record: Options,
    gradient: np.ndarray,
) -> tuple[tuple[float, float, float], list[tuple[np.ndarray, np.ndarray]]]:
    """Run one batch forward and backward, and write its mean loss's gradient.

    Returns
    -------
    metrics, statistics
        The batch's ``metrics``; the mean and the variance (O,) of each normalised layer.

    Source: Rumelhart, Hinton and Williams 1986.
    """
    inputs, outputs = [], []  # of every layer; dropout acts between an output and the next input
    statistics, normalized = [], {}
    a = x.astype(params.dtype) * record.scale + record.shift
    for depth, row in enumerate(layers):
        w, b = formulas.layer(params, row)
        inputs.append(a)
        a = a @ w
        if row[layout.KIND] == layout.NORMALIZED:
            a, mean, variance, deviation = formulas.normalize(a, record.norm_eps)
            statistics.append((mean, variance))
            normalized[depth] = a, deviation
            a = a * formulas.gain(params, row)
        a = a + b
        _ACTIVATIONS[row[layout.ACTIVATION]][0](a, a)
        outputs.append(a)
        if row[layout.DROPOUT]:
            a, rate = a.copy(), row[layout.DROPOUT] / 2**32
            dropout(a, samples, rate, record.seed, record.epoch, depth, a)

    if targets.ndim > 1 or record.label_smoothing:
        found = formulas.soft_cross_entropy(a, targets, weights, record.label_smoothing)
    else:
        found = formulas.cross_entropy(a, targets, weights)
    losses, weight_sum, dz = found
    hits = a.argmax(axis=1) == (targets if targets.ndim == 1 else targets.argmax(axis=1))
    for depth in reversed(range(len(layers))):
        dw, db = formulas.layer(gradient, layers[depth])
        np.sum(dz, axis=0, out=db)
        if depth in normalized:
            gain = formulas.gain(params, layers[depth])
            dgain = formulas.gain(gradient, layers[depth])
            a, deviation = normalized[depth]
            np.sum(dz * a, axis=0, out=dgain)
            dz = gain / deviation * (dz - (db + a * dgain) / max(len(dz), 1))
        np.matmul(inputs[depth].T, dz, out=dw)
        if depth:
            w, _ = formulas.layer(params, layers[depth])
            before = layers[depth - 1]
            dz = dz @ w.T
            _ACTIVATIONS[before[layout.ACTIVATION]][1](dz, outputs[depth - 1], dz)
            if before[layout.DROPOUT]:
                rate = before[layout.DROPOUT] / 2**32
                dropout(dz, samples, rate, record.seed, record.epoch, depth - 1, dz)

    if record.probs_clip:
        least, most = -math.log1p(-record.probs_clip), -math.log(record.probs_clip)
        losses = np.clip(losses.astype(np.float64), least, most)
    sums = formulas.weighted_sum(losses, weights), weight_sum, formulas.weighted_sum(hits, weights)
    return sums, statistics


def _update(
    gradient: np.ndarray,
    learning_rate: float,
    step: int,
    layers: np.ndarray,
    record: Options,
    params: np.ndarray,
    state: np.ndarray,
) -> None:
    """Take one optimizer step; weight decay acts on weights, not on biases."""
    decay = record.weight_decay
    for row in layers[layers[:, layout.DECAY] == 1] if decay else ():
        (w, _), (dw, _) = formulas.layer(params, row), formulas.layer(gradient, row)
        if record.optimizer == layout.ADAMW:
            w *= 1.0 - learning_rate * decay
        else:
            dw += decay * w
    if record.optimizer == layout.SGD:
        velocity, nesterov = state[0] if record.momentum else params[:0], bool(record.nesterov)
        sgd_update(gradient, learning_rate, record.momentum, nesterov, 0.0, params, velocity)
    else:
        betas, (m, v) = (record.beta1, record.beta2), state[:2]
        adam_update(gradient, learning_rate, *betas, record.eps, 0.0, False, step, params, m, v)
