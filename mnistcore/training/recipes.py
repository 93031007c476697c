"""Recipes: named settings of well-known networks, used as defaults by ``TrainConfig``.

Epochs, learning rates and schedules were chosen on 10,000 validation images held out of MNIST's
training set, not on the test set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_RECIPE = "relu-two-hidden"


@dataclass(frozen=True)
class Recipe:
    """A one-line description, and the options that the recipe sets; all recipes set the same."""

    about: str
    settings: Mapping[str, Any]


# What most recipes have in common; a new option has here the value that changes nothing, which
# runs from before it go on with.
COMMON: dict[str, Any] = {
    "activation": "relu",
    "optimizer": "adam",
    "schedule": "one-cycle",
    "weight_decay": 0.0,
    "dropout": (0.0,),
    "batch_norm": False,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "clip_norm": 0.0,
    "max_norm": 0.0,
    "augment": False,
    "augment_strength": 1.0,
    "augment_fade": 0.0,
    "adversarial": 0.0,
    "validation_fraction": 0.1,
}

RECIPES: dict[str, Recipe] = {
    "tanh-10-10": Recipe(
        "784-10-10, tanh, gradient descent: a first network, small enough to draw",
        {
            "hidden": (10,),
            **COMMON,
            "activation": "tanh",
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "schedule": "cosine",
            "batch_size": 32,
            "epochs": 100,
            "weight_decay": 0.0003,
        },
    ),
    "relu-two-hidden": Recipe(
        "784-128-64-10, ReLU, Adam: good accuracy within seconds",
        {
            "hidden": (128, 64),
            **COMMON,
            "learning_rate": 0.004,
            "batch_size": 64,
            "epochs": 10,
        },
    ),
    "relu-1024-128": Recipe(
        "784-1024-128-10, ReLU, Adam: more accurate, and a load for the kernels",
        {
            "hidden": (1024, 128),
            **COMMON,
            "learning_rate": 0.002,
            "batch_size": 128,
            "epochs": 10,
        },
    ),
    "fast": Recipe(
        "784-256-10, label smoothing: 98 % in a second or two",
        {
            "hidden": (256,),
            **COMMON,
            "learning_rate": 0.006,
            "batch_size": 64,
            "epochs": 3,
            "label_smoothing": 0.1,
            "validation_fraction": 0.0,
        },
    ),
    "fast-99": Recipe(
        "784-512-128-10, deformed images: 99 % within a minute",
        {
            "hidden": (512, 128),
            **COMMON,
            "learning_rate": 0.006,
            "batch_size": 128,
            "epochs": 8,
            "batch_norm": True,
            "label_smoothing": 0.05,
            "augment": True,
            "augment_fade": 0.5,
            "validation_fraction": 0.0,
        },
    ),
    "plain": Recipe(
        "784-1200-600-300-150-10, adversarial images: no use of what is near what",
        {
            "hidden": (1200, 600, 300, 150),
            **COMMON,
            "learning_rate": 0.002,
            "batch_size": 100,
            "epochs": 25,
            "batch_norm": True,
            "adversarial": 2.0,
            "validation_fraction": 0.0,
        },
    ),
    "augmented": Recipe(
        "784-2048-1024-512-10, deformed images: half an hour",
        {
            "hidden": (2048, 1024, 512),
            **COMMON,
            "optimizer": "adamw",
            "learning_rate": 0.003,
            "batch_size": 256,
            "epochs": 240,
            "weight_decay": 0.03,
            "batch_norm": True,
            "label_smoothing": 0.05,
            "augment": True,
            "augment_strength": 1.4,
            "augment_fade": 0.4,
            "validation_fraction": 0.0,
        },
    ),
    "record": Recipe(
        "784-2500-2000-1500-1000-500-10, strongly deformed images: two hours",
        {
            "hidden": (2500, 2000, 1500, 1000, 500),
            **COMMON,
            "optimizer": "adamw",
            "learning_rate": 0.003,
            "batch_size": 256,
            "epochs": 180,
            "weight_decay": 0.03,
            "batch_norm": True,
            "label_smoothing": 0.05,
            "augment": True,
            "augment_strength": 1.6,
            "augment_fade": 0.3,
            "validation_fraction": 0.0,
        },
    ),
}
