"""Formulas that several kernels or programs of the reference share, on checked arrays."""

import numpy as np

from .. import layout


def layer(flat: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (I, O) and the bias (O,) of a layer as views of a flat vector (P,)."""
    fan_in, fan_out = row[layout.FAN_IN], row[layout.FAN_OUT]
    weights, bias = flat[row[layout.WEIGHT_OFFSET] :], flat[row[layout.BIAS_OFFSET] :]
    return weights[: fan_in * fan_out].reshape(fan_in, fan_out), bias[:fan_out]


def gain(flat: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the gains (O,) of a normalised layer as a view of a flat vector (P,)."""
    gains = row[layout.BIAS_OFFSET] + row[layout.FAN_OUT]
    return flat[gains : gains + row[layout.FAN_OUT]]


def limit_norms(params: np.ndarray, layers: np.ndarray, limit: float) -> None:
    """Shrink the weights of each unit whose norm is above a limit to that norm.

    Source: Srivastava et al. 2014, "Dropout", section 5.1.
    """
    for row in layers:
        w, _ = layer(params, row)
        norms = np.sqrt(np.square(w).sum(axis=0))
        above = norms > limit
        w[:, above] *= limit / norms[above]


def clip_gradient(gradient: np.ndarray, limit: float) -> None:
    """Shrink a gradient (P,) in place to a limit for its norm, as PyTorch's clip_grad_norm_ does.

    Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural
    networks", algorithm 1.
    """
    factor = limit / (float(np.linalg.norm(gradient)) + 1e-6)
    gradient *= 1.0 if factor >= 1.0 else factor


def move_average(params: np.ndarray, decay: float, step: int, average: np.ndarray) -> None:
    """Let the parameters enter their average after a step, counted from 1, in place.

    This is an average that decays by ``decay`` in each step but moves only every so many steps.
    It decays faster at first, so as not to keep the initial parameters.
    """
    decay = min(decay, (1.0 + step) / (10.0 + step)) ** layout.AVERAGE_EVERY
    average += (1.0 - decay) * (params - average)


def weights(sample_weight: np.ndarray, samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the weights (B,) of the given samples: 1 if ``sample_weight`` has length 0."""
    return sample_weight[samples] if sample_weight.size else np.ones(len(samples), dtype)


def weighted_sum(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the sum of values times weights, in float64."""
    return float((values.astype(np.float64) * weights).sum())


def shares(weights: np.ndarray, total: float) -> np.ndarray:
    """Return the part of each weight (B,) in their sum, in their dtype; zeros if that is 0."""
    parts = weights / np.float64(total) if total else np.zeros(len(weights))
    return parts.astype(weights.dtype)


@np.errstate(over="ignore", invalid="ignore")  # infinity - infinity: the loss will show it
def cross_entropy(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the loss of each row (B,), the sum of weights, and the mean loss's gradient (B, C)."""
    rows = np.arange(len(labels))
    z = logits - logits.max(axis=1, keepdims=True)
    z_label = z[rows, labels]
    others = np.exp(z)
    others[rows, labels] = 0
    sum_others = others.sum(axis=1)
    sum_all = sum_others + np.exp(z_label)
    total = float(weights.sum(dtype=np.float64))
    factors = shares(weights, total) / sum_all
    dlogits = others * factors[:, None]
    # probs - 1 for the label, without the loss of digits by cancellation as probs nears 1.
    dlogits[rows, labels] = -sum_others * factors
    return np.log(sum_all) - z_label, total, dlogits


@np.errstate(over="ignore", invalid="ignore")
def soft_cross_entropy(
    logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, smoothing: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return what :func:`cross_entropy` does, for labels (B,) or soft targets (B, C).

    ``smoothing`` is the share of each target that is spread evenly over all classes. Source:
    Szegedy et al. 2016, "Rethinking the Inception architecture", section 7.
    """
    classes = logits.shape[1]
    if targets.ndim == 1:
        targets = np.eye(classes, dtype=logits.dtype)[targets]
    targets = targets * (1.0 - smoothing) + smoothing / classes
    z = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(z)
    sum_all, whole = exponentials.sum(axis=1), targets.sum(axis=1)
    total = float(weights.sum(dtype=np.float64))
    factors = shares(weights, total)
    dlogits = (exponentials * (whole / sum_all)[:, None] - targets) * factors[:, None]
    return whole * np.log(sum_all) - (targets * z).sum(axis=1), total, dlogits


def normalize(z: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return z (B, O) with mean 0 and variance 1, its mean, its variance and its deviation (O,).

    Source: Ioffe and Szegedy 2015, "Batch normalization", algorithm 1.
    """
    mean = z.sum(axis=0) / max(len(z), 1)
    centred = z - mean
    variance = np.square(centred).sum(axis=0) / max(len(z), 1)
    deviation = np.sqrt(variance + float(eps))
    return centred / deviation, mean, variance, deviation


def update_buffers(
    statistics: list[tuple[np.ndarray, np.ndarray]],
    rows: int,
    momentum: float,
    buffers: np.ndarray,
) -> None:
    """Let the statistics of a batch of ``rows`` rows enter the running ones.

    The running variances are unbiased, so a single row, which has none, enters nothing.
    """
    if rows < 2 or not statistics:
        return
    means = np.concatenate([mean for mean, _ in statistics])
    variances = np.concatenate([variance for _, variance in statistics])
    batch = np.concatenate([means, variances * (rows / (rows - 1))])
    buffers += float(momentum) * (batch - buffers)
