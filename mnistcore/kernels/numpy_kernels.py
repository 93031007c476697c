"""The reference backend: every kernel and program in plain NumPy, the specification of all.

Short and obvious rather than fast; float32 and float64. The contract is in the package's
docstring. Matrix products go to NumPy's BLAS, which is what the compiled backends are measured
against.
"""

import numpy as np

from . import _checks, layout
from ._checks import check_backward, check_forward

FLOATS = (_checks.FLOAT32, _checks.FLOAT64)

# ---------------------------------------------------------------------------------------------
# Kernels
# ---------------------------------------------------------------------------------------------


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b; a (M, K), b (K, N), out (M, N)."""
    _checks.check_matmul("matmul", FLOATS, a, b, out, ("MK", "KN"))
    np.matmul(a, b, out=out)


def matmul_tn(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a^T b; a (K, M), b (K, N), out (M, N)."""
    _checks.check_matmul("matmul_tn", FLOATS, a, b, out, ("KM", "KN"))
    np.matmul(a.T, b, out=out)


def matmul_nt(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out = a b^T; a (M, K), b (N, K), out (M, N)."""
    _checks.check_matmul("matmul_nt", FLOATS, a, b, out, ("MK", "NK"))
    np.matmul(a, b.T, out=out)


def add_bias(z: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out[n, o] = z[n, o] + b[o]; z and out (B, O), b (O,)."""
    shapes = (("z", z, ("B", "O")), ("b", b, ("O",)), ("out", out, ("B", "O")))
    _checks.check_kernel("add_bias", FLOATS, *shapes)
    np.add(z, b, out=out)


def sum_rows(dz: np.ndarray, out: np.ndarray) -> None:
    """out[o] = sum over n of dz[n, o]; dz (B, O), out (O,)."""
    _checks.check_kernel("sum_rows", FLOATS, ("dz", dz, ("B", "O")), ("out", out, ("O",)))
    np.sum(dz, axis=0, out=out)


def tanh_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = tanh z; both (B, O)."""
    check_forward("tanh_forward", FLOATS, z, a)
    np.tanh(z, out=a)


def tanh_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da (1 - a^2) from the output a = tanh z; all (B, O)."""
    check_backward("tanh_backward", FLOATS, da, a, dz)
    np.multiply(da, 1 - a * a, out=dz)


def relu_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = max(z, 0), NaN staying NaN; both (B, O)."""
    check_forward("relu_forward", FLOATS, z, a)
    np.maximum(z, 0, out=a)


def relu_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da where the output a = relu z is positive, else 0; all (B, O)."""
    check_backward("relu_backward", FLOATS, da, a, dz)
    np.multiply(da, a > 0, out=dz)


def logistic_forward(z: np.ndarray, a: np.ndarray) -> None:
    """a = 1 / (1 + exp(-z)); both (B, O). Written with exp(-|z|), which cannot overflow."""
    check_forward("logistic_forward", FLOATS, z, a)
    e = np.exp(-np.abs(z))
    np.divide(np.where(z < 0, e, z.dtype.type(1)), 1 + e, out=a)


def logistic_backward(da: np.ndarray, a: np.ndarray, dz: np.ndarray) -> None:
    """dz = da a (1 - a) from the output a = logistic z; all (B, O)."""
    check_backward("logistic_backward", FLOATS, da, a, dz)
    np.multiply(da, a * (1 - a), out=dz)


def softmax(logits: np.ndarray, probs: np.ndarray) -> None:
    """probs = exp(logits) / sum, row by row, the row's maximum subtracted; both (B, C)."""
    shapes = (("logits", logits, ("B", "C")), ("probs", probs, ("B", "C")))
    _checks.check_kernel("softmax", FLOATS, *shapes)
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
    _checks.check_cross_entropy(FLOATS, logits, labels, sample_weight, dlogits)
    weights = sample_weight if sample_weight.size else np.ones(len(labels), logits.dtype)
    losses = _softmax_losses(logits, labels, weights, dlogits)
    total = weights.sum(dtype=np.float64)
    return float(losses @ weights.astype(np.float64) / total) if total else 0.0


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
    _checks.check_dropout(FLOATS, a, samples, out)
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
    _checks.check_sgd(FLOATS, gradient, momentum, params, velocity)
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
    _checks.check_adam(FLOATS, gradient, step, params, m, v)
    _adam(gradient, learning_rate, beta1, beta2, eps, weight_decay, decoupled, step, params, m, v)


# ---------------------------------------------------------------------------------------------
# Programs
# ---------------------------------------------------------------------------------------------


def workspace_size(layers: np.ndarray, batch_size: int, slots: int) -> int:
    """The reference allocates as it goes: it needs no workspace."""
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
    _checks.check_forward_program(FLOATS, x, params, layers, logits)
    _checks.check_workspace("forward", workspace, 0)
    a = _scaled(x, scale, shift, params.dtype)
    for row in layers:
        weights, bias = _views(params, row)
        a = _ACTIVATE[row[layout.ACTIVATION]](a @ weights + bias)
    logits[...] = a


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
    _checks.check_loss_and_gradient(
        FLOATS, x, targets, sample_weight, params, layers, options, gradient
    )
    _checks.check_workspace("loss_and_gradient", workspace, 0)
    weights = sample_weight if sample_weight.size else np.ones(len(x), params.dtype)
    samples = np.arange(len(x))
    losses, _ = _backpropagate(x, targets, weights, samples, params, layers, options[0], gradient)
    total = weights.sum(dtype=np.float64)
    return float(losses @ weights.astype(np.float64) / total) if total else 0.0


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
    _checks.check_train_steps(
        x, targets, sample_weight, order, learning_rates, layers, options,
        params, state, buffers, metrics, FLOATS,
    )  # fmt: skip
    _checks.check_workspace("train_steps", workspace, 0)
    record = options[0]
    batch_size = int(record["batch_size"])
    gradient = np.empty_like(params)
    for step, learning_rate in enumerate(learning_rates):
        samples = order[step * batch_size : (step + 1) * batch_size]
        labels = targets[samples]
        ones = np.ones(len(samples), params.dtype)
        weights = sample_weight[samples] if sample_weight.size else ones
        losses, hits = _backpropagate(
            x[samples], labels, weights, samples, params, layers, record, gradient
        )
        loss_sum = losses @ weights.astype(np.float64)
        if not np.isfinite(loss_sum):
            return step
        metrics += loss_sum, weights.sum(dtype=np.float64), weights[hits].sum(dtype=np.float64)
        _update(gradient, learning_rate, first_step + step + 1, layers, record, params, state)
    return len(learning_rates)


# ---------------------------------------------------------------------------------------------
# The parts that the programs share
# ---------------------------------------------------------------------------------------------


def _relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0, out=z)


def _tanh(z: np.ndarray) -> np.ndarray:
    return np.tanh(z, out=z)


def _logistic(z: np.ndarray) -> np.ndarray:
    logistic_forward(z, z)
    return z


def _identity(z: np.ndarray) -> np.ndarray:
    return z


_ACTIVATE = {
    layout.IDENTITY: _identity,
    layout.LOGISTIC: _logistic,
    layout.TANH: _tanh,
    layout.RELU: _relu,
}
_BACKWARD = {
    layout.LOGISTIC: logistic_backward,
    layout.TANH: tanh_backward,
    layout.RELU: relu_backward,
}


def _views(flat: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights (I, O) and bias (O,) of a layer as views of a flat (P,) vector."""
    fan_in, fan_out = row[layout.FAN_IN], row[layout.FAN_OUT]
    weight_offset, bias_offset = row[layout.WEIGHT_OFFSET], row[layout.BIAS_OFFSET]
    weights = flat[weight_offset : weight_offset + fan_in * fan_out].reshape(fan_in, fan_out)
    return weights, flat[bias_offset : bias_offset + fan_out]


def _scaled(x: np.ndarray, scale: float, shift: float, dtype: np.dtype) -> np.ndarray:
    scaled = np.multiply(x, scale, dtype=dtype, casting="unsafe")
    return np.add(scaled, dtype.type(shift), out=scaled) if shift else scaled


def _softmax_losses(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, dlogits: np.ndarray
) -> np.ndarray:
    """The loss of each row in float64; dlogits receives the gradient of their weighted mean."""
    rows = np.arange(len(labels))
    with np.errstate(invalid="ignore"):  # inf - inf: the loss will say so
        shifted = logits - logits.max(axis=1, keepdims=True)
    picked = shifted[rows, labels].astype(np.float64)
    exponentials = np.exp(shifted)
    own = exponentials[rows, labels]
    exponentials[rows, labels] = 0
    others = exponentials.sum(axis=1)
    sums = others + own
    total = weights.sum(dtype=np.float64)
    inverse = (weights * (1.0 / total if total else 0.0)).astype(logits.dtype)
    np.multiply(exponentials, (inverse / sums)[:, None], out=dlogits)
    # probs - 1 of the label, without the cancellation that loses its digits as probs nears 1.
    dlogits[rows, labels] = -others * (inverse / sums)
    return np.log(sums.astype(np.float64)) - picked


def _drop(
    a: np.ndarray,
    samples: np.ndarray,
    threshold: int,
    seed: int,
    epoch: int,
    layer: int,
    out: np.ndarray,
) -> None:
    kept = layout.random_bits(samples, a.shape[1], seed, epoch, layer) >= np.uint32(threshold)
    factor = a.dtype.type(1.0 / (1.0 - threshold / 2**32))
    np.multiply(a, kept * factor, out=out)


def _backpropagate(
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    samples: np.ndarray,
    params: np.ndarray,
    layers: np.ndarray,
    record: np.void,
    gradient: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Forward and backward over one batch: each row's loss and whether it was a hit."""
    seed, epoch = int(record["seed"]), int(record["epoch"])
    inputs = [_scaled(x, record["scale"], record["shift"], params.dtype)]
    outputs = []
    for layer, row in enumerate(layers):
        layer_weights, bias = _views(params, row)
        a = inputs[-1] @ layer_weights
        a += bias
        a = _ACTIVATE[row[layout.ACTIVATION]](a)
        outputs.append(a)
        if row[layout.DROPOUT]:
            a = np.empty_like(a)
            _drop(outputs[-1], samples, int(row[layout.DROPOUT]), seed, epoch, layer, a)
        inputs.append(a)

    logits = outputs[-1]
    hits = logits.argmax(axis=1) == labels
    dz = np.empty_like(logits)
    losses = _softmax_losses(logits, labels, weights, dz)
    for layer in range(len(layers) - 1, -1, -1):
        row = layers[layer]
        layer_weights, _ = _views(params, row)
        dweights, dbias = _views(gradient, row)
        np.matmul(inputs[layer].T, dz, out=dweights)
        np.sum(dz, axis=0, out=dbias)
        if layer:
            before = layers[layer - 1]
            dz = dz @ layer_weights.T
            if before[layout.DROPOUT]:
                threshold = int(before[layout.DROPOUT])
                _drop(dz, samples, threshold, seed, epoch, layer - 1, dz)
            if before[layout.ACTIVATION] != layout.IDENTITY:
                _BACKWARD[before[layout.ACTIVATION]](dz, outputs[layer - 1], dz)
    return losses, hits


def _update(
    gradient: np.ndarray,
    learning_rate: float,
    step: int,
    layers: np.ndarray,
    record: np.void,
    params: np.ndarray,
    state: np.ndarray,
) -> None:
    """One optimizer step: one call for everything, or per layer where decay tells parts apart."""
    decay = float(record["weight_decay"])
    parts = [(slice(None), 0.0)] if not decay else []
    for row in layers if decay else ():
        for offset, size, flag in (
            (
                row[layout.WEIGHT_OFFSET],
                row[layout.FAN_IN] * row[layout.FAN_OUT],
                row[layout.DECAY],
            ),
            (row[layout.BIAS_OFFSET], row[layout.FAN_OUT], 0),
        ):
            parts.append((slice(offset, offset + size), decay if flag else 0.0))
    for part, part_decay in parts:
        if record["optimizer"] == layout.SGD:
            velocity = state[0, part] if len(state) else params[:0]
            _sgd(gradient[part], learning_rate, float(record["momentum"]),
                 bool(record["nesterov"]), part_decay, params[part], velocity)  # fmt: skip
        else:
            _adam(gradient[part], learning_rate, float(record["beta1"]), float(record["beta2"]),
                  float(record["eps"]), part_decay, record["optimizer"] == layout.ADAMW, step,
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
