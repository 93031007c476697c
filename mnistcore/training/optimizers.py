"""The optimizers by name: their options as one record, their state as one array.

The update rules are kernels (``sgd_update``, ``adam_update``). This module has their names, their
defaults and the size of the state that they keep between steps.
"""

import numpy as np

from ..kernels.checks import check_options
from ..kernels.layout import OPTIMIZERS, OPTIONS_DTYPE, Options, state_slots

# The usual initial learning rates (for Adam and AdamW, the defaults of PyTorch and Keras).
LEARNING_RATES = {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}


def make_options(
    optimizer: str = "adam",
    *,
    batch_size: int = 64,
    momentum: float = 0.0,
    nesterov: bool = False,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    scale: float = 1.0,
    shift: float = 0.0,
    seed: int = 0,
    epoch: int = 0,
    probs_clip: float = 0.0,
    label_smoothing: float = 0.0,
    norm_momentum: float = 0.1,
    norm_eps: float = 1e-5,
    max_norm: float = 0.0,
    ema_decay: float = 0.0,
    clip_norm: float = 0.0,
    skip_zeros: bool = True,
) -> np.ndarray:
    """Return the (1,) record of options that ``train_steps`` takes.

    An input value enters the network as ``value * scale + shift``. ``seed`` and ``epoch`` are
    the key of the dropout masks. Losses are reported for probabilities clipped to
    [probs_clip, 1 - probs_clip]. ``label_smoothing`` is the share of each target that is spread
    evenly over all classes (Szegedy et al. 2016, section 7). A batch counts ``norm_momentum`` in
    the running statistics of batch normalisation, which adds ``norm_eps`` to variances. With
    ``max_norm``, the weights of a unit shrink to that norm where they exceed it. With
    ``clip_norm``, gradients whose norm, over all parameters, exceeds it shrink to it. With
    ``ema_decay``, the state has an average of the parameters that decays so much in each step,
    less at first, though it moves only every :data:`.layout.AVERAGE_EVERY` steps. Without
    ``skip_zeros`` the compiled backends also multiply by inputs that are zero: the same results
    in more time, for benchmarks of their products.

    Raises
    ------
    ValueError
        If the optimizer is unknown or a constant lies outside its range.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}; choose from {', '.join(OPTIMIZERS)}")
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum above 0")
    record = Options(
        batch_size=batch_size,
        optimizer=OPTIMIZERS[optimizer],
        nesterov=nesterov,
        seed=seed,
        epoch=epoch,
        scale=scale,
        shift=shift,
        momentum=momentum,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
        probs_clip=probs_clip,
        label_smoothing=label_smoothing,
        norm_momentum=norm_momentum,
        norm_eps=norm_eps,
        max_norm=max_norm,
        ema_decay=ema_decay,
        clip_norm=clip_norm,
        skip_zeros=skip_zeros,
    )
    options = np.array([record], OPTIONS_DTYPE)
    check_options("make_options", options)
    if optimizer != "sgd":  # the other rules have no momentum, and their state ignores it
        options["momentum"], options["nesterov"] = 0.0, 0
    return options


def make_state(options: np.ndarray, params: np.ndarray) -> np.ndarray:
    """Return the initial state (slots, P), of the dtype of params (P,).

    It is zeros for the optimizer and, if the options ask for one, an average of the parameters,
    the last row.
    """
    record = Options(*options[0].item())
    state = np.zeros((state_slots(record), params.size), params.dtype)
    if record.ema_decay:
        state[-1] = params
    return state
