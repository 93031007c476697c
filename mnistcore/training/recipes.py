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


RECIPES: dict[str, Recipe] = {
    "tanh-10-10": Recipe(
        "784-10-10, tanh, gradient descent: a first network, small enough to draw",
        {
            "hidden": (10,),
            "activation": "tanh",
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "schedule": "cosine",
            "batch_size": 32,
            "epochs": 100,
            "weight_decay": 0.0003,
            "dropout": (0.0,),
            "augment": False,
        },
    ),
    "relu-two-hidden": Recipe(
        "784-128-64-10, ReLU, Adam: good accuracy within seconds",
        {
            "hidden": (128, 64),
            "activation": "relu",
            "optimizer": "adam",
            "learning_rate": 0.004,
            "schedule": "one-cycle",
            "batch_size": 64,
            "epochs": 10,
            "weight_decay": 0.0,
            "dropout": (0.0,),
            "augment": False,
        },
    ),
    "relu-1024-128": Recipe(
        "784-1024-128-10, ReLU, Adam: the most accurate, and a load for the kernels",
        {
            "hidden": (1024, 128),
            "activation": "relu",
            "optimizer": "adam",
            "learning_rate": 0.002,
            "schedule": "one-cycle",
            "batch_size": 128,
            "epochs": 10,
            "weight_decay": 0.0,
            "dropout": (0.0,),
            "augment": False,
        },
    ),
}
