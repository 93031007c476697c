"""The reference backend: every kernel and program in plain NumPy, the specification of all.

Short and obvious rather than fast; float32 and float64. The contract is in the package's
docstring. Matrix products go to NumPy's BLAS, which is what the compiled backends are measured
against.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import checks, layout
from .checks import check_backward, check_forward

FLOATS = (checks.FLOAT32, checks.FLOAT64)

# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b; a (M, K), b (K, N), out (M, N)."""
    checks.check_matmul("matmul", FLOATS, a, b, out, ("MK", "KN"))
    np.matmul(a, b, out=out)


def matmul_tn(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a^T b; a (K, M), b (K, N), out (M, N)."""
    checks.check_matmul("matmul_tn", FLOATS, a, b, out, ("KM", "KN"))
    np.matmul(a.T, b, out=out)


def matmul_nt(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b^T; a (M, K), b (N, K), out (M, N)."""
    checks.check_matmul("matmul_nt", FLOATS, a, b, out, ("MK", "NK"))
    np.matmul(a, b.T, out=out)


def add_bias(z: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out[n, o] = z[n, o] + b[o]; z and out (B, O), b (O,)."""
    checks.check_add_bias(FLOATS, z, b, out)
    np.add(z, b, out=out)


def sum_rows(dz: np.ndarray, out: np.ndarray) -> None:
    """out[o] = sum over n of dz[n, o]; dz (B, O), out (O,)."""
    checks.check_sum_rows(FLOATS, dz, out)
    np.sum(dz, axis=0, out=out)


def tanh_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = tanh z; both (B, O)."""
    check_forward("tanh_forward", FLOATS, z, a)
    np.tanh(z, out=a)


def tanh_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da (1 - a^2) from the output a = tanh z; all (B, O)."""
    check_backward("tanh_backward", FLOATS, da, a, dz)
    dz[...] = _DERIVE[layout.TANH](da, a)


def relu_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = max(z, 0), NaN staying NaN; both (B, O)."""
    check_forward("relu_forward", FLOATS, z, a)
    np.maximum(z, 0, out=a)


def relu_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da where the output a = relu z is positive, else 0; all (B, O)."""
    check_backward("relu_backward", FLOATS, da, a, dz)
    dz[...] = _DERIVE[layout.RELU](da, a)


def logistic_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = 1 / (1 + exp(-z)); both (B, O). Written with exp(-|z|), which cannot overflow."""
    check_forward("logistic_forward", FLOATS, z, a)
    a[...] = _logistic(z.copy())


def logistic_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da a (1 - a) from the output a = logistic z; all (B, O)."""
    check_backward("logistic_backward", FLOATS, da, a, dz)
    dz[...] = _DERIVE[layout.LOGISTIC](da, a)


def softmax(logits: np.ndarray, probs: np.ndarray) -> None:
    """probs = exp(logits) / sum, row by row, the row's maximum subtracted; both (B, C)."""
    checks.check_softmax(FLOATS, logits, probs)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.divide(exponentials, exponentials.sum(axis=1, keepdims=True), out=probs)


def softmax_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, sample_weight: np.ndarray, dlogits: np.ndarray
) -> float:
    """The weighted mean of -log softmax(logits)[label], and its gradient in dlogits.

    logits and dlogits (B, C), labels (B,) int32, sample_weight (B,) or length 0. The gradient is
    ``weight / sum of weights * (probs - onehot)``; with weights that sum to 0 it and the loss
    are 0.
    """
    checks.check_cross_entropy(FLOATS, logits, labels, sample_weight, dlogits)
    weights = sample_weight if sample_weight.size else np.ones(len(labels), logits.dtype)
    shares, total = _shares(weights)
    with np.errstate(invalid="ignore"):  # inf - inf: the loss will say so
        losses = _softmax_losses(logits, labels, shares, dlogits)
    return _weighted_sum(losses, weights) / total if total else 0.0


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

    a and out (B, O), samples (B,) int64 ids. The mask is a hash of (seed, epoch, sample, layer,
    unit), :func:`.layout.random_bits`; the backward pass is the same call on the gradient.
    Source: Srivastava et al. 2014, section 4 (scaled at training time).
    """
    checks.check_dropout(FLOATS, a, samples, out)
    _drop(a, samples, layout.dropout_threshold(rate), seed, epoch, layer, out)


def sgd_update(
    gradient: np.ndarray,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """One step of (momentum) gradient descent on flat arrays (P,), in place.

    ``g = gradient + weight_decay * params``, ``velocity = momentum * velocity + g``, then
    ``params -= learning_rate * velocity``, or with Nesterov's look-ahead
    ``params -= learning_rate * (g + momentum * velocity)``. Without momentum, velocity has
    length 0. Source: Sutskever et al. 2013, section 2, in the form that PyTorch uses.
    """
    checks.check_sgd(FLOATS, gradient, momentum, weight_decay, params, velocity)
    _sgd(gradient, learning_rate, momentum, nesterov, weight_decay, params, velocity)


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
    """One step of Adam on flat arrays (P,), in place; ``step`` counts from 1.

    ``params -= learning_rate * m_hat / (sqrt(v_hat) + eps)``. Weight decay is L2 (added to the
    gradient) or ``decoupled`` (``params *= 1 - learning_rate * weight_decay`` first). Sources:
    Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2 (AdamW).
    """
    checks.check_adam(FLOATS, gradient, beta1, beta2, eps, weight_decay, step, params, m, v)
    _adam(gradient, learning_rate, beta1, beta2, eps, weight_decay, decoupled, step, params, m, v)


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------


def workspace_size(layers: np.ndarray, batch_size: int, slots: int) -> int:
    """The reference allocates as it goes: it needs no workspace."""
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
    """The logits (N, C) of the inputs x (N, I)."""
    checks.check_forward_program(FLOATS, x, params, layers, workspace, logits)
    logits[...] = _logits(x, params, layers, scale, shift)


class Predictor:
    """``forward`` with parameters that stay: copied, checked and packed once.

    ``predictor(x, logits)`` writes the logits (N, C) of the inputs x (N, I). Later changes of
    ``params`` do not reach it. Several threads may call one predictor.
    """

    def __init__(self, params: np.ndarray, layers: np.ndarray, scale: float, shift: float) -> None:
        checks.check_parameters("Predictor", FLOATS, params, layers)
        self._params, self._layers = params.copy(), layers.copy()
        self._ends = int(layers[0, layout.FAN_IN]), int(layers[-1, layout.FAN_OUT])
        self._scaling = scale, shift

    def __call__(self, x: np.ndarray, logits: np.ndarray) -> None:
        checks.check_inputs("Predictor", *self._ends, self._params.dtype, x, logits)
        logits[...] = _logits(x, self._params, self._layers, *self._scaling)


def _logits(
    x: np.ndarray, params: np.ndarray, layers: np.ndarray, scale: float, shift: float
) -> np.ndarray:
    a = _scaled(x, scale, shift, params.dtype)
    for row in layers:
        weights, bias = _views(params, row)
        a = _ACTIVATE[row[layout.ACTIVATION]](a @ weights + bias)
    return a


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
    weights = sample_weight if sample_weight.size else np.ones(len(x), params.dtype)
    stack, record = _stack(params, gradient, layers), options[0]
    shares, total = _shares(weights)
    losses, _ = _backpropagate(x, targets, shares, np.arange(len(x)), stack, record)
    loss_sum = _weighted_sum(losses, weights)
    if not math.isfinite(loss_sum):
        gradient.fill(math.nan)
        return math.nan
    return loss_sum / total if total else 0.0


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
    record = options[0]
    batch_size = int(record["batch_size"])
    gradient = np.empty_like(params)
    stack, parts = _stack(params, gradient, layers), _parts(layers, record)
    ones = np.ones(batch_size, params.dtype)
    for step, learning_rate in enumerate(learning_rates):
        samples = order[step * batch_size : (step + 1) * batch_size]
        weights = sample_weight[samples] if sample_weight.size else ones[: len(samples)]
        shares, total = _shares(weights)
        losses, hits = _backpropagate(x[samples], targets[samples], shares, samples, stack, record)
        loss_sum = _weighted_sum(losses, weights)
        if not math.isfinite(loss_sum):
            return step
        metrics += loss_sum, total, _weighted_sum(hits, weights)
        _update(gradient, float(learning_rate), first_step + step + 1, parts, record, params, state)
    return len(learning_rates)


# ---------------------------------------------------------------------------------------------
# The parts that the programs share
# ---------------------------------------------------------------------------------------------


def _relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0, out=z)


def _tanh(z: np.ndarray) -> np.ndarray:
    return np.tanh(z, out=z)


def _logistic(z: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(z))
    return np.divide(np.where(z < 0, e, z.dtype.type(1)), 1 + e, out=z)


def _identity(z: np.ndarray) -> np.ndarray:
    return z


# By activation: the output from z, in its place, and dz from da and the output.
_ACTIVATE = {
    layout.IDENTITY: _identity,
    layout.LOGISTIC: _logistic,
    layout.TANH: _tanh,
    layout.RELU: _relu,
}
_DERIVE: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    layout.IDENTITY: lambda da, a: da,
    layout.LOGISTIC: lambda da, a: da * (a * (1 - a)),
    layout.TANH: lambda da, a: da * (1 - a * a),
    layout.RELU: lambda da, a: np.where(a > 0, da, da.dtype.type(0)),
}


class _Layer(NamedTuple):
    """A layer's views of the flat vectors, and what it does."""

    weights: np.ndarray  # (I, O)
    bias: np.ndarray  # (O,)
    dweights: np.ndarray  # of the gradient
    dbias: np.ndarray
    activation: int
    dropout: int  # the threshold of layout.DROPOUT


def _stack(params: np.ndarray, gradient: np.ndarray, layers: np.ndarray) -> list[_Layer]:
    return [
        _Layer(
            *_views(params, row),
            *_views(gradient, row),
            int(row[layout.ACTIVATION]),
            int(row[layout.DROPOUT]),
        )
        for row in layers
    ]


def _views(flat: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights (I, O) and bias (O,) of a layer as views of a flat (P,) vector."""
    fan_in, fan_out = row[layout.FAN_IN], row[layout.FAN_OUT]
    weight_offset, bias_offset = row[layout.WEIGHT_OFFSET], row[layout.BIAS_OFFSET]
    weights = flat[weight_offset : weight_offset + fan_in * fan_out].reshape(fan_in, fan_out)
    return weights, flat[bias_offset : bias_offset + fan_out]


def _scaled(x: np.ndarray, scale: float, shift: float, dtype: np.dtype) -> np.ndarray:
    # Converting first and scaling in place is faster than one multiply that converts as it goes.
    scaled = x.astype(dtype)
    scaled *= dtype.type(scale)
    return np.add(scaled, dtype.type(shift), out=scaled) if shift else scaled


def _softmax_losses(
    logits: np.ndarray, labels: np.ndarray, shares: np.ndarray, dlogits: np.ndarray
) -> np.ndarray:
    """The loss of each row; dlogits receives the gradient of their mean weighted by ``shares``."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    picked = shifted[rows, labels]
    exponentials = np.exp(shifted, out=shifted)
    exponentials[rows, labels] = 0
    others = exponentials.sum(axis=1)
    sums = others + np.exp(picked)
    factors = shares / sums
    np.multiply(exponentials, factors[:, None], out=dlogits)
    # probs - 1 of the label, without the cancellation that loses its digits as probs nears 1.
    dlogits[rows, labels] = -others * factors
    return np.log(sums) - picked


def _weighted_sum(values: np.ndarray, weights: np.ndarray) -> float:
    """The sum of values times weights, in float64."""
    return float(np.multiply(values, weights, dtype=np.float64).sum())


def _clipped(losses: np.ndarray, clip: float) -> np.ndarray:
    """The losses of probabilities that are clipped to [clip, 1 - clip], in float64."""
    if not clip:
        return losses
    return np.clip(losses.astype(np.float64), -math.log1p(-clip), -math.log(clip))


def _shares(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """The weights over their sum, 0 where that is 0; and the sum, in float64."""
    total = float(weights.sum(dtype=np.float64))
    return weights * weights.dtype.type(1.0 / total if total else 0.0), total


def _drop(
    a: np.ndarray,
    samples: np.ndarray,
    threshold: int,
    seed: int,
    epoch: int,
    layer: int,
    out: np.ndarray,
) -> None:
    dropped = layout.random_bits(samples, a.shape[1], seed, epoch, layer) < np.uint32(threshold)
    np.multiply(a, a.dtype.type(1.0 / (1.0 - threshold / 2**32)), out=out)
    out[dropped] = 0  # whatever it was: 0 times infinity is no number


@np.errstate(over="ignore", invalid="ignore")  # the loss will say so
def _backpropagate(
    x: np.ndarray,
    labels: np.ndarray,
    shares: np.ndarray,
    samples: np.ndarray,
    stack: list[_Layer],
    record: np.void,
) -> tuple[np.ndarray, np.ndarray]:
    """Forward and backward over one batch: each row's loss and whether it was a hit."""
    seed, epoch = int(record["seed"]), int(record["epoch"])
    a = _scaled(x, float(record["scale"]), float(record["shift"]), stack[0].weights.dtype)
    inputs, outputs = [], []
    for index, layer in enumerate(stack):
        inputs.append(a)
        a = a @ layer.weights
        a += layer.bias
        a = _ACTIVATE[layer.activation](a)
        outputs.append(a)
        if layer.dropout:
            a = np.empty_like(a)
            _drop(outputs[-1], samples, layer.dropout, seed, epoch, index, a)

    hits = a.argmax(axis=1) == labels
    dz = np.empty_like(a)
    losses = _softmax_losses(a, labels, shares, dz)
    for index in range(len(stack) - 1, -1, -1):
        layer = stack[index]
        np.matmul(inputs[index].T, dz, out=layer.dweights)
        np.add.reduce(dz, axis=0, out=layer.dbias)
        if index:
            before = stack[index - 1]
            dz = _DERIVE[before.activation](dz @ layer.weights.T, outputs[index - 1])
            if before.dropout:
                _drop(dz, samples, before.dropout, seed, epoch, index - 1, dz)
    return _clipped(losses, float(record["probs_clip"])), hits


def _parts(layers: np.ndarray, record: np.void) -> list[tuple[slice, float]]:
    """The parameters in parts, each with its weight decay; one part where there is none."""
    decay = float(record["weight_decay"])
    if not decay:
        return [(slice(None), 0.0)]
    parts = []
    for row in layers:
        offset, bias_offset = int(row[layout.WEIGHT_OFFSET]), int(row[layout.BIAS_OFFSET])
        size = int(row[layout.FAN_IN] * row[layout.FAN_OUT])
        parts.append((slice(offset, offset + size), decay if row[layout.DECAY] else 0.0))
        parts.append((slice(bias_offset, bias_offset + int(row[layout.FAN_OUT])), 0.0))
    return parts


def _update(
    gradient: np.ndarray,
    learning_rate: float,
    step: int,
    parts: list[tuple[slice, float]],
    record: np.void,
    params: np.ndarray,
    state: np.ndarray,
) -> None:
    """One optimizer step on every part of the parameters."""
    for part, decay in parts:
        if record["optimizer"] == layout.SGD:
            velocity = state[0, part] if len(state) else params[:0]
            _sgd(gradient[part], learning_rate, float(record["momentum"]),
                 bool(record["nesterov"]), decay, params[part], velocity)  # fmt: skip
        else:
            _adam(gradient[part], learning_rate, float(record["beta1"]), float(record["beta2"]),
                  float(record["eps"]), decay, record["optimizer"] == layout.ADAMW, step,
                  params[part], state[0, part], state[1, part])  # fmt: skip


def _sgd(
    gradient: np.ndarray,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    params: np.ndarray,
    velocity: np.ndarray,
) -> None:
    # Python floats and NumPy's promotion keep float32 arrays float32.
    learning_rate = float(learning_rate)
    if weight_decay:
        gradient = gradient + weight_decay * params
    if momentum:
        velocity *= momentum
        velocity += gradient
        gradient = gradient + momentum * velocity if nesterov else velocity
    params -= learning_rate * gradient


def _adam(
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
    learning_rate = float(learning_rate)
    if weight_decay and decoupled:
        params *= 1.0 - learning_rate * weight_decay
    elif weight_decay:
        gradient = gradient + weight_decay * params
    m *= beta1
    m += (1.0 - beta1) * gradient
    v *= beta2
    v += (1.0 - beta2) * np.square(gradient)
    m_hat = m * (learning_rate / (1.0 - beta1**step))
    root = np.sqrt(v * (1.0 / (1.0 - beta2**step)))
    root += eps
    params -= np.divide(m_hat, root, out=m_hat)
