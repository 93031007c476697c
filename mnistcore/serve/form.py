"""What the page may choose for a training: the form's values, and the options of a request."""

from collections.abc import Mapping
from typing import Any

from ..kernels.backends import available_backends
from ..kernels.layout import ACTIVATIONS, OPTIMIZERS
from ..kernels.threads import available_cores
from ..system.errors import did_you_mean
from ..training.config import TrainConfig
from ..training.optimizers import LEARNING_RATES
from .config import ServeConfig

# The fields of a request, and the options of the training that they are.
FIELDS = {
    "layers": "hidden",
    **{
        name: name
        for name in (
            *("activation", "optimizer", "learning_rate", "momentum", "batch_size", "epochs"),
            *("backend", "threads", "dropout", "weight_decay", "label_smoothing", "batch_norm"),
            *("augment", "seed"),
        )
    },
}
# They bound the memory and the time that a request can take: 20 million parameters at most.
LIMITS = {
    "layers": 4,
    "units": 2048,
    "epochs": 1000,
    "batch_size": 10_000,
    "threads": available_cores(),
}
NETWORKS = (
    ("none", ()),
    ("small", (32,)),
    ("default", (128, 64)),
    ("wide", (512, 128)),
    ("deep", (256, 128, 64, 32)),
)
BATCH_SIZES = (16, 32, 64, 128, 256, 512)


def form() -> dict[str, Any]:
    """Return what ``GET /api/options`` says, apart from the data and the machine's peak."""
    defaults = TrainConfig()
    shown = {field: getattr(defaults, name) for field, name in FIELDS.items()}
    dropout = shown["dropout"][0]
    backends = available_backends()
    return {
        "networks": [{"name": name, "layers": list(layers)} for name, layers in NETWORKS],
        "activations": list(ACTIVATIONS),
        "optimizers": [{"name": n, "learning_rate": LEARNING_RATES[n]} for n in OPTIMIZERS],
        "backends": list(backends),
        "threads": list(range(1, LIMITS["threads"] + 1)),
        "batch_sizes": list(BATCH_SIZES),
        "defaults": {**shown, "dropout": dropout, "backend": backends[0]},
        "limits": LIMITS,
    }


def chosen(request: Mapping[str, Any], config: ServeConfig) -> TrainConfig:
    """Return the options of the training that a request asks for.

    Raises
    ------
    TypeError, ValueError
        If a field is unknown, or its value of the wrong type or out of range.
    """
    for field in request:
        if field not in FIELDS:
            raise ValueError(f"unknown option {field!r}; {did_you_mean(field, FIELDS, 'options')}")
    given = {FIELDS[field]: value for field, value in request.items() if value is not None}
    options = TrainConfig(
        **given,
        data=config.data,
        data_dir=config.data_dir,
        transpose=config.transpose,
        class_names=config.class_names,
        checkpoint_every="none",
    )
    largest = {
        "layers": len(options.hidden),
        "units": max(options.hidden, default=0),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "threads": options.threads,
    }
    for name, value in largest.items():
        if value > LIMITS[name]:
            raise ValueError(f"{name} may be at most {LIMITS[name]:,} here, got {value:,}")
    return options
