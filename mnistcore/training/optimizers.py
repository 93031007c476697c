"""The optimizers by name: their options as one record, their state as one array.

The rules themselves are kernels (``sgd_update``, ``adam_update``); this module knows their
names, their defaults and what they keep between steps.
"""

import numpy as np

from ..kernels.layout import OPTIMIZERS, OPTIONS_DTYPE, state_slots

# The learning rate that each rule is usually started with (PyTorch's and Keras's defaults).
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
    skip_zeros: bool = True,
) -> np.ndarray:
    """The (1,) record of options that ``train_steps`` takes.

    An input value enters the network as ``value * scale + shift``; ``seed`` and ``epoch`` key
    the dropout masks; losses are told for probabilities clipped to [probs_clip, 1 - probs_clip].
    Without ``skip_zeros`` the compiled backends multiply by inputs that are zero, too: the same
    numbers in more time, which is what benchmarks of their products want.

    Raises
    ------
    ValueError
        If the optimizer is unknown or a constant lies outside its range.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}; choose from {', '.join(OPTIMIZERS)}")
    for name, value in (("momentum", momentum), ("beta1", beta1), ("beta2", beta2)):
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must be in [0, 1), got {value}")
    if not eps > 0.0:
        raise ValueError(f"eps must be positive, got {eps}")
    if not weight_decay >= 0.0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    if not 0.0 <= probs_clip < 0.5:
        raise ValueError(f"probs_clip must be in [0, 0.5), got {probs_clip}")
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum above 0")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    options = np.zeros(1, OPTIONS_DTYPE)
    record = options[0]
    record["optimizer"] = OPTIMIZERS[optimizer]
    # The other rules ignore momentum, so that their state does not depend on it.
    record["momentum"] = momentum if optimizer == "sgd" else 0.0
    record["nesterov"] = nesterov and optimizer == "sgd"
    for name, value in (("batch_size", batch_size), ("seed", seed), ("epoch", epoch)):
        record[name] = value
    for name, value in (("beta1", beta1), ("beta2", beta2), ("eps", eps)):
        record[name] = value
    for name, value in (("weight_decay", weight_decay), ("scale", scale), ("shift", shift)):
        record[name] = value
    record["probs_clip"] = probs_clip
    record["skip_zeros"] = skip_zeros
    return options


def make_state(options: np.ndarray, params: np.ndarray) -> np.ndarray:
    """Zeros (slots, P) for the rows that the optimizer of ``options`` keeps beside ``params``."""
    record = options[0]
    slots = state_slots(int(record["optimizer"]), float(record["momentum"]))
    return np.zeros((slots, params.size), params.dtype)
